//! Which cases are tried: each cause on its own, then whatever the dice say.

use imad::model::policy::event::{Appended, Signature};

use super::case::{Case, Do, Evm, MadeLabel, Opening, Place, Step, digest};
use super::make::{SHA256, Signer, appended, hash, program, raw, script};

/// Owners begin here; each case has its own, and its rules name it.
const FIRST_OWNER: u32 = 20_000;
/// Each mount of vfat gives all its files one owner.
pub(super) const VFAT_OWNERS: [u32; 4] = [29_000, 29_001, 29_002, 29_003];
/// Neither an owner nor root.
const STRANGER: u32 = 31_000;
/// Rules for the owners of vfat files.
const VFAT_RULES: [&str; 4] = [
    "appraise fowner=29000",
    "appraise func=BPRM_CHECK fowner=29001 appraise_type=imasig\nappraise func=MMAP_CHECK fowner=29001",
    "dont_appraise fowner=29002 fsmagic=0x4d44\nappraise fowner=29002",
    "appraise func=FILE_CHECK mask=MAY_READ fowner=29003 fsname=vfat",
];

/// xorshift64*, so that a seed gives the same cases everywhere.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number).unwrap() % end
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// The keys that labels are made with.
pub(super) struct Signers {
    pub(super) good: Signer,
    rsa: Signer,
    foreign: Signer,
    revoked: Signer,
}

impl Signers {
    pub(super) fn new() -> Self {
        Self {
            good: Signer::new("ima", Signature::Good),
            rsa: Signer::new("accepted/rsa", Signature::Good),
            foreign: Signer::new("foreign", Signature::UnknownKey),
            revoked: Signer::new("accepted/p384", Signature::Revoked),
        }
    }
}

pub(super) struct Suite {
    pub(super) cases: Vec<Case>,
    pub(super) rules: Vec<String>,
}

pub(super) struct Generator {
    pub(super) dice: Dice,
    pub(super) signers: Signers,
    suite: Suite,
}

/// What a label is, whatever the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    None,
    Hash,
    Hash512,
    LongHash,
    OtherHash,
    ShortHash,
    Sha1,
    OldSha1,
    OldMd5,
    Unavailable,
    Signed,
    Signed512,
    Rsa,
    Foreign,
    Revoked,
    Tampered,
    OtherSigned,
    Version(u8),
    ShortSigned,
    OneByte,
    WrongSize,
    Verity,
    VerityForeign,
    VerityOther,
    VerityVersion2,
    Third,
    Third512,
    ThirdByRsa,
    ThirdForeign,
    ThirdOther,
    UnknownType(u8),
}

const BAD: [Kind; 19] = [
    Kind::None,
    Kind::OtherHash,
    Kind::ShortHash,
    Kind::OldMd5,
    Kind::Unavailable,
    Kind::Foreign,
    Kind::Revoked,
    Kind::Tampered,
    Kind::OtherSigned,
    Kind::Version(0),
    Kind::Version(1),
    Kind::Version(3),
    Kind::ShortSigned,
    Kind::OneByte,
    Kind::WrongSize,
    Kind::UnknownType(0),
    Kind::UnknownType(2),
    Kind::UnknownType(5),
    Kind::Verity,
];
const GOOD: [Kind; 8] =
    [Kind::Hash, Kind::Hash512, Kind::LongHash, Kind::Sha1, Kind::OldSha1, Kind::Signed, Kind::Signed512, Kind::Rsa];

const IMASIG: &str = " appraise_type=imasig";

impl Generator {
    pub(super) fn new(seed: u64) -> Self {
        let rules = VFAT_RULES.map(str::to_owned).to_vec();
        Self { dice: Dice::new(seed), signers: Signers::new(), suite: Suite { cases: Vec::new(), rules } }
    }

