#!/usr/bin/env bash
# Boots a whole router in emulation: a MIPS machine with 64 MB (malta, 24Kc) runs a Debian kernel with busybox and the unpacked
# files of posgate's package. The package's init script runs there, under the tests' stand-in for rc.common
# (tests/openwrt/rc.common); the command that it gives to procd is started, as the user that it gives; the ledger is on a disk
# with ext4. posgate-sim connects from outside, through the emulator's network:
#
#   1. 10,000 cards are served; a day ends well; the script prints resident memory, threads, descriptors and wake-ups when idle;
#   2. three times the power is cut (the emulator is killed) in the middle of sales. After each boot `ledger verify` is clean, and
#      the ledger holds every sale that posgate-sim's trace shows as approved.
#
# Exits with 0 if all of this holds. Every wait is bounded: the script takes about three minutes. The kernel (45 MB) and busybox
# come from Debian's archive into target/cross/boot, through a scratch apt directory: the machine's own apt does not change.
set -euo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C
# shellcheck source=deploy/lib.sh
. deploy/lib.sh
help_or_go "$@"

target=mipsel-unknown-linux-musl
cuts=3
resident_max_kb=4864

[ -x "dist/posgate-$target" ] || deploy/build.sh "$target"
use_sim
need qemu-system-mipsel qemu-system-mips
need mke2fs e2fsprogs
need cpio cpio
need curl curl

