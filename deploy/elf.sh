#!/bin/sh
# Checks whether a router of a target can run a binary: `deploy/elf.sh FILE WANTED`. WANTED is column 7 of deploy/targets
# (class,endianness,machine,float ABI and instruction set). Prints the binary's values, or prints the error and exits with 1.
# deploy/emulate.sh then runs the binary.
set -eu
file=$1
wanted=$2
export LC_ALL=C

fail() {
    echo "elf: $file: $1" >&2
    exit 1
}

header=$(readelf -hW "$file")
segments=$(readelf -lW "$file")
attributes=$(readelf -AW "$file")

# field NAME: the value of that field of the header.
field() { printf '%s\n' "$header" | sed -n "s/^ *$1: *//p"; }

# attribute NAME: the value of that attribute (MIPS and ARM describe their ABI there).
attribute() { printf '%s\n' "$attributes" | sed -n "s/^ *$1: *//p" | head -n 1; }

case $(field Class) in
ELF32) class=32 ;;
ELF64) class=64 ;;
*) fail "no ELF file" ;;
esac
case $(field Data) in
*"little endian") endianness=little ;;
*"big endian") endianness=big ;;
*) fail "unknown byte order" ;;
esac

abi=-
flags=$(field Flags)
case $(field Machine) in
"MIPS R3000")
    machine=mips
    case $(attribute "FP ABI") in "Soft float") float=soft ;; *) float=hard ;; esac
    case $flags in *o32*) call=o32 ;; *) call=other ;; esac
    case $(attribute ISA) in MIPS32r2) instructions=r2 ;; *) instructions=$(attribute ISA) ;; esac
    case $flags in *mips32r2*) ;; *) instructions="flags:$flags" ;; esac
    abi=$call-$float-$instructions
    ;;
ARM)
    machine=arm
    case $flags in *"Version5 EABI"*) call=eabi5 ;; *) call=other ;; esac
    case $(attribute Tag_ABI_VFP_args) in "VFP registers") float=hard ;; *) float=soft ;; esac
    case $flags,$float in *hard-float*,soft | *soft-float*,hard) fail "header and attributes disagree about the float ABI: $flags" ;; esac
    abi=$call-$float-$(attribute Tag_CPU_arch)
    ;;
AArch64) machine=aarch64 ;;
*X86-64) machine=x86-64 ;;
*) machine=$(field Machine) ;;
esac

found=$class,$endianness,$machine,$abi
[ "$found" = "$wanted" ] || fail "is $found, wanted $wanted"

# A static-pie crashes on MIPS at the first thread-local with a destructor, so the type must be a plain executable.
case $(field Type) in EXEC*) ;; *) fail "is no plain executable but $(field Type)" ;; esac
printf '%s\n' "$segments" | grep -q '^ *INTERP' && fail "asks for an interpreter: it is not static"
printf '%s\n' "$segments" | grep -q '^ *DYNAMIC' && fail "has a dynamic section: it is not static"
printf '%s\n' "$segments" | grep -Eq '^ *LOAD.* RWE ' && fail "has a segment that is writable and executable"
printf '%s\n' "$segments" | grep -Eq '^ *GNU_STACK.* RWE ' && fail "wants an executable stack"
printf '%s\n' "$segments" | grep -q '^ *GNU_STACK' || [ "$machine" = mips ] || fail "does not say that its stack is not executable"
readelf -SW "$file" | grep -q '\.symtab' && fail "is not stripped"

echo "$found static"
