//! `imactl check --next-boot` on a private root with kernels, boot entries and images made by the real cpio.

use std::path::Path;
use std::process::{Command, Stdio};

use imad::bus::manager::ManagerProxy;
use imad::model::manifest::Manifest;
use imad::model::message_id;
use imad::model::next_boot::{BootKernel, NextBoot, Outcome};
use zbus::proxy::CacheProperties;

use crate::fixture::{PrivateRoot, Signed, folder};
use crate::machine;
use crate::service::{Bus, Service, wait};

pub(crate) const NEW: &str = "6.12.9-200.fc41.x86_64";
pub(crate) const OLD: &str = "6.11.4-301.fc41.x86_64";
const POLICY: &str = "dont_appraise fsname=rootfs\n\
                      appraise func=BPRM_CHECK fowner=4711 appraise_type=imasig\n";
const IMAD_BOOT: &str = "usr/lib/imad/imad-boot";

pub(crate) fn write(root: &PrivateRoot, path: &str, content: impl AsRef<[u8]>) {
    let file = root.join(path);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, content).unwrap();
}

/// An image with these files, by the real programs.
fn image(root: &PrivateRoot, path: &str, files: &[(&str, &[u8])], packer: &[&str]) {
    let folder = folder();
    for (name, content) in files {
        let file = folder.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, content).unwrap();
    }
    let target = root.join(path);
    std::fs::create_dir_all(target.parent().unwrap()).unwrap();
    let pipe = format!("find . -mindepth 1 | cpio --quiet -o -H newc | {} > \"$1\"", packer.join(" "));
    let status = Command::new("sh")
        .args(["-c", &pipe, "sh"])
        .arg(&target)
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "cpio or {packer:?}");
}

fn dracut_files(imad_boot: &[u8]) -> Vec<(&'static str, &[u8])> {
    vec![
        ("init", b"#!/bin/sh\n"),
        (IMAD_BOOT, imad_boot),
        ("etc/systemd/system/initrd.target.wants/imad-boot.service", b"[Unit]\n"),
        ("usr/lib/systemd/system/imad-boot.service", b"[Unit]\n"),
    ]
}

/// A root with a signed policy, a certificate, and two kernels: the new one's image holds imad-boot, the old one's does not.
pub(crate) fn root() -> PrivateRoot {
    let root = PrivateRoot::new();
    let config = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/kernel-config")).unwrap();
    write(&root, IMAD_BOOT, b"imad-boot of today");
    write(&root, "etc/ima/ima-policy", POLICY);
    sign(&root.join("etc/ima/ima-policy"));
    for (release, is_new) in [(NEW, true), (OLD, false)] {
        write(&root, &format!("boot/config-{release}"), &config);
        write(&root, &format!("boot/vmlinuz-{release}"), b"MZ");
        let text = format!(
            "title Fedora Linux ({release})\nversion {release}\nlinux /vmlinuz-{release}\n\
             initrd /initramfs-{release}.img $tuned_initrd\noptions $kernelopts $tuned_params\n"
        );
        write(&root, &format!("boot/loader/entries/3a6b-{release}.conf"), text);
        let files = if is_new { dracut_files(b"imad-boot of today") } else { vec![("init", &b"#!/bin/sh\n"[..])] };
        let packer: &[&str] = if is_new { &["zstd", "-cq"] } else { &["gzip", "-c"] };
        image(&root, &format!("boot/initramfs-{release}.img"), &files, packer);
    }
    write(&root, "boot/grub2/grub.cfg", "set default=\"${saved_entry}\"\nblscfg\n");
    let environment =
        format!("# GRUB Environment Block\nsaved_entry=3a6b-{NEW}\nkernelopts=root=UUID=9f ro rhgb quiet\n###");
    write(&root, "boot/grub2/grubenv", environment);
    root
}

pub(crate) fn sign(file: &Path) {
    machine::sign(file, "ima");
}

fn ask(root: &PrivateRoot, arguments: &[&str]) -> (i32, NextBoot) {
    let (code, text) = root.imactl(&[&["--json", "check", "--next-boot"], arguments].concat());
    (code, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
}

fn of<'r>(report: &'r NextBoot, release: &str) -> &'r BootKernel {
    report.kernels.iter().find(|kernel| kernel.release == release).unwrap_or_else(|| panic!("{release}: {report:?}"))
}

