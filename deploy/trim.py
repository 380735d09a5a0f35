#!/usr/bin/env python3
"""Removes from ELF files what no program loads and strip leaves: on MIPS the table .pdr takes an eighth of the file.

    trim.py FILE…

Keeps what a segment loads, and the attributes that tell the ABI. The sections that go stand behind everything loaded.
"""

import struct
import sys

ALLOCATED = 2
ATTRIBUTES = 0x70000003  # of ARM; those of MIPS are loaded


def trim(name):
    with open(name, "rb") as file:
        data = file.read()
    assert data[:4] == b"\x7fELF", f"{name} is no ELF file"
    order = "<" if data[5] == 1 else ">"
    if data[4] == 1:
        header, section, program = order + "16xHHIIIIIHHHHHH", order + "10I", order + "8I"
        loaded_end = lambda fields: fields[1] + fields[4]  # p_offset, p_filesz
    else:
        header, section, program = order + "16xHHIQQQIHHHHHH", order + "IIQQQQIIQQ", order + "IIQQQQQQ"
        loaded_end = lambda fields: fields[2] + fields[5]
    fields = list(struct.unpack_from(header, data))
    program_at, sections_at, program_size, programs, size, count, names_index = *fields[4:6], *fields[8:13]
    sections = [list(struct.unpack_from(section, data, sections_at + number * size)) for number in range(count)]
    names = sections[names_index]
    end = max(loaded_end(struct.unpack_from(program, data, program_at + number * program_size)) for number in range(programs))

    # A section: name, type, flags, address, offset, size, link, info, alignment, size of an entry.
    places = [place for place, it in enumerate(sections) if place == 0 or it[2] & ALLOCATED or it[1] == ATTRIBUTES]
    kept = [sections[place] for place in places]
    for it in kept:
        # ARM's index of unwinding names the section that it is for.
        it[6] = places.index(it[6])
    out = bytearray(data[:end])
    texts = bytearray(b"\0")
    for it in kept[1:] + [names]:
        begin = names[4] + it[0]
        text = data[begin : data.index(b"\0", begin) + 1]
        it[0] = len(texts)
        texts += text
        if it[1] == ATTRIBUTES:
            content = data[it[4] : it[4] + it[5]]
            it[4] = len(out)
            out += content
    names[4:6] = len(out), len(texts)
    kept.append(names)
    out += texts
    out += bytes(-len(out) % 8)
    fields[5], fields[11], fields[12] = len(out), len(kept), len(kept) - 1
    for it in kept:
        out += struct.pack(section, *it)
    out[16 : struct.calcsize(header)] = struct.pack(header, *fields)[16:]
    with open(name, "wb") as file:
        file.write(out)


for name in sys.argv[1:]:
    trim(name)
