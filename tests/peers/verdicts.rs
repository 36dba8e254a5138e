//! More than a thousand labels, each judged by imad and by evmctl.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use imad::model::algo::HashAlgo;
use imad::model::cert::{Certificate, hex};
use imad::model::config::Labels;
use imad::model::label::{Label, LabelError};
use imad::model::plan::{Judged, State};
use imad::model::verify::Trust;
use imad::ops::labels::{Request, Selection, judge_file};
use imad::sys::root::Root;

use crate::corpus::{Draw, Kind, Signers};
use crate::machine::{folder, output, run};

/// What both can say of a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Good,
    Bad,
    UnknownKey,
    NoLabel,
    HashFits,
    HashDiffers,
    /// It has a type that neither judges.
    NoSignature,
    /// It is a signature of a version or with an algorithm that neither knows.
    Unknown,
}

impl Verdict {
    const ALL: [Self; 8] = [
        Self::Good,
        Self::Bad,
        Self::UnknownKey,
        Self::NoLabel,
        Self::HashFits,
        Self::HashDiffers,
        Self::NoSignature,
        Self::Unknown,
    ];
}

/// What a kind of label is to be called by both, or why evmctl is no judge of it and what each says instead.
enum Expected {
    Verdict(Verdict),
    Apart { why: &'static str, evmctl: &'static str, imad: &'static str },
}

fn expected(kind: Kind) -> Expected {
    Expected::Verdict(match kind {
        Kind::SignedByEvmctl | Kind::SignedByOpenssl => Verdict::Good,
        Kind::ContentChanged
        | Kind::SignatureFlipped
        | Kind::SignatureTruncated
        | Kind::LabelCut
        | Kind::LabelTooLong
        | Kind::OtherAlgorithm => Verdict::Bad,
        Kind::ByForeignKey | Kind::KeyIdFlipped => Verdict::UnknownKey,
        Kind::NoAlgorithm | Kind::SignatureVersion3 => Verdict::Unknown,
        Kind::Hash => Verdict::HashFits,
        Kind::HashOfOther | Kind::HashCut => Verdict::HashDiffers,
        Kind::NoLabel => Verdict::NoLabel,
        Kind::EmptyLabel | Kind::NoType | Kind::VerityType => Verdict::NoSignature,
        Kind::SignatureVersion1 => {
            return Expected::Apart {
                why: "evmctl takes one RSA key in PEM for version 1",
                evmctl: "hash-v1: ",
                imad: "a signature of version 1",
            };
        }
        Kind::LengthFlipped => {
            return Expected::Apart {
                why: "evmctl does not look at the length field, the kernel does (asymmetric_verify())",
                evmctl: "verification is OK",
                imad: "the signature's length field says",
            };
        }
        Kind::Sha3 => {
            return Expected::Apart {
                why: "evmctl 1.4 does not know SHA-3",
                evmctl: "Invalid signature",
                imad: "the signature by key",
            };
        }
        Kind::Md5 => {
            return Expected::Apart {
                why: "kernels need not have MD5",
                evmctl: "verification is OK",
                imad: "a signature of version 2 over md5",
            };
        }
        Kind::Sm3 => {
            return Expected::Apart {
                why: "imad does not know SM3, which distributions' kernels lack",
                evmctl: "verification is OK",
                imad: "a signature with hash algorithm number 17",
            };
        }
    })
}

/// evmctl, with the certificates that it is to trust.
struct Evmctl {
    keys: String,
}

impl Evmctl {
    /// Everything that it says of a file's signature, and its verdict if that is one.
    fn verdict(&self, file: &Path, label: Option<&[u8]>) -> (Option<Verdict>, String) {
        let mut command = Command::new("evmctl");
        command.args(["ima_verify", "--key", &self.keys]).arg(file);
        let output = output(command);
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let is_good = text.contains(&format!("{}: verification is OK\n", file.display()));
        assert_eq!(is_good, output.status.success(), "{text}");
        let verdict = if is_good {
            Some(Verdict::Good)
        } else if text.contains("verification failed: ") {
            Some(Verdict::Bad)
        } else if text.contains("(unknown keyid)") {
            Some(Verdict::UnknownKey)
        } else if text.contains("getxattr failed: ") && text.contains("No data available") {
            Some(Verdict::NoLabel)
        } else if text.contains("xattr ima has no signature") {
            Some(Self::verdict_on_hash(file, label.unwrap()))
        } else if text.contains(": Invalid signature") {
            Some(Verdict::Unknown)
        } else {
            None
        };
        (verdict, text)
    }

    /// A disagreement of its verdict, imad's, and what the kind of label wants.
    fn compare(&self, kind: Kind, file: &Path, judged: &Judged) -> Option<String> {
        let label = label(file);
        let (theirs, text) = self.verdict(file, label.as_deref());
        let is_as_expected = match expected(kind) {
            Expected::Verdict(verdict) => theirs == Some(verdict) && ours(judged) == theirs,
            Expected::Apart { evmctl, imad, .. } => text.contains(evmctl) && judged.reason.contains(imad),
        };
        let shown = || format!("{kind:?}: {judged:?}, evmctl {theirs:?}: {text}{label:02x?}");
        (!is_as_expected).then(shown)
    }

