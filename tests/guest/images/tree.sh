#!/usr/bin/env bash
# tree.sh [SUITE] fetches the guests' root: Debian's packages, configured for a test guest, not yet labelled.
# Prints the folder with root.tar. About a minute, and the only step besides stock.sh that needs the network.
set -euo pipefail
# shellcheck source=tests/guest/images/cache.sh
. "$(dirname "$0")/cache.sh"
# shellcheck source=tests/guest/images/mirror.sh
. "$here/mirror.sh"
# shellcheck source=tests/guest/images/suite.sh
. "$here/suite.sh"

packages=systemd,systemd-sysv,dbus,polkitd,rpm,dracut,keyutils,attr,e2fsprogs,ima-evm-utils,openssl,util-linux
packages+=,iproute2,strace,procps,kmod,udev,zstd,sqlite3,openssh-server
case $suite in
    trixie) packages+=,dnf ;;
    # It brings no Python, which tests use.
    *) packages+=,dnf5,python3 ;;
esac

# Units that a test guest does not need, or whose work is done here once and for all: each costs an emulated boot half a
# second or more.
masked=(
    ldconfig.service systemd-hwdb-update.service systemd-journal-catalog-update.service systemd-update-done.service
    systemd-sysusers.service systemd-firstboot.service systemd-machine-id-commit.service systemd-pstore.service
    systemd-hibernate-clear.service systemd-pcrmachine.service systemd-pcrphase.service systemd-pcrphase-sysinit.service
    systemd-tpm2-setup-early.service systemd-tpm2-setup.service systemd-binfmt.service systemd-rfkill.socket
    proc-sys-fs-binfmt_misc.automount dev-hugepages.mount sys-fs-fuse-connections.mount systemd-ask-password-console.path
    systemd-ask-password-wall.path systemd-pcrextend.socket systemd-pcrlock.socket systemd-sysext.socket
    systemd-creds.socket systemd-initctl.socket getty.target remote-fs.target e2scrub_reap.service
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer dnf-makecache.timer
    systemd-tmpfiles-clean.timer
)
generators=(getty gpt-auto hibernate-resume rc-local ssh system-update sysv tpm2)

configure() {
    local root=$1 name
    for name in "${masked[@]}"; do ln -sfn /dev/null "$root/etc/systemd/system/$name"; done
    install -d "$root/etc/systemd/system-generators"
    for name in "${generators[@]}"; do ln -sfn /dev/null "$root/etc/systemd/system-generators/systemd-$name-generator"; done
    find "$root"/etc/systemd/system/*.wants -type l -delete

    echo 1b0a1b0a1b0a1b0a1b0a1b0a1b0a1b0a >"$root/etc/machine-id"
    install -d "$root/var/lib/dbus"
    ln -sfn /etc/machine-id "$root/var/lib/dbus/machine-id"
    echo guest >"$root/etc/hostname"
    : >"$root/etc/resolv.conf"
    cat >"$root/etc/fstab" <<'END'
/dev/disk/by-label/imad-root / ext4 defaults 0 0
# The packages' disk, where the machine has one: mounted when first looked at.
/dev/disk/by-label/imad-repo /srv/repo ext4 ro,noauto,nofail,x-systemd.automount,x-systemd.device-timeout=10s 0 0
END
    install -d "$root/srv/repo" "$root/usr/lib/modules" "$root/etc/systemd/journald.conf.d" "$root/etc/systemd/system.conf.d" \
        "$root/etc/yum.repos.d"
    # No line is lost, and nothing is written to the disk for it.
    printf '[Journal]\nStorage=volatile\nRateLimitIntervalSec=0\n' >"$root/etc/systemd/journald.conf.d/guest.conf"
    # Emulated processors are slow: a unit that needs a minute is not hung.
    printf '[Manager]\nDefaultTimeoutStartSec=300s\nDefaultDeviceTimeoutSec=300s\nDefaultTimeoutStopSec=30s\n' \
        >"$root/etc/systemd/system.conf.d/guest.conf"
    if [ -e "$root/usr/bin/dnf5" ]; then
        # The program goes by the same name in both generations, as on Fedora; it keeps no copies of what it installs.
        ln -sf dnf5 "$root/usr/bin/dnf"
        sed -i 's/^enabled = host-only/enabled = no/' "$root/etc/dnf/libdnf5-plugins/local.conf"
    fi
    cat >"$root/etc/dnf/dnf.conf" <<'END'
[main]
gpgcheck=0
best=True
install_weak_deps=False
clean_requirements_on_remove=True
metadata_expire=-1
END
    for name in base good newer unsigned foreign imad; do
        printf '[imad-%s]\nname=imad test packages: %s\nbaseurl=file:///srv/repo/%s\nenabled=%d\n\n' \
            "$name" "$name" "$name" "$([ $name != good ] && [ $name != imad ] || echo 1)"
    done >"$root/etc/yum.repos.d/imad-test.repo"
}

clean() {
    local root=$1
    rm -rf "$root"/etc/apt/sources.list* "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* "$root"/var/cache/debconf/* \
        "$root"/var/lib/dpkg/*-old "$root"/var/backups/* "$root"/etc/*- "$root"/usr/share/doc "$root"/usr/share/man \
        "$root"/usr/share/info "$root"/usr/share/locale "$root"/run/* "$root"/tmp/* "$root"/var/tmp/*
    # journald goes by whether this folder is there; its access list would not survive the image either.
    rm -rf "$root/var/log/journal"
    find "$root/var/log" -type f -delete
    find "$root/dev" -mindepth 1 -delete
}

build() {
    local out=$1 root current
    # A mirror that lags behind is good enough where it is for the host's apt.
    current=$(apt-config dump --format '%v' Acquire::Check-Valid-Until)
    root=$(mktemp -d "$IMAD_CACHE/tree.XXXXXX")
    # shellcheck disable=SC2064 # the name is known now
    trap "rm -rf '$root'" EXIT
    mmdebstrap --quiet --mode=root --variant=minbase --format=directory --skip=cleanup/reproducible \
        --aptopt='APT::Install-Recommends "false"' --aptopt="Acquire::Check-Valid-Until \"${current:-true}\"" \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/info/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/lintian/*' --dpkgopt='path-exclude=/usr/share/bug/*' \
        --include="$packages" "$suite" "$root" "$(mirror)" >"$out/mmdebstrap.log" 2>&1 ||
        { tail -n 20 "$out/mmdebstrap.log" >&2; die "mmdebstrap failed"; }
    configure "$root"
    clean "$root"
    # shellcheck disable=SC2016 # the words in ${} are dpkg's
    chroot "$root" dpkg-query -W -f '${Package} ${Version}\n' >"$out/packages"
    tar --numeric-owner --one-file-system -C "$root" -cf "$out/root.tar" .
    # It names the host's mirror.
    rm -rf "$root" "$out/mmdebstrap.log"
    trap - EXIT
}

cached "$(of_suite tree)" "$(recipe_hash "${BASH_SOURCE[0]}" "$here/suite.sh")" build
echo "$entry"
