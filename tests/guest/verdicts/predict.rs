//! What the model says will come of a case.

use imad::model::policy::cause::Cause;
use imad::model::policy::effective::Effective;
use imad::model::policy::event::{
    Access, Content, Credentials, Event, Evm as EvmSays, File, FileSystem, LabelRead, OpenMode, Signature, Stacked,
    Subject, Target, VerityDigest,
};
use imad::model::policy::gates::{LabelRefused, check_label, judge_mprotect};
use imad::model::policy::inode::Inode;
use imad::model::policy::rule::{Func, HashSet};
use imad::model::policy::steps::{Actors, of_part};
use imad::model::policy::verdict::{Seen, Verdict, VerdictProfile, hash_algo, judge};
use imad::model::program::Role;

use super::case::{Case, Do, Evm, MadeLabel, Opening, Place, Step, digest};
use super::make::{UUID, verity_digest};

/// What is found and what was expected, in the same words.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Outcome {
    /// Of each step.
    pub(super) steps: Vec<String>,
    /// `op`, `cause`, `res` of each record, in order.
    pub(super) records: Vec<(String, String, bool)>,
    /// How many records of digests there are (`audit`).
    pub(super) audits: usize,
    /// The label in the end.
    pub(super) label: Option<Vec<u8>>,
}

pub(super) struct World {
    pub(super) kernel: VerdictProfile,
    pub(super) policy: Effective,
    pub(super) hashes: HashSet,
    pub(super) creds_check_sees_new_ids: bool,
}

/// One case on its way.
pub(super) struct Course<'a> {
    world: &'a World,
    case: &'a Case,
    inode: Inode,
    content: Vec<u8>,
    exists: bool,
    /// On an overlay: copied up since the kernel last looked.
    moved: bool,
    label: Option<MadeLabel>,
    outcome: Outcome,
    /// Why accesses were denied.
    pub(super) causes: Vec<Cause>,
}

impl<'a> Course<'a> {
    pub(super) fn new(world: &'a World, case: &'a Case) -> Self {
        Self {
            world,
            case,
            inode: Inode::default(),
            content: case.content.clone().unwrap_or_default(),
            exists: case.content.is_some(),
            moved: false,
            label: case.label.clone(),
            outcome: Outcome::default(),
            causes: Vec::new(),
        }
    }

    pub(super) fn run(mut self) -> (Outcome, Vec<Cause>) {
        for step in &self.case.steps {
            let said = self.step(step);
            self.outcome.steps.push(said);
        }
        self.outcome.label = self.label.map(|label| label.bytes);
        (self.outcome, self.causes)
    }

    fn file(&self) -> File {
        let verity = self.case.verity.then(|| VerityDigest { algo: 4, digest: verity_digest(&self.content) });
        let label = self.label.as_ref().map_or(LabelRead::None, |label| LabelRead::Bytes(label.bytes.clone()));
        let algo = hash_algo(&label, &self.world.kernel);
        let content = digest(algo, &self.content).filter(|_| self.world.hashes.has(algo));
        let signature = match self.label.as_ref().and_then(|label| label.signature.as_ref()) {
            Some((content, Signature::Good)) if *content != self.content => Signature::Bad,
            Some((_, finds)) => *finds,
            None => Signature::Bad,
        };
        let overlay = self.case.place == Place::Overlay;
        File {
            target: Target {
                fs: file_system(self.case.place),
                owner: self.case.owner,
                group: self.case.owner,
                ..Target::default()
            },
            regular: true,
            empty: self.content.is_empty(),
            label,
            content: content.map_or(Content::NoAlgorithm, Content::Digest),
            verity,
            signature,
            evm: match self.case.evm {
                None => EvmSays::Unknown,
                Some(Evm::None) => EvmSays::NoLabel,
                Some(Evm::GoodPortable) if self.label == self.case.label => EvmSays::PassImmutable,
                Some(Evm::GoodPortable | Evm::BadPortable) => EvmSays::FailImmutable,
                Some(Evm::Bad) => EvmSays::Fail,
            },
            appended: self.case.appended,
            mapped_writable: self.case.held,
            label_writable: self.case.place != Place::Fuse,
            stacked: overlay.then_some(Stacked { versioned: true, changed: self.moved, metadata_changed: true }),
            ..File::default()
        }
    }

