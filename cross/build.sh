#!/bin/sh
# cross/build.sh: builds the daemon for another processor. See --help and cross/README.md.
set -eu
cd "$(dirname "$0")/.."
me=cross/build.sh
# shellcheck source=.ci/setup.sh
. ./.ci/setup.sh
# shellcheck source=cross/foreign.sh
. ./cross/foreign.sh
# shellcheck source=cross/toolchain.sh
. ./cross/toolchain.sh
# shellcheck source=cross/environment.sh
. ./cross/environment.sh
# shellcheck source=cross/container.sh
. ./cross/container.sh
# shellcheck source=cross/result.sh
. ./cross/result.sh

usage() {
    cat << 'HELP'
cross/build.sh [--container] [--profile PROFILE] [--test] TARGET [CARGO ARGUMENTS...]

Builds the daemon for TARGET and makes its Debian package: dist/fanlight-TARGET (stripped) and
dist/fanlight_VERSION_ARCH.deb.

  aarch64-unknown-linux-gnu        64-bit boards: Raspberry Pi 3, 4, 5, Zero 2 with a 64-bit system
  armv7-unknown-linux-gnueabihf    32-bit systems on the same boards, and Raspberry Pi 2
  x86_64-unknown-linux-gnu         PCs

ARMv6 (Raspberry Pi 1, Zero, Zero W) is not supported.

  --profile PROFILE  builds with this profile of cargo (release); dev, for tests, builds faster
  --test             runs the unit tests under qemu-user, in cargo's profile for tests, and makes no package; not
                     possible with --container

The same commit gives the same bytes in every folder. cross/reproducible builds twice and compares.

Without --container it needs an x86-64 machine with Debian 12, and installs the cross compiler (as root or with sudo).
The board's ALSA library is unpacked below FANLIGHT_CACHE (default ~/.cache/fanlight). So is Rust's standard library for
the board, if rustup is missing or has none. No other architecture is added to this machine.

With --container it runs on any machine that has Docker or Podman, and cross (cargo install cross): the compilers are in
a container of Debian 12 (cross/Dockerfile.*). This is the default on a machine without apt-get.
HELP
}

container='' profile=release tests=''
while [ $# -gt 0 ]; do
    case $1 in
    --container) container=yes ;;
    --test) tests=yes ;;
    --profile)
        [ $# -ge 2 ] || die "--profile needs a value; --help lists the options"
        profile=$2
        shift
        ;;
    *) break ;;
    esac
    shift
done
target=${1:-}
[ $# = 0 ] || shift
case $target in
aarch64-unknown-linux-gnu) arch=arm64 gnu=aarch64-linux-gnu emulator=qemu-aarch64-static ;;
armv7-unknown-linux-gnueabihf) arch=armhf gnu=arm-linux-gnueabihf emulator=qemu-arm-static ;;
x86_64-unknown-linux-gnu) arch=amd64 gnu=x86_64-linux-gnu emulator='' ;;
arm-unknown-linux-* | armv6*)
    die "ARMv6 (Raspberry Pi 1, Zero, Zero W) is not supported: it is too slow to encode video, and Debian has no compiler for it"
    ;;
-h | --help)
    usage
    exit
    ;;
*)
    usage >&2
    exit 2
    ;;
esac
have apt-get || container=yes
# The path at which cargo puts the program.
folder=$([ "$profile" = dev ] && echo debug || echo "$profile")
built=${CARGO_TARGET_DIR:-target}/$target/$folder/fanlight

build_for_this_machine() {
    want_build
    install_wanted
    # shellcheck disable=SC2119 # no components
    find_rust
    build_viewer
    # Without --target, so that it reuses the build of ./demo.
    built=${CARGO_TARGET_DIR:-target}/$folder/fanlight
    [ -z "$tests" ] || exec cargo test --locked --lib "$@"
    cargo build --profile "$profile" --locked --bin fanlight "$@"
    make_result ''
}

build_for_a_board() {
    want_build
    want_cross_compiler
    install_wanted
    unpack_board_libraries
    find_rust_for_the_board
    build_viewer
    set_compilers
    set_c_flags
    set_rust_flags
    [ -z "$tests" ] || run_unit_tests "$@"
    cargo build --profile "$profile" --locked --bin fanlight --target "$target" "$@"
    make_result "$emulate"
}

# Does not return.
run_unit_tests() {
    export "CARGO_TARGET_${upper}_RUNNER=$emulate"
    set -- "$@" --
    while read -r name _; do
        case $name in '' | '#') ;; *) set -- "$@" --skip "$name" ;; esac
    done < cross/skipped-tests.txt
    exec cargo test --locked --lib --target "$target" "$@"
}

if [ -n "$container" ]; then
    build_in_a_container "$@"
elif [ "$(uname -m)" != x86_64 ]; then
    die "needs an x86-64 machine. On the board, run ./demo --check && package/build; elsewhere, use --container"
elif [ -z "$emulator" ]; then
    build_for_this_machine "$@"
else
    build_for_a_board "$@"
fi
