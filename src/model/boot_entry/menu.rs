//! One list out of all that boot loaders have: each kernel with its initramfs and command line once, and which of them is
//! started unless somebody chooses.
#![forbid(unsafe_code)]

use super::grub::{self, Menu};
use super::{BootEntry, Variables, environment, fits, initrd_names, loader_default, type1, version_of_name};

/// A file's path and text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The path.
    pub path: String,
    /// The text.
    pub text: String,
}

/// What boot loaders have on a root.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Files {
    /// Folders that may be boot partitions.
    pub partitions: Vec<String>,
    /// Entries of type 1.
    pub type1: Vec<Named>,
    /// Each `grub.cfg`.
    pub grub: Vec<Named>,
    /// GRUB's environment block.
    pub environment: Option<Vec<u8>>,
    /// systemd-boot's `loader.conf`.
    pub loader_conf: Option<String>,
    /// Unified kernel images in the folders for them.
    pub images: Vec<String>,
    /// Names in `/boot`.
    pub boot: Vec<String>,
    /// The command line for kernels that are installed.
    pub command_line: Option<String>,
}

/// The entries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entries {
    /// Each once.
    pub entries: Vec<BootEntry>,
    /// The place of the one that is started unless somebody chooses, where that is known.
    pub default: Option<usize>,
}

/// Puts the entries together. Where no boot loader has any, every kernel in `/boot` is one, with `command_line`: what the
/// next boot's is taken to be.
pub fn entries(files: &Files, command_line: &str) -> Entries {
    let environment = files.environment.as_deref().map(environment).unwrap_or_default();
    let menus: Vec<Menu> = files.grub.iter().map(|file| grub::menu(&file.path, &file.text, &environment)).collect();
    let variables: Variables =
        menus.iter().flat_map(|menu| menu.variables.clone()).chain(environment.clone()).collect();
    let mut found: Vec<BootEntry> =
        files.type1.iter().filter_map(|file| type1(&file.path, &file.text, &variables)).collect();
    found.extend(menus.iter().flat_map(|menu| menu.entries.clone()));
    found.extend(files.images.iter().map(|path| image(path)));
    if found.is_empty() {
        let line = files.command_line.as_deref().unwrap_or(command_line);
        found = files.boot.iter().filter_map(|name| in_boot(name, &files.boot, line)).collect();
    }
    // Before what is alike becomes one: GRUB's main entry is among its advanced ones too.
    let chosen = default(files, &menus).and_then(|name| {
        let named = |entry: &BootEntry| entry.id.as_ref() == Some(&name) || entry.names.contains(&name);
        let place = found.iter().position(named);
        place.or_else(|| found.iter().position(|entry| entry.id.as_deref().is_some_and(|id| fits(&name, id))))
    });
    let chosen = chosen.and_then(|place| found.get(place)).cloned();
    let mut entries = Vec::<BootEntry>::new();
    for entry in found {
        if !entries.iter().any(|other| is_alike(other, &entry)) {
            entries.push(entry);
        }
    }
    let default = chosen.and_then(|chosen| entries.iter().position(|entry| is_alike(entry, &chosen)));
    let default = default.or((entries.len() == 1).then_some(0));
    Entries { entries, default }
}

fn default(files: &Files, menus: &[Menu]) -> Option<String> {
    let of_grub = menus.iter().find_map(grub::default_entry).map(str::to_owned);
    of_grub.or_else(|| files.loader_conf.as_deref().and_then(loader_default)).filter(|name| !name.is_empty())
}

fn is_alike(a: &BootEntry, b: &BootEntry) -> bool {
    (&a.kernel, &a.initrds, &a.options) == (&b.kernel, &b.initrds, &b.options)
}

fn image(path: &str) -> BootEntry {
    let name = path.rsplit('/').next().unwrap_or(path);
    let id = name.strip_suffix(".efi").unwrap_or(name).to_owned();
    BootEntry { file: path.to_owned(), id: Some(id), kernel: path.to_owned(), is_efi: true, ..BootEntry::default() }
}

/// An entry of a kernel that no boot loader names.
fn in_boot(name: &str, names: &[String], command_line: &str) -> Option<BootEntry> {
    let version = name.starts_with("vmlinu").then(|| version_of_name(name)).flatten()?;
    let initrd = initrd_names(version).into_iter().find(|initrd| names.contains(initrd));
    Some(BootEntry {
        version: Some(version.to_owned()),
        file: format!("/boot/{name}"),
        kernel: format!("/boot/{name}"),
        initrds: initrd.into_iter().map(|initrd| format!("/boot/{initrd}")).collect(),
        options: command_line.trim().to_owned(),
        ..BootEntry::default()
    })
}

