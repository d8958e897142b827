#!/bin/sh
# From a desk to a board in one command: builds the daemon for another processor. See --help and cross/README.md.
set -eu
cd "$(dirname "$0")/.."
me=cross/build.sh
# shellcheck source=.ci/setup.sh
. ./.ci/setup.sh

usage() {
    cat << 'END'
cross/build.sh TARGET [CARGO ARGUMENTS...]

Builds target/TARGET/release/fanlight on an x86-64 Debian machine, with Debian's cross compilers. TARGET is

  aarch64-unknown-linux-gnu        64-bit boards: Raspberry Pi 3, 4, 5, Zero 2 with a 64-bit system
  armv7-unknown-linux-gnueabihf    32-bit systems on the same boards, and Raspberry Pi 2

Installs the cross compiler (as root or with sudo). The board's ALSA library and, where rustup is not there or has none,
Rust's standard library for the board are unpacked below FANLIGHT_CACHE (default ~/.cache/fanlight); no other
architecture is added to this machine.
END
}

target=${1:-}
[ $# = 0 ] || shift
case $target in
aarch64-unknown-linux-gnu) arch=arm64 gnu=aarch64-linux-gnu ;;
armv7-unknown-linux-gnueabihf) arch=armhf gnu=arm-linux-gnueabihf ;;
-h | --help)
    usage
    exit
    ;;
*)
    usage >&2
    exit 2
    ;;
esac
[ "$(uname -m)" = x86_64 ] || die "made for an x86-64 machine; on the board itself, ./demo --check builds"
have apt-get || die "made for Debian: other systems have their own cross compilers and ALSA library"

want_build
want "$gnu-gcc" "gcc-$gnu" "compiles C for the board, and links"
want "$gnu-g++" "g++-$gnu" "compiles C++ for the board"
want dpkg-deb dpkg "unpacks the board's libraries"
install_wanted

# --- what is the board's: an apt of its own, so that this machine stays of one architecture

cache=${FANLIGHT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/fanlight}/cross-$arch
root=$cache/root
mkdir -p "$cache/lists/partial" "$cache/debs" "$root"
cat > "$cache/apt.conf" << END
Dir::State::lists "$cache/lists";
Dir::Cache "$cache";
APT::Sandbox::User "";
#clear APT::Architectures;
APT::Architectures { "$(dpkg --print-architecture)"; "$arch"; };
END

# unpack PATTERN FOLDER PACKAGE...: unless a file that the pattern matches is there.
unpack() {
    for there in $1; do
        [ ! -e "$there" ] || return 0
    done
    folder=$2
    shift 2
    say "$me: fetching $*"
    [ -n "$(find "$cache/lists" -name '*_Packages*' -mtime -1 | head -n 1)" ] ||
        APT_CONFIG=$cache/apt.conf apt-get -q update > "$cache/update.log" 2>&1 || true
    (cd "$cache/debs" && rm -f ./*.deb && APT_CONFIG=$cache/apt.conf apt-get -q download "$@" > "$cache/download.log" 2>&1) ||
        die "apt-get cannot fetch $*: see $cache/update.log and $cache/download.log"
    for deb in "$cache"/debs/*.deb; do dpkg-deb -x "$deb" "$folder"; done
}

case $(. /etc/os-release && echo "${VERSION_ID:-0}") in
12) alsa=libasound2 ;;
*) alsa=libasound2t64 ;;
esac
unpack "$root/usr/lib/$gnu/libasound.so" "$root" "$alsa:$arch" "libasound2-dev:$arch"

# --- Rust: rustup's, or Debian's with the standard library of the board beside its own

flags=
find_rust
if have rustup && rustup target add "$target" > "$cache/rustup.log" 2>&1; then
    say "$me: $(rustc --version), with rustup's $target"
else
    want - rustc-web "Debian's own build of a recent Rust"
    want - cargo-web "builds Rust programs"
    install_wanted
    PATH=/usr/bin:$PATH
    RUSTC=/usr/bin/rustc
    export PATH RUSTC
    version=$(dpkg-query -W -f '${Version}' rustc-web)
    at_least "$version" "$rust_needed" || die "Rust $rust_needed or newer is needed, Debian's is $version"
    sysroot=$cache/rust-$version
    unpack "$sysroot/usr/lib/rustlib/$target/lib/libstd-*.rlib" "$sysroot" "libstd-rust-web-dev:$arch=$version"
    # Build scripts run here: this machine's own standard library has to be found beside the board's.
    mkdir -p "$sysroot/lib"
    ln -sfn ../usr/lib/rustlib "$sysroot/lib/rustlib"
    ln -sfn /usr/lib/rustlib/x86_64-unknown-linux-gnu "$sysroot/usr/lib/rustlib/x86_64-unknown-linux-gnu"
    flags="--sysroot $sysroot"
    say "$me: $($RUSTC --version), with Debian's $target"
fi
build_viewer

# --- the build

upper=$(echo "$target" | tr 'a-z-' 'A-Z_')
lower=$(echo "$target" | tr - _)
export "CARGO_TARGET_${upper}_LINKER=$gnu-gcc" "CC_$lower=$gnu-gcc" "CXX_$lower=$gnu-g++" "AR_$lower=$gnu-ar"
export PKG_CONFIG_ALLOW_CROSS=1 "PKG_CONFIG_SYSROOT_DIR_$lower=$root"
export "PKG_CONFIG_LIBDIR_$lower=$root/usr/lib/$gnu/pkgconfig:$root/usr/share/pkgconfig"
# bindgen reads the kernel's headers with clang, which knows nothing of Debian's cross compilers.
export "BINDGEN_EXTRA_CLANG_ARGS_$lower=--sysroot=/usr/$gnu -idirafter /usr/$gnu/include"
if [ "$arch" = armhf ]; then
    # Debian's armhf compiler stops at VFPv3-D16; every ARMv7 Raspberry Pi has NEON, and Opus wants it.
    export "CFLAGS_$lower=-mfpu=neon" "CXXFLAGS_$lower=-mfpu=neon"
fi
# One from outside would take the place of the one below.
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS
[ -z "$flags" ] || export "CARGO_TARGET_${upper}_RUSTFLAGS=$flags"

cargo build --release --locked --bin fanlight --target "$target" "$@"

built=${CARGO_TARGET_DIR:-target}/$target/release/fanlight
needs=$("$gnu-objdump" -T "$built" | grep -oE 'GLIBC_[0-9.]+' | sort -Vu | tail -n 1)
say "$me: $built ($(du -h "$built" | cut -f 1)), for systems with ${needs:-no} or newer (Raspberry Pi OS 12 has GLIBC_2.36)"
