//! Labels, signatures, programs and file systems for the cases, made on the host.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use imad::model::cert::Certificate;
use imad::model::policy::event::Signature;
use openssl::cms::{CMSOptions, CmsContentInfo};
use openssl::md::Md;
use openssl::pkey::{Id, PKey, Private};
use openssl::pkey_ctx::PkeyCtx;
use openssl::rsa::Padding;
use openssl::x509::X509;
use rustix::fs::{XattrFlags, lsetxattr};

use super::case::{Case, Evm, MadeLabel, Place, digest};
use crate::system::key_file;

pub(super) const SHA256: u8 = 4;
/// Of the image's file system.
pub(super) const UUID: &str = "6f0a2a52-07b1-4e2a-9d41-3d7c1a5be001";

/// A key, the four bytes by which labels name it, and what the kernel finds if a label fits.
pub(super) struct Signer {
    key: PKey<Private>,
    id: [u8; 4],
    certificate: X509,
    pub(super) finds: Signature,
}

impl Signer {
    /// The key of this name among the guests' test keys.
    pub(super) fn new(name: &str, finds: Signature) -> Self {
        let key = PKey::private_key_from_pem(&key_file(format!("{name}.key"))).unwrap();
        let x509 = X509::from_pem(&key_file(format!("{name}.pem"))).unwrap();
        let certificate = Certificate::parse(&x509.to_der().unwrap()).unwrap();
        let id = certificate.key_id().unwrap().0.to_be_bytes();
        Self { key, id, certificate: x509, finds }
    }

    fn sign(&self, algo: u8, digest: &[u8]) -> Vec<u8> {
        let md = match algo {
            4 => Md::sha256(),
            5 => Md::sha384(),
            6 => Md::sha512(),
            _ => Md::sha1(),
        };
        let mut context = PkeyCtx::new(&self.key).unwrap();
        context.sign_init().unwrap();
        if self.key.id() == Id::RSA {
            context.set_rsa_padding(Padding::PKCS1).unwrap();
        }
        context.set_signature_md(md).unwrap();
        let mut signature = Vec::new();
        context.sign_to_vec(digest, &mut signature).unwrap();
        signature
    }

    fn label(&self, kind: u8, version: u8, algo: u8, digest: &[u8]) -> Vec<u8> {
        let signature = self.sign(algo, digest);
        let size = u16::try_from(signature.len()).unwrap().to_be_bytes();
        [&[kind, version, algo], &self.id[..], &size, &signature].concat()
    }

    /// A signature over a file's digest.
    pub(super) fn file(&self, algo: u8, content: &[u8]) -> MadeLabel {
        let bytes = self.label(3, 2, algo, &digest(algo, content).unwrap());
        MadeLabel { bytes, signature: Some((content.to_vec(), self.finds)) }
    }

    /// A signature of the third version over a file.
    pub(super) fn third(&self, algo: u8, content: &[u8]) -> MadeLabel {
        let over = [&[3, algo][..], &digest(algo, content).unwrap()].concat();
        let bytes = self.label(3, 3, algo, &digest(algo, &over).unwrap());
        MadeLabel { bytes, signature: Some((content.to_vec(), self.finds)) }
    }

    /// A signature over a file's fs-verity digest.
    pub(super) fn verity(&self, content: &[u8]) -> MadeLabel {
        let over = [&[6, SHA256][..], &verity_digest(content)].concat();
        let bytes = self.label(6, 3, SHA256, &digest(SHA256, &over).unwrap());
        MadeLabel { bytes, signature: Some((content.to_vec(), self.finds)) }
    }

    /// A portable EVM signature over a file's label, owner and mode (`evm_crypto.c: hmac_add_misc()`).
    fn portable(&self, label: &[u8], owner: u32, mode: u32) -> Vec<u8> {
        let mut over = label.to_vec();
        over.extend([0; 12]);
        over.extend(owner.to_ne_bytes());
        over.extend(owner.to_ne_bytes());
        over.extend(u16::try_from(mode).unwrap().to_ne_bytes());
        over.extend([0; 2]);
        self.label(5, 2, SHA256, &digest(SHA256, &over).unwrap())
    }
}

/// Content with a signature appended as scripts/sign-file does it, over other content where it is not to be good.
pub(super) fn appended(signer: &Signer, content: &[u8], good: bool) -> Vec<u8> {
    let over = if good { content } else { b"something else" };
    let flags = CMSOptions::DETACHED | CMSOptions::BINARY | CMSOptions::CMS_NOCERTS | CMSOptions::NOATTR;
    let cms = CmsContentInfo::sign(Some(&signer.certificate), Some(&signer.key), None, Some(over), flags).unwrap();
    let pkcs7 = cms.to_der().unwrap();
    let mut whole = [content, &pkcs7, &[0, 0, 2, 0, 0, 0, 0, 0]].concat();
    whole.extend(u32::try_from(pkcs7.len()).unwrap().to_be_bytes());
    whole.extend(b"~Module signature appended~\n");
    whole
}

