//! What a guest is made of.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::images::Images;
use super::network::{Link, Network};
use super::{qemu, uml};

/// What a guest may need that user-mode Linux does not have: QEMU runs such a guest, and only such a one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    /// EFI, with Secure Boot or without.
    Firmware,
    /// A kernel that starts another.
    Kexec,
    /// A kernel that is not one of ours: the distribution's, or one without IMA.
    StockKernel,
    /// More than one processor.
    Smp,
    /// A copy of the running machine.
    SavedState,
    /// A hardware clock that is wrong, or that is set.
    Clock,
    /// A command line without `root=`: user-mode Linux names its first disk then.
    NoRoot,
    /// It is told by name that QEMU runs it.
    Qemu,
}

/// What runs a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The kernel as a program of the host's: fast.
    Uml,
    /// A machine with an emulated processor: anything that a machine has.
    Qemu,
}

impl Kind {
    /// What the environment says of all guests: `IMAD_MACHINE=qemu` runs those under QEMU too that could do without.
    fn wanted() -> Option<Self> {
        match std::env::var("IMAD_MACHINE").as_deref() {
            Err(_) | Ok("") => None,
            Ok("qemu") => Some(Self::Qemu),
            Ok(other) => panic!("IMAD_MACHINE={other}: it is qemu or not set"),
        }
    }
}

/// How far a guest has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The machine is on; nothing is known of the system in it.
    Started,
    /// The agent answers in the initramfs.
    Initramfs,
    /// The agent answers in the real root; services may still be starting.
    Root,
    /// The agent answers beside an emergency or rescue shell, in the initramfs or in the real root.
    Emergency,
    /// systemd has nothing left to start (`running` or `degraded`).
    MultiUser,
}

/// A change to the root file system before the first boot.
#[derive(Clone, Debug)]
pub(super) enum Change {
    File { path: String, bytes: Vec<u8>, mode: u32 },
    Remove { path: String },
    Symlink { path: String, target: String },
    Directory { path: String, mode: u32 },
    Xattr { path: String, name: String, value: Option<Vec<u8>> },
    LabelFrom { path: String, other: String },
}

/// A guest before it boots: hardware, images, command line, and changes to its root file system.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    kernel: Kernel,
    needs: BTreeSet<Need>,
    pub(super) initrd: Option<PathBuf>,
    pub(super) root: PathBuf,
    pub(super) disks: Vec<PathBuf>,
    /// Whether the kernel is told where its root is.
    says_root: bool,
    command_line: Vec<String>,
    pub(super) memory: u32,
    pub(super) cpus: u32,
    pub(super) until: Stage,
    pub(super) boot_timeout: Duration,
    pub(super) changes: Vec<Change>,
    pub(super) clock: Option<String>,
    pub(super) firmware: Option<Firmware>,
    pub(super) link: Option<Link>,
}

/// A kernel. Ours are built for both machines.
#[derive(Clone, Debug)]
enum Kernel {
    /// The test CA is built in.
    Trusted,
    /// The second generation's.
    Next,
    /// One for real machines.
    File(PathBuf),
}

/// EFI firmware, which starts what lies on an EFI system partition.
#[derive(Clone, Debug)]
pub(super) struct Firmware {
    /// Its program.
    pub(super) code: PathBuf,
    /// Its variables, as they are before the first boot.
    pub(super) variables: PathBuf,
}

impl Setup {
    /// A kernel of ours, an initramfs, and a root file system (a raw image, never written to).
    fn new(kernel: Kernel, initrd: PathBuf, root: PathBuf) -> Self {
        // 256 old-style terminals more would be 512 devices for udev to look at.
        let words = ["rw", "pty.legacy_count=0", "systemd.log_color=0"];
        Self {
            kernel,
            needs: BTreeSet::new(),
            initrd: Some(initrd),
            root,
            disks: Vec::new(),
            says_root: true,
            command_line: words.map(str::to_owned).to_vec(),
            memory: 1024,
            cpus: 1,
            until: Stage::MultiUser,
            boot_timeout: Duration::from_secs(300),
            changes: Vec::new(),
            clock: None,
            firmware: None,
            link: None,
        }
    }

    /// The trusted kernel and a signed system without imad.
    pub(crate) fn base() -> Self {
        let images = Images::load();
        let base = images.base();
        Self::new(Kernel::Trusted, base.join("initrd-base.img"), base.join("root.img"))
    }

