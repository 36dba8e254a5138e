//! What a boot needs: of a small root that is made up, and of this machine.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use imad::model::cert::Certificate;
use imad::model::manifest::{Entry, Manifest, PATH, Use, Uses};
use imad::model::program::Role;
use imad::model::verify::Trust;
use imad::ops::boot_files::{BootFile, BootFiles, gather};
use imad::ops::loading::{Part, loading};
use imad::ops::manifest;
use imad::sys::root::Root;

use crate::fixture::run;
use crate::machine;

/// A root with real programs of this machine.
struct Small {
    folder: tempfile::TempDir,
}

impl Small {
    fn new() -> Self {
        let small = Self { folder: machine::folder() };
        for folder in ["usr/bin", "usr/sbin", "usr/lib64", "etc"] {
            std::fs::create_dir_all(small.join(folder)).unwrap();
        }
        // As merged distributions have it.
        for (link, target) in [("bin", "usr/bin"), ("sbin", "usr/sbin"), ("lib", "usr/lib"), ("lib64", "usr/lib64")] {
            symlink(target, small.join(link)).unwrap();
        }
        small
    }

    fn join(&self, path: &str) -> PathBuf {
        self.folder.path().join(path.trim_start_matches('/'))
    }

    fn root(&self) -> Root {
        Root::open(self.folder.path()).unwrap()
    }

    fn put(&self, path: &str, content: &[u8], mode: u32) {
        let path = self.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    }

    fn text(&self, path: &str, text: &str) {
        self.put(path, text.as_bytes(), 0o644);
    }

    fn script(&self, path: &str, text: &str) {
        self.put(path, text.as_bytes(), 0o755);
    }

    fn link(&self, path: &str, target: &str) {
        let path = self.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
    }

    /// Copies a program of this machine to a path, and its loader and libraries to where they are here.
    fn program(&self, path: &str, from: &str) {
        self.put(path, &std::fs::read(from).unwrap(), 0o755);
        for part in &loading(&Root::running().unwrap(), from.as_bytes(), &[]).parts[1..] {
            let name = std::str::from_utf8(&part.path).unwrap();
            self.put(name, &std::fs::read(name).unwrap(), 0o755);
        }
        // The name by which programs know their loader.
        let loader = self.join("/lib64/ld-linux-x86-64.so.2");
        if !loader.exists() {
            symlink(std::fs::canonicalize("/lib64/ld-linux-x86-64.so.2").unwrap(), loader).unwrap();
        }
    }
}

fn letter(one: Use) -> char {
    match one {
        Use::Program => 'p',
        Use::Script => 's',
        Use::Loader => 'i',
        Use::Library => 'l',
        Use::Module => 'm',
        Use::Firmware => 'f',
        Use::Read => 'r',
    }
}

/// What is done with each file, by path.
fn shown(found: &BootFiles) -> BTreeMap<String, String> {
    let letters = |uses: Uses| uses.iter().map(letter).collect::<String>();
    let file = |file: &BootFile| {
        let core = if file.core { "*" } else { "" };
        (String::from_utf8(file.path.clone()).unwrap(), format!("{}{core}", letters(file.uses)))
    };
    found.files.iter().map(file).collect()
}

/// The loader and libraries of a program of the core, as they are to be found.
fn libraries(from: &str) -> BTreeMap<String, String> {
    let parts = loading(&Root::running().unwrap(), from.as_bytes(), &[]).parts;
    let part = |part: &Part| {
        let one = if part.role == Role::Loader { "i" } else { "l" };
        (String::from_utf8(part.path.clone()).unwrap(), format!("{one}*"))
    };
    parts[1..].iter().map(part).collect()
}

