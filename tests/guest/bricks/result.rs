//! What a case showed, kept in a file of its own: a campaign that is stopped goes on where it was.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::case::{Armed, Case, Expected, Kind};
use super::deeds::digits;

/// One boot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Boot {
    /// It came to a login.
    pub(super) login: bool,
    /// How long it took, or was waited for.
    pub(super) seconds: u64,
    /// Why it came to none.
    pub(super) why: Option<String>,
    /// The console's last lines, where it came to none.
    pub(super) console: Vec<String>,
}

/// What was seen of a machine after the sabotage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    /// QEMU ran it, not user-mode Linux.
    pub(super) emulated: bool,
    /// Its boots, to the first with a login.
    pub(super) boots: Vec<Boot>,
    /// Unlabelled programs are denied (true) or run (false); absent without a login.
    pub(super) armed: Option<bool>,
    /// The status: summary, problems, the daemon's state.
    pub(super) said: Vec<String>,
    /// What could not be done or asked at all.
    pub(super) broken: Option<String>,
}

impl Seen {
    /// The number of the boot that came to a login.
    pub(super) fn login(&self) -> Option<usize> {
        self.boots.iter().position(|boot| boot.login).map(|index| index + 1)
    }

    /// Whether that is what was expected; an error says what is not.
    pub(super) fn verdict(&self, expected: &Expected) -> Result<(), String> {
        if let Some(broken) = &self.broken {
            return Err(broken.clone());
        }
        let Some(login) = self.login() else {
            let why =
                self.boots.iter().filter_map(|boot| boot.why.as_deref()).next_back().unwrap_or("it was not booted");
            return Err(format!("no login in {} boots: {why}", self.boots.len()));
        };
        if login > expected.boots as usize {
            return Err(format!("the login came at boot {login}, expected within {}", expected.boots));
        }
        let armed = self.armed.ok_or("it is not known whether the policy is in force")?;
        match (expected.armed, armed) {
            (Armed::Yes, false) => return Err(format!("the policy is not in force: {}", self.summary())),
            (Armed::No, true) => return Err(format!("the policy is in force: {}", self.summary())),
            _ => {}
        }
        let summary_fits = self.summary().starts_with("Protected: ") == armed;
        if !summary_fits {
            let fact = if armed { "in force" } else { "not in force" };
            return Err(format!("the policy is {fact}, and the status says: {}", self.summary()));
        }
        if self.said.iter().any(|line| line.contains(&expected.cause)) {
            return Ok(());
        }
        Err(format!("the status does not say \"{}\": {}", expected.cause, self.said.join(" | ")))
    }

    /// The status in one sentence.
    pub(super) fn summary(&self) -> &str {
        self.said.first().map_or("nothing", String::as_str)
    }
}

/// A case's result, as its file holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CaseResult {
    /// The case.
    pub(super) name: String,
    /// Its kind.
    pub(super) kind: Kind,
    /// What was expected when it was run.
    pub(super) expected: Expected,
    /// It was seen as expected.
    pub(super) passed: bool,
    /// What was not.
    pub(super) why: Option<String>,
    /// What was seen.
    pub(super) seen: Seen,
    /// What was seen of a machine with dracut's module and systemd alone.
    pub(super) control: Option<Seen>,
    /// The seed of the power cut.
    pub(super) seed: Option<u64>,
    /// When it was run, UTC.
    pub(super) date: String,
    /// Of which sources: [`Sources`].
    pub(super) source: String,
}

impl CaseResult {
    /// Judges what was seen.
    pub(super) fn new(case: &Case, source: &str, seen: Seen, control: Option<Seen>) -> Self {
        let verdict = seen.verdict(&case.expected);
        Self {
            name: case.name.clone(),
            kind: case.kind,
            expected: case.expected.clone(),
            passed: verdict.is_ok(),
            why: verdict.err(),
            seen,
            control,
            seed: case.cut,
            date: jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M").to_string(),
            source: source.to_owned(),
        }
    }

    /// Whether it holds for the case as it is today, control included.
    pub(super) fn holds(&self, case: &Case, source: &str) -> bool {
        self.passed && self.source == source && self.expected == case.expected && self.control.is_some() == case.control
    }
}

