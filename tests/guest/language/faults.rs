//! Lines that are wrong in one place, one kind for each reason that the kernel has, and damage to bytes.

use super::generator::{
    ACTIONS, Dialect, FUNCS, HASHES, IDS, OPTIONS, Row, Words, good, in_order, odd, option, word, written,
};
use super::random::Random;

const LABELS: [&str; 6] = ["obj_user=", "obj_role=", "obj_type=", "subj_user=", "subj_role=", "subj_type="];

/// Words that are wrong wherever they stand: beginning of the words whose place they take, and words.
const WRONG: [(&str, &[&str]); 14] = [
    (
        "",
        &[
            "allow",
            "Measure",
            "APPRAISE",
            "dont_audit",
            "dont_check",
            "measure\r",
            "\\",
            "#",
            "#comment",
            "fs_subtype=x",
            "permit_directio=1",
            "permit_direct",
            "uid",
            "uid:0",
            "func:BPRM_CHECK",
            "Func=BPRM_CHECK",
            "fsuid=0",
            "appraise=1",
            "=",
            "=measure",
            "<",
            "xuid=0",
            "uidx=0",
            "\u{e9}",
            "measure=",
            "fowner!0",
        ],
    ),
    (
        "func=",
        &[
            "func=POST_SETATTR",
            "func=BPRM_CHEK",
            "func=bprm_check",
            "func=NONE",
            "func=MAX_CHECK",
            "func=FILE_CHECK\r",
            "func=^FILE_CHECK",
            "func==BPRM_CHECK",
            "func=KEXEC",
        ],
    ),
    (
        "mask=",
        &[
            "mask=MAY_NOTHING",
            "mask=^",
            "mask=^^MAY_EXEC",
            "mask=may_read",
            "mask=MAY_EXEC|MAY_READ",
            "mask=4",
            "mask=MAY_EXECX",
            "mask=!MAY_READ",
        ],
    ),
    (
        "fsmagic=",
        &[
            "fsmagic=0x",
            "fsmagic=x1",
            "fsmagic=0xg",
            "fsmagic=-1",
            "fsmagic=1.",
            "fsmagic=0x0x1",
            "fsmagic=0x+1",
            "fsmagic=ext4",
            "fsmagic=1_0",
            "fsmagic=10000000000000000",
            "fsmagic=0xfffffffffffffffff",
            "fsmagic=1234567890abcdef01z",
        ],
    ),
    (
        "fsuuid=",
        &[
            "fsuuid=1",
            "fsuuid=deadbeef-0000-0000-0000-00000000000",
            "fsuuid=deadbeef-0000-0000-0000-00000000000g",
            "fsuuid=deadbeef00000000000000000000000000000000",
            "fsuuid={deadbeef-0000-0000-0000-000000000001}",
            "fsuuid=deadbeef-0000-0000-000-0000000000000",
            "fsuuid=deadbeef_0000_0000_0000_000000000001",
        ],
    ),
    ("digest_type=", &["digest_type=sha256", "digest_type=Verity", "digest_type=verity\r", "digest_type=fsverity"]),
    (
        "appraise_type=",
        &[
            "appraise_type=modsig",
            "appraise_type=imasig|",
            "appraise_type=modsig|imasig",
            "appraise_type=sigv2",
            "appraise_type=IMASIG",
            "appraise_type=imasig,modsig",
            "appraise_type=imasig\r",
        ],
    ),
    ("appraise_type=", &["appraise_type=sigv3"]),
    (
        "appraise_algos=",
        &[
            "appraise_algos=sha256,",
            "appraise_algos=,",
            "appraise_algos=SHA256",
            "appraise_algos=sha-256",
            "appraise_algos=sha257",
            "appraise_algos=sha256|sha512",
            "appraise_algos=,sha256",
            "appraise_algos=sm3-256",
            "appraise_algos=hmac(sha256)",
        ],
    ),
    (
        "pcr=",
        &[
            "pcr=64",
            "pcr=-1",
            "pcr=x",
            "pcr=0x5",
            "pcr=10\r",
            "pcr=1.",
            "pcr=4294967296",
            "pcr=99999999999999999999",
            "pcr=-99999999999999999999",
            "pcr=+-0",
            "pcr=-+0",
            "pcr=-",
            "pcr=2147483648",
            "pcr=18446744073709551611",
            "pcr=-18446744073709551611",
        ],
    ),
    ("keyrings=", &["keyrings=|", "keyrings=a||b", "keyrings=a|", "keyrings=|a"]),
    ("label=", &["label=|", "label=a||b", "label=a|", "label=|a"]),
    ("template=", &["template=ima-nh", "template=IMA", "template=d-ng", "template=d-ng|n-ng|", "template=ima-ng\r"]),
    ("subj_role=", &["subj_role=nobody-knows", "subj_role=unconfine_d", "subj_role=unconfinedx", "subj_role=_"]),
];