fn small() -> Small {
    let small = Small::new();
    small.program("/usr/lib/systemd/systemd", "/usr/bin/true");
    small.link("/usr/sbin/init", "../lib/systemd/systemd");
    small.program("/usr/bin/dash", "/usr/bin/dash");
    small.link("/usr/bin/sh", "dash");

    // Units: reached and not, with drop-in, mask, template, alias, socket; one of them starts a script.
    let unit = "/usr/lib/systemd/system";
    small.text(&format!("{unit}/multi-user.target"), "[Unit]\nRequires=basic.target\nWants=masked.service\n");
    small.text(&format!("{unit}/basic.target"), "[Unit]\nDescription=Basic\n");
    small.link("/etc/systemd/system/default.target", &format!("{unit}/multi-user.target"));
    small.text(&format!("{unit}/masked.service"), "[Service]\nExecStart=/usr/bin/masked\n");
    small.link("/etc/systemd/system/masked.service", "/dev/null");
    small.text(&format!("{unit}/unreached.service"), "[Service]\nExecStart=/usr/bin/unreached\n");
    small.text(
        &format!("{unit}/web.service"),
        "[Service]\nExecStart=/usr/bin/replaced\nExecStartPre=-/usr/bin/before x\n",
    );
    small.text(
        "/etc/systemd/system/web.service.d/ours.conf",
        "[Service]\nExecStart=\nExecStart=@/usr/bin/web web ; later\n",
    );
    small.link("/etc/systemd/system/multi-user.target.wants/web.service", &format!("{unit}/web.service"));
    small.text(&format!("{unit}/getty@.service"), "[Service]\nExecStart=-/sbin/agetty - %I --run /usr/bin/of-%i\n");
    small.text(&format!("{unit}/x.socket"), "[Socket]\nListenStream=/run/x\n");
    small.text(&format!("{unit}/x.service"), "[Service]\nExecStart=/bin/sh -c 'exec inner --flag'\nPAMName=special\n");
    small.link(&format!("{unit}/basic.target.wants/x.socket"), "../x.socket");
    for name in ["masked", "unreached", "replaced", "nowhere"] {
        small.script(&format!("/usr/bin/{name}"), "#!/bin/sh\n");
    }
    small.script(
        "/usr/bin/before",
        "#!/bin/sh -e\n# unreached\n. /usr/share/functions\nif [ -x /usr/sbin/named ]; then helper; fi\n",
    );
    small.text("/usr/share/functions", "deeper() { deep; }\n");
    for name in ["web", "later", "inner", "helper", "deep", "of-tty1"] {
        small.program(&format!("/usr/bin/{name}"), "/usr/bin/true");
    }
    small.program("/usr/sbin/named", "/usr/bin/true");
    small.program("/usr/sbin/agetty", "/usr/bin/true");

    // Devices, the kernel, modules.
    small.text(
        "/usr/lib/udev/rules.d/60-x.rules",
        "KERNEL==\"sd*\", IMPORT{program}=\"probe --export $devnode\", RUN+=\"/usr/bin/run\"\n",
    );
    small.text("/usr/lib/udev/rules.d/70-off.rules", "RUN+=\"/usr/bin/unreached\"\n");
    small.link("/etc/udev/rules.d/70-off.rules", "/dev/null");
    small.program("/usr/lib/udev/probe", "/usr/bin/true");
    small.program("/usr/bin/run", "/usr/bin/true");
    small.text("/usr/lib/sysctl.d/50-core.conf", "kernel.core_pattern=|/usr/lib/core %p\n");
    small.program("/usr/lib/core", "/usr/bin/true");
    small.text("/etc/modules-load.d/x.conf", "dm-x\n");
    small.text(
        "/usr/lib/modules/6.12/modules.dep",
        "kernel/dm-x.ko.xz: kernel/dep.ko\nkernel/dep.ko:\nkernel/other.ko:\nkernel/soft.ko:\n",
    );
    small.text(
        "/etc/modprobe.d/x.conf",
        "softdep dm_x post: soft\ninstall dm_x tool x && modprobe --ignore-install dm_x\n",
    );
    small.program("/usr/bin/tool", "/usr/bin/true");
    for name in ["dm-x.ko.xz", "dep.ko", "other.ko", "soft.ko"] {
        small.text(&format!("/usr/lib/modules/6.12/kernel/{name}"), "module");
    }

    // Of the scripts of System V's init, the one that no unit stands for.
    small.script("/etc/init.d/old", "#!/bin/sh\n");
    small.script("/etc/init.d/web", "#!/bin/sh\n");
    small.link("/etc/rc3.d/S01old", "../init.d/old");
    small.link("/etc/rc3.d/S02web", "../init.d/web");
    small.link("/etc/rc3.d/K01web", "../init.d/web");

    // A login.
    small.text("/etc/pam.d/login", "auth required pam_a.so\n@include common\n");
    small.text("/etc/pam.d/common", "session optional pam_b.so\n");
    small.text("/etc/pam.d/special", "session optional pam_c.so\n");
    small.text("/etc/pam.d/unused", "session optional pam_d.so\n");
    small.text("/etc/nsswitch.conf", "passwd: files own\n");
    let library = std::fs::canonicalize("/lib/x86_64-linux-gnu/libm.so.6").unwrap();
    let library = std::fs::read(library).unwrap();
    for name in ["pam_a.so", "pam_b.so", "pam_c.so", "pam_d.so"] {
        small.put(&format!("/usr/lib64/security/{name}"), &library, 0o644);
    }
    small.put("/usr/lib64/libnss_own.so.2", &library, 0o644);
    small.text("/etc/passwd", "root:x:0:0::/root:/usr/bin/rootsh\nno:x:5:5::/:/usr/bin/nowhere\n");
    small.text("/etc/shadow", "root:!::::::\nno:*::::::\n");
    small.program("/usr/bin/rootsh", "/usr/bin/true");
    small
}

