//! The package database, as it is and through rpm: both readers see the same.

mod locks;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use imad::model::rpm::{
    FLAG_CONFIG, FLAG_DOC, FLAG_GHOST, Package, PackagedFile, STATE_NET_SHARED, STATE_NORMAL, STATE_NOT_INSTALLED,
    STATE_REPLACED, STATE_WRONG_COLOR,
};
use imad::sys::root::Root;
use imad::sys::rpmdb::{Database, Index};
use rusqlite::Connection;

use super::fixture::{DATABASE, PrivateRoot, Signed, run};
use crate::machine;

const MANY_KINDS: &str = r#"
Name: kinds
Version: 1.5
Release: 3
Epoch: 2
Summary: Files of many kinds
License: MIT
BuildArch: noarch
Prefix: /opt/kinds
%global _invalid_encoding_terminates_build 0
%global __os_install_post %{nil}
%description
%install
mkdir -p %{buildroot}/opt/kinds/odd %{buildroot}/usr/share/doc/kinds %{buildroot}/etc %{buildroot}/srv/net
cd %{buildroot}/opt/kinds
echo program > program
ln program other-name
ln -s program link
echo x > 'odd/with space'
echo x > 'odd/new@line'
echo x > "odd/latin$(printf '\351')"
echo x > "odd/it's \"q\" %%{name} \\ back"
truncate -s 5G huge
cd %{buildroot}
echo doc > usr/share/doc/kinds/README
echo changed > etc/changed.conf
echo same > etc/same.conf
echo net > srv/net/shared
%files
%attr(0755,root,root) /opt/kinds/program
%attr(0755,root,root) /opt/kinds/other-name
/opt/kinds/link
/opt/kinds/odd
%ghost /opt/kinds/huge
%doc /usr/share/doc/kinds/README
%config(noreplace) /etc/changed.conf
%config /etc/same.conf
/srv/net/shared
"#;

/// The same program for 32 and for 64 bits: no more than the head by which `file` knows it.
const COLOURS: &str = r"
Name: colour%{bits}
Version: 1
Release: 1
Summary: A program of two word sizes
License: MIT
AutoReqProv: no
%global __os_install_post %{nil}
%global debug_package %{nil}
%description
%install
mkdir -p %{buildroot}/usr/bin %{buildroot}/usr/share
printf '\177ELF\00%{class}\001\001\0\0\0\0\0\0\0\0\0\002\0\0%{machine}\0\001\0\0\0' > %{buildroot}/usr/bin/colour
head -c 200 /dev/zero >> %{buildroot}/usr/bin/colour
echo data > %{buildroot}/usr/share/colour
%files
%attr(755,root,root) /usr/bin/colour
/usr/share/colour
";

/// Builds a package.
fn build(folder: &Path, spec: &str, arguments: &[&str]) -> PathBuf {
    let (top, file) = (format!("_topdir {}", folder.display()), folder.join("test.spec"));
    fs::create_dir_all(folder).unwrap();
    fs::write(&file, spec).unwrap();
    run("rpmbuild", &[&["-bb", "--quiet", "--define", &top, file.to_str().unwrap()], arguments].concat());
    let query = format!("find {}/RPMS -name '*.rpm'", folder.display());
    PathBuf::from(String::from_utf8(run("sh", &["-c", &query]).stdout).unwrap().trim())
}

fn sign(package: &Path) {
    let (key, certificate) = (super::fixture::keys().join("ima.key"), super::fixture::keys().join("ima.pem"));
    let arguments: [&OsStr; 5] =
        ["--key".as_ref(), key.as_ref(), "--cert".as_ref(), certificate.as_ref(), package.as_ref()];
    run(super::fixture::example("sign-rpm"), &arguments);
}

fn install(root: &PrivateRoot, options: &[&str], package: &Path) {
    let options = options.iter().map(OsStr::new);
    let arguments: Vec<_> = ["-i", "--nodeps"].into_iter().map(OsStr::new).chain(options).collect();
    root.rpm(&[&arguments[..], &[package.as_os_str()]].concat());
}

