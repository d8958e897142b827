# shellcheck shell=sh disable=SC2034,SC2154 # variables of board/arm64/build
# Debian's kernel for arm64, its modules, and the initramfs that reaches the disk. Sourced by board/arm64/build, not run.
#
#   find_kernel     the newest kernel that apt offers: sets image, release and version; image is empty if apt knows none
#   newest_build    prints the folder of the newest board that was built here, if there is one
#   unpack_kernel   unpacks it; sets tree, the folder that has lib/modules
#   modules NAME... prints the files of these modules and of the modules they need, in the order of loading
#   make_initrd     writes kernel and initrd into $out.new

find_kernel() {
    foreign arm64
    foreign_lists
    image=$(foreign_apt apt-cache depends linux-image-arm64:arm64 2> /dev/null |
        sed -n 's/^ *Depends: \(linux-image-[0-9][^:]*\).*/\1/p' | head -n 1)
    [ -n "$image" ] || return 0
    release=${image#linux-image-}
    version=$(foreign_apt apt-cache show "$image:arm64" | sed -n 's/^Version: //p' | head -n 1)
}

newest_build() {
    complete=$(find "$cache" -mindepth 2 -maxdepth 2 -name complete -printf '%T@ %p\n' 2> /dev/null |
        sort -n | sed -n '$s/^[^ ]* //p')
    [ -z "$complete" ] || dirname "$complete"
}

unpack_kernel() {
    doing="unpacking the kernel $image $version"
    unpack "$work/none" "$work/image" "$image:arm64"
    unpack "$work/none" "$work/busybox" busybox-static:arm64
    tree=$work/image
    # Debian 13 moved modules under usr.
    [ -d "$tree/lib/modules" ] || tree=$work/image/usr
    depmod -b "$tree" "$release"
}

modules() {
    for module in "$@"; do
        modprobe -d "$tree" -S "$release" --show-depends "$module" | sed -n 's/^insmod \([^ ]*\).*/\1/p'
    done | awk '!seen[$0]++'
}

make_initrd() {
    root=$work/initrd
    mkdir -p "$root/bin" "$root/modules" "$root/proc" "$root/sys" "$root/dev" "$root/new"
    cp "$work/busybox/bin/busybox" "$root/bin/"
    install -m 755 "$here/init" "$root/init"
    # shellcheck disable=SC2086 # words
    modules $boot_modules | while read -r file; do
        cp "$file" "$root/modules/"
        basename "$file" >> "$root/modules/order"
    done
    (cd "$root" && find . | busybox cpio -o -H newc > "$out.new/initrd" 2> /dev/null)
    cp "$work"/image/boot/vmlinuz-* "$out.new/kernel"
}