#[test]
fn of_a_small_root_exactly_what_is_reached_is_found() {
    let small = small();
    let found = gather(&small.root());
    let mut expected = libraries("/usr/bin/true");
    expected.extend(libraries("/usr/bin/dash"));
    for (path, uses) in [
        ("/usr/lib/systemd/systemd", "p*"),
        ("/usr/bin/dash", "p*"),
        ("/usr/bin/before", "s"),
        ("/usr/share/functions", "r"),
        ("/etc/init.d/old", "s"),
        ("/usr/bin/web", "p"),
        ("/usr/bin/inner", "p"),
        ("/usr/bin/helper", "p"),
        ("/usr/bin/deep", "p"),
        ("/usr/bin/of-tty1", "p"),
        ("/usr/sbin/named", "p"),
        ("/usr/sbin/agetty", "p"),
        ("/usr/bin/later", "p"),
        ("/usr/lib/udev/probe", "p"),
        ("/usr/bin/run", "p"),
        ("/usr/lib/core", "p"),
        ("/usr/lib/modules/6.12/kernel/dm-x.ko.xz", "m"),
        ("/usr/lib/modules/6.12/kernel/dep.ko", "m"),
        ("/usr/lib/modules/6.12/kernel/soft.ko", "m"),
        ("/usr/bin/tool", "p"),
        ("/usr/lib64/security/pam_a.so", "l"),
        ("/usr/lib64/security/pam_b.so", "l"),
        ("/usr/lib64/security/pam_c.so", "l"),
        ("/usr/lib64/libnss_own.so.2", "l"),
        ("/usr/bin/rootsh", "p"),
    ] {
        expected.insert(path.to_owned(), uses.to_owned());
    }
    assert_eq!(shown(&found), expected);
    assert_eq!(found.problems, []);
    let why = |path: &[u8]| &found.files.iter().find(|file| file.path == path).unwrap().why;
    assert_eq!(why(b"/usr/bin/web"), "unit web.service");
    assert_eq!(why(b"/usr/bin/deep"), "/usr/share/functions names it");
    assert_eq!(why(b"/usr/lib64/security/pam_b.so"), "PAM service common");
}

