# shellcheck shell=sh disable=SC2034,SC2154 # variables of board/arm64/build
# Debian 12 for arm64 as a tar archive, which is made once and kept. Sourced by board/arm64/build, not run.
#
#   make_debian   makes the archive $base, if it is missing

make_debian() {
    [ ! -e "$base" ] || return 0
    say "$me: making Debian 12 for arm64 (once, some minutes)"
    root=$work/base
    unpack_debian
    make_device_files
    leave_out_documents
    set_up_packages
    rm -f "$root"/var/cache/apt/archives/*.deb
    tar -C "$root" -cf "$base.new" .
    mv "$base.new" "$base"
    rm -rf --one-file-system "$root"
}

# debootstrap's first stage runs no program of the board.
unpack_debian() {
    doing="unpacking Debian 12 for arm64"
    # In some kinds of container debootstrap makes /proc a link to this machine's. With a kind that is named, it does the
    # same everywhere.
    container=lxc debootstrap --foreign --arch=arm64 --variant=minbase --include="$packages" bookworm "$root" "$mirror" \
        > "$work/log" 2>&1 || {
        tail -n 5 "$work/log" >&2
        ! grep -qE "Failed getting release|Couldn't download" "$work/log" ||
            cannot_be_had "debootstrap cannot fetch Debian for arm64: check the network"
        die "debootstrap could not unpack Debian for arm64"
    }
}

make_device_files() {
    doing="making the device files of Debian for arm64"
    [ ! -L "$root/proc" ] || rm -f "$root/proc"
    mkdir -p "$root/proc"
    while read -r name major minor mode; do
        [ -e "$root/dev/$name" ] || mknod -m "$mode" "$root/dev/$name" c "$major" "$minor"
    done << 'DEVICES'
null 1 3 666
zero 1 5 666
full 1 7 666
random 1 8 666
urandom 1 9 666
tty 5 0 666
ptmx 5 2 666
console 5 1 600
DEVICES
}

# No test reads them, and unpacking them takes time.
leave_out_documents() {
    cat > "$root/etc/dpkg/dpkg.cfg.d/board" << 'SETTINGS'
force-unsafe-io
path-exclude=/usr/share/doc/*
path-exclude=/usr/share/locale/*
path-include=/usr/share/doc/fanlight/*
SETTINGS
}

# debootstrap's second stage runs the packages' scripts, which are programs of the board.
set_up_packages() {
    doing="setting up Debian's packages for arm64"
    in_board "$root" /debootstrap/debootstrap --second-stage > "$work/log" 2>&1 || {
        tail -n 5 "$work/log" >&2
        die "Debian's packages for arm64 could not be set up here" \
            "(Linux before 6.7 needs binfmt_misc with qemu-aarch64: systemctl restart systemd-binfmt)"
    }
}

# in_board ROOT COMMAND...: runs a command of the board here, with the emulator, in namespaces of its own.
in_board() {
    inside=$1
    shift
    reason=$(unshare --user true 2>&1) || {
        echo "the kernel makes no user namespace here ($reason):" \
            "it refuses one in a chroot, and where the sysctl user.max_user_namespaces is 0" >&2
        return 1
    }
    mkfifo "$work/go"
    # Open in both directions: neither side waits for the other one to open it, which may have died.
    exec 9<> "$work/go"
    # shellcheck disable=SC2016 # expanded by the inner shell
    unshare --user sh -c 'read -r _ < "$0" && exec unshare --mount --pid --fork --kill-child "$@"' "$work/go" \
        sh "$here/enter" "$inside" "$emulator" "$work/binfmt" "$@" 9>&- &
    inner=$!
    # The users can be mapped once the process is in its user namespace: the same ones as here.
    until [ "$(readlink /proc/$inner/ns/user)" != "$(readlink /proc/self/ns/user)" ]; do
        kill -0 $inner || return 1
        sleep 0.1
    done
    echo "0 0 65536" > /proc/$inner/uid_map
    echo "0 0 65536" > /proc/$inner/gid_map
    echo go >&9
    wait $inner
}