    /// It verifies no hash labels, but makes them: what it would write is what fits.
    fn verdict_on_hash(file: &Path, label: &[u8]) -> Verdict {
        let (algo, digest) = match Label::parse(label) {
            Ok(Label::Digest { algo, digest }) => (algo, digest),
            Err(LabelError::Short { .. }) => return Verdict::HashDiffers,
            _ => return Verdict::NoSignature,
        };
        let mut command = Command::new("evmctl");
        command.args(["ima_hash", "-n", "--hashalgo", HashAlgo::from_kernel_id(algo).unwrap().name()]).arg(file);
        let would = String::from_utf8(run(command).stdout).unwrap().trim().to_owned();
        // It makes `01 digest` of the two oldest algorithms, and `04 algo digest` of the others.
        let would = would.strip_prefix("01").or_else(|| would.strip_prefix(&format!("04{algo:02x}"))).unwrap();
        if would == hex(digest) { Verdict::HashFits } else { Verdict::HashDiffers }
    }
}

/// imad's verdict, as far as evmctl can have one: no package is asked.
fn ours(judged: &Judged) -> Option<Verdict> {
    let says = |words: &str| judged.reason.contains(words);
    Some(match judged.state {
        State::Good => Verdict::Good,
        // evmctl of this version knows no such labels, the files have no fs-verity: neither takes them for signatures.
        State::Foreign if says("the file has no fs-verity") => Verdict::NoSignature,
        State::Unsupported => Verdict::Unknown,
        State::Foreign if says("does not verify") || says("the signature's length field") => Verdict::Bad,
        State::Foreign if says("which is not trusted here") => Verdict::UnknownKey,
        State::Foreign if says("it has no label") => Verdict::NoLabel,
        State::Foreign if says("its label is a hash, not a signature") => Verdict::HashFits,
        State::Foreign if says("a hash that the content does not have") || says("its type needs") => {
            Verdict::HashDiffers
        }
        State::Foreign if says("is not a label's") || says("the label is empty") => Verdict::NoSignature,
        _ => return None,
    })
}

#[test]
fn a_thousand_labels_fare_as_with_evmctl() {
    let folder = folder();
    let signers = Signers::new(folder.path());
    let certificates: Vec<_> = signers.trusted.iter().map(crate::corpus::Signer::der).collect();
    let keys: Vec<_> = certificates.iter().map(|path| path.to_str().unwrap()).collect();
    let evmctl = Evmctl { keys: keys.join(",") };
    let trust = Trust::new(certificates.iter().map(|path| Certificate::parse(&std::fs::read(path).unwrap()).unwrap()));
    let root = Root::open(folder.path()).unwrap();
    let rules = Labels::default();
    let request =
        Request { root: &root, rules: &rules, trust: &trust, selection: &Selection::All, write: None, full: true };

    let mut draw = Draw(0x1a_3a);
    let mut files = 0;
    let mut name = || {
        files += 1;
        folder.path().join(format!("file{files}"))
    };
    let make = |(kind, rounds)| (0..rounds).map(move |_| kind);
    let rounds = Kind::ALL.into_iter().flat_map(make);
    let files: Vec<_> = rounds
        .flat_map(|kind| signers.make(kind, &mut draw, &mut name).into_iter().map(move |file| (kind, file)))
        .collect();
    let judge = |(kind, file): &(Kind, PathBuf)| {
        let path = format!("/{}", file.file_name().unwrap().to_str().unwrap());
        evmctl.compare(*kind, file, &judge_file(&request, path.as_bytes()).judged)
    };
    let threads = std::thread::available_parallelism().unwrap().get();
    let found: Vec<_> = std::thread::scope(|scope| {
        let parts = files.chunks(files.len().div_ceil(threads));
        let judge = &judge;
        let parts: Vec<_> =
            parts.map(|part| scope.spawn(move || part.iter().filter_map(judge).collect::<Vec<_>>())).collect();
        parts.into_iter().flat_map(|part| part.join().unwrap()).collect()
    });

    let (mut kinds, mut verdicts, mut table) = (BTreeMap::new(), BTreeMap::new(), String::new());
    for (kind, _) in &files {
        *kinds.entry(*kind).or_insert(0) += 1;
        if let Expected::Verdict(verdict) = expected(*kind) {
            *verdicts.entry(verdict).or_insert(0) += 1;
        }
    }
    for (kind, count) in &kinds {
        let both = match expected(*kind) {
            Expected::Verdict(verdict) => format!("both: {verdict:?}"),
            Expected::Apart { why, .. } => format!("not counted: {why}"),
        };
        writeln!(table, "{count:5} {:<20} {both}", format!("{kind:?}")).unwrap();
    }
    println!("{table}{verdicts:?}");
    assert!(found.is_empty(), "{} disagreements:\n{}", found.len(), found.join("\n"));
    assert_eq!(kinds.len(), Kind::ALL.len());
    assert!(kinds.values().all(|count| *count >= 20), "{table}");
    assert!(Verdict::ALL.iter().all(|verdict| verdicts.get(verdict).is_some_and(|count| *count >= 20)), "{verdicts:?}");
    assert!(verdicts.values().sum::<u32>() >= 1000, "{verdicts:?}");
}

fn label(file: &Path) -> Option<Vec<u8>> {
    let mut buffer = [0; 1024];
    let length = rustix::fs::getxattr(file, "security.ima", &mut buffer).ok()?;
    Some(buffer[..length].to_vec())
}
