//! Lines of policies: good ones, those with one fault each, any mix of words, and what bytes at random make of them.
//!
//! The words stand here once more, from the kernel's source, so that a word that imad does not know is asked for too.
//! Whether a line is good is not known here: imad says so, and the kernel.

use super::faults::{faulty, mutate};
use super::random::Random;

/// What of the language the kernel at hand takes, so that good lines can be aimed at.
#[expect(clippy::struct_excessive_bools, reason = "each is a word of its own")]
pub(super) struct Dialect {
    /// `imasig|modsig`.
    pub(super) modsig: bool,
    /// `KEY_CHECK`, `keyrings=`.
    pub(super) key_measurement: bool,
    /// What `appraise_algos=` takes.
    pub(super) hashes: Vec<&'static str>,
    /// Conditions on labels that are taken: key and value.
    pub(super) labels: Vec<(&'static str, &'static str)>,
    /// Comments behind rules.
    pub(super) comments: bool,
    /// `fs_subtype=`.
    pub(super) fs_subtype: bool,
    /// `dont_audit`.
    pub(super) dont_audit: bool,
    /// `appraise_type=sigv3` without fs-verity.
    pub(super) sigv3_files: bool,
}

pub(super) type Words = Vec<Vec<u8>>;

/// Which words a hook takes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Row {
    Files,
    Images,
    CommandLine,
    Keys,
    Data,
    Labels,
}

pub(super) const FUNCS: [(&str, Row); 17] = [
    ("", Row::Files),
    ("FILE_CHECK", Row::Files),
    ("PATH_CHECK", Row::Files),
    ("MMAP_CHECK", Row::Files),
    ("FILE_MMAP", Row::Files),
    ("MMAP_CHECK_REQPROT", Row::Files),
    ("BPRM_CHECK", Row::Files),
    ("CREDS_CHECK", Row::Files),
    ("FIRMWARE_CHECK", Row::Files),
    ("POLICY_CHECK", Row::Files),
    ("MODULE_CHECK", Row::Images),
    ("KEXEC_KERNEL_CHECK", Row::Images),
    ("KEXEC_INITRAMFS_CHECK", Row::Images),
    ("KEXEC_CMDLINE", Row::CommandLine),
    ("KEY_CHECK", Row::Keys),
    ("CRITICAL_DATA", Row::Data),
    ("SETXATTR_CHECK", Row::Labels),
];

/// Every action of Linux 6.12; 6.19 has `dont_audit` too.
pub(super) const ACTIONS: [&str; 7] =
    ["measure", "dont_measure", "appraise", "dont_appraise", "audit", "hash", "dont_hash"];

/// Every option of Linux 6.12, and `fs_subtype=` of 6.19.
pub(super) const OPTIONS: [&str; 39] = [
    "mask=",
    "fsmagic=",
    "fsname=",
    "fs_subtype=",
    "fsuuid=",
    "uid=",
    "uid>",
    "uid<",
    "euid=",
    "euid>",
    "euid<",
    "gid=",
    "gid>",
    "gid<",
    "egid=",
    "egid>",
    "egid<",
    "fowner=",
    "fowner>",
    "fowner<",
    "fgroup=",
    "fgroup>",
    "fgroup<",
    "obj_user=",
    "obj_role=",
    "obj_type=",
    "subj_user=",
    "subj_role=",
    "subj_type=",
    "digest_type=",
    "appraise_type=",
    "appraise_flag=",
    "appraise_algos=",
    "permit_directio",
    "pcr=",
    "template=",
    "keyrings=",
    "label=",
    "func=",
];

pub(super) const IDS: [&str; 18] = [
    "uid=", "uid>", "uid<", "euid=", "euid>", "euid<", "gid=", "gid>", "gid<", "egid=", "egid>", "egid<", "fowner=",
    "fowner>", "fowner<", "fgroup=", "fgroup>", "fgroup<",
];

pub(super) const HASHES: [&str; 23] = [
    "md4",
    "md5",
    "sha1",
    "rmd160",
    "sha256",
    "sha384",
    "sha512",
    "sha224",
    "rmd128",
    "rmd256",
    "rmd320",
    "wp256",
    "wp384",
    "wp512",
    "tgr128",
    "tgr160",
    "tgr192",
    "sm3",
    "streebog256",
    "streebog512",
    "sha3-256",
    "sha3-384",
    "sha3-512",
];