/// Values of ids that are none.
const NO_IDS: [&str; 21] = [
    "x",
    "0x1",
    "-1",
    "1e3",
    "+",
    "++1",
    "1,2",
    "root",
    "1\r",
    "+-1",
    "=1",
    "4294967295",
    "4294967296",
    "9999999999",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999",
    "18446744073709551616z",
    "+184467440737095516160",
    "000000000000000000000018446744073709551616",
    "1844674407370955161z",
];

/// A rule that is wrong in one place, for one reason of any.
pub(super) fn faulty(random: &mut Random, dialect: &Dialect) -> Vec<u8> {
    let words = fault(random, dialect);
    written(random, &words)
}

fn fault(random: &mut Random, dialect: &Dialect) -> Words {
    let mut words = good(random, dialect);
    match random.below(72) {
        0..14 => {
            let (key, wrong) = WRONG[random.below(WRONG.len())];
            let wrong = random.pick(wrong).into();
            // After the action, without which a template is wrong already.
            if key == "template=" {
                words = vec!["measure".into(), wrong];
            } else {
                put(random, &mut words, key, wrong);
            }
        }
        14..18 => {
            let key = random.pick(&IDS);
            let value = random.pick(&NO_IDS);
            put(random, &mut words, key, word(key, value));
        }
        18 => {
            let key = random.pick(&OPTIONS).trim_end_matches("permit_directio");
            put(random, &mut words, "", key.into());
        }
        19 => {
            let action = random.pick(&ACTIONS).into();
            put(random, &mut words, "", action);
        }
        20 => words.retain(|word| word.contains(&b'=') && !word.starts_with(b"template=")),
        21..27 => {
            let once = [
                "func=",
                "mask=",
                "fsmagic=",
                "fsuuid=",
                "fowner=",
                "fgroup<",
                "appraise_algos=",
                "template=",
                "keyrings=",
                "label=",
                "uid=",
                "gid>",
            ];
            let key = random.pick(&once);
            let key = newer(random, dialect, key);
            words = vec![random.pick(&["measure", "measure", "appraise"]).into()];
            let slot = if IDS.contains(&key) {
                IDS.into_iter().filter(|id| stem(id) == stem(key)).collect()
            } else {
                vec![key]
            };
            for _ in 0..2 {
                let key = random.pick(&slot);
                words.push(option(random, dialect, key));
            }
        }
        27 => {
            let Some((key, value)) = dialect.labels.get(random.below(dialect.labels.len())) else { return words };
            words.extend([word(key, value), word(key, value)]);
        }
        28 => {
            let key = random.pick(&LABELS);
            let value = random.pick(&["nobody-knows", "u", "unconfined//x", "\u{fc}", "no_such_t"]);
            put(random, &mut words, key, word(key, value));
        }
        29..36 => {
            let lacking: Vec<_> = HASHES.into_iter().filter(|name| !dialect.hashes.contains(name)).collect();
            let mut names = vec![random.pick(&dialect.hashes)];
            names.extend(lacking.get(random.below(lacking.len())));
            put(random, &mut words, "appraise_algos=", word("appraise_algos=", names.join(",")));
        }
        36..38 => {
            words = vec![word("template=", random.pick(&["ima-ng", "ima-sig"])), random.pick(&ACTIONS).into()];
            if random.chance(50) {
                words.swap(0, 1);
            }
        }
        38..45 => words = signatures(random),
        45..47 => {
            let key = random.pick(&["pcr=", "appraise_type=", "appraise_algos="]);
            words = vec![random.pick(&ACTIONS).into(), option(random, dialect, key)];
        }
        47..49 => {
            let (func, _) = FUNCS[13 + random.below(4)];
            words = vec![random.pick(&ACTIONS).into(), word("func=", func)];
            if func == "SETXATTR_CHECK" && random.chance(50) {
                words.push(option(random, dialect, "appraise_algos="));
            }
        }
        49 => words = in_order(random, vec!["appraise".into(), word("func=", "SETXATTR_CHECK")]),
        _ => words = foreign(random, dialect),
    }
    words
}

/// The beginning that words of one slot share.
fn stem(key: &str) -> &str {
    let name = key.trim_end_matches(['=', '<', '>']);
    name.strip_prefix('e').filter(|name| ["uid", "gid"].contains(name)).unwrap_or(name)
}

/// Puts a word somewhere, in the place of those that begin like this.
fn put(random: &mut Random, words: &mut Words, key: &str, word: Vec<u8>) {
    if !key.is_empty() {
        let starts = |word: &[u8]| {
            let text = String::from_utf8_lossy(word);
            text.find(['=', '<', '>']).is_some_and(|at| stem(&text[..=at]) == stem(key))
        };
        words.retain(|word| !starts(word));
    }
    words.insert(random.below(words.len() + 1), word);
}

