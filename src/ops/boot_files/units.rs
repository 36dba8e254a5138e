//! What units execute: those that a boot, a rescue or a shutdown reaches (systemd.unit(5)).
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};

use super::collection::{Collection, lossy};
use super::tree::{SETTINGS_LIMIT, Tree};
use crate::model::boot_files::command::{Command, words};
use crate::model::boot_files::settings::{BusService, bus_service};
use crate::model::boot_files::unit::{Unit, UnitName, specified};

/// Where units are, of which earlier ones win (systemd.unit(5), "UNIT FILE LOAD PATH").
const FOLDERS: [&str; 12] = [
    "/etc/systemd/system.control",
    "/run/systemd/system.control",
    "/run/systemd/transient",
    "/run/systemd/generator.early",
    "/etc/systemd/system",
    "/etc/systemd/system.attached",
    "/run/systemd/system",
    "/run/systemd/generator",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
    "/run/systemd/generator.late",
];
/// Folders beside a unit: the units whose names they hold are brought with it.
const BESIDE: [&str; 3] = [".wants", ".requires", ".upholds"];
const BUS_SERVICES: [&str; 3] =
    ["/etc/dbus-1/system-services", "/usr/local/share/dbus-1/system-services", "/usr/share/dbus-1/system-services"];
/// Links from one name of a unit to another that are followed.
const NAMES: usize = 8;

/// Where a machine is brought to. The instances stand for any: which terminals and users there are is known at run time.
const REACHED: [&str; 24] = [
    "default.target",
    "sysinit.target",
    "basic.target",
    "multi-user.target",
    "graphical.target",
    "boot-complete.target",
    "emergency.target",
    "rescue.target",
    "initrd-switch-root.target",
    "shutdown.target",
    "umount.target",
    "final.target",
    "reboot.target",
    "poweroff.target",
    "halt.target",
    "kexec.target",
    "soft-reboot.target",
    "autovt@tty1.service",
    "getty@tty1.service",
    "serial-getty@ttyS0.service",
    "console-getty.service",
    "user@0.service",
    "user-runtime-dir@0.service",
    "systemd-fsck@device.service",
];

/// What units ask for beside programs.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// PAM services of their sessions.
    pub(super) pam: BTreeSet<Vec<u8>>,
    /// Kernel modules (`modprobe@MODULE.service`).
    pub(super) modules: BTreeSet<Vec<u8>>,
    /// Types of file systems that they mount; `swap` for swap space.
    pub(super) file_systems: BTreeSet<Vec<u8>>,
}

/// The unit files of a root, by name.
#[derive(Debug, Default)]
struct Files {
    /// The one that wins.
    units: BTreeMap<Vec<u8>, Vec<u8>>,
    /// `NAME.wants`, `NAME.d`, …: those of all folders, in the order in which they win.
    beside: BTreeMap<Vec<u8>, Vec<Vec<u8>>>,
}

/// Whether there is a file for a unit, also one that masks it; those that are made anew at each boot do not count.
pub(super) fn has(tree: &Tree<'_>, name: &[u8]) -> bool {
    let mut folders = FOLDERS.iter().filter(|folder| !folder.starts_with("/run/"));
    folders.any(|folder| {
        let path = [folder.as_bytes(), b"/", name].concat();
        tree.link(&path).is_some() || tree.real(&path).is_some()
    })
}

/// Follows the units from [`REACHED`] and from these.
pub(super) fn gather(found: &mut Collection<'_>, more: impl IntoIterator<Item = Vec<u8>>) -> Asked {
    let files = Files::read(found);
    let bus = bus_services(found);
    let mut asked = Asked::default();
    let mut seen: BTreeSet<Vec<u8>> = BTreeSet::new();
    let mut next: Vec<Vec<u8>> = REACHED.iter().map(|name| name.as_bytes().to_vec()).chain(more).collect();
    while let Some(name) = next.pop() {
        if !seen.insert(name.clone()) {
            continue;
        }
        let Some(parsed) = UnitName::parse(&name) else { continue };
        let Some(names) = files.names(found, &name) else { continue };
        let unit = files.unit(found, &names);
        next.extend(files.beside(found, &names));
        let instance = parsed.instance.unwrap_or_default();
        next.extend(unit.units.iter().map(|unit| specified(unit, instance)));
        next.extend(activated(&parsed, &unit, &files));
        match parsed.kind {
            b"mount" => {
                asked.file_systems.insert(unit.file_system.clone().unwrap_or_else(|| b"auto".to_vec()));
            }
            b"swap" => {
                asked.file_systems.insert(b"swap".to_vec());
            }
            b"service" if parsed.prefix == b"modprobe" && !instance.is_empty() => {
                asked.modules.insert(instance.to_vec());
            }
            _ => {}
        }
        asked.pam.extend(unit.pam_name.clone());
        let why = format!("unit {}", lossy(&name));
        if let Some(service) = unit.bus_name.as_ref().and_then(|name| bus.get(name)) {
            next.extend(service.unit.clone());
            let exec = service.exec.as_ref().and_then(|exec| Command::of_words(words(exec, true)));
            if let Some(command) = exec.filter(|_| service.unit.is_none()) {
                found.command(&command, &[], &why);
            }
        }
        for Command { program, arguments } in unit.commands() {
            let arguments = arguments.iter().map(|argument| specified(argument, instance)).collect();
            let command = Command { program: specified(program, instance), arguments };
            found.command(&command, &unit.search_path, &why);
        }
    }
    asked
}

