# shellcheck shell=sh disable=SC2034,SC2154 # variables of cross/build.sh and cross/toolchain.sh
# Sets the environment variables of a build for a board. Sourced by cross/build.sh, not run.
#
#   set_compilers    sets C and C++ compilers, linker, pkg-config and bindgen, and the variable emulate, a command that
#                    runs a program of the board
#   set_c_flags      sets the flags of C and C++; runs after set_compilers
#   set_rust_flags   sets the flags of Rust; runs after set_compilers
#
# The compilers write the paths of sources into panics and assertions. The flags replace the paths of this machine's
# libraries, so that the same commit gives the same bytes everywhere. The project's own sources have relative paths. The
# flags do not contain this folder: otherwise a build in another folder could not reuse results of this one.

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
    # Nothing unwinds through C: a callback from C that panics ends the program, and no C++ code throws.
    cflags="-ffile-prefix-map=$cargo_home=/cargo -fno-exceptions -fno-unwind-tables -fno-asynchronous-unwind-tables"
    # Debian's armhf compiler stops at VFPv3-D16. Every ARMv7 Raspberry Pi has NEON, and Opus needs it.
    [ "$arch" != armhf ] || cflags="$cflags -mfpu=neon"
    export "CFLAGS_$lower=$cflags" "CXXFLAGS_$lower=$cflags"
}

set_rust_flags() {
    flags=
    [ -z "$rust_sysroot" ] || flags="--sysroot $rust_sysroot"
    sysroot=$(rustc --print sysroot)
    # Rust's linker packs relocations (build.rs). Debian 12's linker for a board does not, and is used only if it is
    # missing.
    lld=$sysroot/lib/rustlib/x86_64-unknown-linux-gnu/bin/gcc-ld
    [ ! -x "$lld/ld.lld" ] || flags="$flags -C link-arg=-B$lld -C link-arg=-fuse-ld=lld"
    # The paths of the standard library's sources become those of an installation without these sources.
    commit=$(rustc -vV | sed -n 's/^commit-hash: //p')
    flags="$flags --remap-path-prefix=$cargo_home=/cargo"
    flags="$flags --remap-path-prefix=$sysroot/lib/rustlib/src/rust=/rustc/$commit"
    # A value from outside would replace the one below.
    unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS
    export "CARGO_TARGET_${upper}_RUSTFLAGS=$flags"
}