/// Where results lie: `IMAD_CAMPAIGN`, or `target/campaign`.
pub(super) fn folder() -> PathBuf {
    let usual = || checkout().join("target/campaign");
    env::var_os("IMAD_CAMPAIGN").map_or_else(usual, PathBuf::from)
}

fn file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.json"))
}

/// The result of a case, if there is one that can be read.
pub(super) fn read(folder: &Path, name: &str) -> Option<CaseResult> {
    serde_json::from_slice(&fs::read(file(folder, name)).ok()?).ok()
}

/// Keeps a result, whole or not at all.
pub(super) fn write(folder: &Path, result: &CaseResult) {
    fs::create_dir_all(folder).unwrap();
    let (path, new) = (file(folder, &result.name), file(folder, &format!(".{}", result.name)));
    let mut bytes = serde_json::to_vec_pretty(result).unwrap();
    bytes.push(b'\n');
    fs::write(&new, bytes).unwrap();
    fs::rename(&new, &path).unwrap();
}

/// What every case tests and is made of.
const SOURCES: [&str; 9] = [
    "src",
    "units",
    "dracut-module",
    "conf",
    "tests/guest/images",
    "tests/guest/bricks/case.rs",
    "tests/guest/bricks/deeds.rs",
    "tests/guest/bricks/prove.rs",
    "tests/guest/bricks/run.rs",
];

/// Where the sabotages of a kind are, beyond what all have in common.
const fn sabotages(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Policy => &["tests/guest/bricks/cases_policy.rs"],
        Kind::Keys => &["tests/guest/bricks/cases_keys.rs"],
        Kind::Labels => &["tests/guest/bricks/cases_labels.rs"],
        Kind::Packages => &["tests/guest/bricks/cases_packages.rs"],
        Kind::Storage => &["tests/guest/bricks/cases_storage.rs"],
        Kind::Boots => &["tests/guest/bricks/cases_boots.rs"],
        Kind::Kernels => &["tests/guest/bricks/cases_kernels.rs"],
        Kind::Imad => &["tests/guest/bricks/cases_imad.rs", "tests/guest/bricks/cases_storage.rs"],
    }
}

/// The sources of each kind's cases: SHA-256 over paths and contents. A result of other sources says nothing of these.
pub(super) struct Sources(BTreeMap<Kind, String>);

impl Sources {
    /// Those of the checkout, as they are now.
    pub(super) fn now() -> Self {
        Self(Kind::ALL.map(|kind| (kind, hash(SOURCES.iter().chain(sabotages(kind))))).into())
    }

    /// Those of a kind's cases.
    pub(super) fn of(&self, kind: Kind) -> &str {
        &self.0[&kind]
    }
}

fn hash<'a>(paths: impl Iterator<Item = &'a &'a str>) -> String {
    let mut files = Vec::new();
    for path in paths {
        gather(checkout().join(path), &mut files);
    }
    files.sort();
    let mut hash = openssl::sha::Sha256::new();
    for path in files {
        let mut bytes = fs::read(&path).unwrap();
        let name = path.strip_prefix(checkout()).unwrap();
        if name.file_name().unwrap().as_encoded_bytes().starts_with(b"cases_") {
            bytes = without_causes(std::str::from_utf8(&bytes).unwrap()).into_bytes();
        }
        for part in [name.as_os_str().as_encoded_bytes(), &bytes] {
            hash.update(&u64::try_from(part.len()).unwrap().to_le_bytes());
            hash.update(part);
        }
    }
    digits(&hash.finish())
}

/// Cases without the words that they expect: each result has those of its own case.
fn without_causes(text: &str) -> String {
    let mut rest = text;
    let mut kept = String::new();
    while let Some(at) = [".open(", ".armed("].iter().filter_map(|call| Some(rest.find(call)? + call.len())).min() {
        kept.push_str(&rest[..at]);
        rest = &rest[at..];
        rest = &rest[rest.find(')').unwrap()..];
    }
    kept + rest
}

fn gather(path: PathBuf, files: &mut Vec<PathBuf>) {
    if !path.is_dir() {
        return files.push(path);
    }
    for entry in fs::read_dir(&path).unwrap() {
        gather(entry.unwrap().path(), files);
    }
}