    /// The trusted kernel and the system with imad installed, certificate and policy in place.
    pub(crate) fn trusted() -> Self {
        let images = Images::load();
        let imad = images.imad();
        Self::new(Kernel::Trusted, imad.join("initrd-trusted.img"), imad.join("root.img"))
            .disk(images.repo().join("repo.img"))
    }

    /// The second generation: its kernel, and its system with imad installed, certificate and policy in place.
    pub(crate) fn next() -> Self {
        let images = Images::load();
        let next = images.next();
        // The first verification by a key looks for a module with its algorithm, and under a policy that asks for modprobe's
        // own signature this kernel waits for ever: docs/limits.md.
        Self::new(Kernel::Next, next.join("initrd-next.img"), next.join("root.img"))
            .disk(next.join("repo.img"))
            .command_line("seccomp=on sysctl.kernel.modprobe=/nonexistent")
    }

    /// The distribution's kernel and the same system.
    pub(crate) fn stock() -> Self {
        let images = Images::load();
        Self::trusted().kernel(images.stock().join("vmlinuz")).initrd(images.imad().join("initrd-stock.img"))
    }

    /// The trusted kernel and the same system with SELinux enforcing, under the distribution's policy.
    pub(crate) fn selinux() -> Self {
        let images = Images::load();
        let trusted = Self::trusted();
        Self { root: images.selinux().join("root.img"), ..trusted }
    }

    /// The trusted kernel and the same system on a machine with EFI firmware that knows no key yet. Kernel, initramfs and command
    /// line are one signed program on an EFI system partition; what is said of them here does not count.
    pub(crate) fn secure_boot() -> Self {
        let images = Images::load();
        let folder = images.secure_boot();
        let firmware = Firmware { code: folder.join("OVMF_CODE.fd"), variables: folder.join("OVMF_VARS.fd") };
        Self { firmware: Some(firmware), ..Self::trusted().disk(folder.join("esp.img")) }.needs(Need::Firmware)
    }

    /// Adds words to the kernel's command line.
    pub(crate) fn command_line(mut self, words: &str) -> Self {
        self.command_line.push(words.to_owned());
        self
    }

    /// Says nothing of the root file system: the initramfs knows it.
    pub(crate) fn without_root(mut self) -> Self {
        self.says_root = false;
        self.needs(Need::NoRoot)
    }

    /// Says what the guest needs of its machine.
    pub(crate) fn needs(mut self, need: Need) -> Self {
        self.needs.insert(need);
        self
    }

    /// What runs it: user-mode Linux, unless it needs what that has not.
    pub(crate) fn kind(&self) -> Kind {
        let usual = if self.needs.is_empty() { Kind::Uml } else { Kind::Qemu };
        Kind::wanted().unwrap_or(usual)
    }

    /// Boots another kernel, one for real machines.
    pub(crate) fn kernel(mut self, kernel: impl AsRef<Path>) -> Self {
        self.kernel = Kernel::File(kernel.as_ref().to_owned());
        self.needs(Need::StockKernel)
    }

    /// The kernel's file on the host.
    pub(super) fn kernel_file(&self) -> PathBuf {
        match (&self.kernel, self.kind()) {
            (Kernel::File(file), _) => file.clone(),
            (Kernel::Next, _) => Images::load().next().join("linux"),
            (Kernel::Trusted, Kind::Uml) => Images::load().uml().join("linux"),
            (Kernel::Trusted, Kind::Qemu) => Images::load().kernel().join("bzImage"),
        }
    }

    /// The configuration of the kernel that boots.
    pub(crate) fn kernel_config(&self) -> String {
        let folder = self.kernel_file().parent().map(Path::to_owned).unwrap_or_default();
        let file = folder.join("config");
        std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    }

    /// What a disk is called in the guest: the root is number 0, then come the others as they were added.
    pub(crate) fn device(&self, number: usize) -> String {
        match self.kind() {
            Kind::Uml => uml::device(number),
            Kind::Qemu => qemu::device(number),
        }
    }

