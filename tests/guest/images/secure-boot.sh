#!/usr/bin/env bash
# Builds what a guest needs to boot with Secure Boot: keys of its own, the trusted kernel with imad's initramfs and a command
# line as one signed EFI program (a unified kernel image) on an EFI system partition, and the firmware. Prints the folder with
#
#   OVMF_CODE.fd  OVMF_VARS.fd     the firmware, and its variables with no key enrolled (setup mode)
#   esp.img                        the EFI system partition
#   PK.auth  KEK.auth  db.auth     signature lists as SetVariable() takes them, in the order db, KEK, PK
set -euo pipefail
# shellcheck source=tests/guest/images/cache.sh
. "$(dirname "$0")/cache.sh"

kernel=$("$here/kernel.sh")
imad=$("$here/imad.sh")
firmware=/usr/share/OVMF
stub=/usr/lib/systemd/boot/efi/linuxx64.efi.stub
# The words that the harness gives to other guests (tests/guest/harness/setup.rs).
words='root=/dev/vda rw console=ttyS0 pty.legacy_count=0 systemd.log_color=0'

# Signature lists: what db holds is signed by KEK, what KEK holds by PK, and PK by itself.
enrolled() {
    local name=$1 signer=$2 owner=$3
    cert-to-efi-sig-list -g "$owner" "$name.pem" "$name.esl"
    sign-efi-sig-list -g "$owner" -t '2020-01-01 00:00:00' -c "$signer.pem" -k "$signer.key" "$name" "$name.esl" "$name.auth" >/dev/null
    rm "$name.esl"
}

# The sections lie behind the stub's own, each at the next free page.
unified() {
    local out=$1 end section file options=()
    end=$(objdump -h "$stub" | awk 'NF == 7 && $1 ~ /^[0-9]+$/ { print $3, $4 }' |
        while read -r size at; do echo $((16#$size + 16#$at)); done | sort -n | tail -n 1)
    shift
    while [ $# -gt 0 ]; do
        section=$1 file=$2
        shift 2
        end=$(((end + 4095) / 4096 * 4096))
        options+=(--add-section "$section=$file" --change-section-vma "$section=$end")
        end=$((end + $(stat -c %s "$file")))
    done
    objcopy "${options[@]}" "$stub" "$out"
}

build() {
    local out=$1 name owner
    cd "$out"
    owner=$(cat /proc/sys/kernel/random/uuid)
    for name in PK KEK db; do
        openssl req -new -x509 -newkey rsa:2048 -noenc -keyout "$name.key" -out "$name.pem" -days 36500 \
            -subj "/CN=imad test $name" 2>/dev/null
    done
    enrolled db KEK "$owner"
    enrolled KEK PK "$owner"
    enrolled PK PK "$owner"
    printf 'ID=imad-guest\nNAME=Guest\nVERSION_ID=13\n' >os-release
    printf '%s' "$words" >command-line
    unified linux.efi .osrel os-release .cmdline command-line .initrd "$imad/initrd-trusted.img" .linux "$kernel/bzImage"
    sbsign --key db.key --cert db.pem --output signed.efi linux.efi 2>/dev/null
    truncate -s 48M esp.img
    mformat -i esp.img -F ::
    mmd -i esp.img ::EFI ::EFI/BOOT
    mcopy -i esp.img signed.efi ::EFI/BOOT/BOOTX64.EFI
    rm -f ./*.key ./*.efi os-release command-line
    cp "$firmware/OVMF_CODE_4M.fd" OVMF_CODE.fd
    cp "$firmware/OVMF_VARS_4M.fd" OVMF_VARS.fd
}

cached secure-boot "$(recipe_hash "${BASH_SOURCE[0]}" "$kernel/SHA256SUMS" "$imad/SHA256SUMS" "$stub" \
    "$firmware/OVMF_CODE_4M.fd")" build
echo "$entry"
