# shellcheck shell=sh disable=SC2154,SC1090
# A stand-in for OpenWrt's functions.sh, procd.sh and uci: enough to run the scripts of the package on any machine. It does nothing
# but write down what procd would have been told, one call a line in $ROOT/record, its words divided by tabs. What differed from
# the real ones, tried by hand, was corrected here.

record() {
    line=$1
    shift
    for word in "$@"; do line="$line	$word"; done
    printf '%s\n' "$line" >>"$ROOT/record"
}

# ---------------------------------------------------------------- uci

# settings PATH: SECTION TYPE KEYWORD KEY VALUE, divided by tabs: what `uci -S -n export` finds in it. As there, a line that is
# wrong is passed over, a quote that never closes takes the rest of the file with it, and a NUL the rest of its line.
settings() {
    [ -f "$1" ] || return 0
    tr '\000' '\001' <"$1" | awk '
        # The next word of the line in `word`; false at its end. A quoted one may go on in the next line.
        function next_word(   char, quote) {
            word = ""
            while (substr(text, at, 1) ~ /^[ \t\r\f\v]$/) at += 1
            while (at <= length(text)) {
                char = substr(text, at, 1)
                if (quote == "" && char ~ /^[ \t\r\f\v\n;#]$/) break
                at += 1
                if (quote == "" && (char == "\047" || char == "\"")) { quote = char; continue }
                if (char == quote) { quote = ""; continue }
                if (char == "\\" && quote != "\047") {
                    char = substr(text, at, 1)
                    at += 1
                    if (char == "\n") continue
                }
                word = word char
            }
            if (quote != "") broken = 1
            return word != ""
        }
        { text = text $0 "\n" }
        END {
            gsub(/\001[^\n]*\n/, "", text)
            at = 1
            while (at <= length(text)) {
                broken = 0
                keyword = next_word() ? word : ""
                first = next_word() ? word : ""
                second = next_word() ? word : ""
                # To the end of the line, or of the command.
                while (at <= length(text) && substr(text, at, 1) !~ /^[\n;]$/) {
                    if (substr(text, at, 1) == "#") while (at <= length(text) && substr(text, at, 1) != "\n") at += 1
                    else next_word()
                }
                if (!broken && keyword == "config" && first != "" && second ~ /^[A-Za-z0-9_]*$/) {
                    count += 1
                    type = first
                    section = second == "" ? "cfg" count : second
                    printf "%s\t%s\tconfig\t\t\n", section, type
                }
                if (!broken && section != "" && (keyword == "option" || keyword == "list") && first ~ /^[A-Za-z0-9_]+$/ && second != "")
                    printf "%s\t%s\t%s\t%s\t%s\n", section, type, keyword, first, second
                at += 1
            }
        }'
}

config_load() { loaded=${UCI_CONFIG_DIR:-$ROOT/etc/config}/$1; }

config_foreach() {
    function=$1 wanted=$2
    shift 2
    for section in $(settings "$loaded" | awk -F'\t' -v type="$wanted" '$2 == type && $3 == "config" { print $1 }'); do
        "$function" "$section" "$@"
    done
}

values_of() {
    settings "$loaded" | SECTION="$1" KEY="$2" awk -F'\t' '
        $1 == ENVIRON["SECTION"] && $4 == ENVIRON["KEY"] { print $5 }'
}

config_get() {
    value=$(values_of "$2" "$3" | tail -n 1)
    [ -n "$value" ] || value=$4
    eval "$1=\$value"
}

config_get_bool() {
    config_get "$@"
    eval "value=\$$1"
    case "$value" in
    1 | on | yes | true | enabled) value=1 ;;
    0 | off | no | false | disabled) value=0 ;;
    *) value=$4 ;;
    esac
    eval "$1=\$value"
}

config_list_foreach() {
    list_section=$1 list_key=$2 list_function=$3
    list=$(values_of "$list_section" "$list_key")
    old_ifs=$IFS
    IFS='
'
    set -f
    for item in $list; do
        IFS=$old_ifs
        "$list_function" "$item"
    done
    IFS=$old_ifs
    set +f
}

uci() {
    record uci "$@"
    [ "$1" != -q ] || shift
    case "$1 $2" in
    'get system.@system[0].timezone') loaded_before=$loaded loaded=$ROOT/etc/config/system; value=$(values_of cfg1 timezone) loaded=$loaded_before ;;
    'get system.@system[0].hostname') value=OpenWrt ;;
    'get network.'*) value= ;;
    'get posgate.main') value=$(settings "$ROOT/etc/config/posgate" | awk -F'\t' '$1 == "main" && $3 == "config" { print $2 }') ;;
    'get posgate.main.'*) loaded_before=$loaded loaded=$ROOT/etc/config/posgate; value=$(values_of main "${2##*.}"); loaded=$loaded_before ;;
    *) return 0 ;;
    esac
    [ -n "$value" ] && printf '%s\n' "$value"
}

# ---------------------------------------------------------------- procd and the system's commands

for call in procd_open_instance procd_close_instance procd_set_param procd_append_param procd_add_jail \
    procd_add_jail_mount procd_add_jail_mount_rw procd_add_reload_trigger procd_add_reload_interface_trigger \
    procd_add_reload_mount_trigger logger chown; do
    eval "$call() { record $call \"\$@\"; }"
done

# Nothing of this machine is touched, whatever a script under test may do.
chmod() {
    record chmod "$@"
    case "$2" in "$ROOT"/*) command chmod "$@" ;; esac
}

_procd_status() { echo running; }

# Of this root alone: other tests run others.
pidof() {
    ls -l /proc/[0-9]*/exe 2>/dev/null | PROGRAM="$ROOT/usr/bin/$1" awk '
        { at = index($0, " -> "); link = substr($0, at + 4) }
        link == ENVIRON["PROGRAM"] || link == ENVIRON["PROGRAM"] " (deleted)" {
            match($0, /\/proc\/[0-9]+/)
            print substr($0, RSTART + 6, RLENGTH - 6)
            found = 1
        }
        END { exit !found }'
}

# A router's root is its flash, and so is what this machine has here.
df() { printf 'Filesystem 1024-blocks Used Available Capacity Mounted on\noverlayfs:/overlay 1 1 1 1%% /\n'; }

# ---------------------------------------------------------------- packages

# What the packages' scripts find in functions.sh; $pkgname is apk's, opkg's is the script's own name.
files_of_package() {
    cat "$ROOT/lib/apk/packages/posgate.list" "$ROOT/usr/lib/opkg/info/posgate.list" 2>/dev/null | grep "^$1" | sort -u
}

add_group_and_user() { record add_group_and_user; }

default_postinst() {
    record default_postinst
    for file in $(files_of_package /etc/uci-defaults/); do
        [ ! -f "$ROOT$file" ] || { (. "$ROOT$file") && rm -f "$ROOT$file"; }
    done
    for file in $(files_of_package /etc/init.d/); do
        [ "$PKG_UPGRADE" = 1 ] || "$ROOT$file" enable
        "$ROOT$file" start
    done
}

default_prerm() {
    record default_prerm
    for file in $(files_of_package /etc/init.d/); do
        [ "$PKG_UPGRADE" = 1 ] || "$ROOT$file" disable
        "$ROOT$file" stop
    done
}

EXTRA=
extra_command() { record extra_command "$1"; }