    /// The kernel's command line on a machine that calls the root so and wants these words.
    pub(super) fn words(&self, root: &str, machine: &[&str]) -> String {
        let root = self.says_root.then(|| format!("root={root}"));
        let machine = machine.iter().map(|word| (*word).to_owned());
        let words: Vec<_> = root.into_iter().chain(machine).chain(self.command_line.iter().cloned()).collect();
        words.join(" ")
    }

    /// Connects the guest to a network, where it has an address of its own.
    pub(crate) fn network(mut self, network: &Network) -> Self {
        let link = network.link(self.kind());
        for (path, bytes) in link.files() {
            self = self.file(path, bytes, 0o644);
        }
        let wanted = "/etc/systemd/system/multi-user.target.wants";
        self = self.directory(wanted, 0o755);
        self = self
            .symlink(&format!("{wanted}/systemd-networkd.service"), "/usr/lib/systemd/system/systemd-networkd.service");
        self.link = Some(link);
        self
    }

    /// Starts with the hardware clock at this time, `YYYY-MM-DDTHH:MM:SS` in UTC (the host's).
    pub(crate) fn clock(mut self, time: &str) -> Self {
        self.clock = Some(time.to_owned());
        self.needs(Need::Clock)
    }

    /// Boots without an initramfs.
    pub(crate) fn without_initrd(mut self) -> Self {
        self.initrd = None;
        self
    }

    /// Boots another initramfs.
    pub(crate) fn initrd(mut self, initrd: impl AsRef<Path>) -> Self {
        self.initrd = Some(initrd.as_ref().to_owned());
        self
    }

    /// Adds a disk: a raw image, never written to; what the guest writes is thrown away with the guest.
    pub(crate) fn disk(mut self, image: impl AsRef<Path>) -> Self {
        self.disks.push(image.as_ref().to_owned());
        self
    }

    /// Memory in MiB (1024).
    pub(crate) fn memory(mut self, mebibytes: u32) -> Self {
        self.memory = mebibytes;
        self
    }

    /// Number of CPUs (1: emulated, a second one costs a third more of the host's time than it brings).
    pub(crate) fn cpus(mut self, cpus: u32) -> Self {
        self.cpus = cpus;
        if cpus > 1 { self.needs(Need::Smp) } else { self }
    }

    /// How far `Guest::boot` waits ([`Stage::MultiUser`]).
    pub(crate) fn until(mut self, stage: Stage) -> Self {
        self.until = stage;
        self
    }

    /// How long a boot may take (300 s).
    pub(crate) fn boot_timeout(mut self, timeout: Duration) -> Self {
        self.boot_timeout = timeout;
        self
    }

    /// Writes a file, with its directories, before the first boot. It carries no label.
    pub(crate) fn file(self, path: &str, bytes: impl Into<Vec<u8>>, mode: u32) -> Self {
        self.change(Change::File { path: path.to_owned(), bytes: bytes.into(), mode })
    }

    /// Makes a directory, with those above it.
    pub(crate) fn directory(self, path: &str, mode: u32) -> Self {
        self.change(Change::Directory { path: path.to_owned(), mode })
    }

    /// Makes a symbolic link.
    pub(crate) fn symlink(self, path: &str, target: &str) -> Self {
        self.change(Change::Symlink { path: path.to_owned(), target: target.to_owned() })
    }

    /// Removes a file or a directory with all it holds; it must be there.
    pub(crate) fn remove(self, path: &str) -> Self {
        self.change(Change::Remove { path: path.to_owned() })
    }

    /// Sets an extended attribute.
    pub(crate) fn xattr(self, path: &str, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.change(Change::Xattr { path: path.to_owned(), name: name.to_owned(), value: Some(value.into()) })
    }

    /// Takes an extended attribute away.
    pub(crate) fn no_xattr(self, path: &str, name: &str) -> Self {
        self.change(Change::Xattr { path: path.to_owned(), name: name.to_owned(), value: None })
    }

    /// Copies the label (`security.ima`) of `other` to `path`.
    pub(crate) fn label_from(self, path: &str, other: &str) -> Self {
        self.change(Change::LabelFrom { path: path.to_owned(), other: other.to_owned() })
    }

    fn change(mut self, change: Change) -> Self {
        self.changes.push(change);
        self
    }
}

/// The letter of a disk.
pub(super) fn letter(number: usize) -> char {
    char::from(b'a' + u8::try_from(number).expect("a guest has few disks"))
}
