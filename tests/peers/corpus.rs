//! Labelled files of every kind that a label can be of: signed by evmctl or by openssl, and then spoilt.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use imad::model::algo::HashAlgo;
use openssl::hash::{MessageDigest, hash};
use openssl::md::Md;
use openssl::pkey::{Id, PKey, Private};
use openssl::pkey_ctx::PkeyCtx;
use openssl::rsa::Padding;
use openssl::x509::X509;
use rustix::fs::XattrFlags;

use crate::machine::{keys, run};

/// Hash algorithms that evmctl signs with, but for MD5, which kernels need not have.
const ALGOS: [HashAlgo; 5] = [HashAlgo::Sha1, HashAlgo::Sha224, HashAlgo::Sha256, HashAlgo::Sha384, HashAlgo::Sha512];
/// Sizes about what blocks, pages and read buffers are; the others are drawn.
const SIZES: [usize; 14] = [0, 1, 55, 56, 63, 64, 65, 127, 128, 4095, 4096, 4097, 65_536, 300 * 1024];
/// Type byte, version, algorithm, key id and length, before the signature.
const HEADER: usize = 9;

/// What was done to a file and its label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    SignedByEvmctl,
    SignedByOpenssl,
    ContentChanged,
    ByForeignKey,
    KeyIdFlipped,
    SignatureFlipped,
    /// The length field fits what is left.
    SignatureTruncated,
    /// The length field is left as it was, as in the next.
    LabelCut,
    LabelTooLong,
    /// The number of another algorithm that both know.
    OtherAlgorithm,
    /// A number that is no algorithm's.
    NoAlgorithm,
    SignatureVersion3,
    Hash,
    HashOfOther,
    HashCut,
    NoLabel,
    EmptyLabel,
    NoType,
    VerityType,
    SignatureVersion1,
    LengthFlipped,
    Sha3,
    Sm3,
    Md5,
}

impl Kind {
    /// The kinds, and how many files of each are made with every key and hash algorithm.
    pub(crate) const ALL: [(Self, usize); 24] = [
        (Self::SignedByEvmctl, 9),
        (Self::SignedByOpenssl, 2),
        (Self::ContentChanged, 3),
        (Self::ByForeignKey, 1),
        (Self::KeyIdFlipped, 2),
        (Self::SignatureFlipped, 4),
        (Self::SignatureTruncated, 2),
        (Self::LabelCut, 1),
        (Self::LabelTooLong, 1),
        (Self::OtherAlgorithm, 4),
        (Self::NoAlgorithm, 1),
        (Self::SignatureVersion3, 1),
        (Self::Hash, 2),
        (Self::HashOfOther, 2),
        (Self::HashCut, 1),
        (Self::NoLabel, 1),
        (Self::EmptyLabel, 1),
        (Self::NoType, 1),
        (Self::VerityType, 1),
        (Self::SignatureVersion1, 1),
        (Self::LengthFlipped, 1),
        (Self::Sha3, 1),
        (Self::Sm3, 1),
        (Self::Md5, 1),
    ];
}

/// A generator that gives the same numbers in every run (SplitMix64).
#[derive(Debug)]
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    /// A byte that changes whatever it is XORed to.
    fn flip(&mut self) -> u8 {
        u8::try_from(1 + self.below(255)).unwrap()
    }

    fn content(&mut self) -> Vec<u8> {
        let size = if self.below(4) == 0 { SIZES[self.below(SIZES.len())] } else { self.below(20_000) };
        std::iter::repeat_with(|| self.next().to_le_bytes()).take(size.div_ceil(8)).flatten().take(size).collect()
    }
}

/// A key that signs.
pub(crate) struct Signer {
    /// Where key and certificates are, without extension.
    stem: PathBuf,
    key: PKey<Private>,
    id: [u8; 4],
}

impl Signer {
    fn read(stem: PathBuf) -> Self {
        let read = |kind| fs::read(stem.with_extension(kind)).unwrap();
        let key = PKey::private_key_from_pem(&read("key")).unwrap();
        let certificate = X509::from_pem(&read("pem")).unwrap();
        let id = *certificate.subject_key_id().unwrap().as_slice().last_chunk().unwrap();
        Self { stem, key, id }
    }

