#!/usr/bin/env bash
# install.sh DESTDIR AGENT: the one list of the files of the test package imad-guest-agent; AGENT is the built binary.
set -euo pipefail
[ $# = 2 ] || { echo "usage: $0 DESTDIR AGENT" >&2; exit 2; }
from=$(cd "$(dirname "$0")" && pwd)
units=usr/lib/systemd/system
module=usr/lib/dracut/modules.d/51imad-guest-agent

install -D -s -m 755 "$2" "$1/usr/libexec/imad-guest-agent"
install -D -m 644 "$from/imad-guest-agent.service" "$1/$units/imad-guest-agent.service"
install -D -m 755 "$from/51imad-guest-agent/module-setup.sh" "$1/$module/module-setup.sh"
install -D -m 644 "$from/51imad-guest-agent/imad-guest-agent-initrd.service" \
    "$1/$module/imad-guest-agent-initrd.service"
# Wanted statically: nothing has to be enabled.
for target in sysinit emergency rescue; do
    install -d -m 755 "$1/$units/$target.target.wants"
    ln -sfn ../imad-guest-agent.service "$1/$units/$target.target.wants/imad-guest-agent.service"
done