/// A root with packages of every kind.
fn full_root() -> PrivateRoot {
    let root = PrivateRoot::new();
    let folder = root.path().with_file_name("packages");
    let kinds = build(&folder.join("kinds"), MANY_KINDS, &[]);
    sign(&kinds);
    let options = ["--relocate", "/opt/kinds=/srv/moved", "--excludedocs", "--define", "_netsharedpath /srv/net"];
    install(&root, &options, &kinds);
    fs::write(root.join("etc/changed.conf"), "by the administrator").unwrap();

    let colours = ["--define", "_transaction_color 3", "--define", "_prefer_color 2", "--ignorearch"];
    let machine = |target, bits, class, machine| {
        let [bits, class, machine] =
            [("bits", bits), ("class", class), ("machine", machine)].map(|(name, value)| format!("{name} {value}"));
        let arguments = ["--target", target, "--define", &bits, "--define", &class, "--define", &machine];
        build(&folder.join(target), COLOURS, &arguments)
    };
    let small = machine("i686", "32", "1", "03");
    let large = machine("x86_64", "64", "2", "76");
    sign(&large);
    install(&root, &[&colours[..], &[small.to_str().unwrap()]].concat(), &large);

    let file = [("/usr/bin/tool", "1\n", "0755")];
    install(&root, &[], &root.build("first", "1", &file, Signed::Good));
    let file = [("/usr/bin/tool", "2\n", "0755")];
    install(&root, &["--replacefiles"], &root.build("second", "1", &file, Signed::Not));
    let (head, _) = MANY_KINDS.split_once("%install").unwrap();
    let empty = head.replace("kinds", "empty").replace("%description", "%description\n%files");
    install(&root, &[], &build(&folder.join("empty"), &empty, &[]));
    odd_bytes(&root);
    root
}

/// Makes of the database what rpmbuild would not: a line end in a name, and signatures for some files alone.
fn odd_bytes(root: &PrivateRoot) {
    let connection = Connection::open(root.join(DATABASE).join("rpmdb.sqlite")).unwrap();
    let mut blob: Vec<u8> =
        connection.query_row("SELECT blob FROM Packages WHERE hnum = 1", [], |row| row.get(0)).unwrap();
    // The name is there twice: as the package had it, and as it was relocated.
    while let Some(name) = blob.windows(8).position(|part| part == b"new@line") {
        blob[name + 3] = b'\n';
    }
    let entries = u32::from_be_bytes(blob[..4].try_into().unwrap()) as usize;
    let index = blob[8..8 + entries * 16].chunks_exact(16);
    let at = 8 + 16 * index.map(|entry| entry[..4].to_vec()).position(|tag| tag == 5090_u32.to_be_bytes()).unwrap();
    let count = u32::from_be_bytes(blob[at + 12..at + 16].try_into().unwrap());
    blob[at + 12..at + 16].copy_from_slice(&(count - 1).to_be_bytes());
    connection.execute("UPDATE Packages SET blob = ?1 WHERE hnum = 1", [blob]).unwrap();
    let rename = "UPDATE Basenames SET key = CAST(replace(key, '@', char(10)) AS TEXT) WHERE hnum = 1";
    connection.execute(rename, []).unwrap();
}

fn packages(database: &Database) -> Vec<(i64, Package)> {
    let numbers = database.numbers().unwrap();
    numbers
        .iter()
        .map(|&number| (number, Package::parse(&database.header(number).unwrap().unwrap()).unwrap()))
        .collect()
}

fn open(root: &PrivateRoot) -> Database {
    Database::open(&Root::open(root.path()).unwrap()).unwrap()
}

fn same(one: &Database, other: &Database) {
    let (ones, others) = (packages(one), packages(other));
    assert_eq!(ones.len(), others.len());
    for ((number, one), (other_number, other)) in ones.iter().zip(&others) {
        assert_eq!(number, other_number);
        assert_eq!((&one.name, &one.nevra), (&other.name, &other.nevra));
        assert_eq!((one.install_time, one.install_tid), (other.install_time, other.install_tid));
        assert_eq!(one.files, other.files, "{}", one.nevra);
        assert_eq!(one.hard_links(), other.hard_links());
    }
}

fn file<'a>(packages: &'a [(i64, Package)], package: &str, path: &[u8]) -> &'a PackagedFile {
    let (_, package) = packages.iter().find(|(_, found)| found.name == package).unwrap();
    package.files.iter().find(|file| file.path == path).unwrap_or_else(|| panic!("{:?}", package.files))
}

