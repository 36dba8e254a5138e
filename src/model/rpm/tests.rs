//! Headers written by hand; agreement with rpm itself is tested against real databases in tests/peers.

use proptest::prelude::*;

use super::header::PATH_MAX;
use super::*;

const INT8: u32 = 2;
const INT16: u32 = 3;
const INT32: u32 = 4;
const INT64: u32 = 5;
const STRING: u32 = 6;
const BIN: u32 = 7;
const STRINGS: u32 = 8;

const NAME: u32 = 1000;
const EPOCH: u32 = 1003;
const SIZES: u32 = 1028;
const STATES: u32 = 1029;
const MODES: u32 = 1030;
const DIGESTS: u32 = 1035;
const FLAGS: u32 = 1037;
const DEVICES: u32 = 1095;
const INODES: u32 = 1096;
const DIR_INDEXES: u32 = 1116;
const BASES: u32 = 1117;
const DIRS: u32 = 1118;
const COLORS: u32 = 1140;
const LONG_SIZES: u32 = 5008;
const ALGO: u32 = 5011;
const SIGNATURES: u32 = 5090;
const FORMAT: u32 = 5114;

/// A tag's number, type, count and data.
type Value = (u32, u32, u32, Vec<u8>);

/// A header blob of these tags, in this order.
fn blob(tags: &[Value]) -> Vec<u8> {
    let (mut index, mut data) = (Vec::new(), Vec::new());
    for (tag, kind, count, value) in tags {
        let align = [1, 1, 1, 2, 4, 8, 1, 1, 1, 1][*kind as usize];
        data.resize(data.len().next_multiple_of(align), 0);
        for word in [*tag, *kind, u32::try_from(data.len()).unwrap(), *count] {
            index.extend(word.to_be_bytes());
        }
        data.extend(value);
    }
    let sizes = [tags.len(), data.len()].map(|size| u32::try_from(size).unwrap().to_be_bytes());
    [sizes.concat(), index, data].concat()
}

fn text(tag: u32, text: &str) -> Value {
    (tag, STRING, 1, [text.as_bytes(), &[0]].concat())
}

fn texts(tag: u32, texts: &[&str]) -> Value {
    let data = texts.iter().flat_map(|text| [text.as_bytes(), &[0]].concat()).collect();
    (tag, STRINGS, u32::try_from(texts.len()).unwrap(), data)
}

fn words(tag: u32, words: &[u32]) -> Value {
    let data = words.iter().flat_map(|word| word.to_be_bytes()).collect();
    (tag, INT32, u32::try_from(words.len()).unwrap(), data)
}

fn longs(tag: u32, longs: &[u64]) -> Value {
    let data = longs.iter().flat_map(|long| long.to_be_bytes()).collect();
    (tag, INT64, u32::try_from(longs.len()).unwrap(), data)
}

fn modes(modes: &[u16]) -> Value {
    let data = modes.iter().flat_map(|mode| mode.to_be_bytes()).collect();
    (MODES, INT16, u32::try_from(modes.len()).unwrap(), data)
}

/// A program and a configuration file.
fn two_files(signatures: &[&str]) -> Vec<Value> {
    let mut tags = vec![
        text(NAME, "hello"),
        text(1001, "1.0"),
        text(1002, "2"),
        words(EPOCH, &[3]),
        text(1022, "x86_64"),
        words(SIZES, &[10, 20]),
        (STATES, INT8, 2, vec![0, STATE_REPLACED]),
        modes(&[0o100_755, 0o100_644]),
        texts(DIGESTS, &[&"ab".repeat(32), ""]),
        words(FLAGS, &[0, FLAG_CONFIG]),
        words(DIR_INDEXES, &[0, 1]),
        texts(BASES, &["hello", "with space\n"]),
        texts(DIRS, &["/usr/bin/", "/etc/"]),
        words(ALGO, &[8]),
    ];
    if !signatures.is_empty() {
        tags.push(texts(SIGNATURES, signatures));
    }
    tags
}

/// Puts a value in the place of another.
fn with(mut tags: Vec<Value>, value: Value) -> Vec<Value> {
    match tags.iter_mut().find(|(tag, ..)| *tag == value.0) {
        Some(place) => *place = value,
        None => tags.push(value),
    }
    tags
}

fn without(tags: Vec<Value>, tag: u32) -> Vec<Value> {
    tags.into_iter().filter(|(number, ..)| *number != tag).collect()
}

/// The place of a tag's value in the data.
fn offset(tags: &[Value], tag: u32) -> u32 {
    let blob = blob(tags);
    let at = 8 + 16 * tags.iter().position(|(number, ..)| *number == tag).unwrap();
    u32::from_be_bytes(blob[at + 8..at + 12].try_into().unwrap())
}