    fn label(&self, kind: Kind, content: &[u8]) -> Option<MadeLabel> {
        let Signers { good, rsa, foreign, revoked } = &self.signers;
        let signed = || good.file(SHA256, content);
        let changed = |mut label: MadeLabel, change: &dyn Fn(&mut Vec<u8>)| {
            change(&mut label.bytes);
            // Nothing of it can verify any more.
            label.signature = Some((content.to_vec(), Signature::Bad));
            label
        };
        let digest = |algo| digest(algo, content).unwrap();
        Some(match kind {
            Kind::None => return None,
            Kind::Hash => hash(SHA256, content),
            Kind::Hash512 => hash(6, content),
            Kind::Sha1 => hash(2, content),
            Kind::LongHash => raw([hash(SHA256, content).bytes, b"more".to_vec()].concat()),
            Kind::OtherHash => hash(SHA256, b"something else"),
            Kind::ShortHash => raw(hash(SHA256, content).bytes[..33].to_vec()),
            Kind::OldSha1 => raw([&[1], digest(2).as_slice()].concat()),
            Kind::OldMd5 => raw([&[1], digest(1).as_slice()].concat()),
            // streebog256, which the guests' kernel lacks.
            Kind::Unavailable => raw([&[4, 18][..], &[7; 32]].concat()),
            Kind::Signed => signed(),
            Kind::Signed512 => good.file(6, content),
            Kind::Rsa => rsa.file(SHA256, content),
            Kind::Foreign => foreign.file(SHA256, content),
            Kind::Revoked => revoked.file(SHA256, content),
            Kind::OtherSigned => good.file(SHA256, b"something else"),
            Kind::Tampered => changed(signed(), &|bytes| {
                let last = bytes.len() - 1;
                bytes[last] ^= 1;
            }),
            Kind::Version(version) => changed(signed(), &|bytes| bytes[1] = version),
            Kind::ShortSigned => changed(signed(), &|bytes| bytes.truncate(7)),
            Kind::OneByte => changed(signed(), &|bytes| bytes.truncate(1)),
            Kind::WrongSize => changed(signed(), &|bytes| bytes.push(0)),
            Kind::Verity => good.verity(content),
            Kind::VerityForeign => foreign.verity(content),
            Kind::VerityOther => good.verity(b"something else"),
            Kind::VerityVersion2 => changed(good.verity(content), &|bytes| bytes[1] = 2),
            Kind::Third => good.third(SHA256, content),
            Kind::Third512 => good.third(6, content),
            Kind::ThirdByRsa => rsa.third(SHA256, content),
            Kind::ThirdForeign => foreign.third(SHA256, content),
            Kind::ThirdOther => good.third(SHA256, b"something else"),
            Kind::UnknownType(kind) => raw(vec![kind, 2, SHA256, 1, 2, 3]),
        })
    }

    /// A case with rules of its own, each with a place for what it says of the owner.
    fn add(&mut self, rules: &[String], place: Place, content: Vec<u8>, kind: Kind, steps: Vec<Step>) -> &mut Case {
        let number = self.suite.cases.len();
        let owner = if place == Place::Vfat {
            VFAT_OWNERS[number % VFAT_OWNERS.len()]
        } else {
            let owner = FIRST_OWNER + u32::try_from(number).unwrap();
            self.suite.rules.extend(rules.iter().map(|rule| format!("{rule} fowner={owner}")));
            owner
        };
        let xattrs = !matches!(place, Place::Ramfs | Place::Vfat);
        let mut label = self.label(kind, &content).filter(|_| xattrs);
        // Tmpfs is labelled by setxattr(2), which refuses what the kernel cannot compute.
        if place == Place::Tmpfs && matches!(kind, Kind::OldMd5 | Kind::Unavailable) {
            label = None;
        }
        self.suite.cases.push(Case {
            name: format!("c{number:04}"),
            place,
            owner,
            mode: 0o777,
            content: Some(content),
            label,
            verity: false,
            held: false,
            evm: None,
            appended: Appended::None,
            steps,
        });
        self.suite.cases.last_mut().unwrap()
    }

    fn name(&self) -> String {
        format!("c{:04}", self.suite.cases.len())
    }

    fn next_owner(&self) -> u32 {
        FIRST_OWNER + u32::try_from(self.suite.cases.len()).unwrap()
    }

