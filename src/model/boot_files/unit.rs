//! What a unit executes and which units it brings with it (systemd.unit(5)).
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use super::command::{Command, commands};

/// Settings that hold commands (systemd.service(5), systemd.socket(5)).
const COMMANDS: [&[u8]; 10] = [
    b"ExecCondition",
    b"ExecStartPre",
    b"ExecStart",
    b"ExecStartPost",
    b"ExecReload",
    b"ExecReloadPost",
    b"ExecStop",
    b"ExecStopPre",
    b"ExecStopPost",
    b"ExecRestart",
];
/// Settings by which a unit brings others with it.
const UNITS: [(&[u8], &[u8]); 13] = [
    (b"Unit", b"Wants"),
    (b"Unit", b"Requires"),
    (b"Unit", b"Requisite"),
    (b"Unit", b"BindsTo"),
    (b"Unit", b"Upholds"),
    (b"Unit", b"OnFailure"),
    (b"Unit", b"OnSuccess"),
    (b"Install", b"Also"),
    (b"Service", b"Sockets"),
    (b"Socket", b"Service"),
    (b"Timer", b"Unit"),
    (b"Path", b"Unit"),
    (b"Automount", b"Unit"),
];

/// What is read from a unit's file and from its drop-ins, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unit {
    commands: BTreeMap<Vec<u8>, Vec<Command>>,
    /// Units that it brings with it; of a socket, timer or path unit also what it activates, where it says so.
    pub units: Vec<Vec<u8>>,
    /// It says which unit it activates.
    pub names_activated: bool,
    /// `BusName=`: the name on the bus by which it may be activated.
    pub bus_name: Option<Vec<u8>>,
    /// `PAMName=`: the PAM service of its session.
    pub pam_name: Option<Vec<u8>>,
    /// `Type=` of a mount unit: its file system.
    pub file_system: Option<Vec<u8>>,
    /// `ExecSearchPath=`: folders in which its programs are looked for, where they are named without one.
    pub search_path: Vec<Vec<u8>>,
}

impl Unit {
    /// Reads the unit's file, or one of its drop-ins.
    pub fn take(&mut self, text: &[u8]) {
        let mut section: Vec<u8> = Vec::new();
        for line in super::lines(text, b"#;", b" ") {
            let line = line.trim_ascii();
            if let Some(name) = line.strip_prefix(b"[").and_then(|line| line.strip_suffix(b"]")) {
                section = name.to_vec();
            } else if let Some(equals) = line.iter().position(|&byte| byte == b'=') {
                let (key, value) = line.split_at(equals);
                self.setting(&section, key.trim_ascii(), value.get(1..).unwrap_or_default().trim_ascii());
            }
        }
    }

    fn setting(&mut self, section: &[u8], key: &[u8], value: &[u8]) {
        let text = || (!value.is_empty()).then(|| value.to_vec());
        if COMMANDS.contains(&key) {
            let list = self.commands.entry([section, b".", key].concat()).or_default();
            // An empty one takes back what was said before.
            if value.is_empty() {
                list.clear();
            }
            list.extend(commands(value));
        } else if UNITS.contains(&(section, key)) {
            self.units.extend(super::words(value).map(<[u8]>::to_vec));
            self.names_activated |=
                matches!(section, b"Socket" | b"Timer" | b"Path" | b"Automount") && !value.is_empty();
        } else {
            match (section, key) {
                (b"Service", b"BusName") => self.bus_name = text(),
                (b"Service", b"PAMName") => self.pam_name = text(),
                (b"Mount", b"Type") => self.file_system = text(),
                (_, b"ExecSearchPath") => {
                    let folders = value.split(|&byte| byte == b':').filter(|folder| !folder.is_empty());
                    self.search_path = folders.map(<[u8]>::to_vec).collect();
                }
                _ => {}
            }
        }
    }

    /// The commands that it executes.
    pub fn commands(&self) -> impl Iterator<Item = &Command> {
        self.commands.values().flatten()
    }
}

/// A name with a template's or instance's parts: `getty`, `tty1`, `service` of `getty@tty1.service`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnitName<'a> {
    /// What precedes `@`, or the type.
    pub prefix: &'a [u8],
    /// The instance; empty for a template, `None` for what is neither.
    pub instance: Option<&'a [u8]>,
    /// The type: `service`, `socket`, …
    pub kind: &'a [u8],
}

impl<'a> UnitName<'a> {
    /// Takes a name apart; `None` for what is no unit's name.
    pub fn parse(name: &'a [u8]) -> Option<Self> {
        const KINDS: [&[u8]; 11] = [
            b"service",
            b"socket",
            b"target",
            b"mount",
            b"automount",
            b"swap",
            b"timer",
            b"path",
            b"slice",
            b"scope",
            b"device",
        ];
        let dot = name.iter().rposition(|&byte| byte == b'.')?;
        let (before, kind) = (name.get(..dot)?, name.get(dot + 1..)?);
        if before.is_empty() || name.contains(&b'/') || !KINDS.contains(&kind) {
            return None;
        }
        let at = before.iter().position(|&byte| byte == b'@');
        let prefix = before.get(..at.unwrap_or(dot))?;
        let instance = at.and_then(|at| before.get(at + 1..));
        Some(Self { prefix, instance, kind })
    }

    /// The template of an instance.
    pub fn template(&self) -> Option<Vec<u8>> {
        self.instance.filter(|instance| !instance.is_empty())?;
        Some([self.prefix, b"@.", self.kind].concat())
    }

