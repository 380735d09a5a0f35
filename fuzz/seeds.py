#!/usr/bin/env python3
"""Makes seeds/: small inputs to begin with, from tests and deploy/example. Run it after these change."""

import json
import re
import shutil
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
SEEDS = HERE / "seeds"


def seed(target, name, content):
    path = SEEDS / target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def vector_bytes(text):
    """The vectors' notation: GBK, and \\xNN for any byte."""
    out = b""
    for index, piece in enumerate(re.split(r"\\x([0-9A-Fa-f]{2})", text)):
        out += bytes([int(piece, 16)]) if index % 2 else piece.encode("gbk", "replace")
    return out


def vectors():
    for line in (ROOT / "tests/vectors/requests.txt").read_text().splitlines():
        if line[:2] in ("> ", "~ "):
            yield vector_bytes(line[2:]).replace(b"\n", b"\x1f")


def datagrams():
    by_code = {}
    for frame in vectors():
        by_code.setdefault(frame.strip()[:3], []).append(frame)
    for code, frames in by_code.items():
        for part in range(0, len(frames), 12):
            lines = b"\n".join(b">%d" % (index % 3) + frame for index, frame in enumerate(frames[part : part + 12]))
            name = re.sub(rb"[^0-9A-Za-z]", b"_", code).decode() or "none"
            seed("datagrams", f"vectors-{name}-{part}", lines + b"\n=\n+700\n+20000\nR\n=\n")

    def frame(*choices):
        return b"f" + bytes(choices)

    # code, machine, card, amount, time, source, serial, extra, seq
    sale = frame(2, 2, 0, 1, 0, 3, 0, 0, 3)
    confirm = frame(6, 2, 0, 0, 0, 3, 0, 0, 3)
    offline = frame(4, 2, 2, 1, 0, 3, 0, 0, 3)
    door = frame(8, 3, 0, 0, 0, 3, 0, 21, 3)
    meal = frame(3, 0, 0, 0, 0, 1, 1, 0, 3)
    scan = frame(7, 2, 0, 0, 0, 3, 0, 0, 3)
    boot = frame(0, 2, 0, 0, 0, 3, 0, 0, 3)
    join = b"\n".join
    for site in range(4):
        first = b"C%d" % site
        seed("datagrams", f"sale-{site}", join([first, sale, b"=", confirm, b"+1000", sale, b"R", b"=", sale, confirm, b"X3", b"="]))
        seed("datagrams", f"offline-{site}", join([first, sale, offline, b"=", b"R", b"=", offline, offline]))
        seed("datagrams", f"door-{site}", join([first, door, b"=", b"+2000", b"=", b"+9000", b"=", b"R", b"=", door]))
        seed("datagrams", f"all-{site}", join([first, b"V5", boot, meal, b"=", scan, b"=", b"K", b"@-90000000", boot, sale, b"+700000", b"@90000000", meal, b"X0"]))
    many = [frame(2, machine % 7, card % 10, 0, 0, 3, 0, 0, 3) for machine in range(4) for card in range(10)]
    seed("datagrams", "many", join([b"C1", *many, b"+60000", b"R"]))
    seed("datagrams", "mute", join([b"C0", *[sale] * 12, b"+60000", confirm, b"+60000", b"R", sale]))
    declined = frame(2, 2, 4, 0, 0, 3, 0, 0, 3)
    seed("datagrams", "left-out", join([b"C0", *[declined] * 25, b"+61000", b"X2"]))
    seed("datagrams", "reload", join([b"C0", sale, b"C3", sale, b"C3!", sale, frame(2, 2, 7, 0, 0, 3, 0, 0, 3), b"C0", b"R", sale]))