#[test]
fn a_library_that_a_program_says_it_opens_is_found() {
    let small = small();
    let program = small.folder.path().join("opens.c");
    // systemd's docs/ELF_DLOPEN_METADATA.md, "Implementation".
    let note = r#"__asm__(".pushsection .note.dlopen, \"a\", %note\n.balign 4\n.long 4\n.long 2f-1f\n.long 0x407c0c0a\n"
        ".asciz \"FDO\"\n1: .asciz \"[{\\\"feature\\\":\\\"x\\\",\\\"soname\\\":[\\\"libnot.so.3\\\",\\\"libown.so.2\\\",\\\"libold.so.1\\\"]}]\"\n"
        "2: .balign 4\n.popsection\n");
        int main(void) { return 0; }"#;
    std::fs::write(&program, note).unwrap();
    std::fs::create_dir_all(small.join("usr/lib/imad")).unwrap();
    run("cc", &["-o".as_ref(), small.join("usr/lib/imad/opens").as_os_str(), program.as_os_str()]);
    let library = std::fs::read("/lib/x86_64-linux-gnu/libm.so.6").unwrap();
    for name in ["libown.so.2", "libold.so.1"] {
        small.put(&format!("/usr/lib64/{name}"), &library, 0o644);
    }
    let found = gather(&small.root());
    let why = |path: &str| found.files.iter().find(|file| file.path == path.as_bytes()).map(|file| file.why.as_str());
    assert_eq!(why("/usr/lib/imad/opens"), Some("imad"));
    assert_eq!(why("/usr/lib64/libown.so.2"), Some("/usr/lib/imad/opens opens it while it runs"));
    assert_eq!(why("/usr/lib64/libold.so.1"), None);
}

#[test]
fn what_the_core_lacks_is_a_problem() {
    let small = small();
    std::fs::remove_file(small.join("/usr/bin/sh")).unwrap();
    std::fs::remove_file(small.join("/usr/bin/web")).unwrap();
    for part in loading(&Root::running().unwrap(), b"/usr/bin/true", &[]).parts {
        if part.path.windows(8).any(|name| name == b"/libc.so") {
            std::fs::remove_file(small.join(std::str::from_utf8(&part.path).unwrap())).unwrap();
        }
    }
    let problems = gather(&small.root()).problems;
    let what: Vec<&str> = problems.iter().map(|problem| problem.what.as_str()).collect();
    assert_eq!(what.len(), 2, "{what:?}");
    assert!(what[0].starts_with("libc.so.6 (/usr/lib/systemd/systemd needs it)"), "{what:?}");
    assert!(what[1].starts_with("/bin/sh (the shell)"), "{what:?}");
}

#[test]
fn of_this_machine_core_shell_and_libc_are_found_and_nothing_outside() {
    let root = Root::running().unwrap();
    let begin = std::time::Instant::now();
    let found = gather(&root);
    let took = begin.elapsed();
    assert_eq!(found.problems, []);
    let real = |path: &str| std::fs::canonicalize(path).unwrap().into_os_string().into_encoded_bytes();
    let file = |path: &str| {
        let path = real(path);
        found.files.iter().find(|file| file.path == path).unwrap_or_else(|| panic!("{path:?} is not found"))
    };
    for core in ["/sbin/init", "/bin/sh", "/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/libc.so.6"] {
        assert!(file(core).core, "{core}");
    }
    assert!(file("/lib64/ld-linux-x86-64.so.2").uses.has(Use::Loader));
    assert!(file("/bin/sh").uses.has(Use::Program));
    assert!(file("/bin/bash").needed && file("/bin/sh").needed);
    assert!(!file("/proc/self/exe").needed, "whoever runs a program would keep the policy from being loaded");
    assert!(file("/proc/self/exe").why.ends_with("runs"), "{}", file("/proc/self/exe").why);
    for other in
        ["/usr/lib/systemd/systemd-shutdown", "/bin/bash", "/usr/lib/systemd/system-generators/systemd-fstab-generator"]
    {
        assert!(!file(other).core && file(other).uses.has(Use::Program), "{other}");
    }
    let outside = ["/proc/", "/sys/", "/run/", "/dev/"];
    for file in &found.files {
        let path = Path::new(std::str::from_utf8(&file.path).unwrap());
        assert!(path.is_absolute() && !outside.iter().any(|folder| path.starts_with(folder)), "{file:?}");
        // What runs now, other tests' programs among it, may be gone already.
        if !path.starts_with("/usr") && !path.exists() {
            continue;
        }
        assert_eq!(std::fs::canonicalize(path).unwrap(), path, "{file:?}");
        assert!(std::fs::symlink_metadata(path).unwrap().is_file(), "{file:?}");
    }
    let paths: Vec<&[u8]> = found.files.iter().map(|file| file.path.as_slice()).collect();
    assert!(paths.is_sorted() && paths.len() > 200, "{}", paths.len());
    println!("{} files in {took:?}", paths.len());
}

