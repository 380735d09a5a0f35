#!/usr/bin/env python3
"""Nothing that was approved may be missing: compares what posgate-sim was told with a ledger.

    posgate-sim --trace … >TRACE; approved.py TRACE… -- SEGMENT…

An 008 approves the newest 103, 104 or 128 of its machine, an 011 its 105, an 050 its 150. Each must stand in the ledger once,
under its machine and frame number (a stored sale: under its record). Prints the counts; exit code 1 if anything is missing or
stands there twice.
"""

import collections
import re
import sys

# Which frames a result decides, and which entries say so.
DECIDES = {
    "008": (("103", "104", "128"), ("charge", "meal", "scan", "repeat")),
    "011": (("105",), ("offline", "matched")),
    "050": (("150",), ("admit",)),
}


def approvals(lines):
    """(machine, frame number or record) of each request that was approved, with its result's code."""
    asked, approved = {}, {}
    for number, line in enumerate(lines):
        found = re.match(r"\d\d:\d\d:\d\d \d+ (\S+) (\d{3}),(.*)", line.rstrip("\n"))
        if not found:
            continue
        code, fields = found[2], found[3].split(",")
        if code in ("103", "104", "105", "128", "150"):
            key = fields[8] if code == "105" else fields[0]
            asked[fields[3], code] = key, number
        elif code in DECIDES and "(lost here)" not in line:
            machine = fields[0]
            codes, _ = DECIDES[code]
            newest = max((asked[machine, code] for code in codes if (machine, code) in asked), key=by_number, default=None)
            if code == "011":
                approved[machine, fields[4]] = code
            elif newest:
                approved[machine, newest[0]] = code
    return approved


def by_number(asked):
    return asked[1]


def entries(lines):
    """How often each (machine, frame number or record) stands in the ledger, by kind."""
    booked = collections.Counter()
    for line in lines:
        if line.startswith("#"):
            continue
        columns = line.rstrip("\n").split("\t")
        kind, machine, frame, slot = columns[3], columns[4], columns[6], columns[16]
        key = slot if kind in ("offline", "matched") and slot != r"\N" else frame
        booked[machine, key, kind] += 1
    return booked


def lines_of(names):
    for name in names:
        with open(name, encoding="utf-8", errors="replace") as file:
            yield from file


def main():
    split = sys.argv.index("--")
    approved = approvals(lines_of(sys.argv[1:split]))
    booked = entries(lines_of(sys.argv[split + 1 :]))
    missing = doubled = 0
    for (machine, key), code in approved.items():
        count = sum(booked[machine, key, kind] for kind in DECIDES[code][1])
        if count == 0:
            missing += 1
            print(f"missing: machine {machine} {key}, approved by {code}")
        elif count > 1:
            doubled += 1
            print(f"twice: machine {machine} {key}, approved by {code}")
    print(f"{len(approved)} approved, {missing} missing, {doubled} twice")
    return missing > 0 or doubled > 0 or not approved


if __name__ == "__main__":
    sys.exit(main())