def config():
    example = (ROOT / "deploy/example/posgate").read_text()
    plain = "\n".join(line.split("#")[0].rstrip() for line in example.splitlines())
    seed("config", "example", re.sub(r"\n+", "\n", plain))
    for index, section in enumerate(re.split(r"\n(?=config )", plain)[1:]):
        seed("config", f"section-{index}", re.sub(r"\n+", "\n", section))
    # Every option with the value that the manual shows.
    manual = "\n".join(page.read_text() for page in sorted((ROOT / "docs").glob("*.md")))
    options = sorted(set(re.findall(r"^\s*((?:option|list)\s+\w+\s+'[^']*')", manual, re.M)))
    for part in range(0, len(options), 10):
        body = "\n\t".join(options[part : part + 10])
        seed("config", f"manual-{part}", f"config server 'main'\n\t{body}\n")


def cards():
    table = (ROOT / "tests/support/example-cards.csv").read_text()
    head, *rows = table.splitlines()
    seed("cards", "example", "\n".join([head, *rows[:12]]) + "\n")
    seed("cards", "gbk", "\r\n".join([head, *rows[:3]]).encode("gb18030"))
    seed("cards", "bom", "\ufeffcard,name,balance\n1,a,1.00\n2,b,-2\n")
    seed("cards", "semicolon", "卡号;余额;姓名\n1;1.00;甲\n")
    seed("cards", "tabs", "card\tuses\tcode\n1\t5\tx\n")
    seed("cards", "quotes", 'card,code,name\n1,"a,""b""","c\nd"\n')
    seed("cards", "utf16", "card,balance\n1,1.00\n".encode("utf-16"))
    seed("cards", "scientific", "card,pin\n8.88889E+09,1234\n0,123456789\n")
    seed("cards", "title", "发卡名单,,\n*卡 号:,姓名（拼音）,余额(元)\n'８８８８,甲,５.５０\n=\"99\",\"乙\n丙\",−1\n\x1a")
    seed("cards", "separator", "sep=;\nIC卡号;有效期至;卡状态;余额(分)\n1;2026年11月9日 0:00;挂失;1\n")
    seed("cards", "orders", "card,amount,note,key\n1,1,234.50,\n2,5.5,x,K1\n077,30211,,\n")
    seed("cards", "shared", "card,account,balance,uses\n1,A,5,\n2,A,,3\n3,A,5,3\n4,A,6,\n")


def recovery():
    def entry(seq, kind, columns):
        names = ["machine", "serial", "frame", "card", "account", "amount", "subsidy", "uses", "balance", "sub_left", "left", "at", "slot", "ref", "detail"]
        if "amount" in columns:
            columns = {"subsidy": "0.00", "sub_left": "0.00", **columns}
        rest = "\t".join(str(columns.get(name, r"\N")) for name in names)
        return f"{seq}\t2026-11-22T12:00:00.000+08:00\tok\t{kind}\t{rest}"

    who = {"machine": "00003", "frame": "00001", "card": "8888888803", "account": "8888888803", "uses": 0, "left": 1}
    lines = [
        entry(1, "start", {"detail": "cards=9"}),
        entry(2, "open", {**who, "amount": "5.00", "uses": 1, "balance": "5.00"}),
        entry(3, "charge", {**who, "amount": "-1.50", "balance": "3.50", "at": "2026-11-22 12:00:00", "detail": "day=2026-11-22 period=lunch"}),
        entry(4, "confirm", {"machine": "00003", "ref": 3}),
        entry(5, "decline", {**who, "amount": "0.00", "balance": "3.50", "detail": "reason=balance code=103 asked=9.00"}),
        entry(6, "offline", {**who, "amount": "-9.00", "balance": "-5.50", "slot": "00000001", "detail": "asked=9.00 day=2026-11-22"}),
        entry(7, "void", {**who, "amount": "1.50", "balance": "-4.00", "ref": 3, "detail": "day=2026-11-22 period=lunch"}),
        entry(8, "admit", {"machine": "00007", "frame": "00002", "card": "8888888801", "slot": "1:2", "at": "2026-11-22 12:00:01"}),
        entry(9, "status", {"card": "8888888803", "detail": "status=lost by=x"}),
        entry(10, "topup", {"card": "8888888801", "account": "T1", "amount": "10.00", "uses": 0, "balance": "10.00", "left": 0}),
        entry(11, "stop", {}),
    ]
    text = "\n".join(lines)
    first, second = "\n".join(lines[:5]), "\n".join(lines[5:])
    seed("recovery", "clean", text)
    seed("recovery", "two-segments", f"{first}\n#\n{second}")
    seed("recovery", "torn", f"{text}\n!30")
    seed("recovery", "zeros-behind", f"{text}\n00,5000")
    seed("recovery", "zeros-inside", f"{text}\n0700,100")
    seed("recovery", "zeros-far", f"{first}\n00,70000")
    seed("recovery", "flipped", f"{text}\n^300,3")
    seed("recovery", "header-torn", f"{text}\n#\nH{'x' * 20}")
    seed("recovery", "header-only", "!512")
    seed("recovery", "half-header", "!100")
    seed("recovery", "gone", f"{first}\n#\n{second}\n-")
    seed("recovery", "wrong-first", f"{first}\n#9\n{second}")
    seed("recovery", "raw", f"{text}\n~12\tgarbage\n~")
    seed("recovery", "gap", f"{first}\n{lines[7]}")
    seed("recovery", "other", f"{lines[0]}\n{entry(2, 'marvel', {'detail': 'new=1'})}")
    seed("recovery", "many", "\n".join(entry(n, "topup", {**who, "amount": "1.00", "uses": 0, "balance": f"{n}.00", "left": 0}) for n in range(1, 31)))


