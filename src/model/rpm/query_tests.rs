//! Answers as rpm 4.18 gave them, and such as it would never give.

use proptest::prelude::*;

use super::*;
use crate::model::rpm::Package;

const ANSWER: &[u8] = b"7\n1000 'all'\n1001 '1'\n1002 '2'\n1003\n1022 'noarch'\n1029 0 2\n1030 16877 33188\n1035 '' '6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b'\n\
1037 0 2\n1095 1 1\n1096 1 2\n1116 0 1\n1117 'moved' 'it'\\''s \"q\" %{name} \\ b\xe9\nck'\n1118 '/srv/' '/srv/moved/'\n1128 1764\n5008 0 4294967297\n5011 8\n5090\n.\n\
8\n1000 'none'\n1001 '1'\n1002 '2'\n1003 4\n1117\n1118\n.\n";

#[test]
fn an_answer_becomes_headers() {
    let found = headers(ANSWER).unwrap();
    let [(7, all), (8, none)] = &found[..] else { panic!("two packages") };
    let package = Package::parse(all).unwrap();
    assert_eq!((&*package.nevra, package.install_tid), ("all-1-2.noarch", 1764));
    let [folder, file] = &package.files[..] else { panic!("two files") };
    assert_eq!((&folder.path[..], folder.mode, &folder.digest), (&b"/srv/moved"[..], 0o040_755, &None));
    assert_eq!(file.path, b"/srv/moved/it's \"q\" %{name} \\ b\xe9\nck");
    assert_eq!((file.size, file.state, file.flags, file.link), ((1 << 32) + 1, 2, 2, Some((1, 2))));
    assert!(file.digest.is_some() && file.signature.is_none());
    let package = Package::parse(none).unwrap();
    assert_eq!((&*package.nevra, package.files.len()), ("none-4:1-2", 0));
}

#[test]
fn rows_have_a_number_and_values() {
    let found = rows(b"1 'a' 'b\nc'\n2\n").unwrap();
    assert_eq!(found, [(1, vec![b"a".to_vec(), b"b\nc".to_vec()]), (2, Vec::new())]);
}

#[test]
fn nonsense_is_named_with_its_place() {
    for (answer, at) in [
        (&b"x"[..], 0),
        (b"1\n1000 'a\n.\n", 8),
        (b"1\n1000 a\n.\n", 7),
        (b"1\n9 'a'\n.\n", 2),
        (b"1\n1030 65536\n.\n", 7),
        (b"1\n1029 256\n.\n", 7),
        (b"1\n1003 -1\n.\n", 7),
        (b"1\n1003 99999999999999999999\n.\n", 7),
        (b"1\n1000 'a'\n", 11),
        (b"9223372036854775808\n.\n", 0),
    ] {
        assert_eq!(headers(answer), Err(QueryError(at)), "{}", answer.escape_ascii());
    }
    assert_eq!(rows(b"1 'a' 2\n"), Err(QueryError(6)));
}

#[test]
fn skipped_headers_have_a_number() {
    let line = "error: rpmdbNextIterator: skipping h#       1 blob size(9): BAD, 8 + 16 * il(0) + dl(0)";
    assert_eq!(skipped(line), Some(1));
    assert_eq!(skipped("error: rpmdbNextIterator: skipping h#     312"), Some(312));
    assert_eq!(skipped("error: record 1 could not be read"), None);
    assert_eq!(skipped("warning: rpmdbNextIterator: skipping h# 1 "), None);
}

#[test]
fn the_last_backend_of_a_file_counts() {
    assert_eq!(
        backend(b"%_db_backend ndb\n# %_db_backend x\n %_db_backend\t sqlite \n%_db_backends x\n"),
        Some(&b"sqlite"[..])
    );
    assert_eq!(backend(b"%_dbpath /x\n"), None);
}

proptest! {
    #[test]
    fn no_answer_panics(bytes: Vec<u8>) {
        let _verdict = (headers(&bytes), rows(&bytes));
    }

    #[test]
    fn no_damaged_answer_panics(at in 0..ANSWER.len(), value: u8) {
        let mut bytes = ANSWER.to_vec();
        bytes[at] = value;
        if let Ok(packages) = headers(&bytes) {
            let _verdicts: Vec<_> = packages.iter().map(|(_, blob)| Package::parse(blob)).collect();
        }
    }
}
