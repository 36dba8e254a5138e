# shellcheck shell=bash
# Makes the guests' initramfs images: source this file after cache.sh and chroot.sh.

# What dracut takes in by itself and a test guest never uses: device drivers' data, consoles, sleep, shared folders.
unused="systemd-battery-check systemd-pcrphase modsign kernel-modules-extra nvdimm qemu hwdb"
unused+=" lunmask resume terminfo virtfs virtiofs"

# make_initrd ROOT FILE RELEASE OPTION...: dracut in ROOT, as an administrator calls it; the image is written to FILE.
# A kernel without modules takes --no-kernel. Compressed the image boots as fast as uncompressed under TCG, and takes a
# third of the space.
make_initrd() {
    local root=$1 file=$2 release=$3 log
    shift 3
    log=$file.log
    shares+=("$(dirname "$file"):/mnt")
    in_root "$root" dracut --force --no-hostonly --no-hostonly-cmdline --kver "$release" \
        --filesystems ext4 --compress 'zstd -3 -T0 -q' --omit "$unused" "$@" "/mnt/$(basename "$file")" >"$log" 2>&1 ||
        { cat "$log" >&2; die "dracut failed"; }
    ! grep -qE '^dracut\[[EF]\]' "$log" || { cat "$log" >&2; die "dracut complains"; }
    unset 'shares[-1]'
    chmod 644 "$file"
    rm "$log"
}
