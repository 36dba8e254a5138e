//! The work that nobody can do without, each as a bare loop, and the tools that people use.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use imad::model::algo::HashAlgo;
use imad::model::cert::{Certificate, hex};
use imad::model::ecdsa;
use imad::model::label::{Label, XATTR_IMA};
use openssl::hash::{Hasher, MessageDigest};
use openssl::md::Md;
use openssl::pkey::Public;
use openssl::pkey_ctx::PkeyCtx;
use openssl::rsa::Padding;
use openssl::x509::X509;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags, XattrFlags};

use super::corpus::File;
use super::run;

/// All cores, some files at a time; each thread makes its tools once.
fn in_parallel<T>(files: &[File], tools: impl Fn() -> T + Sync, work: impl Fn(&mut T, &File) + Sync) {
    const CHUNK: usize = 32;
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().unwrap().get() {
            scope.spawn(|| {
                let mut tools = tools();
                loop {
                    let at = next.fetch_add(CHUNK, Ordering::Relaxed);
                    let Some(rest) = files.get(at..) else { return };
                    rest.iter().take(CHUNK).for_each(|file| work(&mut tools, file));
                }
            });
        }
    });
}

/// Bytes read at a time.
const SIZE: usize = 256 << 10;
const PAGE: usize = 4096;

/// The part of a buffer that begins a page: reading to another place can take three times as long.
fn aligned(buffer: &mut [u8]) -> &mut [u8] {
    let begin = buffer.as_ptr().align_offset(PAGE);
    &mut buffer[begin..begin + SIZE]
}

/// What hashing takes: a hasher and a buffer.
struct Tools {
    hasher: Hasher,
    buffer: Vec<u8>,
    key: Option<Key>,
}

/// What verifies in the least time: aws-lc on elliptic curves, OpenSSL for RSA.
enum Key {
    Curve(ecdsa::Key),
    Rsa(PkeyCtx<Public>),
}

impl Tools {
    fn new() -> Self {
        Self { hasher: Hasher::new(MessageDigest::sha256()).unwrap(), buffer: vec![0; SIZE + PAGE], key: None }
    }

    fn verifying(certificate: &Certificate) -> Self {
        let key = ecdsa::Key::new(certificate, HashAlgo::Sha256).map_or_else(
            || {
                let key = X509::from_der(certificate.der()).unwrap().public_key().unwrap();
                let mut context = PkeyCtx::new(&key).unwrap();
                context.verify_init().unwrap();
                context.set_rsa_padding(Padding::PKCS1).unwrap();
                context.set_signature_md(Md::sha256()).unwrap();
                Key::Rsa(context)
            },
            Key::Curve,
        );
        Self { key: Some(key), ..Self::new() }
    }

    fn hash(&mut self, file: &fs::File) -> [u8; 32] {
        use std::os::unix::fs::FileExt;
        let mut at = 0;
        let buffer = aligned(&mut self.buffer);
        loop {
            let read = file.read_at(buffer, at).unwrap();
            if read == 0 {
                break;
            }
            self.hasher.update(&buffer[..read]).unwrap();
            at += read as u64;
            if read < buffer.len() {
                break;
            }
        }
        self.hasher.finish().unwrap()[..].try_into().unwrap()
    }

    fn verify(&mut self, label: &[u8], digest: &[u8]) -> bool {
        let Ok(Label::Signature(signature)) = Label::parse(label) else { return false };
        match self.key.as_mut().unwrap() {
            Key::Curve(key) => key.verifies(digest, signature.bytes),
            Key::Rsa(context) => context.verify(digest, signature.bytes).unwrap(),
        }
    }
}

fn open(file: &File) -> fs::File {
    fs::File::from(rustix::fs::openat(CWD, &file.path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).unwrap())
}

/// Hash, verify, write: what a first relabel cannot do without.
pub(crate) fn pipeline(files: &[File], certificate: &Certificate) {
    in_parallel(
        files,
        || Tools::verifying(certificate),
        |tools, file| {
            let open = open(file);
            let digest = tools.hash(&open);
            assert!(tools.verify(&file.label, &digest), "{}", file.path.display());
            rustix::fs::fsetxattr(&open, XATTR_IMA, &file.label, XattrFlags::empty()).unwrap();
        },
    );
}

/// Hash and verify.
pub(crate) fn verify(files: &[File], certificate: &Certificate) {
    in_parallel(
        files,
        || Tools::verifying(certificate),
        |tools, file| {
            let digest = tools.hash(&open(file));
            assert!(tools.verify(&file.label, &digest), "{}", file.path.display());
        },
    );
}

/// Hash only.
pub(crate) fn hash(files: &[File]) {
    in_parallel(files, Tools::new, |tools, file| {
        tools.hash(&open(file));
    });
}

/// Reads everything, in the order in which ext4 lays inodes, and mostly their content, out on the disk.
pub(crate) fn read_by_inode(files: &[File]) {
    let mut order: Vec<&File> = files.iter().collect();
    order.sort_by_key(|file| file.inode);
    let mut buffer = vec![0; SIZE + PAGE];
    let buffer = aligned(&mut buffer);
    for file in order {
        use std::io::Read;
        let mut open = open(file);
        while open.read(buffer).unwrap() > 0 {}
    }
}

/// Looks at inode and label of each file, as nothing less can tell that there is nothing to do.
pub(crate) fn look(files: &[File]) {
    let mut value = vec![0; 1024];
    for file in files {
        rustix::fs::statx(CWD, &file.path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS).unwrap();
        rustix::fs::lgetxattr(&file.path, XATTR_IMA, &mut value[..]).unwrap();
    }
}

/// Takes all labels away.
pub(crate) fn remove(files: &[File]) {
    for file in files {
        match rustix::fs::lremovexattr(&file.path, XATTR_IMA) {
            Ok(()) | Err(rustix::io::Errno::NODATA) => {}
            Err(error) => panic!("{}: {error}", file.path.display()),
        }
    }
}

/// How many files have their label.
pub(crate) fn labelled(files: &[File]) -> usize {
    let mut value = vec![0; 1024];
    let has = |file: &&File| rustix::fs::lgetxattr(&file.path, XATTR_IMA, &mut value[..]).is_ok();
    files.iter().filter(has).count()
}

/// The distributions' script: setfattr and evmctl for each file.
pub(crate) fn two_processes_a_file(files: &[&File], certificate: &Path) {
    for file in files {
        let label = format!("0x{}", hex(&file.label));
        run(Command::new("setfattr").args(["-n", XATTR_IMA, "-v", &label]).arg(&file.path));
        run(Command::new("evmctl").args(["ima_verify", "-k"]).arg(certificate).arg(&file.path));
    }
}

/// evmctl as fast as it can be called: many files a process, a process a core.
pub(crate) fn evmctl(files: &[File], certificate: &Path) {
    use std::io::Write;
    let mut xargs = Command::new("xargs");
    xargs.args(["-0", "-n", "500", "-P"]).arg(std::thread::available_parallelism().unwrap().to_string());
    xargs.args(["evmctl", "ima_verify", "-k"]).arg(certificate);
    let mut child =
        xargs.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("xargs is there");
    let mut input = child.stdin.take().unwrap();
    for file in files {
        input.write_all(file.path.as_os_str().as_bytes()).unwrap();
        input.write_all(&[0]).unwrap();
    }
    drop(input);
    assert!(child.wait().unwrap().success(), "evmctl verified not all");
}