def snapshot():
    for site in range(4):
        seed("snapshot", f"own-{site}", f"L{site}")
        seed("snapshot", f"older-{site}", f"L{site}\nS{site}")
        seed("snapshot", f"archived-{site}", f"L{site}\na")
        seed("snapshot", f"other-{site}", f"L{site}\nO{site + 1}")
        seed("snapshot", f"sealed-{site}", f"L{site}\nS0\n=")
    seed("snapshot", "older-archived", "L1\nS1\na")
    for cut in (1, 9, 60, 3000):
        seed("snapshot", f"torn-{cut}", f"!{cut}")
        seed("snapshot", f"ledger-torn-{cut}", f"t{cut}")
    seed("snapshot", "archived-newer", "t9999\na")
    seed("snapshot", "older-of-a-torn-ledger", "t700\nS2")
    seed("snapshot", "flipped", "^200,3")
    seed("snapshot", "flipped-in-title", "^30,0\n=")
    seed("snapshot", "zeros-behind", "0999999,4096")
    seed("snapshot", "zeros-inside", "0600,100")
    seed("snapshot", "twice", "+3,4\n=")
    seed("snapshot", "often", "*3,3000\n=")
    seed("snapshot", "swapped", "+8,2\n-9\n=")
    title = "#posgate-snapshot\\tversion=1\\tledger=00000000000000f0\\tseq=1\\tcrc=00000000\\tcreated=x".replace("\\t", "\t")
    seed("snapshot", "title", f"@0,{title}\n=")
    seed("snapshot", "title-alone", f"R\n{title}\n#end\tlines=0\t00000000\n")
    # The second line of each kind, with another figure in each column.
    for line in (1, 2, 3, 5, 8, 12, 16, 20, 40, 60, 70):
        for column in range(1, 6):
            seed("snapshot", f"column-{line}-{column}", f"c{line},{column},9\n=")
    lines = [
        "clock\t1795320000000:28800\t\\N\t\\N\tok",
        "period\tlunch",
        "account\tT9\t-1.50\t2\t1",
        "card\t8888888801\tT9\tlost\t2026-11-22:1.50:0:0=1",
        "device\t9\t3\t0\t3:1",
        "doubt\t3\t9\t\\N\t8888888801\t1.50\t\\N\t0\t0",
        "offline\t3\t3\t\\N\t9\t\\N\t8888888801\t1.50\t0000000000000001\t1\t0000000000000001\t1",
        "pass\t3\t7\t1\t8888888801\t1795320000000:28800\tok\t0",
    ]
    for number, line in enumerate(lines):
        seed("snapshot", f"line-{number}", f"@2,{line}\n=")
    seed("snapshot", "raw", "R\n" + title + "\n" + "\n".join(lines) + "\n#end\tlines=8\t00000000\n")
    seed("snapshot", "empty", "!999999")
    seed("snapshot", "long-line", "*5,900\n@2," + "x" * 600 + "\n=")