/// What a socket, timer, path or automount unit activates without saying so.
fn activated(name: &UnitName<'_>, unit: &Unit, files: &Files) -> Vec<Vec<u8>> {
    match name.kind {
        b"automount" => vec![name.of_kind(b"mount")],
        b"socket" | b"timer" | b"path" if !unit.names_activated => {
            let mut units = vec![name.of_kind(b"service")];
            // Accept=yes: an instance for each connection.
            let template = [name.prefix, b"@.service"].concat();
            if name.instance.is_none() && files.units.contains_key(&template) {
                units.push([name.prefix, b"@0.service"].concat());
            }
            units
        }
        _ => Vec::new(),
    }
}

impl Files {
    fn read(found: &Collection<'_>) -> Self {
        let tree = &found.tree;
        let mut files = Self::default();
        for folder in FOLDERS.iter().filter(|folder| tree.root.is_running() || !folder.starts_with("/run/")) {
            for name in tree.names(folder.as_bytes()) {
                let path = [folder.as_bytes(), b"/", &name].concat();
                let is_beside = name.ends_with(b".d") || BESIDE.iter().any(|ending| name.ends_with(ending.as_bytes()));
                if is_beside {
                    files.beside.entry(name).or_default().push(path);
                } else if UnitName::parse(&name).is_some() {
                    files.units.entry(name).or_insert(path);
                }
            }
        }
        files
    }

    /// The file of a unit; that of its template for an instance without one of its own.
    fn file(&self, name: &[u8]) -> Option<&Vec<u8>> {
        let template = || UnitName::parse(name)?.template();
        self.units.get(name).or_else(|| self.units.get(&template()?))
    }

    /// A unit's names: the one that was asked for, and those to which links lead from there. `None`: it is masked.
    fn names(&self, found: &Collection<'_>, name: &[u8]) -> Option<Vec<Vec<u8>>> {
        let mut names = vec![name.to_vec()];
        let mut name = name.to_vec();
        while let Some(path) = self.file(&name) {
            let Some(target) = found.tree.link(path) else { break };
            if target == b"/dev/null" {
                return None;
            }
            let base = target.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
            let Some(parsed) = UnitName::parse(base) else { break };
            let instance = UnitName::parse(&name).and_then(|name| name.instance);
            // The link of a template leads to a template.
            let other = match (parsed.instance, instance) {
                (Some(b""), Some(instance)) => [parsed.prefix, b"@", instance, b".", parsed.kind].concat(),
                _ => base.to_vec(),
            };
            if names.contains(&other) || names.len() == NAMES {
                break;
            }
            names.push(other.clone());
            name = other;
        }
        Some(names)
    }

    /// What a unit's file and drop-ins say.
    fn unit(&self, found: &Collection<'_>, names: &[Vec<u8>]) -> Unit {
        let mut unit = Unit::default();
        let file = names.iter().rev().find_map(|name| self.file(name));
        if let Some(text) = file.and_then(|path| found.tree.read(path, SETTINGS_LIMIT)) {
            unit.take(&text);
        }
        let mut drop_ins: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        let folders = names.iter().rev().filter_map(|name| UnitName::parse(name)).flat_map(|name| name.drop_ins());
        for folder in folders.filter_map(|name| self.beside.get(&[&name[..], b".d"].concat())).flatten() {
            for name in found.tree.names(folder).into_iter().filter(|name| name.ends_with(b".conf")) {
                let path = [&folder[..], b"/", &name].concat();
                drop_ins.entry(name).or_insert(path);
            }
        }
        for path in drop_ins.values() {
            if let Some(text) = found.tree.read(path, SETTINGS_LIMIT) {
                unit.take(&text);
            }
        }
        unit
    }

    /// The units of the folders beside a unit, and of its template.
    fn beside(&self, found: &Collection<'_>, names: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let mut units = Vec::new();
        let templates = names.iter().filter_map(|name| UnitName::parse(name)?.template());
        for name in names.iter().cloned().chain(templates) {
            for ending in BESIDE {
                let folders = self.beside.get(&[&name[..], ending.as_bytes()].concat()).into_iter().flatten();
                units.extend(folders.flat_map(|folder| found.tree.names(folder)));
            }
        }
        units
    }
}

/// The services of the bus, by name.
fn bus_services(found: &Collection<'_>) -> BTreeMap<Vec<u8>, BusService> {
    let files = found.tree.layered(&BUS_SERVICES, b".service");
    let services = files.iter().filter_map(|path| found.tree.read(path, SETTINGS_LIMIT));
    services.map(|text| bus_service(&text)).map(|service| (service.name.clone(), service)).collect()
}