#[test]
fn every_kernel_is_judged_with_its_own_image() {
    let root = root();
    let (code, report) = ask(&root, &[]);
    assert_eq!((code, report.kernels.len()), (1, 2), "{report:?}");
    let (new, old) = (of(&report, NEW), of(&report, OLD));
    assert_eq!((new.outcome, new.is_default), (Outcome::Protected, Some(true)), "{new:?}");
    assert!(new.ready && new.problems.is_empty() && new.notes.is_empty(), "{new:?}");
    assert_eq!(new.command_line, "root=UUID=9f ro rhgb quiet");
    assert_eq!(new.initrds, [format!("/boot/initramfs-{NEW}.img")]);
    assert_eq!((old.outcome, old.ready), (Outcome::Fails, false));
    assert!(old.problems[0].what.contains("does not hold imad-boot"), "{old:?}");
    assert!(old.problems[0].next.contains(&format!("dracut --force --kver {OLD}")), "{old:?}");

    let (code, report) = ask(&root, &["--kernel", NEW]);
    assert_eq!((code, report.ready), (0, true), "{report:?}");
    assert!(report.summary.starts_with("The next boot is protected: 1 kernel, "), "{}", report.summary);
    let (code, text) = root.imactl(&["check", "--next-boot", "--kernel", "7.7"]);
    assert!(code == 2 && text.contains("no kernel 7.7"), "{text}");

    let (code, text) = root.imactl(&["check", "--next-boot"]);
    assert!(code == 1 && text.starts_with("The next boot would fail: the initramfs of 6.11.4"), "{text}");
    assert!(text.contains("protected  Fedora Linux (6.12.9-200.fc41.x86_64)  by default"), "{text}");
}

#[test]
fn a_file_that_the_policy_denies_is_named_with_its_package_and_rule() {
    let root = root();
    root.install(&[root.build("shell", "1.0", &[("/bin/sh", "#!/bin/sh\n", "0755")], Signed::Not)]);
    write(&root, "etc/ima/ima-policy", "dont_appraise fsname=rootfs\nappraise func=BPRM_CHECK appraise_type=imasig\n");
    sign(&root.join("etc/ima/ima-policy"));
    let (code, report) = ask(&root, &["--kernel", NEW]);
    let kernel = of(&report, NEW);
    assert_eq!((code, kernel.outcome, kernel.refused_count), (1, Outcome::Unprotected, 1), "{kernel:?}");
    let file = &kernel.refused[0];
    assert_eq!((file.path.as_str(), file.core), ("/bin/sh", true));
    assert_eq!(file.rule.as_ref().and_then(|rule| rule.line), Some(2));
    assert!(file.package.as_deref().is_some_and(|package| package.starts_with("shell-1.0-1")), "{file:?}");
    assert!(file.needed_for.is_some(), "{file:?}");
    assert_eq!(report.packages(), [file.package.as_deref().unwrap()]);
    assert!(report.summary.contains("first one of shell-1.0-1"), "{}", report.summary);
    // A closed guard stops there.
    write(&root, "etc/imad/imad.toml", "[boot]\nguard = 'closed'\n");
    assert_eq!(of(&ask(&root, &[]).1, NEW).outcome, Outcome::Fails);
    root.install(&[root.build("shell", "1.1", &[("/bin/sh", "#!/bin/sh\n", "0755")], Signed::Good)]);
    root.report(&["relabel"]);
    assert_eq!(of(&ask(&root, &[]).1, NEW).outcome, Outcome::Protected);
}

#[test]
fn images_that_brick_or_are_older_are_told() {
    let root = root();
    let path = format!("boot/initramfs-{NEW}.img");
    let mut files = dracut_files(b"imad-boot of yesterday");
    image(&root, &path, &files, &["xz", "-c", "--check=crc32"]);
    let (code, report) = ask(&root, &["--kernel", NEW]);
    let kernel = of(&report, NEW);
    assert!(code == 0 && kernel.notes[0].what.contains("holds another imad-boot"), "{kernel:?}");
    files.push(("etc/ima/ima-policy", b"measure func=BPRM_CHECK\n"));
    image(&root, &path, &files, &["lz4", "-lc"]);
    let kernel = of(&ask(&root, &[]).1, NEW).clone();
    assert!(kernel.outcome == Outcome::Fails && kernel.problems[0].what.contains("before any key"), "{kernel:?}");
    write(&root, &path, b"neither archive nor compressed");
    let kernel = of(&ask(&root, &[]).1, NEW).clone();
    assert!(kernel.outcome == Outcome::Unknown && !kernel.ready, "{kernel:?}");
    assert!(kernel.problems[0].what.contains("neither a cpio archive nor compressed"), "{kernel:?}");
}

