# shellcheck shell=sh disable=SC2034,SC2154 # variables of cross/build.sh and cross/toolchain.sh
# The environment variables of a build for a board. Sourced by cross/build.sh, not run.
#
#   set_compilers    C and C++ compilers, linker, pkg-config, bindgen; sets emulate, a command that runs a program of the board
#   set_c_flags      after set_compilers
#   set_rust_flags   after set_compilers
#
# The compilers write the paths of sources into panics and assertions. Both kinds of flags replace the paths of this machine's
# libraries, so that the same commit gives the same bytes everywhere. The project's own sources have relative paths. This folder
# is no part of the flags: a build in another folder could then reuse nothing of this one.

set_compilers() {
    upper=$(echo "$target" | tr 'a-z-' 'A-Z_')
    lower=$(echo "$target" | tr - _)
    cargo_home=$(realpath "${CARGO_HOME:-$HOME/.cargo}")
    export "CARGO_TARGET_${upper}_LINKER=$gnu-gcc" "CC_$lower=$gnu-gcc" "CXX_$lower=$gnu-g++" "AR_$lower=$gnu-ar"
    export PKG_CONFIG_ALLOW_CROSS=1 "PKG_CONFIG_SYSROOT_DIR_$lower=$board_root"
    export "PKG_CONFIG_LIBDIR_$lower=$board_root/usr/lib/$gnu/pkgconfig:$board_root/usr/share/pkgconfig"
    # bindgen reads the kernel's headers with clang, which does not know the paths of Debian's cross compilers.
    export "BINDGEN_EXTRA_CLANG_ARGS_$lower=--sysroot=/usr/$gnu -idirafter /usr/$gnu/include"
    emulate="$emulator -L /usr/$gnu -E LD_LIBRARY_PATH=$board_root/usr/lib/$gnu"
}

set_c_flags() {
    # Nothing unwinds through C here: a callback from C that panics ends the program, and no C++ code throws.
    cflags="-ffile-prefix-map=$cargo_home=/cargo -fno-exceptions -fno-unwind-tables -fno-asynchronous-unwind-tables"
    # Debian's armhf compiler stops at VFPv3-D16. Every ARMv7 Raspberry Pi has NEON, and Opus needs it.
    [ "$arch" != armhf ] || cflags="$cflags -mfpu=neon"
    export "CFLAGS_$lower=$cflags" "CXXFLAGS_$lower=$cflags"
}

set_rust_flags() {
    flags=
    [ -z "$rust_sysroot" ] || flags="--sysroot $rust_sysroot"
    sysroot=$(rustc --print sysroot)
    # Rust's own linker, if it is there, packs relocations. Debian 12's does not, for a board's processor (build.rs).
    lld=$sysroot/lib/rustlib/x86_64-unknown-linux-gnu/bin/gcc-ld
    [ ! -x "$lld/ld.lld" ] || flags="$flags -C link-arg=-B$lld -C link-arg=-fuse-ld=lld"
    # The standard library's sources get the name that they have where they are not installed.
    commit=$(rustc -vV | sed -n 's/^commit-hash: //p')
    flags="$flags --remap-path-prefix=$cargo_home=/cargo"
    flags="$flags --remap-path-prefix=$sysroot/lib/rustlib/src/rust=/rustc/$commit"
    # A value from outside would replace the one below.
    unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS
    export "CARGO_TARGET_${upper}_RUSTFLAGS=$flags"
}