    /// Makes a key of this kind and a certificate of its own for it.
    fn make(folder: &Path, name: &str, algorithm: &[&str]) -> Self {
        let stem = folder.join(name);
        let file = |kind| stem.with_extension(kind);
        let subject = format!("/CN={name}");
        let mut request: Vec<&dyn AsRef<OsStr>> =
            vec![&"req", &"-new", &"-x509", &"-noenc", &"-subj", &subject, &"-newkey"];
        request.extend(algorithm.iter().map(|word| word as &dyn AsRef<OsStr>));
        let (key, pem, der) = (file("key"), file("pem"), file("der"));
        request.extend([&"-keyout" as &dyn AsRef<OsStr>, &key, &"-out", &pem]);
        tool("openssl", &request);
        tool("openssl", &[&"x509", &"-in", &pem, &"-outform", &"DER", &"-out", &der]);
        Self::read(stem)
    }

    /// The file with its certificate.
    pub(crate) fn der(&self) -> PathBuf {
        self.stem.with_extension("der")
    }

    fn sign_by_evmctl(&self, options: &[&str], file: &Path) {
        let (key, certificate) = (self.stem.with_extension("key"), self.stem.with_extension("pem"));
        let mut arguments: Vec<&dyn AsRef<OsStr>> =
            vec![&"ima_sign", &"--key", &key, &"--keyid-from-cert", &certificate, &file];
        arguments.extend(options.iter().map(|option| option as &dyn AsRef<OsStr>));
        tool("evmctl", &arguments);
    }

    /// A label with this hash algorithm, and its number in the kernel.
    fn label(&self, algo: (&str, u8), bytes: &[u8]) -> Vec<u8> {
        let digest = MessageDigest::from_name(algo.0).unwrap();
        let mut context = PkeyCtx::new(&self.key).unwrap();
        context.sign_init().unwrap();
        if self.key.id() == Id::RSA {
            context.set_rsa_padding(Padding::PKCS1).unwrap();
        }
        context.set_signature_md(Md::from_nid(digest.type_()).unwrap()).unwrap();
        let mut signature = Vec::new();
        context.sign_to_vec(&hash(digest, bytes).unwrap(), &mut signature).unwrap();
        let mut label = vec![3, 2, algo.1];
        label.extend(self.id);
        label.extend([0, 0]);
        label.extend(signature);
        set_length(&mut label);
        label
    }
}

/// Runs a program that must be there and succeed.
fn tool(program: &str, arguments: &[&dyn AsRef<OsStr>]) {
    let mut command = Command::new(program);
    command.args(arguments.iter().map(AsRef::as_ref));
    run(command);
}

fn set_length(label: &mut [u8]) {
    let length = u16::try_from(label.len() - HEADER).unwrap();
    label[HEADER - 2..HEADER].copy_from_slice(&length.to_be_bytes());
}

/// The keys that sign.
pub(crate) struct Signers {
    pub(crate) trusted: Vec<Signer>,
    foreign: Signer,
}

impl Signers {
    /// The test keys, and what they lack of RSA 2048 to 4096 and NIST's three curves, made in the folder.
    pub(crate) fn new(folder: &Path) -> Self {
        let mut signers = Self::of_test_keys();
        signers.trusted.extend([
            Signer::make(folder, "rsa3072", &["rsa:3072"]),
            Signer::make(folder, "rsa4096", &["rsa:4096"]),
            Signer::make(folder, "p521", &["ec", "-pkeyopt", "ec_paramgen_curve:secp521r1"]),
        ]);
        signers
    }

    /// The test keys whose certificates the guests' kernel takes: RSA, P-256 and P-384.
    pub(crate) fn of_test_keys() -> Self {
        let keys = keys();
        let trusted = ["accepted/rsa", "ima", "accepted/p384"].map(|name| Signer::read(keys.join(name)));
        Self { trusted: trusted.into(), foreign: Signer::read(keys.join("foreign")) }
    }