#[test]
fn both_readers_see_every_kind_of_file() {
    let root = full_root();
    let database = open(&root);
    let through_rpm = Database::through_rpm(&Root::open(root.path()).unwrap()).unwrap();
    same(&database, &through_rpm);

    let all = packages(&database);
    let kinds = |path: &[u8]| file(&all, "kinds", path);
    assert_eq!(all[0].1.nevra, "kinds-2:1.5-3.noarch");
    // Relocated: the header says where the files are, not where the package had them.
    let program = kinds(b"/srv/moved/program");
    assert!(program.is_regular() && program.is_installed() && program.signature.is_some());
    assert_eq!((program.link, program.link.is_some()), (kinds(b"/srv/moved/other-name").link, true));
    assert_eq!(all[0].1.hard_links().len(), 1);
    assert!(!kinds(b"/srv/moved/link").is_regular());
    for odd in [&b"with space"[..], b"new\nline", b"latin\xe9", b"it's \"q\" %{name} \\ back"] {
        let path = [b"/srv/moved/odd/", odd].concat();
        assert!(kinds(&path).signature.is_some() && kinds(&path).digest.is_some());
        for reader in [&database, &through_rpm] {
            assert_eq!(reader.numbers_by(Index::BaseName, odd).unwrap(), [1], "{}", odd.escape_ascii());
        }
    }
    let huge = kinds(b"/srv/moved/huge");
    assert_eq!((huge.size, huge.flags & FLAG_GHOST, huge.is_installed()), (5 << 30, FLAG_GHOST, false));
    let readme = kinds(b"/usr/share/doc/kinds/README");
    assert_eq!((readme.state, readme.flags & FLAG_DOC, readme.is_installed()), (STATE_NOT_INSTALLED, FLAG_DOC, false));
    let (changed, unchanged) = (kinds(b"/etc/changed.conf"), kinds(b"/etc/same.conf"));
    assert!(changed.is_plain_config() && changed.flags & FLAG_CONFIG != 0 && changed.state == STATE_NORMAL);
    assert!(unchanged.is_plain_config() && unchanged.digest.is_some() && unchanged.digest != changed.digest);
    let shared = kinds(b"/srv/net/shared");
    assert_eq!((shared.state, shared.is_installed()), (STATE_NET_SHARED, false));
    // The array of signatures was cut, so the last file has none.
    let signed = all[0].1.files.iter().rev().map(|file| file.signature.is_some());
    assert_eq!(signed.skip_while(|signed| !signed).count(), all[0].1.files.len() - 1);

    let (small, large) = (file(&all, "colour32", b"/usr/bin/colour"), file(&all, "colour64", b"/usr/bin/colour"));
    assert_eq!((small.state, large.state), (STATE_WRONG_COLOR, STATE_NORMAL));
    assert!(small.signature.is_none() && large.signature.is_some());
    let both = database.numbers_by(Index::BaseName, b"colour").unwrap();
    assert_eq!((both.len(), through_rpm.numbers_by(Index::BaseName, b"colour").unwrap()), (2, both));
    let (first, second) = (file(&all, "first", b"/usr/bin/tool"), file(&all, "second", b"/usr/bin/tool"));
    assert_eq!((first.state, second.state), (STATE_REPLACED, STATE_NORMAL));
    assert!(first.signature.is_some() && second.signature.is_none());
    let of_name = |name: &[u8]| through_rpm.numbers_by(Index::Name, name).unwrap();
    assert_eq!(of_name(b"second"), database.numbers_by(Index::Name, b"second").unwrap());
    assert_eq!((of_name(b"second").len(), of_name(b"none").len()), (1, 0));
    assert!(all.iter().any(|(_, package)| package.name == "empty" && package.files.is_empty()));
}

#[test]
fn a_package_that_goes_away_is_none() {
    let root = PrivateRoot::new();
    let packages = ["a", "b"].map(|name| root.build(name, "1", &[("/usr/share/x", "x", "0644")], Signed::Not));
    root.install(&packages);
    let readers = [open(&root), Database::through_rpm(&Root::open(root.path()).unwrap()).unwrap()];
    let numbers = readers[0].numbers().unwrap();
    root.rpm(&["-e", "a"].map(OsStr::new));
    for reader in &readers {
        let left = numbers.iter().filter(|number| reader.header(**number).unwrap().is_some()).count();
        assert_eq!((numbers.len(), left), (2, 1));
    }
}