    /// Steps of one kind, and content that suits them.
    fn deed(&mut self, deed: usize) -> (Vec<u8>, Vec<Step>) {
        let owner = self.next_owner();
        let uid = self.dice.one(&[owner, owner, STRANGER, 0]);
        let name = self.name();
        let by = |uid, what| vec![Step { uid, what }];
        let open = |opening| by(uid, Do::Open(opening));
        let read = Opening { read: true, ..Opening::default() };
        let write = Opening { write: true, ..Opening::default() };
        let bytes = b"new".to_vec();
        match deed {
            0 => (script(&name), by(uid, Do::Exec)),
            1 => (program(&name), by(uid, Do::Exec)),
            2 => (program(&name), by(uid, Do::Map)),
            3 => (program(&name), by(uid, Do::Protect)),
            4 => (script(&name), open(read)),
            5 => (script(&name), open(Opening { read: true, write: true, ..write })),
            6 => (script(&name), open(Opening { bytes, ..write })),
            7 => (script(&name), open(Opening { append: true, bytes, ..write })),
            8 => (script(&name), open(Opening { truncate: true, bytes, ..write })),
            9 => (format!("a module {name}").into_bytes(), by(0, Do::Module)),
            10 => (format!("a kernel {name}").into_bytes(), by(0, Do::Kexec)),
            11 => (format!("# {name}\ndont_hash fsname=none\n").into_bytes(), by(0, Do::Policy)),
            _ => (script(&name), open(Opening { direct: true, ..read })),
        }
    }

