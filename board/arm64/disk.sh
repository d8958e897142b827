# shellcheck shell=sh disable=SC2034,SC2154 # variables of board/arm64/build
# The disk of the arm64 board: Debian, the drivers, and the settings of a board. Sourced by board/arm64/build, not run.
#
#   make_disk   writes $out.new/disk

make_disk() {
    doing="making the board's disk"
    root=$work/disk
    mkdir "$root"
    tar -C "$root" -xpf "$base"
    mkdir -p "$root/board"
    copy_drivers
    name_the_board
    set_up_network
    keep_journal_in_memory
    add_agent
    turn_off_updates
    truncate -s 1G "$out.new/disk"
    mkfs.ext4 -q -F -d "$root" "$out.new/disk"
}

copy_drivers() {
    mkdir -p "$root/lib/modules/$release"
    # shellcheck disable=SC2086 # words
    modules $boot_modules $board_modules | while read -r file; do
        to=$root/lib/modules/$release/${file#"$tree/lib/modules/$release/"}
        mkdir -p "$(dirname "$to")"
        cp "$file" "$to"
    done
    cp "$tree/lib/modules/$release"/modules.builtin* "$tree/lib/modules/$release/modules.order" \
        "$root/lib/modules/$release/"
    depmod -b "$root" "$release"
}

name_the_board() {
    echo board > "$root/etc/hostname"
    echo "127.0.0.1 localhost board" > "$root/etc/hosts"
    echo "$key" > "$root/etc/machine-id"
    echo "/dev/vda / ext4 noatime 0 1" > "$root/etc/fstab"
    echo "deb $mirror bookworm main" > "$root/etc/apt/sources.list"
    units=$root/etc/systemd/system
    mkdir -p "$units/basic.target.wants" "$units/multi-user.target.wants"
}

set_up_network() {
    cat > "$root/etc/systemd/network/eth0.network" << 'UNIT'
[Match]
Name=eth0
[Network]
Address=10.77.0.2/24
Address=fd77::2/64
LinkLocalAddressing=no
IPv6AcceptRA=no
UNIT
    ln -sf /lib/systemd/system/systemd-networkd.service "$units/multi-user.target.wants/"
}

# As in Raspberry Pi's images since May 2025. The journal then adds nothing to the bytes that are written to the disk.
keep_journal_in_memory() {
    mkdir -p "$root/etc/systemd/journald.conf.d"
    printf '[Journal]\nStorage=volatile\n' > "$root/etc/systemd/journald.conf.d/volatile.conf"
}

# The agent is the other end of board/ctl; board/arm64/run puts its program into the shared folder.
add_agent() {
    cat > "$units/board-agent.service" << 'UNIT'
[Unit]
Description=commands from the host
DefaultDependencies=no
After=systemd-journald.socket
SuccessAction=poweroff-force
[Service]
ExecStart=/usr/bin/python3 /board/agent.py
Environment=HOME=/root TERM=dumb LANG=C.UTF-8
KillMode=process
[Install]
WantedBy=basic.target
UNIT
    ln -sf ../board-agent.service "$units/basic.target.wants/"
}

# The board reaches no package archive.
turn_off_updates() {
    for unit in apt-daily.timer apt-daily-upgrade.timer systemd-networkd-wait-online.service; do
        ln -sf /dev/null "$units/$unit"
    done
    touch "$root/etc/.updated" "$root/var/.updated"
}
