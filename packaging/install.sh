#!/usr/bin/env bash
# Installs imad below DESTDIR. This is the one list of installed files, modes included; every package is made from it.
#
#   [BINARIES=target/release] [SBINDIR=/usr/sbin …] packaging/install.sh DESTDIR
#
# BINARIES is the folder with the built programs. The other variables are folders of the target system. Paths that are
# fixed in units or in other projects (/usr/lib/imad, /etc/keys/ima, /etc/ima) cannot be moved.
set -euo pipefail

if [ $# != 1 ] || [ -z "$1" ]; then
    echo "usage: $0 DESTDIR" >&2
    exit 2
fi
case $1 in /*) destdir=${1%/} ;; *) destdir=$PWD/${1%/} ;; esac
cd "$(dirname "${BASH_SOURCE[0]}")/.."

BINARIES=${BINARIES:-target/release}
BINDIR=${BINDIR:-/usr/bin}
SBINDIR=${SBINDIR:-/usr/sbin}
DATADIR=${DATADIR:-/usr/share}
MANDIR=${MANDIR:-$DATADIR/man}
SYSCONFDIR=${SYSCONFDIR:-/etc}
LOCALSTATEDIR=${LOCALSTATEDIR:-/var}
UNITDIR=${UNITDIR:-/usr/lib/systemd/system}
CATALOGDIR=${CATALOGDIR:-/usr/lib/systemd/catalog}
TMPFILESDIR=${TMPFILESDIR:-/usr/lib/tmpfiles.d}
DRACUTDIR=${DRACUTDIR:-/usr/lib/dracut}
PRIVATEDIR=/usr/lib/imad

# put MODE FOLDER FILE…
put() {
    local mode=$1 folder=$2
    shift 2
    install -d -m 0755 "$destdir$folder"
    install -p -m "$mode" -t "$destdir$folder" "$@"
}

folder() { install -d -m "$1" "$destdir$2"; }

# --- package imad ---------------------------------------------------------------------------------------------------
put 0755 "$SBINDIR" "$BINARIES/imad"
put 0755 "$BINDIR" "$BINARIES/imactl"
# The scripts' own place is ima-evm-utils'; this one is for whoever puts the folder first in PATH.
folder 0755 "$PRIVATEDIR/compat"
for script in ima-add-sigs ima-setup; do
    ln -sfn "$(realpath -m --relative-to="$PRIVATEDIR/compat" "$BINDIR/imactl")" "$destdir$PRIVATEDIR/compat/$script"
done
put 0644 "$UNITDIR" units/imad.service
put 0644 "$DATADIR/dbus-1/system.d" conf/dbus/org.imad1.conf
put 0644 "$DATADIR/dbus-1/system-services" conf/dbus/org.imad1.service
put 0644 "$DATADIR/dbus-1/interfaces" conf/dbus/org.imad1.*.xml
put 0644 "$DATADIR/polkit-1/actions" conf/polkit/org.imad1.policy
put 0644 "$TMPFILESDIR" conf/tmpfiles.d/imad.conf
put 0644 "$CATALOGDIR" conf/catalog/imad.catalog
put 0644 "$PRIVATEDIR" conf/imad.toml
put 0644 "$DATADIR/imad/policies" conf/policies/*
put 0644 "$MANDIR/man1" docs/man/*.1
put 0644 "$MANDIR/man5" docs/man/*.5
put 0644 "$MANDIR/man8" docs/man/imad.8
put 0644 "$DATADIR/bash-completion/completions" docs/completions/imactl
put 0644 "$DATADIR/zsh/site-functions" docs/completions/_imactl
put 0644 "$DATADIR/fish/vendor_completions.d" docs/completions/imactl.fish
folder 0755 "$SYSCONFDIR/imad"
folder 0755 "$SYSCONFDIR/imad/imad.toml.d"
folder 0755 "$SYSCONFDIR/imad/policies"
folder 0700 "$SYSCONFDIR/imad/state"
folder 0755 "$SYSCONFDIR/keys/ima"
folder 0755 "$SYSCONFDIR/ima"
folder 0700 "$LOCALSTATEDIR/lib/imad"

# --- package imad-dracut --------------------------------------------------------------------------------------------
put 0755 "$PRIVATEDIR" "$BINARIES/imad-boot"
put 0755 "$DRACUTDIR/modules.d/50imad" dracut-module/50imad/*.sh
put 0644 "$DRACUTDIR/modules.d/50imad" units/imad-boot.service
put 0644 "$DRACUTDIR/dracut.conf.d" conf/dracut.conf.d/50-imad.conf
put 0644 "$UNITDIR" units/imad-boot-check.service units/imad-confirm.service
put 0644 "$UNITDIR/dracut-shutdown.service.d" units/dracut-shutdown.service.d/50-imad.conf
folder 0755 "$UNITDIR/sysinit.target.wants"
ln -sfn ../imad-boot-check.service "$destdir$UNITDIR/sysinit.target.wants/imad-boot-check.service"
# A default target of an administrator's own is one too.
for target in multi-user.target.wants graphical.target.wants default.target.wants boot-complete.target.requires; do
    folder 0755 "$UNITDIR/$target"
    ln -sfn ../imad-confirm.service "$destdir$UNITDIR/$target/imad-confirm.service"
done
put 0644 "$MANDIR/man8" docs/man/imad-boot.8