#[test]
fn a_damaged_header_is_told_by_number_and_hides_no_other() {
    let root = PrivateRoot::new();
    let names = ["a", "b", "c"];
    root.install(&names.map(|name| root.build(name, "1", &[("/usr/share/x", "x", "0644")], Signed::Not)));
    let connection = Connection::open(root.join(DATABASE).join("rpmdb.sqlite")).unwrap();
    connection.execute("UPDATE Packages SET blob = substr(blob, 1, 1000) WHERE hnum = 2", []).unwrap();
    drop(connection);
    let database = open(&root);
    assert_eq!(database.numbers().unwrap(), [1, 2, 3]);
    let error = Package::parse(&database.header(2).unwrap().unwrap()).unwrap_err().to_string();
    assert!(error.contains("do not fit its 1000 bytes"), "{error}");

    let through_rpm = Database::through_rpm(&Root::open(root.path()).unwrap()).unwrap();
    assert_eq!(through_rpm.numbers().unwrap(), [1, 2, 3]);
    let error = through_rpm.header(2).unwrap_err().to_string();
    assert!(error.contains("skipping h#") && error.contains(DATABASE), "{error}");
    for number in [1, 3] {
        let [one, other] = [&database, &through_rpm].map(|reader| reader.header(number).unwrap().unwrap());
        assert_eq!(Package::parse(&one).unwrap().files, Package::parse(&other).unwrap().files);
    }
}

/// Writes the packages of a database into one of Berkeley's, as rpm kept it until 2020.
fn berkeley(from: &Path, to: &Path) {
    let script = r#"tie my %packages, "DB_File", $ARGV[0], O_RDWR | O_CREAT, 0644, $DB_HASH or die $!;
        while (<STDIN>) { my ($number, $blob) = split; $packages{pack("L", $number)} = pack("H*", $blob); }"#;
    let rows = run("sqlite3", &[from.to_str().unwrap(), "SELECT hnum || ' ' || hex(blob) FROM Packages"]).stdout;
    let (input, mut command) = (to.with_extension("rows"), Command::new("perl"));
    fs::write(&input, rows).unwrap();
    command.args(["-MDB_File", "-e", script]).arg(to).stdin(Stdio::from(fs::File::open(&input).unwrap()));
    machine::run(command);
}

#[test]
fn another_backend_is_read_through_rpm() {
    let root = full_root();
    let other = PrivateRoot::new();
    let folder = other.join("var/lib/rpm");
    fs::create_dir_all(&folder).unwrap();
    berkeley(&root.join(DATABASE).join("rpmdb.sqlite"), &folder.join("Packages"));
    same(&open(&root), &open(&other));

    // A newer SQLite database beside it counts, unless the root's macros say otherwise.
    let newer = PrivateRoot::new();
    newer.install(&[newer.build("a", "1", &[("/usr/share/x", "x", "0644")], Signed::Not)]);
    fs::create_dir_all(other.join(DATABASE)).unwrap();
    fs::copy(newer.join(DATABASE).join("rpmdb.sqlite"), other.join(DATABASE).join("rpmdb.sqlite")).unwrap();
    same(&open(&newer), &open(&other));
    fs::create_dir_all(other.join("usr/lib/rpm")).unwrap();
    fs::write(other.join("usr/lib/rpm/macros"), "%_db_backend\t bdb_ro\n").unwrap();
    same(&open(&root), &open(&other));
    fs::create_dir_all(other.join("etc/rpm")).unwrap();
    fs::write(other.join("etc/rpm/macros"), "%_db_backend sqlite\n").unwrap();
    same(&open(&newer), &open(&other));
}

#[test]
fn a_backend_that_rpm_does_not_know_is_no_empty_database() {
    let root = PrivateRoot::new();
    fs::create_dir_all(root.join("var/lib/rpm")).unwrap();
    fs::write(root.join("var/lib/rpm/Packages.db"), b"RpmP").unwrap();
    let error = open(&root).numbers().unwrap_err();
    let text = error.to_string();
    assert!(text.contains("/var/lib/rpm") && text.contains("ndb"), "{text}");
    assert!(error.next_step().contains("rebuilddb"), "{}", error.next_step());
}
