#!/usr/bin/env python3
"""Measures what a reload costs those who are served meanwhile: `benches/reload.py POSGATE [CARDS…]`.

For each size it starts a server, asks for a balance again and again (which writes nothing, so each answer takes one turn), and reloads the
unchanged table, one with a few changed rows, and one in which every row is another. Prints the longest wait for an answer beside that of a
quiet time, how long a reload took, and the resident memory at the start, after each reload, and at its peak.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

FIRST = 8_888_000_000
SURNAMES, NAMES = "赵钱孙李周吴郑王冯陈", "伟芳娜敏静丽强磊军洋"


def table(cards, day, changed):
    rows = ["card,account,name,department,groups,balance,valid_until,charge_max\n"]
    for number in range(cards):
        name = SURNAMES[number % 10] + NAMES[number // 10 % 10] + NAMES[number // 100 % 10]
        limit = 50 + (day if number < changed else 0)
        rows.append(f"{FIRST + number},A{number:06},{name},Class {number // 40},staff,100.00,2030-12-31,{limit}.00\n")
    return "".join(rows)


def memory(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        facts = dict(line.split(":", 1) for line in status)
    return tuple(int(facts[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))


def wait_for(log, word):
    for line in log:
        if word in line:
            return line
    sys.exit(f"reload.py: no line {word!r}")


def ask(terminal, seq):
    """One balance inquiry; returns the seconds until its answer."""
    begin = time.perf_counter()
    terminal.send(b"102,%05d,127.0.0.1,127.0.0.1,00001,%d" % (seq % 65536, FIRST))
    while True:
        if not terminal.recv(2048).startswith(b"001"):
            return time.perf_counter() - begin


def percentiles(waits):
    waits = sorted(waits)
    return f"median {waits[len(waits) // 2] * 1e3:.2f}, longest {waits[-1] * 1e3:.2f} ms"


def measure(posgate, cards):
    site = tempfile.mkdtemp()
    path = f"{site}/cards.csv"

    def write(text):
        with open(f"{path}.new", "w", encoding="utf-8") as new:
            new.write(text)
        os.rename(f"{path}.new", path)

    write(table(cards, 0, 0))
    with open(f"{site}/posgate", "w", encoding="utf-8") as config:
        config.write("config server 'main'\n\tlist listen '127.0.0.1:0'\n\toption control 'ctl.sock'\n")
        options = {"cards": "cards.csv", "ledger_dir": "ledger", "timezone": "CST-8", "rate_source": "0", "rate_total": "0"}
        config.writelines(f"\toption {name} '{value}'\n" for name, value in options.items())
    server = subprocess.Popen([posgate, "serve", "--config", f"{site}/posgate"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=site)
    try:
        port = int(wait_for(server.stdout, b"listening address=").rsplit(b":", 1)[1])
        wait_for(server.stdout, b"serving site=")
        begun = memory(server.pid)
        terminal = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        terminal.settimeout(20)
        terminal.connect(("127.0.0.1", port))
        quiet = [ask(terminal, seq) for seq in range(2000)]
        print(f"{cards} cards: {begun[0]:.1f} MB at the start, {begun[1]:.1f} at its peak; quiet: {percentiles(quiet)}")
        seq, day = 2000, 0
        for name, changed in (("unchanged", None), ("10 rows", 10), ("10 rows", 10), ("every row", cards), ("every row", cards)):
            if changed is not None:
                day += 1
                write(table(cards, day, changed))
            control = socket.socket(socket.AF_UNIX)
            control.connect(f"{site}/ctl.sock")
            time.sleep(0.3)
            control.setblocking(False)
            waits, begin, done = [], time.perf_counter(), None
            control.sendall(b'{"cmd":"reload"}\n')
            while done is None or time.perf_counter() - begin < done + 0.3:
                seq += 1
                waits.append(ask(terminal, seq))
                if done is None:
                    try:
                        answer = control.recv(65536)
                        done = time.perf_counter() - begin
                        if not answer.startswith(b'{"ok":true'):
                            sys.exit(f"reload.py: {answer!r}")
                    except BlockingIOError:
                        pass
            rss, peak = memory(server.pid)
            print(f"  {name}: {percentiles(waits)}; it took {done * 1e3:.0f} ms; {rss:.1f} MB, peak {peak:.1f}")
        server.terminate()
        server.stdout.read()
        if server.wait(60) != 0:
            sys.exit(f"reload.py: the server ended with {server.returncode}")
    finally:
        server.kill()
        shutil.rmtree(site)


if len(sys.argv) < 2:
    sys.exit(__doc__)
for size in [int(word) for word in sys.argv[2:]] or [10_000, 50_000]:
    measure(os.path.abspath(sys.argv[1]), size)