    /// The unit of another type with the same name otherwise.
    pub fn of_kind(&self, kind: &[u8]) -> Vec<u8> {
        match self.instance {
            Some(instance) => [self.prefix, b"@", instance, b".", kind].concat(),
            None => [self.prefix, b".", kind].concat(),
        }
    }

    /// Names `N` of which the drop-ins in `N.d` belong to this unit, the more special ones first: itself, its template,
    /// its prefixes up to a dash (`foo-.service` for `foo-bar.service`), its type.
    pub fn drop_ins(&self) -> Vec<Vec<u8>> {
        let mut names = vec![match self.instance {
            Some(instance) => [self.prefix, b"@", instance, b".", self.kind].concat(),
            None => [self.prefix, b".", self.kind].concat(),
        }];
        names.extend(self.template());
        let dashes = self.prefix.iter().enumerate().rev().filter(|&(_, &byte)| byte == b'-');
        for (dash, _) in dashes {
            // A dash at the end is the prefix itself.
            if let Some(shorter) = self.prefix.get(..=dash).filter(|shorter| shorter.len() < self.prefix.len()) {
                names.push([shorter, b".", self.kind].concat());
            }
        }
        names.push(self.kind.to_vec());
        names
    }
}

/// `%i` and `%I` replaced by the instance and `%%` by a percent sign; other specifiers stay (systemd.unit(5)).
pub fn specified(text: &[u8], instance: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        match (first, after.first()) {
            (b'%', Some(b'i' | b'I')) => out.extend_from_slice(instance),
            (b'%', Some(b'%')) => out.push(b'%'),
            _ => {
                out.push(first);
                continue;
            }
        }
        rest = after.get(1..).unwrap_or_default();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn programs(unit: &Unit) -> Vec<String> {
        unit.commands().map(|command| String::from_utf8_lossy(&command.program).into_owned()).collect()
    }

    #[test]
    fn a_service_says_what_it_executes() {
        let mut unit = Unit::default();
        unit.take(
            b"#  SPDX-License-Identifier: LGPL-2.1-or-later\n[Unit]\nDescription=User Login Management\n\
              Wants=user.slice modprobe@drm.service\nAfter=nss-user-lookup.target\nWants=dbus.socket\n\n[Service]\n\
              BusName=org.freedesktop.login1\nExecStartPre=-/bin/true ; \\\n# a comment in between\n  /bin/b\n\
              ExecStart=!!/usr/lib/systemd/systemd-logind\nType=notify\nPAMName=login\n[Install]\nAlso=a.socket\n\
              WantedBy=multi-user.target\n",
        );
        assert_eq!(programs(&unit), ["/usr/lib/systemd/systemd-logind", "/bin/true", "/bin/b"]);
        let units: Vec<&[u8]> = unit.units.iter().map(Vec::as_slice).collect();
        assert_eq!(units, [&b"user.slice"[..], b"modprobe@drm.service", b"dbus.socket", b"a.socket"]);
        assert_eq!(unit.bus_name.as_deref(), Some(&b"org.freedesktop.login1"[..]));
        assert_eq!(unit.pam_name.as_deref(), Some(&b"login"[..]));
        assert_eq!((unit.file_system.as_deref(), unit.names_activated), (None, false));
    }

    #[test]
    fn a_drop_in_takes_back_and_adds() {
        let mut unit = Unit::default();
        unit.take(b"[Service]\nExecStart=/bin/a\nExecStop=/bin/s\nExecSearchPath=/opt/x:/opt/y\n");
        unit.take(b"[Service]\nExecStart=\nExecStart=/bin/b\n");
        assert_eq!(programs(&unit), ["/bin/b", "/bin/s"]);
        assert_eq!(unit.search_path, [b"/opt/x".to_vec(), b"/opt/y".to_vec()]);
    }

    #[test]
    fn sockets_and_mounts() {
        let mut unit = Unit::default();
        unit.take(b"[Socket]\nListenStream=/run/x\nExecStartPost=/bin/a\nService=other.service\n[Mount]\nType=ext4\n");
        assert_eq!(programs(&unit), ["/bin/a"]);
        assert!(unit.names_activated && unit.units == [b"other.service".to_vec()]);
        assert_eq!(unit.file_system.as_deref(), Some(&b"ext4"[..]));
    }

    #[test]
    fn names_are_taken_apart() {
        let name = UnitName::parse(b"getty@tty1.service").unwrap();
        assert_eq!((name.prefix, name.instance, name.kind), (&b"getty"[..], Some(&b"tty1"[..]), &b"service"[..]));
        assert_eq!(name.template(), Some(b"getty@.service".to_vec()));
        assert_eq!(name.of_kind(b"socket"), b"getty@tty1.socket");
        let template = UnitName::parse(b"getty@.service").unwrap();
        assert_eq!((template.instance, template.template()), (Some(&b""[..]), None));
        let dashes = UnitName::parse(b"a-b-c.mount").unwrap().drop_ins();
        let dashes: Vec<String> = dashes.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        assert_eq!(dashes, ["a-b-c.mount", "a-b-.mount", "a-.mount", "mount"]);
        for no in [&b"x"[..], b".service", b"x.conf", b"a/b.service", b""] {
            assert_eq!(UnitName::parse(no), None);
        }
        assert_eq!(specified(b"/x/%i%%%n%", b"I"), b"/x/I%%n%");
    }
}