/// Where a path that a boot loader knows may be on the root, the likeliest first. `file` is where the entry was found: its
/// path begins at the partition that holds it, or at the root, and on btrfs at the subvolume's folder.
pub fn places(file: &str, path: &str, partitions: &[String]) -> Vec<String> {
    let path = format!("/{}", path.trim_start_matches('/'));
    let own = partitions
        .iter()
        .filter(|partition| file.strip_prefix(&partition[..]).is_some_and(|rest| rest.starts_with('/')));
    let mut own: Vec<&String> = own.collect();
    own.sort_by_key(|partition| std::cmp::Reverse(partition.len()));
    let mut places = Vec::new();
    let below = path.match_indices('/').nth(1).and_then(|(at, _)| path.get(at..));
    for path in [Some(&path[..]), below].into_iter().flatten() {
        let in_partitions = own.iter().copied().chain(partitions).map(|partition| format!("{partition}{path}"));
        // A path that is one of the root's already is taken as it is.
        let whole = partitions
            .iter()
            .any(|partition| path.strip_prefix(&partition[..]).is_some_and(|rest| rest.starts_with('/')));
        let whole = whole.then(|| path.to_owned());
        places.extend(whole.into_iter().chain(in_partitions).chain([path.to_owned()]));
    }
    let mut seen = std::collections::BTreeSet::new();
    places.retain(|place| seen.insert(place.clone()));
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(path: &str, text: &str) -> Named {
        Named { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn entries_of_several_loaders_are_one_list_and_each_is_in_it_once() {
        let files = Files {
            type1: vec![named("/boot/loader/entries/a-6.12.conf", "linux /vmlinuz-6.12\noptions $kernelopts\n")],
            grub: vec![named(
                "/boot/grub2/grub.cfg",
                "set kernelopts=ro\nset default=\"${saved_entry}\"\nblscfg\nmenuentry 'One' {\n linux /vmlinuz-6.1 ro\n initrd /i\n}\n\
                 submenu 'More' {\n menuentry 'One' {\n  linux /vmlinuz-6.1 ro\n  initrd /i\n }\n}\n",
            )],
            environment: Some(b"saved_entry=a-6.12\n".to_vec()),
            images: vec!["/boot/efi/EFI/Linux/b.efi".to_owned()],
            boot: vec!["vmlinuz-5.10".to_owned()],
            ..Files::default()
        };
        let found = entries(&files, "quiet");
        let kernels: Vec<_> = found.entries.iter().map(|entry| (&entry.kernel[..], &entry.options[..])).collect();
        assert_eq!(kernels, [("/vmlinuz-6.12", "ro"), ("/vmlinuz-6.1", "ro"), ("/boot/efi/EFI/Linux/b.efi", "")]);
        assert_eq!(found.default, Some(0));
        let by_number = Files { environment: Some(b"saved_entry=1>0\n".to_vec()), ..files.clone() };
        assert_eq!(entries(&by_number, "").default, Some(1));
        let unknown = Files { environment: Some(b"saved_entry=gone\n".to_vec()), ..files };
        assert_eq!(entries(&unknown, "").default, None);
    }

    #[test]
    fn without_a_boot_loader_the_kernels_in_boot_count() {
        let names =
            ["initrd.img-6.1", "vmlinuz-6.1", "vmlinuz-6.12", "initramfs-6.12.img", "System.map-6.1", "vmlinuz-7.0"];
        let files = Files { boot: names.map(str::to_owned).to_vec(), ..Files::default() };
        let found = entries(&files, "root=/dev/vda ro\n").entries;
        assert_eq!(found.len(), 3);
        assert_eq!(found[0].initrds, ["/boot/initrd.img-6.1"]);
        assert_eq!(found[1].initrds, ["/boot/initramfs-6.12.img"]);
        assert_eq!((found[2].initrds.len(), &found[2].options[..]), (0, "root=/dev/vda ro"));
        let installed = Files { command_line: Some("root=/dev/vdb".to_owned()), ..files };
        assert_eq!(entries(&installed, "x").entries[0].options, "root=/dev/vdb");
    }

    #[test]
    fn systemd_boots_default_is_a_pattern() {
        let files = Files {
            type1: vec![
                named("/efi/loader/entries/a-6.1.conf", "linux /a\n"),
                named("/efi/loader/entries/b-6.1.conf", "linux /b\n"),
            ],
            loader_conf: Some("default b-*\n".to_owned()),
            ..Files::default()
        };
        assert_eq!(entries(&files, "").default, Some(1));
    }

    #[test]
    fn a_loaders_path_is_looked_for_in_its_partition_first() {
        let partitions = ["/boot", "/boot/efi", "/efi"].map(str::to_owned);
        let of = |file: &str, path: &str| places(file, path, &partitions);
        assert_eq!(of("/boot/loader/entries/a.conf", "/vmlinuz-1")[0], "/boot/vmlinuz-1");
        assert_eq!(of("/boot/efi/loader/entries/a.conf", "/b1/linux")[0], "/boot/efi/b1/linux");
        assert_eq!(of("/boot/grub/grub.cfg", "/boot/vmlinuz-1")[0], "/boot/vmlinuz-1");
        assert!(of("/boot/grub/grub.cfg", "/@/boot/vmlinuz-1").contains(&"/boot/vmlinuz-1".to_owned()));
        assert_eq!(of("/x", "vmlinuz"), ["/boot/vmlinuz", "/boot/efi/vmlinuz", "/efi/vmlinuz", "/vmlinuz"]);
    }
}
