#!/usr/bin/env python3
"""Copies two crates for a router's build, without their large tables. Reads what `cargo metadata` prints.

    cargo metadata --format-version 1 --locked | trim-crates.py TO

Each crate is copied from where cargo keeps it to TO/NAME.

encoding_rs loses the converters of Chinese in Big5, of Japanese and of Korean, whose tables take 130 KB. posgate names GBK and
GB18030 alone, but the crate chooses its converter at run time, so that no linker can tell. In the copy a call of another one panics.

crc32fast loses fifteen of its sixteen tables, 15 KB that no gzip makes smaller: what its own tests compare the fast way with, one
byte at a time, becomes the only way of a processor without instructions for it. The sums are the same.
"""

import json
import pathlib
import re
import shutil
import sys

LEFT_OUT = ["Big5", "EucJp", "EucKr", "Iso2022Jp", "ShiftJis"]


def change(path, pattern, new, count):
    """Replaces the pattern in a file, exactly so many times: another version of the crate may look different."""
    text, found = re.subn(pattern, new, path.read_text(), flags=re.DOTALL)
    if found != count:
        sys.exit(f"trim-crates.py: {found} times {pattern!r} in {path}, not {count}: look at this version of the crate")
    path.write_text(text)


def trim_encoding_rs(source):
    # Decoders to UTF-8 and UTF-16, encoders from both.
    call = r"(Variant(?:De|En)coder::(?:%s))\(ref mut v\) => v\.\w+_raw\(src, dst, last\)," % "|".join(LEFT_OUT)
    change(source / "variant.rs", call, r"\1(_) => unreachable!(),", 4 * len(LEFT_OUT))


def trim_crc32fast(source):
    tables = source / "table.rs"
    change(tables, r"\[\[u32; 256\]; 16\] = (\[\s*\[.*?\],).*?\];", r"[[u32; 256]; 1] = \1];", 1)
    ways = source / "baseline.rs"
    change(ways, r"\n/// Folds the first 16 bytes.*?(?=\npub\(crate\) fn update_slow)", "", 1)
    change(ways, r"$(?![\r\n])", "\npub(crate) use update_slow as update_fast_16;\npub(crate) use update_slow as update_short;\n", 1)


def main():
    to = pathlib.Path(sys.argv[1])
    manifests = {package["name"]: pathlib.Path(package["manifest_path"]) for package in json.load(sys.stdin)["packages"]}
    for name, trim in [("encoding_rs", trim_encoding_rs), ("crc32fast", trim_crc32fast)]:
        copy = to / name
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(manifests[name].parent, copy)
        trim(copy / "src")
        root = copy / "src/lib.rs"
        root.write_text("#![allow(dead_code, unused_imports)]\n" + root.read_text())


main()
