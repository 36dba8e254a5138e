#!/bin/bash
# dracut module "imad": imad-boot in the initramfs. It loads the certificates of the real root's /etc/keys/ima into the
# kernel's .ima keyring, then the signed policy, right before the switch to the real root.
#
# Everything that imad-boot reads (configuration, certificates, policy) it reads from the mounted real root, so a new
# certificate or policy needs no new image. Only the program is in here.

# The real root's policy file. It must never be in the image: systemd would load it there, before any key (ima-setup.c).
imad_policy=/etc/ima/ima-policy

# called by dracut
check() {
    require_binaries /usr/lib/imad/imad-boot || return 1
    # Which images hold it is configuration, not chance: see dracut.conf.d/50-imad.conf.
    return 255
}

# called by dracut
depends() {
    echo securityfs
}

# called by dracut
installkernel() {
    # Algorithms of certificates and labels. Where they are modules, the kernel asks for them at the first key or
    # signature, and under a policy modprobe's own appraisal may be what needs them.
    hostonly='' instmods ecdsa_generic ecrdsa_generic rsa_generic \
        sha256_generic sha512_generic sha3_generic sm3_generic streebog_generic
    # Where attempts at a policy on trial are recorded.
    hostonly='' instmods efivarfs
}

# called by dracut
install() {
    inst_multiple /usr/lib/imad/imad-boot sh mount

    if dracut_module_included systemd; then
        inst_simple "${moddir:?}/imad-boot.service" "${systemdsystemunitdir:?}/imad-boot.service"
        ${SYSTEMCTL:?} -q --root "${initdir:?}" enable imad-boot.service
    else
        inst_hook pre-pivot 99 "$moddir/imad-boot.sh"
    fi

    if dracut_module_included integrity; then
        dwarn "imad: dracut's module \"integrity\" is in this image too. It loads keys and policy before imad-boot has checked them; see imad-boot(8)."
    fi
    if [[ -e $initdir$imad_policy || " ${install_items-} ${install_optional_items-} " == *" $imad_policy "* ]]; then
        derror "imad: $imad_policy must not be in the image: systemd would load it there, before any key is in the keyring."
        return 1
    fi
}