    /// Makes the files of a kind, one with each key and hash algorithm.
    pub(crate) fn make(&self, kind: Kind, draw: &mut Draw, mut name: impl FnMut() -> PathBuf) -> Vec<PathBuf> {
        let with = self.trusted.iter().flat_map(|signer| ALGOS.map(|algo| (signer, algo)));
        let make = |(signer, algo): (&Signer, HashAlgo)| {
            let file = name();
            let content = draw.content();
            fs::write(&file, &content).unwrap();
            match kind {
                Kind::SignedByEvmctl => signer.sign_by_evmctl(&["--hashalgo", algo.name()], &file),
                Kind::SignatureVersion1 => self.trusted[0].sign_by_evmctl(&["--rsa", "--hashalgo", "sha1"], &file),
                Kind::NoLabel => {}
                _ => set_label(&file, &self.label(kind, signer, algo, &content, draw)),
            }
            if kind == Kind::ContentChanged {
                fs::write(&file, changed(content, draw)).unwrap();
            }
            file
        };
        with.map(make).collect()
    }

    fn label(&self, kind: Kind, signer: &Signer, algo: HashAlgo, content: &[u8], draw: &mut Draw) -> Vec<u8> {
        let mut label = match kind {
            Kind::Hash | Kind::HashCut => hash_label(algo, content, draw),
            Kind::HashOfOther => hash_label(algo, &changed(content.to_vec(), draw), draw),
            Kind::ByForeignKey => self.foreign.label((algo.name(), algo.kernel_id()), content),
            Kind::Sha3 => signer.label(("sha3-256", HashAlgo::Sha3_256.kernel_id()), content),
            Kind::Md5 => signer.label(("md5", HashAlgo::Md5.kernel_id()), content),
            // OpenSSL does not let an RSA key sign it.
            Kind::Sm3 => self.trusted.last().unwrap().label(("sm3", 0x11), content),
            _ => signer.label((algo.name(), algo.kernel_id()), content),
        };
        let length = label.len();
        match kind {
            Kind::KeyIdFlipped => label[3 + draw.below(4)] ^= draw.flip(),
            Kind::SignatureFlipped => label[HEADER + draw.below(length - HEADER)] ^= draw.flip(),
            Kind::SignatureTruncated => {
                label.truncate(HEADER + 1 + draw.below(length - HEADER - 1));
                set_length(&mut label);
            }
            Kind::LabelCut => label.truncate(HEADER + 1 + draw.below(length - HEADER - 1)),
            Kind::LabelTooLong => label.extend(std::iter::repeat_n(0, 1 + draw.below(8))),
            Kind::OtherAlgorithm => {
                let place = ALGOS.iter().position(|other| *other == algo).unwrap() + 1 + draw.below(ALGOS.len() - 1);
                label[2] = ALGOS[place % ALGOS.len()].kernel_id();
            }
            Kind::NoAlgorithm => label[2] = u8::try_from(0x60 + draw.below(0xa0)).unwrap(),
            Kind::SignatureVersion3 => label[1] = 3,
            Kind::LengthFlipped => label[HEADER - 1] ^= draw.flip(),
            Kind::HashCut => label.truncate(length - 1 - draw.below(algo.digest_size() - 1)),
            Kind::EmptyLabel => label.clear(),
            Kind::NoType => label[0] = [0, 2, 5, 7, 8, 0x13, 0x83, 0xff][draw.below(8)],
            Kind::VerityType => label[0] = 6,
            _ => {}
        }
        label
    }
}

/// `04 algo digest`, or for SHA-1 also `01 digest`.
fn hash_label(algo: HashAlgo, content: &[u8], draw: &mut Draw) -> Vec<u8> {
    let digest = hash(MessageDigest::from_name(algo.name()).unwrap(), content).unwrap();
    let is_old = algo == HashAlgo::Sha1 && draw.below(2) == 0;
    if is_old { [&[1], &digest[..]].concat() } else { [&[4, algo.kernel_id()], &digest[..]].concat() }
}

/// Other content: one byte changed, one more, one less, or none left.
fn changed(mut content: Vec<u8>, draw: &mut Draw) -> Vec<u8> {
    let size = content.len();
    match draw.below(4) {
        _ if size == 0 => content.push(0),
        0 => content.push(0),
        1 => content.truncate(size - 1),
        2 => content.clear(),
        _ => content[draw.below(size)] ^= draw.flip(),
    }
    content
}

fn set_label(file: &Path, label: &[u8]) {
    rustix::fs::setxattr(file, "security.ima", label, XattrFlags::empty()).unwrap_or_else(|error| {
        panic!("{}: {error}; root sets labels, on a file system that keeps them", file.display())
    });
}