fn trust() -> Trust {
    Trust::new([Certificate::parse(&std::fs::read(machine::keys().join("ima.der")).unwrap()).unwrap()])
}

fn of(path: &str, core: bool) -> BootFile {
    BootFile { path: path.into(), uses: Uses::from(Use::Program), core, needed: core, why: "a test".to_owned() }
}

#[test]
fn a_label_is_noted_only_where_it_verifies() {
    let small = Small::new();
    for name in ["good", "changed", "foreign", "bare"] {
        small.put(&format!("/{name}"), format!("content of {name}").as_bytes(), 0o755);
    }
    machine::sign(&small.join("good"), "ima");
    machine::sign(&small.join("changed"), "ima");
    machine::sign(&small.join("foreign"), "foreign");
    small.text("/changed", "other content");
    small.link("/link", "good");
    let files = ["/good", "/changed", "/foreign", "/bare", "/gone", "/link"].map(|path| of(path, path == "/good"));
    let files = BootFiles { files: files.to_vec(), problems: Vec::new() };

    let root = small.root();
    let (made, problems) = manifest::make(&root, &trust(), &files);
    let found: Vec<(&[u8], bool, bool)> =
        made.entries().iter().map(|entry| (&entry.path[..], entry.core, entry.label.is_some())).collect();
    let expected = [
        (&b"/bare"[..], false, false),
        (b"/changed", false, false),
        (b"/foreign", false, false),
        (b"/good", true, true),
    ];
    assert_eq!(found, expected);
    let good: &Entry = &made.entries()[3];
    let metadata = std::fs::metadata(small.join("good")).unwrap();
    assert_eq!((good.size, good.mtime), (metadata.size(), (metadata.mtime(), metadata.mtime_nsec())));
    let what: Vec<&str> = problems.iter().map(|problem| problem.what.as_str()).collect();
    assert_eq!(
        what,
        [
            "/gone (a test): it is not there; it is not in the manifest",
            "/link (a test): it is not a regular file; it is not in the manifest"
        ]
    );
}

#[test]
fn a_manifest_is_written_once_and_read_as_it_was() {
    let small = Small::new();
    let (root, folder, file) = (small.root(), small.join("etc/imad/state"), small.join(PATH));
    assert_eq!(manifest::read(&root), Ok(None));
    small.put("/x", b"x", 0o755);
    let (made, problems) =
        manifest::make(&root, &Trust::default(), &BootFiles { files: vec![of("/x", true)], problems: Vec::new() });
    assert_eq!(problems, []);
    assert_eq!(manifest::write(&root, &made), Ok(true));
    assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    let inode = std::fs::metadata(&file).unwrap().ino();
    assert_eq!(manifest::write(&root, &made), Ok(false));
    assert_eq!(std::fs::metadata(&file).unwrap().ino(), inode);
    assert_eq!(manifest::read(&root), Ok(Some(made.clone())));

    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    let problem = manifest::read(&root).unwrap_err();
    assert!(problem.what.starts_with("/etc/imad/state/manifest: it is cut off or damaged"), "{problem:?}");
    assert_eq!(problem.next, "imactl check --next-boot");
    assert_eq!(manifest::write(&root, &made), Ok(true));
    assert_eq!(manifest::read(&root), Ok(Some(made)));

    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::write(&folder, "a file in its place").unwrap();
    let problem = manifest::write(&root, &Manifest::default()).unwrap_err();
    assert!(problem.what.contains("cannot be written") && problem.next.contains("df -h"), "{problem:?}");
}
