# shellcheck shell=bash
# Work inside other roots: source this file after cache.sh. Every mount lives in a mount namespace of its own and so
# goes away with the process that made it, also when that is killed.

shares=()

# in_root ROOT COMMAND...: runs COMMAND in the root ROOT, a folder or an ext4 image, with /dev, /proc, /sys, /run, /tmp.
# What the array shares names, HOST-FOLDER:FOLDER each, is in there too. The image's file system is unmounted, hence
# whole, on return.
in_root() {
    local root=$1
    shift
    # shellcheck disable=SC2016 # expanded by the inner shell
    unshare --mount --propagation private -- bash -euc '
        root=$1 shares=()
        shift
        while [ "$1" != -- ]; do shares+=("$1"); shift; done
        shift
        # The image is mounted over a folder of the host that is certain to be there and is not used meanwhile.
        if [ -f "$root" ]; then mount -o loop "$root" /mnt; root=/mnt; fi
        mount --rbind /dev "$root/dev"
        mount -t proc proc "$root/proc"
        mount -t sysfs -o ro sysfs "$root/sys"
        mount -t tmpfs tmpfs "$root/run"
        mount -t tmpfs tmpfs "$root/tmp"
        for share in "${shares[@]}"; do mount --bind "${share%:*}" "$root${share##*:}"; done
        rc=0
        env -i PATH=/usr/sbin:/usr/bin HOME=/root LC_ALL=C.UTF-8 TERM=dumb chroot "$root" "$@" || rc=$?
        sync -f "$root"
        umount --recursive "$root/dev" "$root/proc" "$root/sys" "$root/run" "$root/tmp"
        for share in "${shares[@]}"; do umount "$root${share##*:}"; done
        if [ "$root" = /mnt ]; then umount /mnt; fi
        exit $rc
    ' in_root "$root" "${shares[@]}" -- "$@"
}

# on_root ROOT COMMAND...: runs COMMAND of the host, with the image or folder ROOT mounted at $IMAD_ROOT.
on_root() {
    local root=$1
    shift
    # shellcheck disable=SC2016 # expanded by the inner shell
    unshare --mount --propagation private -- bash -euc '
        root=$1
        shift
        if [ -f "$root" ]; then mount -o loop "$root" /mnt; root=/mnt; fi
        rc=0
        IMAD_ROOT=$root "$@" || rc=$?
        if [ "$root" = /mnt ]; then umount /mnt; fi
        exit $rc
    ' on_root "$root" "$@"
}
