//! Headers written by hand; agreement with rpm itself is tested against real databases in tests/peers.

use proptest::prelude::*;

use super::*;

/// A header blob from tags: (tag, type, count, data).
fn blob(tags: &[(u32, u32, u32, Vec<u8>)]) -> Vec<u8> {
    let (mut index, mut data) = (Vec::new(), Vec::new());
    for (tag, kind, count, value) in tags {
        while *kind == INT32 && data.len() % 4 != 0 || *kind == INT64 && data.len() % 8 != 0 {
            data.push(0);
        }
        for word in [*tag, *kind, u32::try_from(data.len()).unwrap(), *count] {
            index.extend(word.to_be_bytes());
        }
        data.extend(value);
    }
    let mut blob = Vec::new();
    blob.extend(u32::try_from(tags.len()).unwrap().to_be_bytes());
    blob.extend(u32::try_from(data.len()).unwrap().to_be_bytes());
    blob.extend(index);
    blob.extend(data);
    blob
}

fn text(text: &str) -> Vec<u8> {
    [text.as_bytes(), &[0]].concat()
}

fn texts(texts: &[&str]) -> Vec<u8> {
    texts.iter().flat_map(|t| text(t)).collect()
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn two_files(signatures: &[&str]) -> Vec<(u32, u32, u32, Vec<u8>)> {
    let digest = "ab".repeat(32);
    vec![
        (NAME, STRING, 1, text("hello")),
        (VERSION, STRING, 1, text("1.0")),
        (RELEASE, STRING, 1, text("2")),
        (EPOCH, INT32, 1, words(&[3])),
        (ARCH, STRING, 1, text("x86_64")),
        (BASE_NAMES, STRING_ARRAY, 2, texts(&["hello", "with space\n"])),
        (DIR_NAMES, STRING_ARRAY, 2, texts(&["/usr/bin/", "/etc/"])),
        (DIR_INDEXES, INT32, 2, words(&[0, 1])),
        (FILE_MODES, INT16, 2, vec![0x81, 0xed, 0x81, 0xa4]),
        (FILE_FLAGS, INT32, 2, words(&[0, FLAG_CONFIG])),
        (FILE_SIZES, INT32, 2, words(&[10, 20])),
        (FILE_DIGESTS, STRING_ARRAY, 2, texts(&[&digest, ""])),
        (FILE_DIGEST_ALGO, INT32, 1, words(&[8])),
        (FILE_SIGNATURES, STRING_ARRAY, u32::try_from(signatures.len()).unwrap(), texts(signatures)),
    ]
}

#[test]
fn reads_a_package() {
    let package = Package::parse(&blob(&two_files(&["0302", ""]))).unwrap();
    assert_eq!(package.nevra, "hello-3:1.0-2.x86_64");
    let [program, config] = &package.files[..] else { panic!("two files") };
    assert_eq!(program.path, b"/usr/bin/hello");
    assert_eq!(program.signature, Some(vec![3, 2]));
    assert!(program.is_regular() && program.is_installed() && !program.is_plain_config());
    assert_eq!(program.digest, Some((HashAlgo::Sha256, vec![0xab; 32])));
    assert_eq!(config.path, b"/etc/with space\n");
    assert_eq!((config.size, &config.signature, &config.digest), (20, &None, &None));
    assert!(config.is_plain_config());
}

#[test]
fn a_short_array_of_signatures_leaves_the_rest_unsigned() {
    let package = Package::parse(&blob(&two_files(&["0302"]))).unwrap();
    assert_eq!(package.files[1].signature, None);
}

#[test]
fn broken_headers_are_named() {
    assert_eq!(Package::parse(&[0; 3]).unwrap_err(), HeaderError::Short(3));
    let mut tags = two_files(&[]);
    tags[7].2 = 7; // directory indexes for seven files
    assert!(matches!(Package::parse(&blob(&tags)), Err(HeaderError::Value { .. } | HeaderError::Count { .. })));
    let mut tags = two_files(&[]);
    tags[7].3 = words(&[0, 9]);
    assert_eq!(Package::parse(&blob(&tags)).unwrap_err(), HeaderError::Directory(1));
    tags.remove(0);
    assert_eq!(Package::parse(&blob(&tags)).unwrap_err(), HeaderError::Missing(NAME));
}

proptest! {
    #[test]
    fn no_blob_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _verdict = Package::parse(&bytes);
    }

    #[test]
    fn no_damaged_header_panics(at in 0usize..600, value: u8) {
        let mut bytes = blob(&two_files(&["0302", ""]));
        if let Some(byte) = bytes.get_mut(at) {
            *byte = value;
        }
        let _verdict = Package::parse(&bytes);
    }
}
