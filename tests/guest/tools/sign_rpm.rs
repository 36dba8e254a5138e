//! Writes IMA file signatures into RPM packages, and the labels of signed packages onto a tree.
//!
//! rpmsign does the former with `--signfiles`; Debian's is built without it. `--label-root` does what rpm's `ima`
//! plugin does, for an image that is not running yet.
#![forbid(unsafe_code)]

#[path = "rpm_file.rs"]
mod rpm_file;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use imad::model::algo::HashAlgo;
use imad::model::cert::{Certificate, hex};
use imad::model::label::XATTR_IMA;
use imad::model::rpm::unhex;
use imad::sys::root::Root;
use openssl::pkey::{Id, PKey, Private};
use openssl::pkey_ctx::PkeyCtx;
use openssl::rsa::Padding;
use rpm_file::{PackageFile, Tag};
use rustix::fs::{OFlags, XattrFlags};

const USAGE: &str = "\
Usage: sign-rpm --key KEY.pem --cert CERT.pem FILE.rpm...
       sign-rpm --label-root DIR FILE.rpm...

The first form writes a signature of every regular file into each package (tags 274 and 275).
The second sets security.ima of every file below DIR that a package brings a signature for.
";

const FILE_MODES: u32 = 1030;
const FILE_DIGESTS: u32 = 1035;
const DIR_INDEXES: u32 = 1116;
const BASE_NAMES: u32 = 1117;
const DIR_NAMES: u32 = 1118;
const FILE_DIGEST_ALGO: u32 = 5011;
const SIG_FILE_SIGNATURES: u32 = 274;
const SIG_FILE_SIGNATURE_LENGTH: u32 = 275;
const REGULAR: u32 = 0o100_000;

struct Signer {
    key: PKey<Private>,
    id: [u8; 4],
}

impl Signer {
    fn new(key: &Path, certificate: &Path) -> Result<Self, String> {
        let read = |path: &Path| std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
        let key_error = |error: openssl::error::ErrorStack| format!("{}: {error}", key.display());
        let private = PKey::private_key_from_pem(&read(key)?).map_err(key_error)?;
        let parsed = Certificate::parse(&read(certificate)?).map_err(|e| format!("{}: {e}", certificate.display()))?;
        let id = parsed.key_id().ok_or_else(|| format!("{}: no subject key identifier", certificate.display()))?;
        Ok(Self { key: private, id: id.0.to_be_bytes() })
    }

    /// A version 2 label over a digest.
    fn label(&self, algo: HashAlgo, digest: &[u8]) -> Result<Vec<u8>, String> {
        let sign = || {
            let mut context = PkeyCtx::new(&self.key)?;
            context.sign_init()?;
            if self.key.id() == Id::RSA {
                context.set_rsa_padding(Padding::PKCS1)?;
            }
            context.set_signature_md(openssl::md::Md::sha256())?;
            let mut signature = Vec::new();
            context.sign_to_vec(digest, &mut signature)?;
            Ok::<_, openssl::error::ErrorStack>(signature)
        };
        if algo != HashAlgo::Sha256 {
            return Err(format!("file digests are {algo}; build the package with _binary_filedigest_algorithm 8"));
        }
        let signature = sign().map_err(|error| error.to_string())?;
        let size = u16::try_from(signature.len()).map_err(|error| error.to_string())?.to_be_bytes();
        Ok([&[3, 2, algo.kernel_id()], &self.id[..], &size, &signature].concat())
    }
}

/// Signs a package in place.
fn sign(signer: &Signer, path: &Path) -> Result<(), String> {
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    let package = PackageFile::parse(&bytes).map_err(|error| error.to_string())?;
    let algo = package.numbers(FILE_DIGEST_ALGO).first().copied().and_then(HashAlgo::from_pgp_id);
    let mut made: BTreeMap<String, String> = BTreeMap::new();
    let mut signatures = Vec::new();
    for (digest, mode) in package.strings(FILE_DIGESTS).into_iter().zip(package.numbers(FILE_MODES)) {
        let bytes = unhex(digest.as_bytes()).filter(|_| mode & 0o170_000 == REGULAR);
        let Some(bytes) = bytes else {
            signatures.push(String::new());
            continue;
        };
        let signature = match made.get(&digest) {
            // Hard links share their content and must share their label.
            Some(signature) => signature.clone(),
            None => hex(&signer.label(algo.ok_or("file digests of an unknown algorithm")?, &bytes)?),
        };
        made.insert(digest, signature.clone());
        signatures.push(signature);
    }
    if signatures.is_empty() {
        return Ok(());
    }
    let longest = signatures.iter().map(|signature| signature.len() / 2 + 1).max().unwrap_or(0);
    let length = u32::try_from(longest).map_err(|error| error.to_string())?;
    let tags = [Tag::strings(SIG_FILE_SIGNATURES, &signatures), Tag::int32(SIG_FILE_SIGNATURE_LENGTH, length)];
    let signed = package.with_signatures(&tags);
    let partial = path.with_extension("rpm.partial");
    let mut file = File::create(&partial).map_err(|error| error.to_string())?;
    file.write_all(&signed).and_then(|()| file.sync_all()).map_err(|error| error.to_string())?;
    std::fs::rename(&partial, path).map_err(|error| error.to_string())
}

/// Labels what a package brought below a root; how many files.
fn label(root: &Root, path: &Path) -> Result<usize, String> {
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    let package = PackageFile::parse(&bytes).map_err(|error| error.to_string())?;
    let (dirs, indexes) = (package.strings(DIR_NAMES), package.numbers(DIR_INDEXES));
    let mut labelled = 0;
    for ((base, dir), signature) in
        package.strings(BASE_NAMES).iter().zip(indexes).zip(package.signature_strings(SIG_FILE_SIGNATURES))
    {
        let Some(signature) = unhex(signature.as_bytes()) else { continue };
        let file = format!("{}{base}", dirs.get(dir as usize).ok_or("a directory index points nowhere")?);
        match root.open_with(file.as_bytes(), OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK) {
            Ok(fd) => rustix::fs::fsetxattr(&fd, XATTR_IMA, &signature, XattrFlags::empty())
                .map_err(|error| format!("{file}: {error}"))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(format!("{file}: {error}")),
        }
        labelled += 1;
    }
    Ok(labelled)
}

fn run(arguments: &[String]) -> Result<(), String> {
    let usage = || USAGE.to_owned();
    let each = |files: &[String], work: &dyn Fn(&Path) -> Result<(), String>| {
        files.iter().try_for_each(|file| work(Path::new(file)).map_err(|error| format!("{file}: {error}")))
    };
    match arguments {
        [k, key, c, certificate, files @ ..] if k == "--key" && c == "--cert" => {
            let signer = Signer::new(Path::new(key), Path::new(certificate))?;
            each(files, &|file| sign(&signer, file))
        }
        [r, root, files @ ..] if r == "--label-root" => {
            let root = Root::open(&PathBuf::from(root)).map_err(|error| format!("{root}: {error}"))?;
            each(files, &|file| label(&root, file).map(drop))
        }
        _ => Err(usage()),
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sign-rpm: {error}");
            ExitCode::FAILURE
        }
    }
}