def control():
    def line(cmd, **fields):
        return json.dumps({"cmd": cmd, **fields}, ensure_ascii=False, separators=(",", ":"))

    def order(cmd, key, **fields):
        return line(cmd, **fields, key=key, by="li")

    def batch(cmd, number, **fields):
        return line(cmd, **fields, batch="0123456789abcdef", line=number, by="li")

    sale = ">103,00001,0.0.0.0,0.0.0.0,00003,8888888801,5.50,2026-11-22 12:00:00"
    door = ">150,00002,0.0.0.0,0.0.0.0,00007,8888888801,1,1,0,1,1234,2026-11-22 12:00:01"
    stranger = ">102,00003,0.0.0.0,0.0.0.0,00003,9999999999"
    found = ">100,00001,192.168.1.218,255.255.255.0,192.168.1.1,192.168.1.3,39192,1000000003"
    card, other = "8888888801", "8888888803"
    money = [
        order("topup", "a1", card=card, amount="5.50", note="现金"),
        order("subsidy", "a2", card=card, amount="10", uses=2),
        order("payout", "a3", card=card, amount="all"),
        order("payout", "a4", card=other, amount="99.00"),
        order("adjust", "a5", card=other, amount="-2.50"),
        order("adjust", "a6", card="8888888808", amount="+12.50", uses=3),
        order("topup", "a1", card=card, amount="6.50"),
        order("topup", "a7", card="77", amount="1"),
    ]
    seed("control", "money", "\n".join(f"{text}\n=" for text in money) + "\n.\nR\n=\n" + money[0])
    void = [sale, order("void", "v1", seq=3, amount="1.00"), "=", order("void", "v2", seq=3), "=", order("void", "v3", seq=3)]
    seed("control", "void", "\n".join([*void, ".", "R", order("void", "v2", seq=3), order("void", "v4", seq=1)]))
    states = [order(cmd, cmd, card=card) for cmd in ("lost", "unfreeze", "found", "freeze", "found", "unfreeze", "close", "found")]
    seed("control", "states", "\n".join([*states, sale, order("lost", "x", card="8888888805"), order("found", "y", card="8888888805")]))
    link = order("replace", "r1", old=card, new="8888888899")
    seed("control", "replace", "\n".join([link, "=", line("card", card="8888888899"), line("card", card=card), "R", link, order("topup", "r2", card=card, amount="1")]))
    lines = [batch("subsidy", number, card=who, amount="1.00") for number, who in ((1, card), (2, other), (4, card), (3, card), (2, other))]
    seed("control", "batch", "\n".join([line("topup", card=card, amount="1", batch="0123456789abcdef", line=9, by="li", dry=True), *lines, "R", *lines]))
    seed("control", "doors", "\n".join([door, order("open", "o1", machine="7", door="1"), "=", order("open", "o2", machine="7", door="9"), order("open", "o3", machine="9", door="1")]))
    questions = [
        line("card", card=card), line("card", card="77"), line("cards"), line("cards", search="三", after=1), line("unknown"),
        line("devices"), line("discover"), line("found-devices"), line("clock", machine="all"), line("clock", machine="3"),
        line("show", machine="3", text="停水\\n通知"), line("status"), line("reload", accept=True), line("clock-accept", by="li"), line("sync"),
    ]
    seed("control", "questions", "\n".join([sale, stranger, found, *questions, "+5000", *questions]))
    seed("control", "garbage", '{\n[]\n{"cmd":7}\n{"cmd":"status","cmd":"sync"}\n' + "[" * 300 + '\n{"cmd":"x\\u0000\\ud83d"}\n\xff')


shutil.rmtree(SEEDS, ignore_errors=True)
for make in (datagrams, config, cards, recovery, snapshot, control):
    make()
