//! What a boot loader can start: Boot Loader Specification entries of type 1
//! (<https://uapi-group.org/specifications/specs/boot_loader_specification/>), GRUB's menu entries ([`grub`]), and, where a
//! root has neither, the kernels in `/boot`. Entries of type 2, unified kernel images, are [`super::uki`]'s.
#![forbid(unsafe_code)]

pub mod grub;
pub mod menu;

use std::collections::BTreeMap;

/// Variables by name: GRUB's.
pub type Variables = BTreeMap<String, String>;

/// A kernel with its initramfs and command line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BootEntry {
    /// What a menu shows.
    pub title: Option<String>,
    /// The version that the entry names; often `uname -r` of the kernel, but not always.
    pub version: Option<String>,
    /// The file that the entry was found in.
    pub file: String,
    /// By which a boot loader's settings name it: the file's name without `.conf`, GRUB's `--id`.
    pub id: Option<String>,
    /// The other names that a boot loader's settings may use: GRUB's number or title, those of submenus before it
    /// (`1>0`).
    pub names: Vec<String>,
    /// The kernel's image, a path as the boot loader knows it: from the root of the file system that the loader reads.
    pub kernel: String,
    /// The images of the initramfs, likewise; the kernel unpacks all of them, one over another.
    pub initrds: Vec<String>,
    /// The command line.
    pub options: String,
    /// Architecture that the entry is for, as EFI names it; any where it is not told.
    pub architecture: Option<String>,
    /// `kernel` is an EFI program (`uki`, `efi`): a unified kernel image, or no Linux at all.
    pub is_efi: bool,
}

/// GRUB's environment block (`grub-editenv`): `NAME=VALUE` lines between a comment and `#` up to 1,024 bytes, with `\`
/// before a newline and `\` in values.
pub fn environment(block: &[u8]) -> Variables {
    let text = String::from_utf8_lossy(block);
    let mut lines = Vec::<String>::new();
    let mut line = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => line.extend(characters.next()),
            '\n' => lines.push(std::mem::take(&mut line)),
            other => line.push(other),
        }
    }
    let pairs = lines.iter().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Puts in the values of `$name` and `${name}`, as GRUB does; what has no value is empty.
pub fn expand(text: &str, variables: &Variables) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let (name, left) = name(after);
        match name {
            Some(name) => out.push_str(variables.get(name).map_or("", String::as_str)),
            None => out.push('$'),
        }
        rest = left;
    }
    out.push_str(rest);
    out
}

/// The variable's name at the beginning of what stands behind a `$`, and what follows it.
fn name(after: &str) -> (Option<&str>, &str) {
    if let Some(braced) = after.strip_prefix('{') {
        return braced.split_once('}').map_or((None, after), |(name, left)| (Some(name), left));
    }
    let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
    if end == 0 { (None, after) } else { (Some(&after[..end]), &after[end..]) }
}

/// Reads a type 1 entry; `None` where it starts no Linux: it names neither `linux` nor an EFI program. `file` is its path;
/// `variables` are GRUB's, which Fedora's entries use (`$kernelopts`, `$tuned_params`).
pub fn type1(file: &str, text: &str, variables: &Variables) -> Option<BootEntry> {
    let base = file.rsplit('/').next().unwrap_or(file);
    let base = base.strip_suffix(".conf").unwrap_or(base);
    let id = without_counter(base).to_owned();
    let mut entry = BootEntry { file: file.to_owned(), id: Some(id), ..BootEntry::default() };
    let (mut linux, mut efi, mut options) = (None, None, Vec::new());
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        let Some((key, value)) = line.split_once(|c: char| c.is_ascii_whitespace()) else { continue };
        let value = value.trim();
        // systemd-boot does not expand anything, and no path of its entries holds a dollar.
        let expanded = || expand(value, variables);
        match key {
            "title" => entry.title = Some(value.to_owned()),
            "version" => entry.version = Some(value.to_owned()),
            "architecture" => entry.architecture = Some(value.to_owned()),
            "linux" => linux = Some(expanded()),
            "uki" | "efi" => efi = Some(expanded()),
            // GRUB takes several on one line, and an empty $tuned_initrd for none.
            "initrd" => entry.initrds.extend(expanded().split_whitespace().map(str::to_owned)),
            "options" => options.push(expanded()),
            _ => {}
        }
    }
    entry.is_efi = linux.is_none();
    entry.kernel = linux.or(efi)?;
    entry.options =
        options.iter().map(|part| part.trim()).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
    Some(entry)
}