    /// What a denial is seen as, if it is one.
    fn note(&mut self, verdict: &Verdict) -> Option<Seen> {
        for record in &verdict.records {
            let (op, cause) = record.cause.record().unwrap();
            self.outcome.records.push((op.to_owned(), cause.to_owned(), record.res));
        }
        self.outcome.audits += usize::from(verdict.audited);
        if !verdict.allowed {
            self.causes.extend(verdict.cause);
        }
        verdict.seen
    }

    fn ask(&mut self, event: &Event<'_>) -> Option<Seen> {
        let file = self.file();
        let verdict = judge(&self.world.kernel, &self.world.policy, event, &file, &mut self.inode);
        self.moved &= verdict.from_cache || verdict.decision.is_empty();
        if let Some(label) = &verdict.fixed {
            self.label = Some(MadeLabel { bytes: label.clone(), signature: None });
            self.moved = self.case.place == Place::Overlay;
        }
        self.note(&verdict)
    }

    fn step(&mut self, step: &Step) -> String {
        let root = step.uid == 0;
        let subject = Subject {
            credentials: Credentials::of(step.uid, step.uid),
            cap_setuid: root,
            cap_setgid: root,
            ..Subject::default()
        };
        match &step.what {
            Do::Exec => self.exec(step.uid, &subject),
            Do::Map => self.map(&subject),
            Do::Protect => {
                if let Some(seen) = self.ask(&Event::new(Func::FileCheck, Access::READ, &subject)) {
                    return said("open", seen);
                }
                let verdict = judge_mprotect(&self.world.policy, &subject, &self.file().target);
                self.note(&verdict).map_or_else(ok, |seen| said("mprotect", seen))
            }
            Do::Open(opening) => self.open(&subject, opening),
            Do::Node => {
                let file = self.file();
                self.inode.made(&self.world.policy, &file, &subject);
                self.exists = true;
                ok()
            }
            Do::Temporary(bytes) => {
                let file = self.file();
                self.inode.made_nameless(&self.world.policy, &file, &subject);
                self.exists = true;
                self.content.clone_from(bytes);
                self.close(false);
                ok()
            }
            Do::Module => self.read(&subject, Func::ModuleCheck, "module"),
            Do::Kexec => self.read(&subject, Func::KexecKernelCheck, "kexec"),
            Do::Policy => {
                let open = Event::new(Func::FileCheck, Access::READ, &subject);
                let read = Event::new(Func::PolicyCheck, Access::READ, &subject);
                self.ask(&open).or_else(|| self.ask(&read)).map_or_else(ok, |seen| said("policy", seen))
            }
            Do::Label(label) => self.set_label(label),
            Do::Attributes => {
                let file = self.file();
                self.inode.attributes_set(&self.world.policy, &file, &subject);
                ok()
            }
        }
    }

    fn exec(&mut self, uid: u32, subject: &Subject) -> String {
        let owner = (self.case.mode & 0o4000 != 0).then_some(self.case.owner);
        let actors = Actors::of_user(uid, uid, owner, None, self.world.creds_check_sees_new_ids);
        let script = self.content.starts_with(b"#!");
        for event in of_part(if script { Role::Script } else { Role::Program }, &actors) {
            match self.ask(&event) {
                None => {}
                Some(Seen::Killed) => return "signal:11".to_owned(),
                Some(seen) => return said("exec", seen),
            }
        }
        // The shell opens its script.
        let denied = script && self.ask(&Event::new(Func::FileCheck, Access::READ, subject)).is_some();
        if denied { "exit:2".to_owned() } else { "exit:7".to_owned() }
    }

    fn map(&mut self, subject: &Subject) -> String {
        if let Some(seen) = self.ask(&Event::new(Func::FileCheck, Access::READ, subject)) {
            return said("open", seen);
        }
        let event = |func| Event::new(func, Access::EXEC, subject);
        let denied = self.ask(&event(Func::MmapCheckReqprot)).or_else(|| self.ask(&event(Func::MmapCheck)));
        denied.map_or_else(ok, |seen| said("mmap", seen))
    }