    /// Which hook a deed is about.
    fn func(&mut self, deed: usize) -> &'static str {
        match deed {
            0 | 1 if self.dice.chance(30) => "CREDS_CHECK",
            1 if self.dice.chance(40) => self.dice.one(&["MMAP_CHECK", "MMAP_CHECK_REQPROT"]),
            0 | 1 => "BPRM_CHECK",
            2 | 3 => self.dice.one(&["MMAP_CHECK", "MMAP_CHECK_REQPROT"]),
            9 => "MODULE_CHECK",
            10 => "KEXEC_KERNEL_CHECK",
            11 => "POLICY_CHECK",
            _ => "FILE_CHECK",
        }
    }

    fn condition(&mut self, place: Place, uid: u32) -> String {
        let (name, magic) = match place {
            Place::Ext4 => ("ext4", "0xef53"),
            Place::Overlay => ("overlay", "794c7630"),
            Place::Tmpfs => ("tmpfs", "1021994"),
            Place::Ramfs => ("ramfs", "858458f6"),
            Place::Vfat => ("vfat", "4d44"),
            Place::Fuse => ("fuse", "65735546"),
        };
        let owner = self.next_owner();
        match self.dice.below(12) {
            0 => format!(" fsname={name}"),
            1 => format!(" fsmagic={magic}"),
            2 => " fsname=xfs".to_owned(),
            3 if place == Place::Ext4 => format!(" fsuuid={}", super::make::UUID),
            4 => format!(" uid={uid}"),
            5 => format!(" euid={}", uid + 1),
            6 => format!(" gid<{}", uid + 1),
            7 => format!(" egid>{uid}"),
            8 => format!(" fgroup={owner}"),
            9 => format!(" fgroup<{owner}"),
            10 => (self.dice.one(&[" mask=MAY_READ", " mask=^MAY_WRITE", " mask=MAY_EXEC", " mask=^MAY_APPEND"]))
                .to_owned(),
            _ => format!(" euid={uid}"),
        }
    }

    /// A case by dice.
    pub(super) fn any(&mut self) {
        let place = self.dice.one(&[
            Place::Ext4,
            Place::Ext4,
            Place::Ext4,
            Place::Tmpfs,
            Place::Overlay,
            Place::Ramfs,
            Place::Vfat,
        ]);
        let mut deed = self.dice.below(13);
        // What an overlay does with writes and direct reads is the layers' business; modules are read from anywhere.
        if place == Place::Overlay && (5..=8).contains(&deed) || place != Place::Ext4 && deed == 12 {
            deed = 4;
        }
        let (content, mut steps) = self.deed(deed);
        let uid = steps[0].uid;
        let func = self.func(deed);
        let mut rules = Vec::new();
        if self.dice.chance(25) {
            rules.push(format!("dont_appraise{}", self.condition(place, uid)));
        }
        if self.dice.chance(20) {
            let action = self.dice.one(&["measure", "audit", "hash", "dont_measure", "measure"]);
            // See new_files().
            let action = if place == Place::Tmpfs && action == "hash" { "audit" } else { action };
            let flag = self.dice.one(&["", "", " permit_directio"]);
            rules.push(format!("{action}{}{flag}", self.condition(place, uid)));
        }
        let mut main = "appraise".to_owned();
        if self.dice.chance(70) {
            main.push_str(" func=");
            main.push_str(func);
        }
        if self.dice.chance(20) {
            main.push_str(&self.condition(place, uid));
        }
        match self.dice.below(6) {
            0 | 1 => main.push_str(IMASIG),
            2 => main.push_str(self.dice.one(&[" appraise_algos=sha512", " appraise_algos=sha256,sha1", IMASIG])),
            3 if deed == 12 => main.push_str(" permit_directio"),
            _ => {}
        }
        rules.push(main);
        if self.dice.chance(20) {
            rules.push(format!("appraise{IMASIG}"));
        }
        let kind = if self.dice.chance(45) { self.dice.one(&BAD) } else { self.dice.one(&GOOD) };
        if self.dice.chance(35) {
            steps.extend_from_within(..);
        }
        if place == Place::Ext4 && self.dice.chance(15) {
            let other =
                self.dice.one(&[Kind::Hash, Kind::Signed, Kind::Foreign, Kind::OtherHash, Kind::UnknownType(2)]);
            let label = self.label(other, &content).unwrap();
            let again = steps.clone();
            steps.push(Step { uid: 0, what: Do::Label(label) });
            steps.extend(again);
        }
        // On an overlay it copies the file up, with a label that may not be written.
        if place != Place::Overlay && deed < 5 && self.dice.chance(10) {
            let again = steps.clone();
            steps.push(Step { uid: 0, what: Do::Attributes });
            steps.extend(again);
        }
        self.add(&rules, place, content, kind, steps);
    }

    /// Each cause on its own, several times.
    pub(super) fn each_cause(&mut self) {
        for round in 0..3 {
            self.verity(round);
            self.files_in_use(round);
            self.new_files(round);
            self.direct(round);
            self.labels(round);
            self.evm();
            self.appended();
            self.new_credentials();
            self.unverifiable();
        }
        for kind in BAD.into_iter().chain(GOOD) {
            for (deed, func) in [(0, "BPRM_CHECK"), (2, "MMAP_CHECK"), (4, "FILE_CHECK")] {
                let (content, steps) = self.deed(deed);
                let demand = if deed == 4 { "" } else { IMASIG };
                self.add(&[format!("appraise func={func}{demand}")], Place::Ext4, content, kind, steps);
            }
        }
    }

    fn verity(&mut self, round: usize) {
        let sigv3 = "digest_type=verity appraise_type=sigv3";
        for (kind, rule, verity) in [
            (Kind::Verity, sigv3, true),
            (Kind::VerityForeign, sigv3, true),
            (Kind::VerityOther, sigv3, true),
            (Kind::VerityVersion2, sigv3, true),
            (Kind::Signed, sigv3, true),
            (Kind::Hash, sigv3, true),
            (Kind::None, sigv3, true),
            (Kind::Verity, sigv3, false),
            (Kind::None, sigv3, false),
            (Kind::Verity, "appraise_type=imasig", true),
            (Kind::Verity, "permit_directio", true),
            (Kind::Signed, "appraise_type=imasig", true),
        ] {
            let (content, steps) = self.deed([0, 1, 4][round]);
            let func = ["BPRM_CHECK", "BPRM_CHECK", "FILE_CHECK"][round];
            self.add(&[format!("appraise func={func} {rule}")], Place::Ext4, content, kind, steps).verity = verity;
        }
    }

    fn files_in_use(&mut self, round: usize) {
        for (rule, kind) in [
            ("appraise func=MMAP_CHECK", Kind::Hash),
            ("appraise func=MMAP_CHECK appraise_type=imasig", Kind::Signed),
            ("appraise func=MMAP_CHECK_REQPROT", Kind::Hash),
            ("appraise", Kind::Hash),
        ] {
            let (content, mut steps) = self.deed(2);
            steps.extend_from_within(..);
            let place = [Place::Ext4, Place::Tmpfs, Place::Ext4][round];
            self.add(&[rule.to_owned()], place, content, kind, steps).held = true;
        }
        for rule in ["appraise func=MMAP_CHECK", "appraise", "measure func=MMAP_CHECK", "appraise func=BPRM_CHECK"] {
            let (content, steps) = self.deed(3);
            let place = [Place::Ext4, Place::Overlay, Place::Tmpfs][round];
            self.add(&[rule.to_owned()], place, content, Kind::Signed, steps);
        }
        for deed in 5..=8 {
            for rule in ["appraise", "appraise func=FILE_CHECK", "appraise func=FILE_CHECK mask=^MAY_WRITE"] {
                let (content, steps) = self.deed(deed);
                let kind = [Kind::Signed, Kind::Rsa, Kind::Hash][round];
                self.add(&[rule.to_owned()], [Place::Ext4, Place::Tmpfs, Place::Ext4][round], content, kind, steps);
            }
        }
    }

    /// Files that are made while the rules are in force, and what becomes of them.
    fn new_files(&mut self, round: usize) {
        for rule in ["appraise", "appraise appraise_type=imasig", "hash", "appraise func=FILE_CHECK mask=MAY_READ"] {
            for how in 0..3 {
                let uid = self.next_owner();
                let bytes = script(&self.name());
                let write = Opening { write: true, create: how == 0, bytes: bytes.clone(), ..Opening::default() };
                let read = Opening { read: true, ..Opening::default() };
                let steps = match how {
                    0 => vec![Do::Open(write.clone())],
                    1 => vec![Do::Node, Do::Open(write.clone())],
                    _ => vec![Do::Temporary(bytes)],
                };
                let then = [Do::Open(read), Do::Exec, Do::Open(Opening { append: true, create: false, ..write })];
                let steps = steps.into_iter().chain(then).map(|what| Step { uid, what }).collect();
                // Tmpfs does not tell a write from the creation before it where both fall into one tick.
                let unsure = how == 2 || rule == "hash";
                let place = if unsure { Place::Ext4 } else { [Place::Ext4, Place::Tmpfs, Place::Ext4][round] };
                self.add(&[rule.to_owned()], place, Vec::new(), Kind::None, steps).content = None;
            }
        }
    }

    fn direct(&mut self, round: usize) {
        for rule in ["appraise", "appraise permit_directio", "appraise appraise_type=imasig"] {
            let (content, mut steps) = self.deed(12);
            if round == 2 {
                // A pass that is cached lets it through.
                let read = Do::Open(Opening { read: true, ..Opening::default() });
                steps.insert(0, Step { uid: 0, what: read });
            }
            let kind = [Kind::Signed, Kind::None, Kind::Signed][round];
            self.add(&[rule.to_owned()], Place::Ext4, content, kind, steps);
        }
    }

    /// Labels that are written, and file systems that have none.
    fn labels(&mut self, round: usize) {
        for kind in [
            Kind::Unavailable,
            Kind::OldMd5,
            Kind::UnknownType(7),
            Kind::Hash512,
            Kind::Foreign,
            Kind::Version(3),
            Kind::Version(0),
        ] {
            let (content, steps) = self.deed([0, 4, 2][round]);
            let label = self.label(kind, &content).unwrap();
            let mut all = steps.clone();
            all.push(Step { uid: 0, what: Do::Label(label) });
            all.extend(steps);
            self.add(&["appraise".to_owned()], Place::Ext4, content, Kind::Signed, all);
        }
        for (place, rule) in
            [(Place::Ramfs, "appraise"), (Place::Vfat, ""), (Place::Ramfs, "appraise appraise_type=imasig")]
        {
            for deed in [0, 2, 4] {
                let (content, steps) = self.deed(deed);
                self.add(&[rule.to_owned()], place, content, Kind::None, steps);
            }
        }
        for algos in ["sha512", "sha1,sha512"] {
            for kind in [Kind::Hash, Kind::Signed, Kind::Hash512] {
                let (content, mut steps) = self.deed([0, 4, 2][round]);
                steps.extend_from_within(..);
                self.add(&[format!("appraise appraise_algos={algos}")], Place::Ext4, content, kind, steps);
            }
        }
    }

    /// Files that are tried once EVM is switched on.
    fn evm(&mut self) {
        for (evm, kind, rule) in [
            (Evm::None, Kind::Hash, "appraise"),
            (Evm::None, Kind::Signed, "appraise appraise_type=imasig"),
            (Evm::GoodPortable, Kind::Hash, "appraise appraise_type=imasig"),
            (Evm::GoodPortable, Kind::Signed, "appraise appraise_type=imasig"),
            (Evm::GoodPortable, Kind::OtherHash, "appraise"),
            (Evm::BadPortable, Kind::Hash, "appraise"),
            (Evm::BadPortable, Kind::Signed, "appraise"),
            (Evm::Bad, Kind::Hash, "appraise"),
            (Evm::Bad, Kind::Signed, "appraise appraise_type=imasig"),
        ] {
            let deed = self.dice.one(&[0, 1, 2, 4]);
            let (content, steps) = self.deed(deed);
            self.add(&[rule.to_owned()], Place::Ext4, content, kind, steps).evm = Some(evm);
        }
    }

    /// Signatures behind the content, for modules and kernels.
    fn appended(&mut self) {
        for (deed, func) in [(9, "MODULE_CHECK"), (10, "KEXEC_KERNEL_CHECK")] {
            for (found, kind, demand) in [
                (Appended::Good, Kind::None, "imasig|modsig"),
                (Appended::Bad, Kind::None, "imasig|modsig"),
                (Appended::Good, Kind::Foreign, "imasig|modsig"),
                (Appended::Good, Kind::Tampered, "imasig|modsig"),
                (Appended::Good, Kind::OtherHash, "imasig|modsig"),
                (Appended::Bad, Kind::Signed, "imasig|modsig"),
                (Appended::Good, Kind::None, "imasig"),
            ] {
                for place in [Place::Ext4, Place::Ramfs] {
                    let (content, steps) = self.deed(deed);
                    let content = appended(&self.signers.good, &content, found == Appended::Good);
                    let rule = format!("appraise func={func} appraise_type={demand}");
                    self.add(&[rule], place, content, kind, steps).appended = found;
                }
            }
        }
    }

    /// Programs that give the rights of their owner.
    fn new_credentials(&mut self) {
        for condition in ["euid", "uid"] {
            for of_stranger in [false, true] {
                let owner = self.next_owner();
                let id = if of_stranger { STRANGER } else { owner };
                let content = program(&self.name());
                let steps = vec![Step { uid: STRANGER, what: Do::Exec }];
                let rule = format!("appraise func=CREDS_CHECK {condition}={id}");
                self.add(&[rule], Place::Ext4, content, Kind::None, steps).mode = 0o4777;
            }
        }
    }

    /// Each of them twice: nothing is cached where the kernel goes by the label.
    fn unverifiable(&mut self) {
        for (kind, rule) in [
            (Kind::Signed, "appraise appraise_type=imasig"),
            (Kind::Hash, "appraise"),
            (Kind::None, "appraise"),
            (Kind::Tampered, "appraise"),
            (Kind::Signed, "appraise func=BPRM_CHECK"),
            (Kind::Signed, "dont_appraise fsmagic=65735546\nappraise"),
        ] {
            for deed in [0, 2, 4] {
                let (content, mut steps) = self.deed(deed);
                steps.extend_from_within(..);
                let rules: Vec<_> = rule.lines().map(str::to_owned).collect();
                self.add(&rules, Place::Fuse, content, kind, steps);
            }
        }
    }

    /// Signatures of the third version over files, and one of the fourth. A kernel that knows them has rules that demand
    /// them.
    pub(super) fn third(&mut self, known: bool) {
        for kind in [
            Kind::Third,
            Kind::Third512,
            Kind::ThirdByRsa,
            Kind::ThirdForeign,
            Kind::ThirdOther,
            Kind::Version(3),
            Kind::Version(4),
            Kind::Signed,
            Kind::Rsa,
            Kind::Hash,
            Kind::None,
        ] {
            for (deed, func) in [(0, "BPRM_CHECK"), (1, "CREDS_CHECK"), (2, "MMAP_CHECK"), (4, "FILE_CHECK")] {
                let demands = ["", IMASIG, " appraise_type=sigv3"];
                for demand in &demands[..if known { 3 } else { 2 }] {
                    let (content, steps) = self.deed(deed);
                    self.add(&[format!("appraise func={func}{demand}")], Place::Ext4, content, kind, steps);
                }
            }
        }
    }

    /// The rule that says which labels may be written.
    pub(super) fn restrict_labels(&mut self) {
        self.suite.rules.push("appraise func=SETXATTR_CHECK appraise_algos=sha256,sha384".to_owned());
    }

    pub(super) fn finish(self) -> (Suite, Signers) {
        (self.suite, self.signers)
    }
}
