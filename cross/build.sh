#!/bin/sh
# From a desk to a board in one command: builds the daemon for another processor. See --help and cross/README.md.
set -eu
cd "$(dirname "$0")/.."
me=cross/build.sh
# shellcheck source=.ci/setup.sh
. ./.ci/setup.sh
# shellcheck source=cross/foreign.sh
. ./cross/foreign.sh

usage() {
    cat << 'END'
cross/build.sh [--container] [--profile PROFILE] [--test] TARGET [CARGO ARGUMENTS...]

Builds the daemon for TARGET and makes its Debian package: dist/fanlight-TARGET (stripped) and dist/fanlight_VERSION_ARCH.deb.

  aarch64-unknown-linux-gnu        64-bit boards: Raspberry Pi 3, 4, 5, Zero 2 with a 64-bit system
  armv7-unknown-linux-gnueabihf    32-bit systems on the same boards, and Raspberry Pi 2
  x86_64-unknown-linux-gnu         PCs

ARMv6 (Raspberry Pi 1, Zero, Zero W) is not supported.

  --profile PROFILE  another one than release: dev, for tests, is built sooner
  --test             instead of the package: the unit tests, run under qemu-user (without --container; profile: cargo's for tests)

The same commit gives the same bytes, whatever folder it lies in; cross/reproducible builds twice and compares.

Without --container it needs an x86-64 machine with Debian 12 and installs the cross compiler (as root or with sudo). The board's
ALSA library and, where rustup is not there or has none, Rust's standard library for the board are unpacked below FANLIGHT_CACHE
(default ~/.cache/fanlight); no other architecture is added to this machine.

With --container it needs Docker or Podman, and cross (cargo install cross): the compilers are in a container of Debian 12
(cross/Dockerfile.*), whatever this machine is. Taken by itself where there is no apt-get.
END
}

container='' profile=release tests=''
while [ $# -gt 0 ]; do
    case $1 in
    --container) container=yes ;;
    --test) tests=yes ;;
    --profile)
        [ $# -ge 2 ] || die "--profile needs a value; --help tells which"
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
arm-unknown-linux-* | armv6*) die "ARMv6 (Raspberry Pi 1, Zero, Zero W) is not supported: too slow to code pictures, and Debian has no compiler for it" ;;
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
folder=$([ "$profile" = dev ] && echo debug || echo "$profile")
built=${CARGO_TARGET_DIR:-target}/$target/$folder/fanlight
# The C library of the oldest system that is promised.
promised=2.36