cache=$work/boot
mkdir -p "$cache"
scratch=$(mktemp -d)
machine=
crowd=
clean_up() {
    local status=$?
    for process in $machine $crowd; do kill -9 "$process" 2>/dev/null || true; done
    if [ "$status" -ne 0 ]; then tail -n 30 "$scratch"/console "$scratch"/*.log >&2 || true; fi
    rm -rf "$scratch"
}
trap clean_up EXIT

# --- kernel and busybox ------------------------------------------------------------------------------------------------
fetch() (
    apt=$cache/apt
    mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial"
    : >"$apt/status"
    # The archive that this machine uses, in the old or the new notation.
    archive=$(sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/*.sources 2>/dev/null | grep -m1 '/debian/*$' ||
        awk '$1 == "deb" { for (i = 2; i <= NF; i++) if ($i ~ /^http.*\/debian\/*$/) { print $i; exit } }' \
            /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null || true)
    [ -n "$archive" ] || fail "no Debian archive in /etc/apt: take linux-image-*-4kc-malta and busybox-static for mipsel to $cache"
    # bookworm is the last release with 32-bit MIPS.
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $archive bookworm main" >"$apt/sources.list"
    cat >"$apt/apt.conf" <<END
APT::Architecture "mipsel";
APT::Architectures { "mipsel"; };
Dir::State "$apt/state";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Acquire::Languages "none";
APT::Sandbox::User "";
END
    export APT_CONFIG=$apt/apt.conf
    apt-get update -qq
    kernel=$(apt-cache search --names-only '^linux-image-[0-9].*-4kc-malta$' | awk '{ print $1 }' | sort -V | tail -n 1)
    cd "$cache"
    apt-get download -qq "$kernel" busybox-static
    rm -rf kernel busybox apt
    dpkg-deb -x linux-image-*.deb kernel
    dpkg-deb -x busybox-static_*.deb busybox
    rm ./*.deb
    touch fetched
)
[ -e "$cache/fetched" ] || fetch
kernel=$(echo "$cache"/kernel/boot/vmlinuz-*)

# --- the router's root file system in memory, and its disk --------------------------------------------------------------
root=$scratch/root
mkdir -p "$root"/{bin,dev,proc,sys,tmp,run,lib/modules,etc/config,etc/posgate,usr/bin,var,www/cgi-bin}
deploy/package.sh "$target" >/dev/null
package=$(find dist -name 'posgate_*_mipsel_24kc.ipk' | sort -V | tail -n 1)
tar -xzOf "$package" ./data.tar.gz | tar -xz -C "$root"
echo "package: $package"
cmp "$root/usr/bin/posgate" "dist/posgate-$target"
cp "$cache/busybox/bin/busybox" "$root/bin/busybox"
for module in mii pcnet32 ata_piix crc16 crc32c_generic libcrc32c mbcache jbd2 ext4; do
    find "$cache/kernel/lib/modules" -name "$module.ko" -exec cp {} "$root/lib/modules/" \;
done
echo 'root:x:0:0:root:/:/bin/sh
posgate:x:1000:1000:posgate:/var/run/posgate:/bin/false' >"$root/etc/passwd"
echo 'root:x:0:
posgate:x:1000:' >"$root/etc/group"
# The stand-in, but with the real chown; the network and the disk that the init script looks for.
cp tests/openwrt/rc.common "$root/lib/rc.common"
sed 's/logger chown; do/logger; do/' tests/openwrt/functions.sh >"$root/lib/functions.sh"
grep -q 'logger; do' "$root/lib/functions.sh"
mkdir "$root/lib/functions"
# shellcheck disable=SC2016 # the router's words
echo 'network_get_device() { [ "$2" = lan ] && eval "$1=eth0"; }' >"$root/lib/functions/network.sh"
printf "config system\n\toption timezone 'CST-8'\n" >"$root/etc/config/system"
printf "config mount\n\toption target '/etc/posgate'\n" >"$root/etc/config/fstab"
# The example's canteen, and 10,000 cards.
awk '/config server/ { print; print "\toption rate_source '\''0'\''"; print "\toption enabled '\''1'\''"; print "\tlist interface '\''lan'\''"; next }
    /option cards / { print "\toption cards '\''/etc/posgate/cards.csv'\''"; next }
    /option ledger_dir / { print "\toption ledger_dir '\''/etc/posgate/ledger'\''"; next }
    /option control / { print "\toption control '\''/var/run/posgate/ctl.sock'\''"; next }
    /option status / { print "\toption status '\''/var/run/posgate/status.json'\''"; next }
    { print }' deploy/example/posgate >"$root/etc/config/posgate"
cp tests/support/example-cards.csv "$scratch/cards.csv"
awk 'BEGIN { for (i = 0; i < 9980; i++) printf "70%08d,S%05d,学生%d,正常,100.00,,student,,,,,,,,,\n", i * 7, i, i % 1000 }' \
    >>"$scratch/cards.csv"

cat >"$root/init" <<'END'
#!/bin/busybox sh
# Replaces OpenWrt's preinit and procd.
/bin/busybox --install -s /bin
export PATH=/bin:/usr/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
mkdir -p /tmp/run /tmp/log
rm -rf /var /run
ln -s tmp /var
ln -s tmp/run /run
for module in mii pcnet32 ata_piix crc16 crc32c_generic libcrc32c mbcache jbd2 ext4; do
    [ -e /lib/modules/$module.ko ] && insmod /lib/modules/$module.ko
done
ip link set lo up
ip addr add 10.0.2.15/24 dev eth0
ip link set eth0 up
ip route add default via 10.0.2.2
until [ -b /dev/sda ]; do sleep 0.1; done
mount -t ext4 -o noatime /dev/sda /etc/posgate || { echo "no disk"; poweroff -f; }
# The stand-in writes the init script's calls of procd to /record.
ROOT='' sh /lib/rc.common /etc/init.d/posgate start
param() { sed -n "s/^procd_set_param	$1	//p" /record | tr '\t' ' '; }
# The log goes to a file in memory, like logd's.
su -s /bin/sh "$(param user)" -c "exec $(param command)" >/tmp/log/posgate 2>&1 &
echo "root is up after $(cut -d' ' -f1 /proc/uptime) s"
# Only for the test: a web server for files and a few queries.
cp -r /www /tmp/www
ln -s /etc/posgate/ledger /tmp/www/ledger
ln -s /tmp/log/posgate /tmp/www/log
httpd -p 80 -h /tmp/www
exec sh -c 'while :; do wait; sleep 1000; done'
END
cat >"$root/www/cgi-bin/verify" <<'END'
#!/bin/sh
printf 'Content-Type: text/plain\r\n\r\n'
/usr/bin/posgate ledger verify --config /var/etc/posgate/posgate 2>&1
echo "exit code $?"
END
cat >"$root/www/cgi-bin/process" <<'END'
#!/bin/sh
printf 'Content-Type: text/plain\r\n\r\n'
pid=$(pidof posgate)
grep -E '^(VmHWM|VmRSS|RssAnon|RssFile|Threads|voluntary_ctxt_switches|nonvoluntary_ctxt_switches)' /proc/$pid/status
echo "Descriptors: $(ls /proc/$pid/fd | wc -l)"
grep -E '^(MemTotal|MemAvailable)' /proc/meminfo
END
cat >"$root/www/cgi-bin/segments" <<'END'
#!/bin/sh
printf 'Content-Type: text/plain\r\n\r\n'
cat /etc/posgate/ledger/ledger-*.tsv
END
chmod +x "$root"/init "$root"/www/cgi-bin/*
(cd "$root" && find . | cpio --quiet -o -H newc | gzip -1) >"$scratch/initramfs"

mkdir "$scratch/disk.d"
cp "$scratch/cards.csv" "$scratch/disk.d/cards.csv"
truncate -s 64M "$scratch/disk"
mke2fs -q -t ext4 -d "$scratch/disk.d" "$scratch/disk"

# --- the machine -------------------------------------------------------------------------------------------------------
# A non-loopback address of this machine: with loopback posgate-sim's devices would have 127.1.x.y, which no router accepts.
host=$(hostname -I | tr ' ' '\n' | grep -m1 '^[0-9]*\.[0-9]*\.') || fail "this machine has no IPv4 address but loopback"
# Two free ports.
read -r udp tcp < <(python3 -c '
import socket, sys
one, other = socket.socket(type=socket.SOCK_DGRAM), socket.socket()
one.bind((sys.argv[1], 0)); other.bind(("127.0.0.1", 0))
print(one.getsockname()[1], other.getsockname()[1])' "$host")
server=$host:$udp

# answers: waits for an answer from the router, and prints the seconds that the answer took.
answers() {
    timeout 300 python3 - "$host" "$udp" <<'END'
import socket, sys, time
began = time.monotonic()
with socket.socket(type=socket.SOCK_DGRAM) as device:
    device.settimeout(0.2)
    number = 1
    while True:
        frame = f"106,{number:05},192.168.1.99,192.168.1.1,00099,1"
        device.sendto(frame.encode(), (sys.argv[1], int(sys.argv[2])))
        try:
            device.recv(1024)
            break
        except (TimeoutError, ConnectionRefusedError):
            number += 1
print(f"{time.monotonic() - began:.1f}")
END
}

# boot: switches the machine on, and waits for its first answer.
boot() {
    qemu-system-mipsel -M malta -cpu 24Kc -m 64 -nographic -monitor none -serial "file:$scratch/console" -vga none \
        -kernel "$kernel" -initrd "$scratch/initramfs" -append 'console=ttyS0 rdinit=/init quiet' \
        -drive "file=$scratch/disk,format=raw,if=ide,cache=writeback" -no-reboot \
        -device pcnet,netdev=lan,romfile= -netdev "user,id=lan,hostfwd=udp:$host:$udp-:39192,hostfwd=tcp:127.0.0.1:$tcp-:80" 2>"$scratch/emulator.log" &
    machine=$!
    first_answer=$(answers) || fail "the router does not answer"
}

# cut_power: the machine loses everything that it had not written to its disk.
cut_power() {
    kill -9 "$machine"
    { wait "$machine"; } 2>/dev/null || true
    machine=
}

ask() { curl -sS --max-time 60 "http://127.0.0.1:$tcp/$1"; }

verify() {
    ask cgi-bin/verify >"$scratch/verify"
    grep -q '^exit code 0$' "$scratch/verify" || {
        cat "$scratch/verify"
        fail "the ledger is not clean"
    }
    head -n 1 "$scratch/verify"
}

field() { sed -n "s/^$1:[[:space:]]*\([0-9]*\).*/\1/p" "$scratch/process"; }

echo "=== first boot: 10,000 cards"
boot
cat "$scratch/console"
echo "first answer: $first_answer s after power-on"
ask log | grep '^serving'
ask cgi-bin/process >"$scratch/process"
echo "resident with 10,000 cards: $(field VmRSS) KB ($(field RssAnon) anonymous, $(field RssFile) of the program's file); while loading: $(field VmHWM) KB"
[ "$(field VmRSS)" -le "$resident_max_kb" ] || wrong="resident memory is above $resident_max_kb KB"
[ "$(field Threads)" -eq 1 ] || fail "$(field Threads) threads"

echo "=== a day"
timeout 600 "$sim" --trace --server "$server" day >"$scratch/day.log" || fail "the day ended with $?"
tail -n 1 "$scratch/day.log"
ask cgi-bin/process >"$scratch/process"
echo "after it: resident $(field VmRSS) KB, descriptors $(field Descriptors), $(field MemAvailable) of $(field MemTotal) KB of the router free"
# The day's last timers end within seconds; after that the server must not wake.
sleep 20
ask cgi-bin/process >"$scratch/process"
before=$(field voluntary_ctxt_switches)
sleep 10
ask cgi-bin/process >"$scratch/process"
wakes=$(($(field voluntary_ctxt_switches) - before))
echo "idle: $wakes wake-ups in 10 s"
[ "$wakes" -eq 0 ] || fail "it wakes up when idle"
verify

for cut in $(seq "$cuts"); do
    echo "=== power cut $cut of $cuts"
    # The crowd would run longer than it may: the cut comes after enough sales, however busy this machine is. Not under timeout:
    # if timeout were killed, the crowd would go on selling after the ledger was read.
    "$sim" --trace --server "$server" crowd --terminals 30 --rate 60 --seconds 240 >"$scratch/crowd-$cut.log" 2>&1 &
    crowd=$!
    approvals_at_least() { [ "$(grep -c ' ← 008,' "$scratch/crowd-$cut.log")" -ge $((60 * cut)) ]; }
    until_true 200 approvals_at_least || fail "no sales"
    cut_power
    kill -9 "$crowd" 2>/dev/null || true
    { wait "$crowd"; } 2>/dev/null || true
    crowd=
    boot
    echo "first answer: $first_answer s after power-on"
    ask log | grep -E '^(replayed|warn)|torn|again' | head -n 5 || true
    verify
    ask cgi-bin/segments >"$scratch/segments"
    python3 deploy/approved.py "$scratch"/day.log "$scratch"/crowd-*.log -- "$scratch/segments"
done
ask cgi-bin/process >"$scratch/process"
echo "resident after $cuts power cuts: $(field VmRSS) KB"
cut_power
printf 'binary: %s bytes, %s compressed\n' "$(stat -c %s "dist/posgate-$target")" "$(gzip -9nc "dist/posgate-$target" | wc -c)"
[ -z "${wrong:-}" ] || fail "$wrong"
echo "=== the router ended well"
