#![forbid(unsafe_code)]
//! Writes IMA file signatures into RPM package files, as `rpmsign --signfiles` does where it is built with that, and
//! labels a folder's files with the signatures of packages, as rpm's ima plugin does where there is one.
//!
//! ```text
//! sign-rpm --key KEY.pem --cert CERT.pem FILE.rpm...    tags 274 and 275 of the signature header
//! sign-rpm --label-root FOLDER FILE.rpm...              security.ima of the packages' files below FOLDER
//! ```

mod rpm_file;

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use openssl::hash::MessageDigest;
use openssl::pkey::{Id, PKey, Private};
use openssl::pkey_ctx::PkeyCtx;
use openssl::rsa::Padding;
use openssl::x509::X509;
use rpm_file::{Digested, FILESIGNATURELENGTH, FILESIGNATURES, Package, Value, to_hex};

const USAGE: &str = "usage: sign-rpm --key KEY.pem --cert CERT.pem FILE.rpm...
       sign-rpm --label-root FOLDER FILE.rpm...";

type Failure = Box<dyn std::error::Error>;

/// A hash as OpenPGP (and so rpm), the kernel's label format and OpenSSL name it.
struct Hash {
    openpgp: u32,
    label: u8,
    digest: fn() -> MessageDigest,
}

/// The label's numbers are the kernel's enum hash_algo (include/uapi/linux/hash_info.h).
const HASHES: [Hash; 6] = [
    Hash { openpgp: 1, label: 1, digest: MessageDigest::md5 },
    Hash { openpgp: 2, label: 2, digest: MessageDigest::sha1 },
    Hash { openpgp: 8, label: 4, digest: MessageDigest::sha256 },
    Hash { openpgp: 9, label: 5, digest: MessageDigest::sha384 },
    Hash { openpgp: 10, label: 6, digest: MessageDigest::sha512 },
    Hash { openpgp: 11, label: 7, digest: MessageDigest::sha224 },
];

fn hash_of(package: &Package<'_>) -> Result<&'static Hash, Failure> {
    let number = package.digest_algorithm()?;
    let known = HASHES.iter().find(|hash| hash.openpgp == number);
    known.ok_or_else(|| format!("file digests are by hash {number} (OpenPGP's number), which is not known here").into())
}

/// A key that signs, and the id by which the kernel finds its certificate.
struct Signer {
    key: PKey<Private>,
    id: [u8; 4],
}

impl Signer {
    fn read(key: &Path, cert: &Path) -> Result<Self, Failure> {
        let in_file = |path: &Path, problem: &dyn std::fmt::Display| format!("{}: {problem}", path.display());
        let pem = fs::read(key).map_err(|e| in_file(key, &e))?;
        let private = PKey::private_key_from_pem(&pem).map_err(|e| in_file(key, &e))?;
        let pem = fs::read(cert).map_err(|e| in_file(cert, &e))?;
        let certificate = X509::from_pem(&pem).map_err(|e| in_file(cert, &e))?;
        if !certificate.public_key()?.public_eq(&private) {
            return Err(format!("{} is not the certificate of {}", cert.display(), key.display()).into());
        }
        let id = certificate.subject_key_id().and_then(|id| id.as_slice().last_chunk().copied());
        let id = id.ok_or_else(|| in_file(cert, &"no subject key identifier to take the key id from"))?;
        Ok(Self { key: private, id })
    }

    /// The label that says `digest` is signed: type 03, version 2, hash, key id, length, signature.
    fn label(&self, hash: &Hash, digest: &[u8]) -> Result<Vec<u8>, Failure> {
        let mut context = PkeyCtx::new(&self.key)?;
        context.sign_init()?;
        if self.key.id() == Id::RSA {
            context.set_rsa_padding(Padding::PKCS1)?;
        }
        context.set_signature_md(openssl::md::Md::from_nid((hash.digest)().type_()).ok_or("a hash OpenSSL lacks")?)?;
        let mut signature = Vec::new();
        context.sign_to_vec(digest, &mut signature)?;
        let mut label = vec![3, 2, hash.label];
        label.extend(self.id);
        label.extend(u16::try_from(signature.len())?.to_be_bytes());
        label.extend(signature);
        Ok(label)
    }
}

/// The package file `bytes` with a signature for each file that has content, and how many those are.
fn sign(bytes: &[u8], signer: &Signer) -> Result<(Vec<u8>, usize), Failure> {
    let mut package = Package::parse(bytes)?;
    let hash = hash_of(&package)?;
    let files = package.digested_files()?;
    let mut signatures = vec![String::new(); package.file_count()?];
    let mut longest = 0;
    for file in &files {
        let label = signer.label(hash, &file.digest)?;
        longest = longest.max(label.len());
        signatures[file.index] = to_hex(&label);
    }
    if !signatures.is_empty() {
        package.signature.put(FILESIGNATURES, Value::texts(&signatures));
        package.signature.put(FILESIGNATURELENGTH, Value::int32(u32::try_from(longest)?));
    }
    Ok((package.to_bytes(), files.len()))
}

/// Replaces the file at `path` in one step: a reader sees the old file or the new one, also after a power cut.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    let written = (|| {
        let mut file = File::create(&new)?;
        file.write_all(bytes)?;
        file.set_permissions(fs::metadata(path)?.permissions())?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    })();
    if written.is_err() && new.exists() {
        fs::remove_file(&new)?;
    }
    written
}