const TEMPLATES: [&str; 16] = [
    "ima",
    "ima-ng",
    "ima-sig",
    "ima-ngv2",
    "ima-sigv2",
    "ima-buf",
    "ima-modsig",
    "evm-sig",
    "d|n",
    "d-ng|n-ng",
    "d-ng|n-ng|sig",
    "d-ngv2|n-ng",
    "d-ngv2|n-ng|sig",
    "d-ng|n-ng|buf",
    "d-ng|n-ng|sig|d-modsig|modsig",
    "d-ng|n-ng|evmsig|xattrnames|xattrlengths|xattrvalues|iuid|igid|imode",
];

/// So many lines at random that a seed determines, and the [`matrix`].
pub(super) fn lines(seed: u64, count: u64, dialect: &Dialect) -> Vec<Vec<u8>> {
    let random = (0..count).map(|number| line(&mut Random::nth(seed, number), dialect));
    random.chain(matrix(&mut Random::nth(seed, count), dialect)).collect()
}

/// A line as it is written to the policy's file: by itself, at most 4,000 bytes, and no path, which would begin with `/`.
fn line(random: &mut Random, dialect: &Dialect) -> Vec<u8> {
    let mut line = any(random, dialect);
    line.truncate(3990);
    if random.chance(70) {
        line.push(b'\n');
    }
    if line.first() == Some(&b'/') {
        line.insert(0, b' ');
    }
    line
}

fn any(random: &mut Random, dialect: &Dialect) -> Vec<u8> {
    match random.below(100) {
        0..46 => rule(random, dialect),
        46..76 => faulty(random, dialect),
        76..85 => mixed(random, dialect),
        85..95 => {
            let mut line = if random.chance(70) { rule(random, dialect) } else { faulty(random, dialect) };
            for _ in 0..=random.below(3) {
                mutate(random, dialect, &mut line);
            }
            line
        }
        95..97 => (0..random.below(80)).map(|_| random.byte()).collect(),
        _ => no_rule(random),
    }
}

/// A line that should be good.
pub(super) fn rule(random: &mut Random, dialect: &Dialect) -> Vec<u8> {
    let words = good(random, dialect);
    let mut line = written(random, &words);
    if dialect.comments && random.chance(10) {
        line.extend_from_slice(random.pick(&[&b" #"[..], b"\t#", b" # "]));
        line.extend(odd(random, 20));
        line.extend_from_slice(random.pick(&[&b""[..], b" appraise", b" # nonsense="]));
    }
    line
}

/// A comment or an empty line.
pub(super) fn no_rule(random: &mut Random) -> Vec<u8> {
    let blanks = [&b""[..], b" ", b"\t", b" \t  "];
    let mut line = random.pick(&blanks).to_vec();
    if random.chance(70) {
        line.push(b'#');
        line.extend(odd(random, 30));
        line.extend_from_slice(random.pick(&blanks));
        line.extend_from_slice(random.pick(&[&b"appraise"[..], b"#", b"\r", b""]));
    }
    line
}

pub(super) fn written(random: &mut Random, words: &Words) -> Vec<u8> {
    let blanks: [&[u8]; 10] = [b" ", b" ", b" ", b" ", b" ", b" ", b" ", b"\t", b"  ", b" \t "];
    let mut line = Vec::new();
    if random.chance(8) {
        line.extend_from_slice(random.pick(&blanks));
    }
    for (at, word) in words.iter().enumerate() {
        if at > 0 {
            line.extend_from_slice(random.pick(&blanks));
        }
        line.extend_from_slice(word);
    }
    if random.chance(12) {
        line.extend_from_slice(random.pick(&blanks));
    }
    line
}

pub(super) fn word(key: &str, value: impl AsRef<[u8]>) -> Vec<u8> {
    [key.as_bytes(), value.as_ref()].concat()
}