/// The top of the checkout.
pub(super) fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(armed: Armed, cause: &str, boots: u32) -> Expected {
        Expected { armed, cause: cause.to_owned(), boots }
    }

    fn seen(logins: &[bool], armed: Option<bool>, said: &[&str]) -> Seen {
        let boots = logins.iter().map(|&login| Boot { login, ..Boot::default() }).collect();
        Seen { boots, armed, said: said.iter().map(ToString::to_string).collect(), broken: None, emulated: false }
    }

    #[test]
    fn each_kind_has_sources_of_its_own() {
        let sources = Sources::now();
        let all: std::collections::BTreeSet<_> = Kind::ALL.map(|kind| sources.of(kind)).into();
        assert_eq!(all.len(), Kind::ALL.len());
        assert_eq!(Kind::ALL.map(|kind| sources.of(kind)), Kind::ALL.map(|kind| Sources::now().of(kind).to_owned()));
    }

    #[test]
    fn an_expectation_is_no_source_of_other_cases() {
        let text = |words| format!("case(\"a\").open({words}).controlled(),\ncase(\"b\").armed(\"\")");
        assert_eq!(without_causes(&text("\"x\"")), "case(\"a\").open().controlled(),\ncase(\"b\").armed()");
        assert_eq!(without_causes(&text("\"x\"")), without_causes(&text("NONE")));
        assert_ne!(without_causes(&text("")), without_causes(&text("").replace("open", "armed")));
    }

    #[test]
    fn a_case_passes_when_everything_is_as_expected() {
        let open = seen(&[true], Some(false), &["Not protected: the file is empty."]);
        assert_eq!(open.verdict(&expected(Armed::No, "the file is empty", 1)), Ok(()));
        assert_eq!(open.verdict(&expected(Armed::Either, "", 1)), Ok(()));
        let armed = seen(&[false, true], Some(true), &["Protected: imad-boot loaded it.", "the clock is wrong"]);
        assert_eq!(armed.verdict(&expected(Armed::Yes, "clock", 2)), Ok(()));
        assert_eq!(armed.verdict(&expected(Armed::Yes, "", 2)), Ok(()));
    }

    #[test]
    fn a_case_fails_with_what_is_not_as_expected() {
        let open = seen(&[true], Some(false), &["Not protected: the file is empty."]);
        let armed = seen(&[false, true], Some(true), &["Protected: it is."]);
        let lying = seen(&[true], Some(false), &["Protected: it is."]);
        let never = seen(&[false, false, false], None, &[]);
        let unknown = seen(&[true], None, &["Protected: it is."]);
        let broken = Seen { broken: Some("half of it".to_owned()), ..armed.clone() };
        for (seen, expected, words) in [
            (&open, expected(Armed::Yes, "", 1), "not in force"),
            (&open, expected(Armed::No, "no certificate", 1), "does not say"),
            (&armed, expected(Armed::No, "", 2), "is in force"),
            (&armed, expected(Armed::Yes, "", 1), "boot 2"),
            (&lying, expected(Armed::Either, "", 1), "the status says: Protected"),
            (&never, expected(Armed::Either, "", 3), "no login in 3 boots"),
            (&unknown, expected(Armed::Either, "", 1), "not known"),
            (&broken, expected(Armed::Yes, "", 2), "half of it"),
        ] {
            let why = seen.verdict(&expected).unwrap_err();
            assert!(why.contains(words), "{why}");
        }
    }

    #[test]
    fn a_result_is_read_again_and_an_older_one_does_not_hold() {
        let folder = tempfile::tempdir().unwrap();
        let case = Case::new(Kind::Policy, "a-case", "something").open("because");
        let seen = seen(&[true], Some(false), &["Not protected: because."]);
        let result = CaseResult::new(&case, "sources", seen, None);
        write(folder.path(), &result);
        let read = read(folder.path(), "a-case").unwrap();
        assert_eq!(read, result);
        assert!(read.passed && read.holds(&case, "sources"));
        assert!(!read.holds(&case, "other sources"));
        assert!(!read.holds(&Case::new(Kind::Policy, "a-case", "something").open("another"), "sources"));
        assert!(!read.holds(&Case::new(Kind::Policy, "a-case", "something").open("because").controlled(), "sources"));
    }
}