/// How many files of a package were labelled, and how many were passed over for which reason.
#[derive(Default)]
struct Labelled {
    written: usize,
    unsigned: usize,
    absent: usize,
    modified: usize,
}

/// Labels one file, if its content is what the package says.
fn label_file(root: &Path, file: &Digested, label: &[u8], hash: &Hash, count: &mut Labelled) -> Result<(), Failure> {
    let relative = Path::new(OsStr::from_bytes(&file.path)).strip_prefix("/")?.to_owned();
    let path = root.join(relative);
    match fs::symlink_metadata(&path) {
        Ok(found) if found.is_file() => (),
        Ok(_) => return Err(format!("{}: not a regular file", path.display()).into()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            count.absent += 1;
            return Ok(());
        }
        Err(e) => return Err(format!("{}: {e}", path.display()).into()),
    }
    let named = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let mut open = File::open(&path).map_err(|e| named(&e))?;
    let mut content = Vec::new();
    open.read_to_end(&mut content).map_err(|e| named(&e))?;
    if *openssl::hash::hash((hash.digest)(), &content)? != *file.digest {
        println!("{}: modified, not labelled", path.display());
        count.modified += 1;
        return Ok(());
    }
    rustix::fs::fsetxattr(&open, c"security.ima", label, rustix::fs::XattrFlags::empty()).map_err(|e| named(&e))?;
    count.written += 1;
    Ok(())
}

fn label_root(root: &Path, bytes: &[u8], count: &mut Labelled) -> Result<(), Failure> {
    let package = Package::parse(bytes)?;
    let hash = hash_of(&package)?;
    let labels = package.file_signatures()?;
    for file in package.digested_files()? {
        match labels.get(file.index) {
            Some(label) if !label.is_empty() => label_file(root, &file, label, hash, count)?,
            _ => count.unsigned += 1,
        }
    }
    Ok(())
}

/// What the command line asks for.
enum Task {
    Sign { key: PathBuf, cert: PathBuf },
    Label { root: PathBuf },
}

fn arguments(mut words: impl Iterator<Item = OsString>) -> Option<(Task, Vec<PathBuf>)> {
    let (mut key, mut cert, mut root, mut files) = (None, None, None, Vec::new());
    while let Some(word) = words.next() {
        match word.to_str() {
            Some("--key") => key = Some(words.next()?.into()),
            Some("--cert") => cert = Some(words.next()?.into()),
            Some("--label-root") => root = Some(words.next()?.into()),
            Some(option) if option.starts_with('-') => return None,
            _ => files.push(word.into()),
        }
    }
    let task = match (key, cert, root) {
        (Some(key), Some(cert), None) => Task::Sign { key, cert },
        (None, None, Some(root)) => Task::Label { root },
        _ => return None,
    };
    (!files.is_empty()).then_some((task, files))
}

fn run(task: &Task, files: &[PathBuf]) -> Result<(), Failure> {
    let named = |file: &Path, e: &dyn std::fmt::Display| format!("{}: {e}", file.display());
    match task {
        Task::Sign { key, cert } => {
            let key_pair = Signer::read(key, cert)?;
            let mut total = 0;
            for file in files {
                let bytes = fs::read(file).map_err(|e| named(file, &e))?;
                let (signed, count) = sign(&bytes, &key_pair).map_err(|e| named(file, &e))?;
                replace(file, &signed).map_err(|e| named(file, &e))?;
                total += count;
            }
            println!("{total} files of {} packages signed", files.len());
        }
        Task::Label { root } => {
            let mut count = Labelled::default();
            for file in files {
                let bytes = fs::read(file).map_err(|e| named(file, &e))?;
                label_root(root, &bytes, &mut count).map_err(|e| named(file, &e))?;
            }
            let Labelled { written, unsigned, absent, modified } = count;
            println!("{written} files labelled, {unsigned} unsigned, {absent} absent, {modified} modified");
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let Some((task, files)) = arguments(std::env::args_os().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(&task, &files) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("sign-rpm: {e}");
            ExitCode::FAILURE
        }
    }
}
