# shellcheck shell=sh disable=SC2154 # variables of cross/build.sh
# The last steps of every build: checks the C library, strips the program, makes the package. Sourced by cross/build.sh,
# not run.
#
#   make_result RUN   RUN is a command that runs a program of the target on this machine

# The C library of Debian 12 and Raspberry Pi OS 12, the oldest systems that the daemon supports.
oldest_glibc=2.36

make_result() {
    check_glibc
    copy_stripped
    make_package "$1"
    say "$me: dist/fanlight-$target: $(megabytes "dist/fanlight-$target"), needs $needs (at most GLIBC_$oldest_glibc)"
    say "$me: $deb: $(megabytes "$deb")"
}

check_glibc() {
    needs=$(read_symbols | grep -oE 'GLIBC_[0-9.]+' | sort -Vu | tail -n 1)
    [ -n "$needs" ] ||
        die "$built: no objdump on this machine can read its symbols: install binutils-multiarch or llvm"
    at_least $oldest_glibc "${needs#GLIBC_}" ||
        die "$built needs $needs, but Debian 12 and Raspberry Pi OS 12 have GLIBC_$oldest_glibc:" \
            "build it on Debian 12, or with --container"
}

# Reads the symbols with any objdump that knows the target.
read_symbols() {
    for tool in "$gnu-objdump" llvm-objdump objdump; do
        if have "$tool" && "$tool" -f "$built" > /dev/null 2>&1; then
            "$tool" -T "$built"
            return
        fi
    done
}

copy_stripped() {
    mkdir -p dist
    cp "$built" "dist/fanlight-$target"
    # cargo strips a release by itself.
    [ "$profile" != release ] || return 0
    "$gnu-strip" "dist/fanlight-$target" 2> /dev/null || llvm-strip "dist/fanlight-$target" 2> /dev/null ||
        die "$gnu-strip and llvm-strip are missing: install binutils-$gnu"
}

make_package() {
    # The program's folder shows whether cargo was given the target.
    deb=$(case $built in
        */"$target"/*) package/build --profile "$profile" --target "$target" --run "$1" ;;
        *) package/build --profile "$profile" ;;
        esac | tail -n 1)
    [ -f "$deb" ] || die "package/build made no package: its messages are above"
}

megabytes() { stat -c %s "$1" | awk '{ printf "%.1f MB", $1 / 1e6 }'; }