/// Signatures and digests that do not go together.
fn signatures(random: &mut Random) -> Words {
    let mut words = vec![random.pick(&["appraise", "appraise", "appraise", "hash"]).into()];
    if random.chance(40) {
        words.push(word("func=", random.pick(&["MODULE_CHECK", "BPRM_CHECK", "KEXEC_KERNEL_CHECK"])));
    }
    let parts = ["digest_type=verity", "appraise_type=imasig", "appraise_type=imasig|modsig", "appraise_type=sigv3"];
    for _ in 0..=random.below(3) {
        words.push(random.pick(&parts).into());
    }
    words
}

/// Sometimes the newer word for a part of a file system, where the kernel has it.
fn newer<'a>(random: &mut Random, dialect: &Dialect, key: &'a str) -> &'a str {
    let is_it = dialect.fs_subtype && ["fsname=", "fsmagic="].contains(&key) && random.chance(40);
    if is_it { "fs_subtype=" } else { key }
}

/// A hook with an option that it does not take.
fn foreign(random: &mut Random, dialect: &Dialect) -> Words {
    // The hooks that take little are the last four.
    let first = if random.chance(50) { 13 } else { 0 };
    let (func, row) = FUNCS[first + random.below(FUNCS.len() - first)];
    let options: &[&str] = match row {
        Row::Files => &["keyrings=", "label="],
        Row::Images => &["digest_type=", "keyrings=", "label="],
        Row::CommandLine => &["mask=", "digest_type=", "permit_directio", "keyrings=", "label="],
        Row::Keys | Row::Data => &[
            "mask=",
            "fsmagic=",
            "fsname=",
            "fsuuid=",
            "euid=",
            "egid<",
            "fowner=",
            "fgroup=",
            "digest_type=",
            "permit_directio",
            "label=",
            "keyrings=",
            "subj_role=",
            "subj_role=",
        ],
        Row::Labels => &[
            "uid=",
            "uid>",
            "uid<",
            "gid=",
            "gid>",
            "gid<",
            "euid>",
            "egid>",
            "appraise_type=",
            "appraise_type=imasig",
            "appraise_type=imasig",
            "appraise_type=imasig",
            "mask=",
            "fsmagic=",
            "fsname=",
            "fsuuid=",
            "fowner<",
            "fgroup>",
            "permit_directio",
        ],
    };
    let action = match row {
        Row::Labels => "appraise",
        Row::Files | Row::Images => random.pick(&ACTIONS),
        _ => random.pick(&["measure", "dont_measure"]),
    };
    let mut words = vec![action.into(), word("func=", func)];
    if func.is_empty() {
        words.pop();
    }
    if row == Row::Labels {
        words.push(option(random, dialect, "appraise_algos="));
    }
    if row == Row::Files && action == "appraise" && dialect.modsig && random.chance(50) {
        words.push(word("appraise_type=", "imasig|modsig"));
    } else {
        match random.pick(options) {
            "appraise_type=imasig" => words.push("appraise_type=imasig".into()),
            key => {
                let key = newer(random, dialect, key);
                words.push(option(random, dialect, key));
            }
        }
    }
    in_order(random, words)
}

/// Damages a line in one place.
pub(super) fn mutate(random: &mut Random, dialect: &Dialect, line: &mut Vec<u8>) {
    let at = random.below(line.len());
    match random.below(14) {
        0 if !line.is_empty() => line[at] = random.byte(),
        1 => line.insert(at, random.byte()),
        2 if !line.is_empty() => {
            line.remove(at);
        }
        3 if !line.is_empty() => line[at] ^= 0x20,
        4 if !line.is_empty() => line[at] ^= 1 << random.below(8),
        5 => line.truncate(at),
        6 => line.extend_from_slice(random.pick(&[
            &b"\r"[..],
            b"\r\n",
            b" \\",
            b" # x",
            b"\0",
            b"\nmeasure",
            b"\0uid=x",
        ])),
        7 => {
            let place = random.pick(&[&b"\0"[..], b"\n", b"\t", b" ", b"=", b"\r"]);
            line.splice(at..at, place.iter().copied());
        }
        8 => {
            // One digit, many times.
            let many = vec![line.get(at).copied().unwrap_or(b'0'); 1 + random.below(30)];
            line.splice(at..at, many);
        }
        9 => {
            let end = at + random.below(line.len() - at + 1);
            let piece = line[at..end].to_vec();
            line.splice(at..at, piece);
        }
        10 => {
            let end = at + random.below(line.len() - at + 1);
            line.drain(at..end);
        }
        11 => {
            let mut words: Vec<_> = line.split(|&byte| byte == b' ').map(<[u8]>::to_vec).collect();
            let (one, other) = (random.below(words.len()), random.below(words.len()));
            words.swap(one, other);
            *line = words.join(&b' ');
        }
        12 => {
            line.push(b' ');
            let key = random.pick(&OPTIONS);
            line.extend(option(random, dialect, key));
        }
        _ => {
            let most = if random.chance(5) { 3000 } else { 10 };
            let more = odd(random, most);
            line.extend(more);
        }
    }
}