/// An entry's name without the counter of boot attempts, `+LEFT` or `+LEFT-DONE`.
fn without_counter(name: &str) -> &str {
    let is_counter = |counter: &str| {
        let (left, done) = counter.split_once('-').map_or((counter, None), |(left, done)| (left, Some(done)));
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number(left) && done.is_none_or(is_number)
    };
    match name.rsplit_once('+') {
        Some((rest, counter)) if is_counter(counter) => rest,
        _ => name,
    }
}

/// What `default` of systemd-boot's `loader.conf` says: a pattern of an entry's id.
pub fn loader_default(loader_conf: &str) -> Option<String> {
    let mut lines = loader_conf.lines().map(str::trim);
    let value = lines.find_map(|line| line.strip_prefix("default").filter(|rest| rest.starts_with([' ', '\t'])))?;
    Some(value.trim().to_owned())
}

/// Whether a name fits a pattern of `*` and `?`; `.conf` and `.efi` behind the name may stand or not.
pub fn fits(pattern: &str, name: &str) -> bool {
    let pattern = pattern.strip_suffix(".conf").or_else(|| pattern.strip_suffix(".efi")).unwrap_or(pattern);
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    // Where the last star was, and how much of the name it had eaten.
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, n));
                p += 1;
            }
            Some(&byte) if byte == b'?' || byte == name[n] => (p, n) = (p + 1, n + 1),
            _ => match star {
                Some((after, eaten)) => {
                    (p, n) = (after, eaten + 1);
                    star = Some((after, eaten + 1));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

/// The version that a kernel's file name tells.
pub fn version_of_name(path: &str) -> Option<&str> {
    let base = path.rsplit('/').next()?;
    ["vmlinuz-", "vmlinux-", "linux-", "kernel-", "bzImage-", "Image-"]
        .iter()
        .find_map(|prefix| base.strip_prefix(prefix))
}

/// `uname -r` out of an x86 kernel image (Documentation/arch/x86/boot.rst: `kernel_version` at 0x20e, from 0x200 on).
pub fn version_of_image(head: &[u8]) -> Option<String> {
    if head.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let pointer = u16::from_le_bytes(head.get(0x20e..0x210)?.try_into().ok()?);
    let text = head.get(usize::from(pointer).checked_add(0x200)?..)?;
    let text = text.get(..text.iter().position(|&byte| byte == 0)?)?;
    // "6.12.1 (builder@host) #1 SMP …"
    let release = std::str::from_utf8(text).ok()?.split_whitespace().next()?;
    (pointer != 0).then(|| release.to_owned())
}

/// The names that an initramfs has beside `vmlinuz-VERSION` (initramfs-tools, dracut, kernel-install's and Arch's).
pub fn initrd_names(version: &str) -> [String; 4] {
    [
        format!("initrd.img-{version}"),
        format!("initramfs-{version}.img"),
        format!("initrd-{version}"),
        format!("initramfs-{version}"),
    ]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fedoras_entries_take_their_options_from_the_environment() {
        let block = b"# GRUB Environment Block\n# WARNING: Do not edit\nsaved_entry=3a6b-6.12.9-200.fc41.x86_64\n\
                      kernelopts=root=UUID=9f ro rhgb quiet ima_appraise=log\nboot_success=0\nodd=a\\\\b\\\nc\n#####";
        let variables = environment(block);
        assert_eq!(variables["odd"], "a\\b\nc");
        let text = "title Fedora Linux (6.12.9-200.fc41.x86_64) 41 (Server)\nversion 6.12.9-200.fc41.x86_64\n\
                    linux /vmlinuz-6.12.9-200.fc41.x86_64\ninitrd /initramfs-6.12.9-200.fc41.x86_64.img $tuned_initrd\n\
                    options $kernelopts ${tuned_params}\ngrub_users $grub_users\ngrub_arg --unrestricted\ngrub_class fedora\n";
        let entry = type1("/boot/loader/entries/3a6b-6.12.9-200.fc41.x86_64.conf", text, &variables).unwrap();
        assert_eq!(entry.kernel, "/vmlinuz-6.12.9-200.fc41.x86_64");
        assert_eq!(entry.initrds, ["/initramfs-6.12.9-200.fc41.x86_64.img"]);
        assert_eq!(entry.options, "root=UUID=9f ro rhgb quiet ima_appraise=log");
        assert_eq!(entry.id.as_ref(), Some(&variables["saved_entry"]));
        assert_eq!(entry.version.as_deref(), Some("6.12.9-200.fc41.x86_64"));
        assert!(!entry.is_efi);
    }

    #[test]
    fn systemd_boots_entries_have_several_initrds_options_and_a_counter() {
        let text = "# Boot Loader Specification type#1 entry\ntitle      Debian GNU/Linux 13 (trixie)\nversion    6.12.117+deb13-amd64\n\
                    machine-id b1\nsort-key   debian\noptions    root=UUID=3f ro\noptions    quiet\n\
                    linux      /b1/6.12.117+deb13-amd64/linux\ninitrd     /b1/microcode\ninitrd     /b1/6.12.117+deb13-amd64/initrd.img-6.12.117+deb13-amd64\narchitecture x64\n";
        let entry =
            type1("/boot/efi/loader/entries/b1-6.12.117+deb13-amd64+3-1.conf", text, &Variables::new()).unwrap();
        assert_eq!(entry.id.as_deref(), Some("b1-6.12.117+deb13-amd64"));
        assert_eq!(entry.options, "root=UUID=3f ro quiet");
        assert_eq!(entry.initrds.len(), 2);
        assert_eq!(entry.architecture.as_deref(), Some("x64"));
        let shell =
            type1("/efi/loader/entries/shell.conf", "title Shell\nefi /shellx64.efi\n", &Variables::new()).unwrap();
        assert!(shell.is_efi && shell.kernel == "/shellx64.efi");
        assert_eq!(type1("/x.conf", "title nothing\n", &Variables::new()), None);
    }

    #[test]
    fn defaults_are_patterns() {
        assert_eq!(loader_default("timeout 3\ndefault  b1-*\n").as_deref(), Some("b1-*"));
        assert_eq!(loader_default("default-x y\n#default z\n"), None);
        assert!(fits("b1-*", "b1-6.12") && fits("b1-6.12.conf", "b1-6.12") && fits("*", "") && fits("a*b?d", "axxbcd"));
        assert!(!fits("b1-*", "b2-6.12") && !fits("a", "ab") && !fits("", "a") && !fits("a*b?d", "axxbcdd"));
    }

    #[test]
    fn a_kernel_tells_its_release() {
        let mut image = vec![0; 0x400];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x20e..0x210].copy_from_slice(&0x120_u16.to_le_bytes());
        let text = b"6.12.9-200.fc41.x86_64 (mockbuild@x) #1 SMP\0";
        image[0x320..0x320 + text.len()].copy_from_slice(text);
        assert_eq!(version_of_image(&image).as_deref(), Some("6.12.9-200.fc41.x86_64"));
        assert_eq!(version_of_image(&image[..0x330]), None);
        assert_eq!(version_of_image(b"MZ"), None);
        assert_eq!(version_of_name("/boot/vmlinuz-6.1"), Some("6.1"));
        assert_eq!(version_of_name("/boot/vmlinuz"), None);
    }

    #[test]
    fn variables_without_a_value_are_empty() {
        let variables = Variables::from([("a".to_owned(), "1".to_owned())]);
        assert_eq!(expand("$a${a}$b.${b}$-${a $", &variables), "11.$-${a $");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(linux|initrd|options|title|[$ {}\\\\\n\t=#+*a-c/-]){0,60}", other in ".{0,20}") {
            let variables = environment(text.as_bytes());
            let _ = type1(&other, &text, &variables);
            let _ = expand(&other, &variables);
            let _ = loader_default(&text);
            let _ = fits(&text, &other);
            let _ = version_of_image(text.as_bytes());
        }
    }
}