    fn read(&mut self, subject: &Subject, func: Func, name: &str) -> String {
        if let Some(seen) = self.ask(&Event::new(Func::FileCheck, Access::READ, subject)) {
            return said("open", seen);
        }
        self.ask(&Event::new(func, Access::READ, subject)).map_or_else(ok, |seen| said(name, seen))
    }

    fn open(&mut self, subject: &Subject, opening: &Opening) -> String {
        let mode = match (opening.read, opening.write) {
            (true, true) => OpenMode::Both,
            (false, true) => OpenMode::Write,
            _ => OpenMode::Read,
        };
        let event = Event {
            writable: opening.write,
            created: opening.create && !self.exists,
            direct: opening.direct,
            ..Event::new(Func::FileCheck, Access::of_open(mode, opening.append, opening.truncate), subject)
        };
        self.exists = true;
        let denied = self.ask(&event);
        if denied.is_none() {
            if opening.truncate {
                self.inode.truncated();
                self.content.clear();
            }
            if !opening.bytes.is_empty() {
                self.inode.written();
                if opening.append {
                    self.content.extend_from_slice(&opening.bytes);
                } else {
                    let end = opening.bytes.len().min(self.content.len());
                    self.content.splice(..end, opening.bytes.iter().copied());
                }
            }
        }
        if opening.write {
            self.close(opening.direct);
        }
        denied.map_or_else(ok, |seen| said("open", seen))
    }

    fn close(&mut self, direct: bool) {
        let file = self.file();
        let closed = self.inode.closed(&self.world.kernel, &file, direct);
        if let Some(record) = closed.record {
            let (op, cause) = record.cause.record().unwrap();
            self.outcome.records.push((op.to_owned(), cause.to_owned(), record.res));
        }
        if let Some(algo) = closed.labelled {
            let digest = digest(algo, &self.content).unwrap();
            self.label = Some(MadeLabel { bytes: [&[4, algo], digest.as_slice()].concat(), signature: None });
        }
    }

    fn set_label(&mut self, label: &MadeLabel) -> String {
        let refused = check_label(&self.world.kernel, &self.world.policy, self.world.hashes, &label.bytes);
        let recorded = match refused {
            Ok(()) => {
                self.inode.label_set(&self.world.policy, label.bytes.first().copied());
                self.label = Some(label.clone());
                return ok();
            }
            Err(LabelRefused::NotALabel) => return "label:22".to_owned(),
            Err(LabelRefused::DeniedAlgorithm) => "denied-hash-algorithm",
            Err(LabelRefused::UnavailableAlgorithm) => "unavailable-hash-algorithm",
        };
        self.outcome.records.push(("set_data".to_owned(), recorded.to_owned(), false));
        "label:13".to_owned()
    }
}

fn ok() -> String {
    "ok".to_owned()
}

fn said(call: &str, seen: Seen) -> String {
    format!("{call}:{}", seen.errno().unwrap())
}

pub(super) fn file_system(place: Place) -> FileSystem {
    let (magic, name, xattrs) = match place {
        Place::Ext4 => (0xef53, "ext4", true),
        Place::Overlay => (0x794c_7630, "overlay", true),
        Place::Tmpfs => (0x0102_1994, "tmpfs", true),
        Place::Ramfs => (0x8584_58f6, "ramfs", false),
        Place::Vfat => (0x4d44, "vfat", false),
        Place::Fuse => (0x6573_5546, "fuse", true),
    };
    let mut uuid = [0; 16];
    if place == Place::Ext4 {
        let digits: Vec<u8> = UUID.bytes().filter(u8::is_ascii_hexdigit).collect();
        for (byte, pair) in uuid.iter_mut().zip(digits.chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        }
    }
    let versioned = !matches!(place, Place::Ramfs | Place::Vfat | Place::Fuse);
    let (unverifiable, notes_same_value) = (place == Place::Fuse, place == Place::Tmpfs);
    FileSystem {
        magic,
        name: name.as_bytes().to_vec(),
        uuid,
        xattrs,
        versioned,
        unverifiable,
        notes_same_value,
        ..FileSystem::default()
    }
}