fn error(tags: &[Value]) -> HeaderError {
    Package::parse(&blob(tags)).unwrap_err()
}

#[test]
fn reads_a_package() {
    let package = Package::parse(&blob(&two_files(&["0302", ""]))).unwrap();
    assert_eq!((&*package.name, &*package.nevra), ("hello", "hello-3:1.0-2.x86_64"));
    let [program, config] = &package.files[..] else { panic!("two files") };
    assert_eq!(program.path, b"/usr/bin/hello");
    assert_eq!(program.signature, Some(vec![3, 2]));
    assert!(program.is_regular() && program.is_installed() && !program.is_plain_config());
    assert_eq!(program.digest, Some((HashAlgo::Sha256, vec![0xab; 32])));
    assert_eq!(config.path, b"/etc/with space\n");
    assert_eq!((config.size, config.state, &config.signature, &config.digest), (20, STATE_REPLACED, &None, &None));
    assert!(config.is_plain_config() && !config.is_installed());
}

#[test]
fn a_view_borrows_what_a_package_copies() {
    let blob = blob(&two_files(&["0302", ""]));
    let header = Header::parse(&blob).unwrap();
    assert_eq!(header.name(), b"hello");
    let files = header.files().unwrap();
    let program = files.iter().next().unwrap().unwrap();
    let inside = blob.as_ptr_range();
    for part in [program.dir, program.base, program.digest_hex(), program.signature_hex()] {
        assert!(inside.contains(&part.as_ptr()), "{part:?}");
    }
    assert_eq!((program.signature_hex(), program.color), (&b"0302"[..], 0));
    let owned = files.iter().map(|file| file.unwrap().to_owned().unwrap()).collect::<Vec<_>>();
    assert_eq!(owned, Package::parse(&blob).unwrap().files);
}

#[test]
fn a_short_array_of_signatures_leaves_the_rest_unsigned() {
    let package = Package::parse(&blob(&two_files(&["0302"]))).unwrap();
    assert_eq!(
        (package.files[0].signature.as_deref(), package.files[1].signature.as_deref()),
        (Some(&[3, 2][..]), None)
    );
    let package = Package::parse(&blob(&two_files(&[]))).unwrap();
    assert!(package.files.iter().all(|file| file.signature.is_none()));
    let tags = two_files(&["0302", "", ""]);
    assert!(matches!(error(&tags), HeaderError::Count(Entry { tag: SIGNATURES, count: 3, .. }, 2)));
}

#[test]
fn a_filling_of_zeros_is_no_signature() {
    let (zeros, short) = ("00".repeat(72), "00".repeat(8));
    let package = Package::parse(&blob(&two_files(&[&zeros, &short]))).unwrap();
    assert_eq!(package.files[0].signature, None);
    assert_eq!(
        package.files[1].signature,
        Some(vec![0; 8]),
        "too short for a head: to be judged, as rpm's plugin does"
    );
}

#[test]
fn the_newest_format_is_read() {
    // As rpm 6 writes it: 64-bit sizes alone, SHA3 digests, MIME types, payload digests.
    let mut tags = without(two_files(&["0302", ""]), SIZES);
    tags = with(tags, longs(LONG_SIZES, &[5 << 32 | 1, 20]));
    tags = with(tags, words(ALGO, &[14]));
    tags = with(tags, texts(DIGESTS, &[&"cd".repeat(64), ""]));
    tags.extend([
        longs(5009, &[6 << 32]),
        words(FORMAT, &[6]),
        words(5115, &[0, 1]),
        texts(5116, &["application/x-pie-executable", "text/plain"]),
        text(5121, &"ee".repeat(64)),
        text(5123, &"ee".repeat(32)),
        (62, BIN, 16, vec![0; 16]),
    ]);
    let blob = blob(&tags);
    let package = Package::parse(&blob).unwrap();
    assert_eq!((package.files[0].size, package.files[1].size), (5 << 32 | 1, 20));
    assert_eq!(package.files[0].digest, Some((HashAlgo::Sha3_512, vec![0xcd; 64])));
}

#[test]
fn digests_that_cannot_be_computed_are_none() {
    let package = Package::parse(&blob(&with(two_files(&[]), words(ALGO, &[3])))).unwrap();
    assert_eq!(package.files[0].digest, None);
    let package = Package::parse(&blob(&without(two_files(&[]), ALGO))).unwrap();
    assert_eq!(package.files[0].digest, None, "32 bytes are no MD5");
}

#[test]
fn what_installation_changed_replaces_what_the_package_said() {
    let mut tags = two_files(&[]);
    tags.push(texts(DIRS, &["/opt/bin/", "/opt/etc/"]));
    let package = Package::parse(&blob(&tags)).unwrap();
    assert_eq!(package.files[0].path, b"/opt/bin/hello");
}

