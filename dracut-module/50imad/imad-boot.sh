#!/bin/sh
# The last pre-pivot hook of an initramfs without systemd. Sourced by dracut, so it neither exits nor returns:
# whatever imad-boot says, the boot goes on.

/usr/lib/imad/imad-boot initrd --sysroot "${NEWROOT:-/sysroot}" || warn "imad-boot failed"
