#!/bin/bash
# Puts the test guest agent into an initramfs. Called by dracut.

check() {
    require_binaries /usr/libexec/imad-guest-agent || return 1
    return 0
}

depends() {
    echo systemd
}

installkernel() {
    hostonly='' instmods virtio_console virtio_pci
}

# shellcheck disable=SC2154 # moddir, initdir, systemdsystemunitdir and systemdutildir are dracut's
install() {
    local target
    inst_binary /usr/libexec/imad-guest-agent
    inst_multiple cat env ls mount sh sleep systemctl umount
    inst_multiple -o bash journalctl keyctl getfattr sha256sum stat id reboot poweroff dmesg grep
    inst_simple "$moddir/imad-guest-agent-initrd.service" "$systemdsystemunitdir/imad-guest-agent-initrd.service"
    for target in sysinit emergency rescue; do
        mkdir -p "$initdir$systemdsystemunitdir/$target.target.wants"
        ln_r "$systemdsystemunitdir/imad-guest-agent-initrd.service" \
            "$systemdsystemunitdir/$target.target.wants/imad-guest-agent-initrd.service"
    done
    # Before udev runs (emergency.target), nothing else would load the port's driver.
    inst_multiple -o modprobe "$systemdsystemunitdir/modprobe@.service"
}