#[test]
fn hard_links_share_device_and_inode() {
    let three = |modes: Value, inodes: &[u32], devices: &[u32]| {
        let mut tags = two_files(&[]);
        for value in [
            words(SIZES, &[1, 1, 1]),
            (STATES, INT8, 3, vec![0; 3]),
            modes,
            texts(DIGESTS, &["", "", ""]),
            words(FLAGS, &[0, 0, 0]),
            words(DIR_INDEXES, &[0, 0, 0]),
            texts(BASES, &["a", "b", "c"]),
            words(INODES, inodes),
            words(DEVICES, devices),
            words(COLORS, &[2, 0, 2]),
        ] {
            tags = with(tags, value);
        }
        Package::parse(&blob(&tags)).unwrap().hard_links()
    };
    let regular = || modes(&[0o100_755; 3]);
    assert_eq!(three(regular(), &[7, 8, 7], &[1, 1, 1]), [[0, 2]]);
    assert_eq!(three(regular(), &[7, 7, 7], &[1, 2, 1]), [[0, 2]]);
    assert_eq!(three(regular(), &[0, 0, 0], &[1, 1, 1]), [[0; 0]; 0]);
    assert_eq!(three(modes(&[0o040_755; 3]), &[7, 7, 7], &[1, 1, 1]), [[0; 0]; 0]);
}

#[test]
fn broken_headers_are_named() {
    assert_eq!(Package::parse(&[0; 3]).unwrap_err(), HeaderError::Short(3));
    assert_eq!(error(&without(two_files(&[]), NAME)), HeaderError::Missing(NAME));
    for tag in [SIZES, MODES, FLAGS, DIR_INDEXES, DIRS] {
        assert_eq!(error(&without(two_files(&[]), tag)), HeaderError::Missing(tag));
    }
    // An array that is longer or shorter than the list of files.
    for tag in [SIZES, FLAGS, DIR_INDEXES, INODES, DEVICES, COLORS] {
        let wrong = error(&with(two_files(&[]), words(tag, &[0, 0, 0])));
        assert!(matches!(wrong, HeaderError::Count(entry, 2) if entry.tag == tag), "{wrong}");
    }
    for value in [(STATES, INT8, 1, vec![0]), modes(&[0]), texts(DIGESTS, &[""]), longs(LONG_SIZES, &[1])] {
        let tag = value.0;
        let wrong = error(&with(two_files(&[]), value));
        assert!(matches!(wrong, HeaderError::Count(entry, 2) if entry.tag == tag), "{wrong}");
    }
    // A type that the tag cannot have.
    for (tag, kind) in [(SIZES, STRINGS), (MODES, INT32), (BASES, BIN), (SIGNATURES, INT8), (NAME, INT8), (FLAGS, 0)] {
        let mut tags = two_files(&["", ""]);
        tags.iter_mut().find(|(number, ..)| *number == tag).unwrap().1 = kind;
        let wrong = error(&tags);
        assert!(matches!(wrong, HeaderError::Value(entry, Fault::Kind) if entry.tag == tag), "{wrong}");
    }
    let tags = with(two_files(&[]), words(DIR_INDEXES, &[0, 9]));
    let wrong = error(&tags).to_string();
    let at = offset(&tags, DIR_INDEXES);
    let said =
        format!("tag 1116 (type 4, 2 values at offset {at}): file 1 is in a directory that the header does not name");
    assert_eq!(wrong, said);
}

#[test]
fn what_is_not_hexadecimal_is_named_with_its_place() {
    for bad in ["0g", "030"] {
        let tags = two_files(&["0302", bad]);
        let at = offset(&tags, SIGNATURES) + 5;
        assert_eq!(error(&tags).to_string(), format!("tag 5090 at offset {at}: not hexadecimal"));
    }
    let tags = with(two_files(&[]), texts(DIGESTS, &["", "xy"]));
    assert_eq!(error(&tags), HeaderError::Hex { tag: DIGESTS, offset: offset(&tags, DIGESTS) as usize + 1 });
}

