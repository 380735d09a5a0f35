# shellcheck shell=bash
# The steps of .ci/router; .ci/run runs them too.

# These two targets, the least like a developer's machine, run every check of deploy/emulate.sh; the others start once.
emulated_in_full=(mips-unknown-linux-musl mipsel-unknown-linux-musl)

smoke_of_the_others() {
    local others
    mapfile -t others < <(awk -v full=" $1 $2 " '!/^[[:space:]]*(#|$)/ && !index(full, " " $1 " ") { print $1 }' deploy/targets)
    deploy/emulate.sh --smoke "${others[@]}"
}

router_steps() {
    step "binaries for routers" 1200 deploy/build.sh
    step "packages" 300 deploy/package.sh
    step "a release, made in two places" 900 .ci/release
    step "what cross would run" 600 .ci/cross
    step "emulation: every check on MIPS, little and big endian" 900 deploy/emulate.sh "${emulated_in_full[@]}"
    step "emulation: the other targets start and sell" 600 smoke_of_the_others "${emulated_in_full[@]}"
    step "a booted router with power cuts" 900 deploy/boot.sh
    # The measured count plus a tenth.
    step "MIPS instructions a sale" 300 benches/router.sh --max 58500
    step "footprint" 600 deploy/footprint.sh
}
