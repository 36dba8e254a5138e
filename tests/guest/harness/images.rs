//! Where the guests' kernels and file systems are.

use std::collections::HashMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// The folders that `tests/guest/images/build.sh` has built.
pub(crate) struct Images(HashMap<String, PathBuf>);

impl Images {
    /// Reads `target/guest-images.env`, or the list that the variable `IMAD_GUEST_IMAGES` names. Without images no
    /// test of a guest can say anything, so none passes.
    pub(crate) fn load() -> Self {
        let usual = || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/guest-images.env");
        let list = env::var_os("IMAD_GUEST_IMAGES").map_or_else(usual, PathBuf::from);
        let text = fs::read_to_string(&list).unwrap_or_else(|error| {
            panic!("{}: {error}: the guests' images are missing, run tests/guest/images/build.sh", list.display())
        });
        let words = text.lines().filter_map(|line| line.split_once('='));
        Self(words.map(|(key, value)| (key.to_owned(), PathBuf::from(value.trim_matches('"')))).collect())
    }

    fn folder(&self, key: &str) -> &Path {
        let folder = self.0.get(key).filter(|folder| folder.is_dir());
        folder.unwrap_or_else(|| panic!("the guests' image {key} is missing, run tests/guest/images/build.sh --soak"))
    }

    /// Certificates and keys, the CA that the trusted kernel has built in among them.
    pub(crate) fn keys(&self) -> &Path {
        self.folder("KEYS")
    }

    /// The trusted kernel for user-mode Linux: `linux`, `release`, `config`.
    pub(crate) fn uml(&self) -> &Path {
        self.folder("UML")
    }

    /// The second generation: `linux`, `release`, `config`, `root.img`, `initrd-next.img`.
    pub(crate) fn next(&self) -> &Path {
        self.folder("NEXT")
    }

    /// The trusted kernel for QEMU: `bzImage`, `release`, `config`.
    pub(crate) fn kernel(&self) -> &Path {
        self.folder("KERNEL")
    }

    /// The distribution's kernel: `vmlinuz`, `release`.
    pub(crate) fn stock(&self) -> &Path {
        self.folder("STOCK")
    }

    /// A signed system without imad: `root.img`, `initrd-base.img`.
    pub(crate) fn base(&self) -> &Path {
        self.folder("BASE")
    }

    /// An initramfs with dracut's own `integrity` module and without imad: `initrd-integrity.img`.
    pub(crate) fn control(&self) -> &Path {
        self.folder("CONTROL")
    }

    /// The package repository: `repo.img`, which guests mount at `/srv/repo`.
    pub(crate) fn repo(&self) -> &Path {
        self.folder("REPO")
    }

    /// Firmware and a signed kernel image: `OVMF_CODE.fd`, `OVMF_VARS.fd`, `esp.img`, `PK.auth`, `KEK.auth`, `db.auth`.
    pub(crate) fn secure_boot(&self) -> &Path {
        self.folder("SECURE")
    }

    /// The system with imad and SELinux enforcing: `root.img`.
    pub(crate) fn selinux(&self) -> &Path {
        self.folder("SELINUX")
    }

    /// The same system with imad installed: `root.img`, `initrd-trusted.img`, `initrd-stock.img`, `rpms/`.
    pub(crate) fn imad(&self) -> &Path {
        self.folder("IMAD")
    }
}
