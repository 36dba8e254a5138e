//! The label journal on real file systems, with real labels: killed, full, contended, put back.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use imad::model::algo::HashAlgo;
use imad::model::cert::Certificate;
use imad::model::journal::JobEnd;
use imad::model::journal::report::{History, Reverted};
use imad::model::plan::Content;
use imad::model::verify::{Known as _, Trust};
use imad::sys::file::OpenFile;
use imad::sys::label_journal::{JournalError, LIMIT, LabelJournal, NewIntent, NewJob};
use imad::sys::lock::{LabelLock, LockError};
use imad::sys::proofs::{Proofs, Sighting, facts as sys_facts};
use imad::sys::root::Root;
use imad::sys::state_dir::StateDir;

use super::fixture::{example, fill, folder, keys, output, run};

/// Two labels as signatures have them, by different keys; and the kernel's own.
const ONE: &str = "030204d33204490004aabbccdd";
const TWO: &str = "0302041122334400021234";
const HASH: &str = "0404ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

/// A root with files, on the checkout's own file system.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new(files: usize) -> Self {
        let place = Self { folder: folder() };
        std::fs::create_dir(place.path("files")).unwrap();
        for number in 0..files {
            std::fs::write(place.path(&format!("files/{number:02}")), format!("content {number}\n")).unwrap();
        }
        place
    }

    fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    fn root(&self) -> Root {
        Root::open(self.folder.path()).unwrap()
    }

    fn file(&self, number: usize) -> PathBuf {
        self.path(&format!("files/{number:02}"))
    }

    fn set(&self, number: usize, label: &str) {
        let (value, file) = (format!("0x{label}"), self.file(number));
        let arguments: [&OsStr; 5] =
            ["-n".as_ref(), "security.ima".as_ref(), "-v".as_ref(), value.as_ref(), file.as_ref()];
        run("setfattr", &arguments);
    }

    fn label(&self, number: usize) -> Option<String> {
        let file = OpenFile::open(&self.root(), format!("/files/{number:02}").as_bytes()).unwrap();
        file.label().unwrap().map(|label| imad::model::cert::hex(&label))
    }

    fn labels(&self, files: usize) -> Vec<Option<String>> {
        (0..files).map(|number| self.label(number)).collect()
    }

    /// Runs the loop until it ends or the step at which it dies.
    fn label_all(&self, label: &str, step: u64) -> Output {
        let step = step.to_string();
        let arguments: [&OsStr; 3] = [self.folder.path().as_ref(), label.as_ref(), step.as_ref()];
        output(example("label-loop"), &arguments)
    }

    fn imactl(&self, arguments: &[&str]) -> (i32, String) {
        let root: [&OsStr; 2] = ["--root".as_ref(), self.folder.path().as_ref()];
        let arguments: Vec<&OsStr> = arguments.iter().map(AsRef::as_ref).collect();
        let output = output(env!("CARGO_BIN_EXE_imactl"), &[&root[..], &arguments].concat());
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
    }

    fn history(&self, path: &str) -> History {
        let (_, text) = self.imactl(&["--json", "labels", "history", path]);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    fn revert(&self, arguments: &[&str]) -> Reverted {
        let (_, text) = self.imactl(&[&["--json", "labels", "revert"], arguments].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }
}

fn succeeded(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn killed_at_any_step_the_next_run_finishes() {
    const FILES: usize = 8;
    let place = Place::new(FILES);
    let before: Vec<_> = (0..FILES).map(|number| std::fs::metadata(place.file(number)).unwrap()).collect();
    let mut labels = [ONE, TWO].into_iter().cycle();
    let mut steps = 0;
    for step in 1.. {
        let label = labels.next().unwrap();
        let killed = place.label_all(label, step);
        if killed.status.success() {
            break;
        }
        steps = step;
        assert_eq!(killed.status.to_string(), "signal: 9 (SIGKILL)", "{}", String::from_utf8_lossy(&killed.stderr));
        // Killed once more on the way, then not.
        place.label_all(label, step % 7 + 1);
        succeeded(&place.label_all(label, u64::MAX));
        assert_eq!(place.labels(FILES), vec![Some(label.to_owned()); FILES], "{step}");
        let root = place.root();
        let lock = LabelLock::take(&root, Duration::ZERO).unwrap();
        let (_, found) = LabelJournal::open(&root, &lock, LIMIT).unwrap();
        assert!(found.pending.is_empty() && found.problems.is_empty() && found.torn == 0, "{step}: {found:?}");
    }
    assert!(steps > 30, "{steps}");
    for (number, before) in before.iter().enumerate() {
        let now = std::fs::metadata(place.file(number)).unwrap();
        assert_eq!((now.mtime_nsec(), now.mode(), now.ino()), (before.mtime_nsec(), before.mode(), before.ino()));
        assert_eq!(std::fs::read_to_string(place.file(number)).unwrap(), format!("content {number}\n"));
    }
    let state = std::fs::read_dir(place.path("var/lib/imad")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut state: Vec<_> = state.collect();
    state.sort();
    assert_eq!(state, ["labels.journal", "labels.lock"]);
}

#[test]
fn history_tells_each_change_and_revert_puts_back_what_nobody_touched() {
    let place = Place::new(8);
    place.set(1, HASH);
    succeeded(&place.label_all(ONE, u64::MAX));
    let history = place.history("/files/01");
    let [change] = &history.changes[..] else { panic!("{history:?}") };
    assert_eq!((change.job, &change.state[..], change.job_end.as_deref()), (1, "written", Some("finished")));
    assert!(change.from.as_deref().unwrap().starts_with("hash label ("), "{change:?}");
    assert!(change.to.as_deref().unwrap().starts_with("signature by key d3320449 ("), "{change:?}");
    let (code, text) = place.imactl(&["labels", "history", "/files/02"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("/files/02: no label → signature by key d3320449 ("), "{text}");
    assert_eq!(place.imactl(&["labels", "history", "/etc/passwd"]).0, 1);

    // What became of files since: another label, none, another file, gone, a link, immutable.
    place.set(2, TWO);
    run("setfattr", &[OsStr::new("-x"), "security.ima".as_ref(), place.file(3).as_ref()]);
    std::fs::write(place.path("files/new"), "new\n").unwrap();
    std::fs::rename(place.path("files/new"), place.file(4)).unwrap();
    std::fs::remove_file(place.file(5)).unwrap();
    std::fs::remove_file(place.file(6)).unwrap();
    std::os::unix::fs::symlink("00", place.file(6)).unwrap();
    run("chattr", &[OsStr::new("+i"), place.file(7).as_ref()]);

    let dry = place.revert(&["--dry-run", "1"]);
    assert_eq!((dry.reverted, dry.left, dry.by_job, place.label(0).as_deref()), (2, 6, None, Some(ONE)));
    let report = place.revert(&["1"]);
    run("chattr", &[OsStr::new("-i"), place.file(7).as_ref()]);
    assert_eq!((report.reverted, report.left, report.by_job), (2, 6, Some(2)), "{report:?}");
    let reasons: Vec<_> = report.files.iter().map(|file| &file.reason[..]).collect();
    let expected = [
        "no label, as before",
        "hash label (",
        "its label was changed since (now: signature by key 11223344 (",
        "it has the label that it had before",
        "the file was replaced since",
        "it is not there any more",
        "something else than a regular file is there now",
        "it has the immutable or append-only attribute",
    ];
    assert_eq!(reasons.len(), expected.len());
    for (reason, expected) in reasons.iter().zip(expected) {
        assert!(reason.starts_with(expected), "{reason}");
    }
    assert_eq!(place.label(0), None);
    assert_eq!(place.label(1).as_deref(), Some(HASH));
    assert_eq!(place.label(2).as_deref(), Some(TWO));

    // A revert is a job, and can be put back itself; and that once more.
    let again = place.revert(&["2"]);
    assert_eq!((again.reverted, again.left, again.by_job), (2, 0, Some(3)), "{again:?}");
    assert_eq!((place.label(0).as_deref(), place.label(1).as_deref()), (Some(ONE), Some(ONE)));
    assert_eq!(place.revert(&["3"]).reverted, 2);
    assert_eq!((place.label(0), place.label(1).as_deref()), (None, Some(HASH)));
    let history = place.history("/files/01");
    let reverts: Vec<_> = history.changes.iter().map(|change| (change.job, change.reverts)).collect();
    assert_eq!(reverts, [(1, None), (2, Some(1)), (3, Some(2)), (4, Some(3))]);
    let (code, text) = place.imactl(&["labels", "history"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("finished: 8 written\n    label-loop: /files"), "{text}");
    assert!(text.contains("puts back job 3: 2 written\n    imactl labels revert by uid "), "{text}");
    let (code, text) = place.imactl(&["labels", "revert", "9"]);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("knows no job 9, but 1 to 4") && text.contains("imactl labels history"), "{text}");
}

#[test]
fn a_killed_jobs_labels_can_be_put_back() {
    let place = Place::new(8);
    // Some steps into the second batch: labels are written whose outcome was not recorded.
    assert!(!place.label_all(ONE, 22).status.success());
    let labelled = place.labels(8).iter().flatten().count() as u64;
    assert_eq!(labelled, 4);
    let report = place.revert(&["1"]);
    assert_eq!((report.reverted, report.left), (labelled, 2), "{report:?}");
    assert_eq!(place.labels(8), vec![None; 8]);
    assert!(report.problems[0].what.contains("of an interrupted job were not judged again yet"), "{report:?}");
}

#[test]
fn a_full_disk_keeps_a_label_from_being_written() {
    let folder = folder();
    let (image, target) = (folder.path().join("image"), folder.path().join("root"));
    std::fs::File::create(&image).unwrap().set_len(4 << 20).unwrap();
    std::fs::create_dir(&target).unwrap();
    run("mkfs.ext4", &[OsStr::new("-q"), "-O".as_ref(), "^has_journal".as_ref(), image.as_ref()]);
    run("mount", &[OsStr::new("-o"), "loop".as_ref(), image.as_ref(), target.as_ref()]);
    let unmount = Unmount(&target);
    let root = Root::open(&target).unwrap();
    let lock = LabelLock::take(&root, Duration::ZERO).unwrap();
    let (journal, _) = LabelJournal::open(&root, &lock, LIMIT).unwrap();
    journal.begin(NewJob { who: "test".to_owned(), ..NewJob::default() });
    let path = vec![b'x'; 3000];
    let intent = NewIntent { path: &path, dev: 1, ino: 1, old: None, new: None };
    journal.intend(&[intent]).unwrap();
    fill(&target);
    let mut recorded = 1;
    let error = loop {
        match journal.intend(&[intent]) {
            Ok(_) => recorded += 1,
            Err(error) => break error,
        }
        assert!(recorded < 100);
    };
    assert!(matches!(error, JournalError::NoSpace { .. }), "{error}");
    assert!(error.next_step().contains("df -h"), "{error}");
    // Space comes back: the same run goes on, and nothing is torn.
    std::fs::remove_file(target.join("filler")).unwrap();
    journal.intend(&[intent]).unwrap();
    journal.end(JobEnd::Cancelled).unwrap();
    drop(journal);
    let (journal, found) = LabelJournal::open(&root, &lock, LIMIT).unwrap();
    assert!(found.problems.is_empty() && found.torn == 0, "{found:?}");
    assert_eq!(found.pending.len(), recorded + 1);
    drop((journal, lock, root, unmount));
}

/// Unmounts when dropped.
struct Unmount<'a>(&'a Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        output("umount", &[OsStr::new("-l"), self.0.as_ref()]);
    }
}

#[test]
fn two_processes_never_label_at_once() {
    let place = Place::new(1);
    let mut holder = Command::new(example("label-loop"))
        .args([place.folder.path().as_os_str(), "hold".as_ref()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(holder.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "held\n");
    let root = place.root();
    let error = LabelLock::take(&root, Duration::from_millis(300)).unwrap_err();
    let LockError::Held { pid, .. } = &error else { panic!("{error}") };
    assert_eq!(*pid, Some(holder.id()));
    assert!(error.to_string().contains(&format!("process {} (label-loop)", holder.id())), "{error}");
    holder.kill().unwrap();
    holder.wait().unwrap();
    // The kernel gives it back.
    LabelLock::take(&root, Duration::ZERO).unwrap();
}

#[test]
fn a_proven_signature_holds_for_its_key_and_its_content_alone() {
    let place = Place::new(2);
    let dir = || Some(StateDir::create(&place.root()).unwrap());
    let certificate = |name: &str| Certificate::parse(&std::fs::read(keys().join(name)).unwrap()).unwrap();
    let certificates = [certificate("ima.pem"), certificate("foreign.pem")];
    let id = certificates[0].key_id().unwrap().0;
    let label = [&[3, 2, 4][..], &id.to_be_bytes(), &[0, 2, 0x30, 0]].concat();
    let [trust, foreign] = certificates.map(|certificate| Trust::new([certificate]));

    let (proofs, _) = Proofs::open_at(dir());
    let mut file = OpenFile::open(&place.root(), b"/files/00").unwrap();
    // Longer than two ticks of any kernel's clock.
    std::thread::sleep(Duration::from_millis(25));
    let sighting = Sighting::begin(&proofs, &file).unwrap();
    let digest = file.digest(HashAlgo::Sha256).unwrap();
    let facts = sighting.confirm(&file).unwrap();
    proofs.note(&facts, &label, &foreign);
    proofs.prove(&label, &foreign, &digest);
    proofs.save(true).unwrap();
    assert_eq!(proofs.len(), (0, 0));
    assert!(!proofs.holds(&facts, &label, &trust));
    proofs.note(&facts, &label, &trust);
    proofs.prove(&label, &trust, &digest);
    proofs.save(true).unwrap();

    let (proofs, problems) = Proofs::open_at(dir());
    assert_eq!(problems, []);
    assert!(proofs.holds(&facts, &label, &trust) && proofs.is_proven(&label, &trust, &digest));
    assert!(!proofs.holds(&facts, &label, &foreign) && !proofs.holds(&facts, &label, &Trust::default()));
    let mut other = label.clone();
    other[10] = 1;
    assert!(!proofs.holds(&facts, &other, &trust));
    let beside = sys_facts(OpenFile::open(&place.root(), b"/files/01").unwrap()).unwrap().unwrap();
    assert!(!proofs.holds(&beside, &label, &trust));
    // A label by another key is a change that the times show.
    place.set(0, TWO);
    let now = sys_facts(OpenFile::open(&place.root(), b"/files/00").unwrap()).unwrap().unwrap();
    assert!(now != facts && !proofs.holds(&now, &label, &trust));
}
