//! What the kernel starts and loads: helpers, devices' programs, modules; and its records of what was executed.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::io;

use super::collection::{Collection, lossy};
use super::running::{self, UsedFile};
use super::tree::SETTINGS_LIMIT;
use crate::model::boot_files::command::Command;
use crate::model::boot_files::udev::Rules;
use crate::model::boot_files::{measured, modules, settings};
use crate::model::report::Problem;
use crate::sys::processes;
use crate::sys::root::Root;

/// What the kernel starts where nothing says otherwise (`CONFIG_MODPROBE_PATH`, `security/keys/request_key.c`).
const HELPERS: [&str; 2] = ["/sbin/modprobe", "/sbin/request-key"];
const SYSCTL: [&str; 5] =
    ["/run/sysctl.d", "/etc/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d", "/lib/sysctl.d"];
const UDEV: [&str; 5] = [
    "/run/udev/rules.d",
    "/etc/udev/rules.d",
    "/usr/local/lib/udev/rules.d",
    "/usr/lib/udev/rules.d",
    "/lib/udev/rules.d",
];
/// Where rules' programs are that are named without a folder.
const UDEV_PROGRAMS: [&str; 2] = ["/usr/lib/udev", "/lib/udev"];
const MODULES_LOAD: [&str; 5] = [
    "/run/modules-load.d",
    "/etc/modules-load.d",
    "/usr/local/lib/modules-load.d",
    "/usr/lib/modules-load.d",
    "/lib/modules-load.d",
];
const MODPROBE: [&str; 5] =
    ["/run/modprobe.d", "/etc/modprobe.d", "/usr/local/lib/modprobe.d", "/usr/lib/modprobe.d", "/lib/modprobe.d"];
const MODULES: [&str; 2] = ["/usr/lib/modules", "/lib/modules"];
/// No modules.dep is longer.
const MODULES_LIMIT: u64 = 1 << 24;

/// Folders of the root that count; those of /run are the running system's.
fn of_root<'f>(root: &Root, folders: &[&'f str]) -> Vec<&'f str> {
    folders.iter().copied().filter(|folder| root.is_running() || !folder.starts_with("/run/")).collect()
}

/// Programs that the kernel starts by itself.
pub(super) fn helpers(found: &mut Collection<'_>) {
    const WHY: &str = "the kernel starts it";
    for path in HELPERS {
        found.execute(path.as_bytes(), WHY);
    }
    let request_key = found.tree.layered(&["/etc/request-key.d", "/usr/share/request-key.d"], b".conf");
    for path in request_key.into_iter().chain([b"/etc/request-key.conf".to_vec()]) {
        for program in settings::request_key_programs(&found.tree.read(&path, SETTINGS_LIMIT).unwrap_or_default()) {
            found.execute(&program, &format!("{} names it", lossy(&path)));
        }
    }
    // What the next boot will say to the kernel, and what this one has said.
    let mut files = found.tree.layered(&of_root(found.tree.root, &SYSCTL), b".conf");
    files.push(b"/etc/sysctl.conf".to_vec());
    for path in files {
        let text = found.tree.read(&path, SETTINGS_LIMIT).unwrap_or_default();
        let why = format!("{} names it", lossy(&path));
        let core = settings::setting(&text, b"kernel.core_pattern").and_then(settings::piped_program);
        let others = [&b"kernel.modprobe"[..], b"kernel.hotplug"].map(|name| settings::setting(&text, name));
        for program in others.into_iter().flatten().chain(core) {
            found.execute(program, &why);
        }
    }
    if !found.tree.root.is_running() {
        return;
    }
    if let Some(pattern) = told(found, "core_pattern", processes::core_pattern())
        && let Some(program) = settings::piped_program(&pattern)
    {
        found.execute(program, WHY);
    }
    for (name, program) in [("modprobe", processes::modprobe()), ("hotplug", processes::hotplug())] {
        if let Some(program) = told(found, name, program) {
            found.execute(&program, WHY);
        }
    }
}

/// What the kernel says of itself; that it does not is a problem.
fn told(found: &mut Collection<'_>, name: &str, said: io::Result<Option<Vec<u8>>>) -> Option<Vec<u8>> {
    said.unwrap_or_else(|error| {
        found.problem(Problem::new(format!("the kernel's {name} cannot be read: {error}"), "run it as root"));
        None
    })
}

