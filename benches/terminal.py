#!/usr/bin/env python3
"""Starts a server and has one terminal pay: what benches/router.sh counts.

    terminal.py SALES DIRECTORY COMMAND…

Begins a ledger in DIRECTORY, runs `COMMAND serve`, sells SALES times over the loopback (103, its 001 and 008, and the 109), and stops the
server. Fails if an answer is missing or the server does not end well.
"""

import os
import shutil
import socket
import subprocess
import sys

CARDS = 100


def main():
    sales, site, command = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    shutil.rmtree(site, ignore_errors=True)
    os.makedirs(site)
    with open(f"{site}/cards.csv", "w", encoding="utf-8") as table:
        table.write("card,account,name,balance\n")
        for number in range(CARDS):
            table.write(f"{8_888_888_800 + number},A{number:05},张三,100000.00\n")
    with open(f"{site}/posgate", "w", encoding="utf-8") as config:
        options = {"cards": "cards.csv", "ledger_dir": "ledger", "timezone": "CST-8", "rate_source": "0", "rate_total": "0", "log": "warn"}
        config.write("config server 'main'\n\tlist listen '127.0.0.1:0'\n")
        config.writelines(f"\toption {name} '{value}'\n" for name, value in options.items())
    # The line `listening` is one of the log's at info.
    server = subprocess.Popen(
        [*command, "serve", "--config", f"{site}/posgate"], stdout=subprocess.PIPE, env={"RUST_LOG": "info", "PATH": os.environ["PATH"]}
    )
    try:
        for line in server.stdout:
            if b"listening address=" in line:
                port = int(line.rsplit(b":", 1)[1])
                break
        else:
            sys.exit("terminal.py: the server does not listen")
        terminal = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        terminal.settimeout(20)
        terminal.connect(("127.0.0.1", port))

        def hear(code):
            while not terminal.recv(2048).startswith(code):
                pass

        for number in range(sales):
            seq = 2 * number % 65536
            card = 8_888_888_800 + number % CARDS
            terminal.send(b"103,%05d,127.0.0.1,127.0.0.1,00001,%d,1.00,2026-11-30 12:00:00,1000000001" % (seq, card))
            hear(b"001,%05d" % seq)
            hear(b"008,")
            terminal.send(b"109,%05d,127.0.0.1,127.0.0.1,00001,1000000001" % (seq + 1))
        server.terminate()
        server.stdout.read()
        if server.wait(60) != 0:
            sys.exit(f"terminal.py: the server ended with {server.returncode}")
    finally:
        server.kill()


main()