/// The words of a rule that should be good, in any order that is.
pub(super) fn good(random: &mut Random, dialect: &Dialect) -> Words {
    let (func, row) = loop {
        let (func, row) = FUNCS[random.below(FUNCS.len())];
        if dialect.key_measurement || row != Row::Keys {
            break (func, row);
        }
    };
    let action = match row {
        Row::Files | Row::Images if random.chance(40) => "appraise",
        Row::Files | Row::Images if dialect.dont_audit && random.chance(12) => "dont_audit",
        Row::Files | Row::Images => random.pick(&ACTIONS),
        Row::CommandLine | Row::Keys | Row::Data => random.pick(&["measure", "measure", "dont_measure"]),
        Row::Labels => "appraise",
    };
    let mut words = vec![action.as_bytes().to_vec()];
    if !func.is_empty() {
        words.push(word("func=", func));
    }
    let mut put = |key: &str, percent: usize, random: &mut Random| {
        if random.chance(percent) {
            words.push(option(random, dialect, key));
        }
    };
    let files = matches!(row, Row::Files | Row::Images);
    if files || row == Row::CommandLine {
        for (key, percent) in [("fsmagic=", 15), ("fsname=", 15), ("fsname=", 3), ("fsuuid=", 15)] {
            put(key, percent, random);
        }
        if dialect.fs_subtype {
            put("fs_subtype=", 15, random);
        }
        let ids = [&IDS[..6], &IDS[6..12], &IDS[12..15], &IDS[15..]];
        for slot in ids {
            let key = random.pick(slot);
            put(key, 15, random);
        }
    }
    if matches!(row, Row::Keys | Row::Data) {
        for slot in [&IDS[..3], &IDS[6..9]] {
            let key = random.pick(slot);
            put(key, 25, random);
        }
        put(if row == Row::Keys { "keyrings=" } else { "label=" }, 60, random);
    }
    if files {
        put("mask=", 30, random);
        put("permit_directio", 15, random);
    }
    put("appraise_flag=", 4, random);
    if row == Row::Labels || files && action == "appraise" {
        put("appraise_algos=", if row == Row::Labels { 100 } else { 30 }, random);
    }
    if action == "measure" {
        put("pcr=", 25, random);
        put("pcr=", 3, random);
        put("template=", 30, random);
    }
    if files || row == Row::CommandLine || row == Row::Labels {
        let (key, value) = dialect.labels.get(random.below(dialect.labels.len() * 3)).copied().unwrap_or_default();
        if !key.is_empty() {
            words.push(word(key, value));
        }
    }
    if files && action == "appraise" {
        match random.below(10) {
            0..4 => words.push(word("appraise_type=", "imasig")),
            4..6 if row == Row::Images && dialect.modsig => words.push(word("appraise_type=", "imasig|modsig")),
            4..7 if row == Row::Files => {
                words.extend([word("digest_type=", "verity"), word("appraise_type=", "sigv3")]);
            }
            7 if dialect.sigv3_files => words.push(word("appraise_type=", "sigv3")),
            _ => {}
        }
    } else if row == Row::Files && random.chance(20) {
        words.push(word("digest_type=", "verity"));
    }
    in_order(random, words)
}

/// Shuffles words, but for those that must stand after others.
pub(super) fn in_order(random: &mut Random, mut words: Words) -> Words {
    for at in (1..words.len()).rev() {
        words.swap(at, random.below(at + 1));
    }
    for (first, second) in [("measure", "template="), ("digest_type=", "appraise_type=sigv3")] {
        let place = |start: &str| words.iter().position(|word| word.starts_with(start.as_bytes()));
        if let (Some(first), Some(second)) = (place(first), place(second))
            && first > second
        {
            words.swap(first, second);
        }
    }
    words
}

/// An option with a value that should be good.
pub(super) fn option(random: &mut Random, dialect: &Dialect, key: &str) -> Vec<u8> {
    let value: Vec<u8> = match key {
        "func=" => FUNCS[1 + random.below(FUNCS.len() - 1)].0.into(),
        "mask=" => {
            let mask = random.pick(&["MAY_EXEC", "MAY_WRITE", "MAY_READ", "MAY_APPEND"]);
            format!("{}{mask}", random.pick(&["", "^"])).into_bytes()
        }
        "fsmagic=" => magic(random),
        "fsname=" | "fs_subtype=" => match random.below(10) {
            0..7 => random.pick(&["ext4", "tmpfs", "overlay", "fuse", "ramfs", "sshfs"]).into(),
            7 => vec![b'n'; 60 + random.below(10)],
            8 => odd(random, 80),
            _ => odd(random, 12),
        },
        "fsuuid=" => uuid(random),
        key if IDS.contains(&key) => id(random),
        "obj_user=" | "obj_role=" | "obj_type=" | "subj_user=" | "subj_role=" | "subj_type=" => {
            let known = |labels: &[(&'static str, &'static str)]| {
                labels.iter().find(|(known, _)| *known == key).map(|(_, value)| value.as_bytes().to_vec())
            };
            known(&dialect.labels).unwrap_or_else(|| random.pick(&["bin_t", "system_u", "nobody", "x"]).into())
        }
        "digest_type=" => "verity".into(),
        "appraise_type=" => random.pick(&["imasig", "imasig|modsig", "sigv3"]).into(),
        "appraise_flag=" => random.pick(&["check_blacklist", "x", "=", "imasig"]).into(),
        "appraise_algos=" => {
            let names: Vec<_> = (0..=random.below(4)).map(|_| random.pick(&dialect.hashes)).collect();
            names.join(",").into()
        }
        "pcr=" => match random.below(4) {
            0 => random.pick(&["0", "-0", "+10", "63", "010", "-00", "0000000000000000000000005"]).into(),
            _ => random.below(64).to_string().into(),
        },
        "template=" => random.pick(&TEMPLATES).into(),
        "keyrings=" | "label=" => {
            let names: Vec<_> = (0..=random.below(3))
                .map(|_| match random.below(8) {
                    0 => odd(random, 10).into_iter().filter(|&byte| byte != b'|').chain(*b"k").collect(),
                    _ => random.pick(&[".ima", ".builtin_trusted_keys", ".evm", "selinux", "a"]).as_bytes().to_vec(),
                })
                .collect();
            names.join(&b'|')
        }
        _ => Vec::new(),
    };
    word(key, value)
}

