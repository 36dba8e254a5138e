//! What a guest is made of.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::images::Images;

/// How far a guest has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// QEMU runs; nothing is known of the system in it.
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
    pub(super) kernel: PathBuf,
    pub(super) initrd: Option<PathBuf>,
    pub(super) root: PathBuf,
    pub(super) disks: Vec<PathBuf>,
    pub(super) command_line: Vec<String>,
    pub(super) memory: u32,
    pub(super) cpus: u32,
    pub(super) until: Stage,
    pub(super) boot_timeout: Duration,
    pub(super) changes: Vec<Change>,
    pub(super) clock: Option<String>,
    pub(super) firmware: Option<Firmware>,
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
    /// Any kernel, initramfs and root file system (a raw image, never written to).
    pub(crate) fn new(kernel: impl AsRef<Path>, initrd: Option<&Path>, root: impl AsRef<Path>) -> Self {
        // 256 old-style terminals more would be 512 devices for udev to look at.
        // An emulated processor has no speculation to be guarded, and pays for the guards.
        let words =
            ["root=/dev/vda", "rw", "console=ttyS0", "pty.legacy_count=0", "systemd.log_color=0", "mitigations=off"];
        Self {
            kernel: kernel.as_ref().to_owned(),
            initrd: initrd.map(Path::to_owned),
            root: root.as_ref().to_owned(),
            disks: Vec::new(),
            command_line: words.map(str::to_owned).to_vec(),
            memory: 1024,
            cpus: 1,
            until: Stage::MultiUser,
            boot_timeout: Duration::from_secs(300),
            changes: Vec::new(),
            clock: None,
            firmware: None,
        }
    }

    /// The trusted kernel and a signed system without imad.
    pub(crate) fn base() -> Self {
        let images = Images::load();
        let base = images.base();
        Self::new(images.kernel().join("bzImage"), Some(&base.join("initrd-base.img")), base.join("root.img"))
    }

    /// The trusted kernel and the system with imad installed, certificate and policy in place.
    pub(crate) fn trusted() -> Self {
        let images = Images::load();
        let imad = images.imad();
        Self::new(images.kernel().join("bzImage"), Some(&imad.join("initrd-trusted.img")), imad.join("root.img"))
            .disk(images.repo().join("repo.img"))
    }

    /// The distribution's kernel and the same system.
    pub(crate) fn stock() -> Self {
        let images = Images::load();
        let imad = images.imad();
        Self::new(images.stock().join("vmlinuz"), Some(&imad.join("initrd-stock.img")), imad.join("root.img"))
            .disk(images.repo().join("repo.img"))
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
        Self { firmware: Some(firmware), ..Self::trusted().disk(folder.join("esp.img")) }
    }

    /// Adds words to the kernel's command line.
    pub(crate) fn command_line(mut self, words: &str) -> Self {
        self.command_line.push(words.to_owned());
        self
    }

    /// Says nothing of the root file system: the initramfs knows it.
    pub(crate) fn without_root(mut self) -> Self {
        self.command_line.retain(|word| !word.starts_with("root="));
        self
    }

    /// Boots another kernel.
    pub(crate) fn kernel(mut self, kernel: impl AsRef<Path>) -> Self {
        kernel.as_ref().clone_into(&mut self.kernel);
        self
    }

    /// Starts with the hardware clock at this time, `YYYY-MM-DDTHH:MM:SS` in UTC (the host's).
    pub(crate) fn clock(mut self, time: &str) -> Self {
        self.clock = Some(time.to_owned());
        self
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
        self
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