#[test]
fn a_policy_that_imad_boot_does_not_take_is_a_no() {
    let root = root();
    write(&root, "etc/ima/ima-policy", format!("# changed\n{POLICY}"));
    let unsigned = of(&ask(&root, &[]).1, NEW).clone();
    assert!(
        unsigned.outcome == Outcome::Unprotected && unsigned.problems[0].what.contains("is not signed"),
        "{unsigned:?}"
    );
    write(&root, "etc/ima/ima-policy", format!("{POLICY}appraise func=NONSENSE\n"));
    sign(&root.join("etc/ima/ima-policy"));
    let wrong = of(&ask(&root, &[]).1, NEW).clone();
    assert!(wrong.problems.iter().any(|problem| problem.what.contains("NONSENSE")), "{wrong:?}");
    std::fs::remove_file(root.join("etc/ima/ima-policy")).unwrap();
    let (code, report) = ask(&root, &[]);
    assert!(code == 0 && report.summary.contains("is not there"), "{report:?}");
}

#[test]
fn debians_menu_counts_like_fedoras_entries() {
    let root = root();
    std::fs::remove_dir_all(root.join("boot/loader")).unwrap();
    std::fs::remove_dir_all(root.join("boot/grub2")).unwrap();
    let menu = format!(
        "set default=\"0\"\nmenuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple-3f' {{\n\
         \tlinux\t/boot/vmlinuz-{NEW} root=UUID=3f ro quiet\n\tinitrd\t/boot/initramfs-{NEW}.img\n}}\n\
         submenu 'Advanced options' {{\n\tmenuentry 'Debian GNU/Linux, with Linux {OLD}' {{\n\
         \t\tlinux\t/boot/vmlinuz-{OLD} root=UUID=3f ro ima_appraise=off\n\t\tinitrd\t/boot/initramfs-{OLD}.img\n\t}}\n}}\n"
    );
    write(&root, "boot/grub/grub.cfg", menu);
    let (_, report) = ask(&root, &[]);
    assert_eq!(of(&report, NEW).is_default, Some(true));
    assert_eq!(of(&report, NEW).outcome, Outcome::Protected);
    // Not enforced, so nothing stops it.
    assert_eq!(of(&report, OLD).outcome, Outcome::Unprotected);
    // And without any boot loader, by what is in /boot.
    std::fs::remove_dir_all(root.join("boot/grub")).unwrap();
    let (_, report) = ask(&root, &[]);
    assert_eq!((report.kernels.len(), of(&report, OLD).outcome), (2, Outcome::Fails));
}

/// The property: ready, outdated, packages.
fn property(service: &Service) -> Option<(bool, bool, Vec<String>)> {
    service.ask(async |connection| {
        let manager = ManagerProxy::builder(connection).cache_properties(CacheProperties::No).build().await?;
        let mut found = manager.next_boot().await?;
        let mut flag = |name| found.remove(name).map(bool::try_from).transpose();
        let (ready, outdated) = (flag("ready")?, flag("outdated")?);
        let packages = found.remove("packages").map(Vec::<String>::try_from).transpose()?;
        Ok(ready.zip(outdated).zip(packages).map(|((ready, outdated), packages)| (ready, outdated, packages)))
    })
}