/// One byte or more of anything but blanks and what ends a line.
pub(super) fn odd(random: &mut Random, most: usize) -> Vec<u8> {
    let byte = |random: &mut Random| loop {
        let byte = match random.below(4) {
            0 => random.byte(),
            1 => b"=%#\\\"|\r\x0b\x0c<>/"[random.below(12)],
            _ => b'a' + random.byte() % 26,
        };
        if !b" \t\n\0".contains(&byte) {
            return byte;
        }
    };
    (0..=random.below(most)).map(|_| byte(random)).collect()
}

fn id(random: &mut Random) -> Vec<u8> {
    let edges = ["0", "1", "1000", "65534", "2147483647", "2147483648", "4294967294", "00000000000000000000000007"];
    let plus = if random.chance(8) { "+" } else { "" };
    if random.chance(50) {
        return format!("{plus}{}", random.pick(&edges)).into_bytes();
    }
    let number = random.next() >> (32 + random.below(32));
    format!("{plus}{}", number.min(u64::from(u32::MAX) - 1)).into_bytes()
}

fn magic(random: &mut Random) -> Vec<u8> {
    let head = random.pick(&["", "", "0x", "0x", "0X", "+", "+0x", "0000000000000000000000"]);
    let number = match random.below(10) {
        0 => 0,
        1 => u64::MAX,
        _ => random.next() >> random.below(64),
    };
    if random.chance(30) { format!("{head}{number:X}") } else { format!("{head}{number:x}") }.into_bytes()
}

fn uuid(random: &mut Random) -> Vec<u8> {
    let (high, low) = if random.chance(4) { (0, 0) } else { (random.next(), random.next()) };
    let digits = format!("{high:016x}{low:016x}");
    let mut text = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-");
    if random.chance(30) {
        text = text.to_uppercase();
    }
    let mut text = text.into_bytes();
    if random.chance(10) {
        text.extend(odd(random, 5));
    }
    text
}

/// Any action, any hook, any options, each good by itself.
fn mixed(random: &mut Random, dialect: &Dialect) -> Vec<u8> {
    let mut words = Words::new();
    if random.chance(96) {
        words.push(random.pick(&ACTIONS).into());
    }
    if random.chance(80) {
        words.push(option(random, dialect, "func="));
    }
    for _ in 0..=random.below(4) {
        let key = random.pick(&OPTIONS[..38]);
        words.push(option(random, dialect, key));
    }
    if random.chance(80) {
        words = in_order(random, words);
    }
    written(random, &words)
}

/// Every action with every hook and every option, and every option with every other one.
fn matrix(random: &mut Random, dialect: &Dialect) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    for action in ACTIONS {
        for (func, _) in FUNCS {
            for key in &OPTIONS[..38] {
                let mut words = vec![action.into()];
                if !func.is_empty() {
                    words.push(word("func=", func));
                }
                words.push(option(random, dialect, key));
                // SETXATTR_CHECK is nothing without.
                if func == "SETXATTR_CHECK" && random.chance(50) {
                    words.push(option(random, dialect, "appraise_algos="));
                }
                lines.push(words.join(&b' '));
            }
        }
    }
    for action in ["measure", "appraise"] {
        for first in OPTIONS {
            for second in OPTIONS {
                let options = [option(random, dialect, first), option(random, dialect, second)];
                lines.push([action.as_bytes(), &options[0], &options[1]].join(&b' '));
            }
        }
    }
    lines
}