#[test]
fn limits_are_those_of_rpm() {
    let good = blob(&two_files(&[]));
    let patched = |at: usize, word: u32| {
        let mut bytes = good.clone();
        bytes[at..at + 4].copy_from_slice(&word.to_be_bytes());
        Package::parse(&bytes).unwrap_err()
    };
    // hdrchkTags, hdrchkData, and that the blob is as long as its sizes say.
    for (at, word) in [(0, 0x1_0000), (4, 0x1000_0000), (0, 13), (0, u32::MAX), (4, u32::MAX), (4, 1)] {
        assert!(matches!(patched(at, word), HeaderError::Size { .. }), "{at} {word}");
    }
    let longer = [&good[..], &[0]].concat();
    assert!(matches!(Package::parse(&longer), Err(HeaderError::Size { .. })));
    // hdrchkType, hdrchkAlign, hdrchkRange, hdrchkCount of the epoch, the fourth entry.
    let epoch = 8 + 3 * 16;
    for (at, word, fault) in [
        (4, 10, Fault::Kind),
        (8, 17, Fault::Alignment),
        (8, 1 << 30, Fault::Beyond),
        (8, 0xffff_fffc, Fault::Beyond),
        (12, 0, Fault::Count),
        (12, 1 << 29, Fault::Count),
        (12, 100, Fault::Beyond),
    ] {
        let wrong = patched(epoch + at, word);
        assert!(matches!(wrong, HeaderError::Value(entry, found) if entry.tag == EPOCH && found == fault), "{wrong}");
    }
    // hdrchkArray: 2^20 values, for which there is room.
    let many = (BASES, STRINGS, 1 << 20, vec![0; 1 << 20]);
    assert!(matches!(error(&with(two_files(&[]), many)), HeaderError::Value(_, Fault::Count)));
    // Text without an end, though the data go on to theirs.
    let mut tags = two_files(&[]);
    tags.push((SIGNATURES, STRINGS, 2, b"0302\x0003".to_vec()));
    assert!(matches!(error(&tags), HeaderError::Value(Entry { tag: SIGNATURES, .. }, Fault::Beyond)));
}

#[test]
fn no_header_makes_paths_that_no_file_has() {
    const FILES: u32 = 100_000;
    let long = format!("/{}/", "x".repeat(PATH_MAX));
    let tags = with(two_files(&[]), texts(DIRS, &["/", &long]));
    assert!(matches!(error(&tags), HeaderError::LongPath(Entry { tag: BASES, .. }, 1)));
    // 100,000 files in a directory of 4,000 bytes: 1 MB of header, 400 MB of paths.
    let (long, zeros) = (format!("/{}/", "x".repeat(4000)), |width: u32| vec![0; (FILES * width) as usize]);
    let mut tags = without(two_files(&[]), DIGESTS);
    for value in [
        (SIZES, INT32, FILES, zeros(4)),
        (STATES, INT8, FILES, zeros(1)),
        (MODES, INT16, FILES, zeros(2)),
        (FLAGS, INT32, FILES, zeros(4)),
        (DIR_INDEXES, INT32, FILES, zeros(4)),
        (BASES, STRINGS, FILES, zeros(1)),
        texts(DIRS, &[&long]),
    ] {
        tags = with(tags, value);
    }
    let blob = blob(&tags);
    assert_eq!(Package::parse(&blob).unwrap_err(), HeaderError::LongPaths);
    assert_eq!(Header::parse(&blob).unwrap().files().unwrap().iter().map(Result::unwrap).count(), FILES as usize);
}

/// Whatever the bytes are: no panic, an error says something, and view and copy agree. The fuzz target `header` does the
/// same.
fn judge(bytes: &[u8]) {
    let package = Package::parse(bytes);
    if let Err(error) = &package {
        assert!(!error.to_string().is_empty());
    }
    let Ok(header) = Header::parse(bytes) else { return assert!(package.is_err()) };
    let Ok(files) = header.files() else { return assert!(package.is_err()) };
    let walked: Result<Vec<_>, _> = files.iter().collect();
    assert!(files.iter().count() <= files.len());
    if let Ok(package) = package {
        let walked = walked.expect("what is copied was walked");
        assert_eq!((walked.len(), package.files.len()), (files.len(), files.len()));
        for (view, copy) in walked.iter().zip(&package.files) {
            assert_eq!((view.path(), view.link(), view.size), (copy.path.clone(), copy.link, copy.size));
        }
        assert_eq!(hard_links(walked.iter().map(File::link)), package.hard_links());
    }
}

/// A header with everything in it.
fn full() -> Vec<u8> {
    let mut tags = two_files(&["0302", ""]);
    tags.extend([words(INODES, &[1, 1]), words(DEVICES, &[1, 1]), words(COLORS, &[2, 0]), longs(LONG_SIZES, &[1, 2])]);
    tags.push(texts(DIRS, &["/opt/bin/", "/opt/etc/"]));
    let blob = blob(&tags);
    Package::parse(&blob).unwrap();
    blob
}

#[test]
fn no_cut_and_no_flipped_bit_panics() {
    let whole = full();
    for end in 0..whole.len() {
        judge(&whole[..end]);
        assert!(Package::parse(&whole[..end]).is_err());
    }
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        judge(&bytes);
    }
}

proptest! {
    #[test]
    fn no_blob_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        judge(&bytes);
    }

    #[test]
    fn no_damaged_header_panics(changes in proptest::collection::vec((0usize..900, any::<u8>()), 1..6)) {
        let mut bytes = full();
        for (at, value) in changes {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        judge(&bytes);
    }
}
