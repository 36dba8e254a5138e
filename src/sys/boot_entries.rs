//! Where boot loaders keep what they can start: their files, as they are.
#![forbid(unsafe_code)]

use std::io;

use super::root::Root;
use crate::model::boot_entry::menu::{Files, Named};
use crate::model::report::Problem;

/// Folders that may be the boot partition or the EFI system partition (file-hierarchy(7), bootctl(1)).
pub const PARTITIONS: [&str; 4] = ["/boot", "/boot/efi", "/efi", "/boot/firmware"];
/// GRUB's folders.
const GRUB: [&str; 2] = ["/boot/grub2", "/boot/grub"];
/// kernel-install's settings (kernel-install(8)): BOOT_ROOT= names a partition.
const INSTALL_CONF: [&str; 2] = ["/etc/kernel/install.conf", "/usr/lib/kernel/install.conf"];
/// The command line for kernels that are installed.
const COMMAND_LINE: [&str; 2] = ["/etc/kernel/cmdline", "/usr/lib/kernel/cmdline"];
/// No such file is longer.
const LIMIT: u64 = 1 << 22;

/// Reads them.
pub fn find(root: &Root) -> (Files, Vec<Problem>) {
    let mut reading = Reading { root, problems: Vec::new() };
    let mut found = Files::default();
    found.partitions = PARTITIONS.map(str::to_owned).to_vec();
    for path in INSTALL_CONF {
        if let Some(text) = reading.text(path) {
            let named = text.lines().find_map(|line| line.trim().strip_prefix("BOOT_ROOT="));
            let named = named.map(|path| path.trim_matches(['"', '\'']).trim_end_matches('/').to_owned());
            found.partitions.extend(named.filter(|path| path.starts_with('/') && !PARTITIONS.contains(&&path[..])));
            break;
        }
    }
    for partition in &found.partitions.clone() {
        let entries = format!("{partition}/loader/entries");
        for name in reading.names(&entries, ".conf") {
            let path = format!("{entries}/{name}");
            found.type1.extend(reading.text(&path).map(|text| Named { path, text }));
        }
        let path = format!("{partition}/loader/loader.conf");
        found.loader_conf = found.loader_conf.or_else(|| reading.text(&path));
        let images = format!("{partition}/EFI/Linux");
        found.images.extend(reading.names(&images, ".efi").into_iter().map(|name| format!("{images}/{name}")));
    }
    for folder in GRUB {
        let path = format!("{folder}/grub.cfg");
        found.grub.extend(reading.text(&path).map(|text| Named { path, text }));
        found.environment = found.environment.or_else(|| reading.bytes(&format!("{folder}/grubenv")));
    }
    found.boot = reading.names("/boot", "");
    found.command_line = COMMAND_LINE.iter().find_map(|path| reading.text(path));
    (found, reading.problems)
}

struct Reading<'r> {
    root: &'r Root,
    problems: Vec<Problem>,
}

impl Reading<'_> {
    /// What is there; what is not, or not there, is nothing.
    fn told<T>(&mut self, path: &str, result: io::Result<T>) -> Option<T> {
        result
            .inspect_err(|error| {
                if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
                    self.problems.push(Problem::new(format!("{path} cannot be read: {error}"), "run it as root"));
                }
            })
            .ok()
    }

    fn bytes(&mut self, path: &str) -> Option<Vec<u8>> {
        let result = self.root.read(path, LIMIT);
        self.told(path, result)
    }

    fn text(&mut self, path: &str) -> Option<String> {
        self.bytes(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    fn names(&mut self, folder: &str, ending: &str) -> Vec<String> {
        let result = self.root.list(folder);
        let names = self.told(folder, result).unwrap_or_default().into_iter();
        names
            .filter_map(|name| name.into_os_string().into_string().ok())
            .filter(|name| name.ends_with(ending))
            .collect()
    }
}