/// Programs of udev rules; and the units and modules that they ask for.
pub(super) fn devices(found: &mut Collection<'_>) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let (mut units, mut modules) = (Vec::new(), Vec::new());
    let folders: Vec<Vec<u8>> = UDEV_PROGRAMS.iter().map(|folder| folder.as_bytes().to_vec()).collect();
    for path in found.tree.layered(&of_root(found.tree.root, &UDEV), b".rules") {
        let rules = Rules::parse(&found.tree.read(&path, SETTINGS_LIMIT).unwrap_or_default());
        let why = format!("{} names it", lossy(&path));
        for command in &rules.commands {
            found.command(command, &folders, &why);
        }
        units.extend(rules.units);
        modules.extend(rules.modules);
    }
    (units, modules)
}

/// The files of modules for every kernel that is installed: those that are named, and of the running system those that
/// are loaded.
pub(super) fn modules(found: &mut Collection<'_>, named: impl IntoIterator<Item = Vec<u8>>) {
    let mut wanted: BTreeSet<Vec<u8>> = named.into_iter().collect();
    let mut files = found.tree.layered(&of_root(found.tree.root, &MODULES_LOAD), b".conf");
    files.push(b"/etc/modules".to_vec());
    for path in files {
        wanted.extend(modules::wanted(&found.tree.read(&path, SETTINGS_LIMIT).unwrap_or_default()));
    }
    if found.tree.root.is_running() {
        wanted.extend(modules::loaded(&told(found, "list of modules", processes::modules()).unwrap_or_default()));
    }
    let mut options = modules::Options::default();
    for path in found.tree.layered(&of_root(found.tree.root, &MODPROBE), b".conf") {
        let more = modules::Options::parse(&found.tree.read(&path, SETTINGS_LIMIT).unwrap_or_default());
        for line in &more.commands {
            // modprobe(8) hands it to system(3).
            let command = Command { program: b"/bin/sh".to_vec(), arguments: vec![b"-c".to_vec(), line.clone()] };
            found.command(&command, &[], &format!("{} names it", lossy(&path)));
        }
        options = options.and(more);
    }
    let mut folders = BTreeSet::new();
    for folder in MODULES {
        let versions = found.tree.names(folder.as_bytes());
        folders.extend(versions.iter().filter_map(|name| found.tree.real(&[folder.as_bytes(), b"/", name].concat())));
    }
    for folder in folders {
        let Some(text) = found.tree.read(&[&folder[..], b"/modules.dep"].concat(), MODULES_LIMIT) else { continue };
        let modules = modules::Modules::parse(&text);
        let own = found.tree.read(&[&folder[..], b"/modules.softdep"].concat(), SETTINGS_LIMIT);
        let options = options.clone().and(modules::Options::parse(&own.unwrap_or_default()));
        for name in &options.with_others(wanted.clone()) {
            for file in modules.with_needed(name) {
                let path = if file.starts_with(b"/") { file.to_vec() } else { [&folder[..], b"/", file].concat() };
                found.module(&path, &format!("module {}", lossy(name)));
            }
        }
    }
}

/// Helpers that mount(8), fsck(8) and mkfs(8) start for these types of file systems.
pub(super) fn file_systems(found: &mut Collection<'_>, mut kinds: BTreeSet<Vec<u8>>) {
    kinds.extend(settings::mounts(&found.tree.settings("/etc/fstab").unwrap_or_default()));
    for kind in kinds.iter().filter(|kind| settings::is_name(kind)) {
        for prefix in ["mount.", "umount.", "fsck."] {
            let name = [prefix.as_bytes(), kind].concat();
            found.program(&name, &[], &format!("a file system of type {}", lossy(kind)));
        }
    }
}

/// What runs now, and what the kernel measured.
pub(super) fn records(found: &mut Collection<'_>) {
    let running = running::files(found.tree.root).unwrap_or_else(|error| {
        found.problem(Problem::new(format!("the processes cannot be listed: {error}"), "ls -ld /proc"));
        Vec::new()
    });
    for UsedFile { path, is_program, why } in running {
        if is_program {
            found.execute(&path, &why);
        } else {
            found.map(&path, &why);
        }
    }
    let list = told(found, "list of measurements", processes::measurements()).unwrap_or_default();
    for path in measured::paths(&list) {
        found.used(&path, "the kernel measured it");
    }
}