/// A hash label.
pub(super) fn hash(algo: u8, content: &[u8]) -> MadeLabel {
    MadeLabel { bytes: [&[4, algo], digest(algo, content).unwrap().as_slice()].concat(), signature: None }
}

/// Bytes that are no signature.
pub(super) const fn raw(bytes: Vec<u8>) -> MadeLabel {
    MadeLabel { bytes, signature: None }
}

/// The fs-verity digest of a file of one block, by SHA-256 (`include/uapi/linux/fsverity.h`).
pub(super) fn verity_digest(content: &[u8]) -> Vec<u8> {
    assert!(!content.is_empty() && content.len() <= 4096, "one block");
    let mut block = content.to_vec();
    block.resize(4096, 0);
    let mut descriptor = vec![1, 1, 12, 0, 0, 0, 0, 0];
    descriptor.extend((content.len() as u64).to_le_bytes());
    descriptor.extend(digest(SHA256, &block).unwrap());
    descriptor.resize(256, 0);
    digest(SHA256, &descriptor).unwrap()
}

/// A program of one segment that ends with 7; the tail tells programs apart.
pub(super) fn program(tail: &str) -> Vec<u8> {
    const HEADERS: u64 = 64 + 56;
    const BASE: u64 = 0x40_0000;
    // mov $7,%edi; mov $60,%eax; syscall
    let code = [0xbf, 7, 0, 0, 0, 0xb8, 60, 0, 0, 0, 0x0f, 0x05];
    let size = HEADERS + code.len() as u64;
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
    elf.resize(16, 0);
    elf.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    for word in [BASE + HEADERS, 64, 0] {
        elf.extend(u64::to_le_bytes(word));
    }
    elf.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 64, 0, 0, 0, 0, 0]);
    // PT_LOAD, readable and executable.
    elf.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    for word in [0, BASE, BASE, size, size, 4096] {
        elf.extend(u64::to_le_bytes(word));
    }
    elf.extend(code);
    elf.extend(tail.as_bytes());
    elf
}

/// A script that ends with 7.
pub(super) fn script(tail: &str) -> Vec<u8> {
    format!("#!/bin/sh\nexit 7\n# {tail}\n").into_bytes()
}

/// An ext4 image with the files of the cases that lie there or below the overlay.
pub(super) fn ext4(cases: &[Case], signer: &Signer, image: &Path) {
    let tree = tempfile::tempdir().unwrap();
    for name in ["files", "lower", "upper", "work"] {
        fs::create_dir(tree.path().join(name)).unwrap();
        fs::set_permissions(tree.path().join(name), fs::Permissions::from_mode(0o777)).unwrap();
    }
    for case in cases {
        let folder = match case.place {
            Place::Ext4 => "files",
            Place::Overlay => "lower",
            _ => continue,
        };
        let Some(content) = &case.content else { continue };
        let path = tree.path().join(folder).join(&case.name);
        fs::write(&path, content).unwrap();
        chown(&path, Some(case.owner), Some(case.owner)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(case.mode)).unwrap();
        let set = |name: &str, value: &[u8]| lsetxattr(&path, name, value, XattrFlags::empty()).unwrap();
        if let Some(label) = &case.label {
            set("security.ima", &label.bytes);
        }
        let label = case.label.as_ref().map_or(&[][..], |label| &label.bytes);
        let portable = |label| signer.portable(label, case.owner, 0o10_0000 | case.mode);
        match case.evm {
            None | Some(Evm::None) => {}
            Some(Evm::GoodPortable) => set("security.evm", &portable(label)),
            Some(Evm::BadPortable) => set("security.evm", &portable(b"another label")),
            Some(Evm::Bad) => set("security.evm", &[&[3], &portable(label)[1..]].concat()),
        }
    }
    let mut mke2fs = Command::new("mke2fs");
    mke2fs.args(["-q", "-t", "ext4", "-I", "256", "-b", "4096", "-O", "verity", "-U", UUID, "-d"]);
    mke2fs.arg(tree.path()).arg(image).arg("64M");
    let output = mke2fs.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// An empty FAT12 file system of one MiB.
pub(super) fn vfat() -> Vec<u8> {
    const SECTORS: u16 = 2048;
    let mut image = b"\xeb\x3c\x90imadtest".to_vec();
    image.extend(512_u16.to_le_bytes());
    // Sectors a cluster, reserved sectors, tables, entries of the root, sectors, medium, sectors a table.
    image.extend([1, 1, 0, 2]);
    image.extend(512_u16.to_le_bytes());
    image.extend(SECTORS.to_le_bytes());
    image.push(0xf8);
    image.extend(6_u16.to_le_bytes());
    image.resize(510, 0);
    image.extend([0x55, 0xaa]);
    image.resize(usize::from(SECTORS) * 512, 0);
    for table in 0..2 {
        let at = 512 * (1 + table * 6);
        image[at..at + 3].copy_from_slice(&[0xf8, 0xff, 0xff]);
    }
    image
}
