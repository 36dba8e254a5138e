#!/bin/sh
# The last pre-pivot hook of an initramfs without systemd. Sourced by dracut, so it neither exits nor returns: whatever
# imad-boot says, the boot goes on, unless it says that the boot must stop.

/usr/lib/imad/imad-boot initrd --sysroot "${NEWROOT:-/sysroot}"
case $? in
0) ;;
4) die "imad: the boot must not go on without a policy (guard = \"closed\")" ;;
*)
    warn "imad-boot failed"
    # No key is in the keyring: whoever starts the real root must not load the policy.
    mount -t tmpfs -o ro,nosuid,nodev,noexec,mode=0755,size=4k imad-hide "${NEWROOT:-/sysroot}/etc/ima"
    ;;
esac
