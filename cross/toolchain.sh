# shellcheck shell=sh disable=SC2154 # variables of cross/build.sh
# Prepares this machine for a build for a board. Sourced by cross/build.sh after cross/foreign.sh, not run.
#
#   want_cross_compiler       notes the missing packages of the cross compiler
#   unpack_board_libraries    unpacks the board's ALSA library; sets board_root, its folder
#   find_rust_for_the_board   finds Rust with the board's standard library, from rustup or Debian; sets rust_sysroot to
#                             the folder of Debian's, or to nothing

want_cross_compiler() {
    want "$gnu-gcc" "gcc-$gnu" "compiles C for the board, and links"
    want "$gnu-g++" "g++-$gnu" "compiles C++ for the board"
    want dpkg-deb dpkg "unpacks the board's libraries"
    want "$emulator" qemu-user-static "runs the program once, for its manual pages"
}

unpack_board_libraries() {
    foreign "$arch"
    board_root=$foreign/root
    mkdir -p "$board_root"
    case $(. /etc/os-release && echo "${VERSION_ID:-0}") in
    12) alsa=libasound2 ;;
    *) alsa=libasound2t64 ;;
    esac
    unpack "$board_root/usr/lib/$gnu/libasound.so" "$board_root" "$alsa:$arch" "libasound2-dev:$arch"
}

find_rust_for_the_board() {
    # shellcheck disable=SC2119 # no components
    find_rust
    rust_sysroot=
    if have rustup && rustup target add "$target" > "$foreign/rustup.log" 2>&1; then
        say "$me: using $(rustc --version) and rustup's $target"
    else
        ! have rustup || say "$me: rustup could not install $target: $(tail -n 1 "$foreign/rustup.log")"
        use_debians_rust
        unpack_debians_standard_library
        say "$me: using $($RUSTC --version) and Debian's $target"
    fi
}

use_debians_rust() {
    want - rustc-web "is the Rust compiler, built by Debian"
    want - cargo-web "builds Rust programs"
    install_wanted
    PATH=/usr/bin:$PATH
    RUSTC=/usr/bin/rustc
    export PATH RUSTC
}

# It must have exactly the compiler's version.
unpack_debians_standard_library() {
    version=$(dpkg-query -W -f '${Version}' rustc-web)
    at_least "$version" "$rust_needed" || die "Rust $rust_needed or newer is needed, Debian's is $version"
    rust_sysroot=$foreign/rust-$version
    unpack "$rust_sysroot/usr/lib/rustlib/$target/lib/libstd-*.rlib" "$rust_sysroot" "libstd-rust-web-dev:$arch=$version"
    # Build scripts run on this machine, so its own standard library has to be beside the board's.
    mkdir -p "$rust_sysroot/lib"
    ln -sfn ../usr/lib/rustlib "$rust_sysroot/lib/rustlib"
    ln -sfn /usr/lib/rustlib/x86_64-unknown-linux-gnu "$rust_sysroot/usr/lib/rustlib/x86_64-unknown-linux-gnu"
}