# finish RUN: what both ways end with. RUN runs a program of the target here.
finish() {
    needs=$(objdump_any -T "$built" | grep -oE 'GLIBC_[0-9.]+' | sort -Vu | tail -n 1)
    [ -n "$needs" ] || die "$built: no objdump here reads its symbols, which tell what C library it needs: install binutils-multiarch or llvm"
    at_least $promised "${needs#GLIBC_}" ||
        die "$built asks for $needs, Debian 12 and Raspberry Pi OS 12 have GLIBC_$promised: build it on Debian 12, or with --container"
    mkdir -p dist
    cp "$built" "dist/fanlight-$target"
    # cargo has stripped a release.
    [ "$profile" = release ] || strip_any "dist/fanlight-$target"
    # Its folder tells whether cargo was given the target.
    deb=$(case $built in
        */"$target"/*) package/build --profile "$profile" --target "$target" --run "$1" ;;
        *) package/build --profile "$profile" ;;
        esac | tail -n 1)
    [ -f "$deb" ] || die "no package was made: the messages above say why"
    say "$me: dist/fanlight-$target: $(stat -c %s "dist/fanlight-$target" | awk '{ printf "%.1f MB", $1 / 1e6 }'), asks for $needs (promised: up to GLIBC_$promised)"
    say "$me: $deb: $(stat -c %s "$deb" | awk '{ printf "%.1f MB", $1 / 1e6 }')"
}
strip_any() { "$gnu-strip" "$1" 2> /dev/null || llvm-strip "$1" 2> /dev/null || die "no $gnu-strip and no llvm-strip here: install binutils-$gnu"; }
# Any objdump that knows the target reads its symbols.
objdump_any() {
    for tool in "$gnu-objdump" llvm-objdump objdump; do
        if have "$tool" && "$tool" -f "$built" > /dev/null 2>&1; then
            "$tool" "$@"
            return
        fi
    done
}

# --- in a container

if [ -n "$container" ]; then
    have docker || have podman || die "--container needs Docker or Podman"
    have cross || die "--container needs cross: cargo install --locked cross"
    find_rust
    build_viewer
    say "$me: $(cross --version 2> /dev/null | head -n 1), in a container of cross/Dockerfile.${target%%-*}"
    # Rust by its number: cross 0.2.5 cannot read the list of today's rustup, takes "stable" for missing and updates it.
    toolchain=+$(rust_version)
    cross "$toolchain" build --profile "$profile" --locked --bin fanlight --target "$target" "$@"
    # The program writes its manual pages: in the container, where its libraries and an emulator are. cross takes no other
    # program than the project's own, so a small wrapper stands for it.
    runner=$(mktemp)
    at_end 'rm -f "$runner"'
    cat > "$runner" << END
#!/bin/sh
shift
exec cross $toolchain run --quiet --profile $profile --locked --bin fanlight --target $target -- "\$@"
END
    chmod 755 "$runner"
    finish "$runner"
    exit
fi

# --- on this machine

[ "$(uname -m)" = x86_64 ] || die "made for an x86-64 machine; on the board itself, ./demo --check && package/build builds, and anywhere --container"
want_build
if [ -n "$emulator" ]; then
    want "$gnu-gcc" "gcc-$gnu" "compiles C for the board, and links"
    want "$gnu-g++" "g++-$gnu" "compiles C++ for the board"
    want dpkg-deb dpkg "unpacks the board's libraries"
    want "$emulator" qemu-user-static "runs the program once, for its manual pages"
fi
install_wanted
if [ -z "$emulator" ]; then
    find_rust
    build_viewer
    # Without --target, so that what ./demo has built is used.
    built=${CARGO_TARGET_DIR:-target}/$folder/fanlight
    if [ -n "$tests" ]; then
        exec cargo test --locked --lib "$@"
    fi
    cargo build --profile "$profile" --locked --bin fanlight "$@"
    finish ''
    exit
fi

# --- what is the board's: an apt of its own, so that this machine stays of one architecture

foreign $arch
root=$foreign/root
mkdir -p "$root"

case $(. /etc/os-release && echo "${VERSION_ID:-0}") in
12) alsa=libasound2 ;;
*) alsa=libasound2t64 ;;
esac
unpack "$root/usr/lib/$gnu/libasound.so" "$root" "$alsa:$arch" "libasound2-dev:$arch"

# --- Rust: rustup's, or Debian's with the standard library of the board beside its own

flags=
find_rust
if have rustup && rustup target add "$target" > "$foreign/rustup.log" 2>&1; then
    say "$me: $(rustc --version), with rustup's $target"
else
    ! have rustup || say "$me: rustup has no $target to give: $(tail -n 1 "$foreign/rustup.log")"
    want - rustc-web "Debian's own build of a recent Rust"
    want - cargo-web "builds Rust programs"
    install_wanted
    PATH=/usr/bin:$PATH
    RUSTC=/usr/bin/rustc
    export PATH RUSTC
    version=$(dpkg-query -W -f '${Version}' rustc-web)
    at_least "$version" "$rust_needed" || die "Rust $rust_needed or newer is needed, Debian's is $version"
    sysroot=$foreign/rust-$version
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
# Where the libraries lie is nobody's business: panics and assertions name their sources. Our own are named relatively; and
# were this folder part of the flags, a build in another one could use nothing of this one's.
home=$(realpath "${CARGO_HOME:-$HOME/.cargo}")
# Rust's own linker, where it is there: Debian 12's packs no relocations for a board's processor (build.rs).
lld=$(rustc --print sysroot)/lib/rustlib/x86_64-unknown-linux-gnu/bin/gcc-ld
if [ -x "$lld/ld.lld" ]; then
    flags="$flags -C link-arg=-B$lld -C link-arg=-fuse-ld=lld"
fi
# The standard library's sources, where they are installed, are called as they are where they are not.
commit=$(rustc -vV | sed -n 's/^commit-hash: //p')
flags="$flags --remap-path-prefix=$home=/cargo --remap-path-prefix=$(rustc --print sysroot)/lib/rustlib/src/rust=/rustc/$commit"
# No C here is unwound through: what is called back from it ends the program where it panics, and nothing throws.
cflags="-ffile-prefix-map=$home=/cargo -fno-exceptions -fno-unwind-tables -fno-asynchronous-unwind-tables"
if [ "$arch" = armhf ]; then
    # Debian's armhf compiler stops at VFPv3-D16; every ARMv7 Raspberry Pi has NEON, and Opus wants it.
    cflags="$cflags -mfpu=neon"
fi
export "CFLAGS_$lower=$cflags" "CXXFLAGS_$lower=$cflags"
# One from outside would take the place of the one below.
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS
export "CARGO_TARGET_${upper}_RUSTFLAGS=$flags"
run="$emulator -L /usr/$gnu -E LD_LIBRARY_PATH=$root/usr/lib/$gnu"

if [ -n "$tests" ]; then
    export "CARGO_TARGET_${upper}_RUNNER=$run"
    # What qemu-user cannot show, and why:
    #   cards::             their sound card is a plugin of ALSA that the test compiles, for this machine
    #   a_program_that_…    a program that is not there: qemu's vfork does not hand the child's error to the parent
    #   the_program_goes_…  /proc/self/exe and its maps are the emulator's
    #   …_no_camera_…       ioctls that qemu does not know end otherwise than in the kernel
    #   a_foreign_encoder_… takes this very program into an emulated board of this machine's processor
    set -- "$@" --
    for test in audio::tests::cards:: a_program_that_fails_is_told_by_what_it_says the_program_goes_on_with_less_of_its_code \
        what_is_no_camera_is_refused_with_a_sentence a_node_that_is_no_camera_says_why a_foreign_encoder_takes_pictures; do
        set -- "$@" --skip "$test"
    done
    exec cargo test --locked --lib --target "$target" "$@"
fi
cargo build --profile "$profile" --locked --bin fanlight --target "$target" "$@"

finish "$run"