#[test]
fn the_daemon_says_at_once_which_package_endangers_the_next_boot() {
    let (bus, root) = (Bus::new(), root());
    // One kernel, which is ready.
    for file in [format!("boot/loader/entries/3a6b-{OLD}.conf"), format!("boot/vmlinuz-{OLD}")] {
        std::fs::remove_file(root.join(&file)).unwrap();
    }
    write(&root, "etc/ima/ima-policy", "dont_appraise fsname=rootfs\nappraise func=BPRM_CHECK appraise_type=imasig\n");
    sign(&root.join("etc/ima/ima-policy"));
    let shell = |version: &str, signed| root.build("shell", version, &[("/bin/sh", "#!/bin/sh\n", "0755")], signed);
    root.install(&[shell("1.0", Signed::Good)]);
    let mut service = Service::start(&bus, &root);
    service.wait_for("running");
    assert_eq!(property(&service), None);

    let motd = root.join("run/motd.d/imad");
    root.install(&[shell("2.0", Signed::Not)]);
    let line = wait("the journal's line", || service.journal(message_id::NEXT_BOOT_NOT_READY).pop());
    assert!(line["WHAT"].starts_with("The next boot would not be protected: with kernel 6.12.9"), "{line:?}");
    assert!(line["PACKAGES"].starts_with("shell-2.0-1"), "{line:?}");
    assert_eq!((line["NEXT"].as_str(), line["PRIORITY"].as_str()), ("imactl check --next-boot", "3"));
    let bad = vec!["shell-2.0-1.noarch".to_owned()];
    wait("the property", || (property(&service) == Some((false, false, bad.clone()))).then_some(()));
    let text = wait("the line for logins", || std::fs::read_to_string(&motd).ok());
    assert!(text.starts_with("imad: The next boot would not be protected: "), "{text}");
    let (_, text) = root.imactl(&["status"]);
    assert!(text.starts_with("The next boot would not be protected: with kernel 6.12.9"), "{text}");

    root.install(&[shell("3.0", Signed::Good)]);
    wait("the property", || (property(&service) == Some((true, false, vec![]))).then_some(()));
    wait("the end of the line for logins", || (!motd.exists()).then_some(()));
    assert_eq!(service.journal(message_id::NEXT_BOOT_READY).len(), 1);
    // What the guard asks for is what was judged.
    let manifest = Manifest::parse(&std::fs::read(root.join("etc/imad/state/manifest")).unwrap()).unwrap();
    let shell = manifest.entries().iter().find(|entry| entry.path == b"/bin/sh").unwrap();
    assert!(shell.core && shell.label.is_some(), "{shell:?}");

    // An image or a policy that is another: the answer is of no use any more, and is said to be.
    let first_line = || root.imactl(&["status"]).1.lines().next().unwrap().to_owned();
    assert!(!first_line().contains("before the last change"), "{}", first_line());
    let image = root.join(&format!("boot/initramfs-{NEW}.img"));
    let kept = std::fs::read(&image).unwrap();
    std::fs::write(&image, &kept[1..]).unwrap();
    assert!(first_line().contains("before the last change of packages, policy or initramfs"), "{}", first_line());
    drop(service);
    std::fs::write(&image, &kept).unwrap();
    let service = Service::start(&bus, &root);
    wait("the check at start", || (property(&service) == Some((true, false, vec![]))).then_some(()));
    write(&root, "etc/ima/ima-policy", POLICY);
    sign(&root.join("etc/ima/ima-policy"));
    assert!(first_line().contains("before the last change"), "{}", first_line());
}

#[test]
fn a_unified_kernel_image_brings_its_own_command_line_and_initramfs() {
    let root = root();
    for path in ["boot/loader", "boot/grub2"] {
        std::fs::remove_dir_all(root.join(path)).unwrap();
    }
    let initrd = std::fs::read(root.join(&format!("boot/initramfs-{NEW}.img"))).unwrap();
    let sections: [(&str, &[u8]); 5] = [
        (".osrel", b"PRETTY_NAME=\"Fedora Linux 41\"\n"),
        (".uname", NEW.as_bytes()),
        (".cmdline", b"root=UUID=9f ro imad.policy=off\0"),
        (".initrd", &initrd),
        (".linux", b"MZ"),
    ];
    write(&root, "boot/efi/EFI/Linux/fedora.efi", unified(&sections));
    write(&root, "boot/efi/EFI/Linux/shell.efi", unified(&[(".text", b"no kernel")]));
    let (code, report) = ask(&root, &[]);
    let kernel = of(&report, NEW);
    assert_eq!((code, report.kernels.len(), kernel.outcome), (0, 1, Outcome::Unprotected), "{report:?}");
    assert_eq!(kernel.title.as_deref(), Some("Fedora Linux 41"));
    assert!(kernel.notes[0].what.contains("imad.policy=off"), "{kernel:?}");
    assert!(report.images[0].contents.imad_boot, "{report:?}");
}

/// A PE program of 64 bits with these sections, as far as a boot loader looks at it.
fn unified(sections: &[(&str, &[u8])]) -> Vec<u8> {
    const OPTIONAL: usize = 112;
    let aligned = |length: usize| length.next_multiple_of(512);
    let four = |value: usize| u32::try_from(value).unwrap().to_le_bytes();
    let mut image = b"MZ".to_vec();
    image.resize(0x3c, 0);
    image.extend(four(0x40));
    image.extend(b"PE\0\0\x64\x86");
    image.extend(u16::try_from(sections.len()).unwrap().to_le_bytes());
    image.extend([0; 12]);
    image.extend(u16::try_from(OPTIONAL).unwrap().to_le_bytes());
    image.extend([0, 0, 0x0b, 0x02]);
    image.resize(image.len() + OPTIONAL - 2, 0);
    let mut at = aligned(image.len() + 40 * sections.len());
    for (name, content) in sections {
        let begin = image.len();
        image.extend(name.as_bytes());
        image.resize(begin + 8, 0);
        for field in [content.len(), 0x1000, aligned(content.len()), at] {
            image.extend(four(field));
        }
        image.resize(begin + 40, 0);
        at += aligned(content.len());
    }
    for (_, content) in sections {
        image.resize(aligned(image.len()), 0);
        image.extend(*content);
    }
    image.resize(aligned(image.len()), 0);
    image
}
