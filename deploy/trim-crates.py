#!/usr/bin/env python3
"""Copies the crate encoding_rs for a router's build, without what posgate cannot reach: the converters of Chinese in Big5, of
Japanese and of Korean, whose tables take 130 KB.

    gbk-only.py MANIFEST TO

MANIFEST is the crate's Cargo.toml where cargo keeps it; its directory is copied to TO. posgate names GBK and GB18030 alone, but
the crate chooses its converter at run time, so that no linker can tell. In the copy a call of another one panics.
"""

import pathlib
import re
import shutil
import sys

LEFT_OUT = ["Big5", "EucJp", "EucKr", "Iso2022Jp", "ShiftJis"]
# Decoders to UTF-8 and UTF-16, encoders from both.
CALLS = 4


def main():
    manifest, to = map(pathlib.Path, sys.argv[1:])
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(manifest.parent, to)
    path = to / "src/variant.rs"
    call = r"(Variant(?:De|En)coder::(?:%s))\(ref mut v\) => v\.\w+_raw\(src, dst, last\)," % "|".join(LEFT_OUT)
    text, count = re.subn(call, r"\1(_) => unreachable!(),", path.read_text())
    if count != CALLS * len(LEFT_OUT):
        sys.exit(f"gbk-only.py: {count} calls in {manifest.parent}, not {CALLS * len(LEFT_OUT)}: look at this version of the crate")
    path.write_text(text)
    root = to / "src/lib.rs"
    root.write_text("#![allow(dead_code)]\n" + root.read_text())


main()
