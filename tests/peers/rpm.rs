//! Headers of a real database, read as rpm reads them.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use imad::model::cert::hex;
use imad::model::rpm::Package;
use imad::sys::root::Root;
use imad::sys::rpmdb::{Database, Index};

use crate::machine::{folder, run};

const SPEC: &str = r"
Name: peers-test
Version: 1.5
Release: 3
Epoch: 2
Summary: A package with all kinds of files
License: MIT
BuildArch: noarch
%description
%prep
%build
%install
mkdir -p %{buildroot}/usr/bin %{buildroot}/etc %{buildroot}/usr/share/peers
echo program > %{buildroot}/usr/bin/program
ln %{buildroot}/usr/bin/program %{buildroot}/usr/bin/hardlink
ln -s program %{buildroot}/usr/bin/link
echo config > %{buildroot}/etc/peers.conf
echo 'with space' > '%{buildroot}/usr/share/peers/with space'
%files
%attr(0755,root,root) /usr/bin/program
%attr(0755,root,root) /usr/bin/hardlink
/usr/bin/link
%config(noreplace) /etc/peers.conf
%dir /usr/share/peers
'/usr/share/peers/with space'
%ghost /usr/share/peers/ghost
";

/// Builds the package and installs it into a private root.
fn installed(folder: &Path) -> std::path::PathBuf {
    let (spec, root) = (folder.join("peers.spec"), folder.join("root"));
    std::fs::write(&spec, SPEC.replace("'/usr/share/peers/with space'", "\"/usr/share/peers/with space\"")).unwrap();
    let mut build = Command::new("rpmbuild");
    build.args(["-bb", "--quiet", "--define", &format!("_topdir {}", folder.display())]).arg(&spec);
    run(build);
    std::fs::create_dir(&root).unwrap();
    let mut install = rpm(&root);
    install.args(["-i", "--nodeps", "--noscripts"]).arg(folder.join("RPMS/noarch/peers-test-1.5-3.noarch.rpm"));
    run(install);
    root
}

fn rpm(root: &Path) -> Command {
    let mut rpm = Command::new("rpm");
    rpm.arg("--root").arg(root).args(["--dbpath", "/usr/lib/sysimage/rpm", "--define", "_db_backend sqlite"]);
    rpm
}

#[test]
fn a_package_reads_as_rpm_reads_it() {
    let folder = folder();
    let root = installed(folder.path());
    let mut query = rpm(&root);
    let format =
        "%{NEVRA} %{INSTALLTID}\n[%{FILENAMES}|%{FILESIZES}|%{FILEMODES}|%{FILEFLAGS}|%{FILESTATES}|%{FILEDIGESTS}\n]";
    query.args(["-qa", "--qf", format]);
    let theirs = String::from_utf8(run(query).stdout).unwrap();

    let database = Database::open(&Root::open(&root).unwrap()).unwrap();
    let numbers = database.numbers().unwrap();
    assert_eq!(numbers.len(), 1);
    let package = Package::parse(&database.header(numbers[0]).unwrap().unwrap()).unwrap();
    let mut ours = format!("{} {}\n", package.nevra, package.install_tid);
    for file in &package.files {
        let digest = file.digest.as_ref().map_or_else(String::new, |(_, digest)| hex(digest));
        let path = String::from_utf8_lossy(&file.path);
        writeln!(ours, "{path}|{}|{}|{}|{}|{digest}", file.size, file.mode, file.flags, file.state).unwrap();
    }
    assert_eq!(ours, theirs);
    assert_eq!(database.numbers_by(Index::BaseName, b"with space").unwrap(), numbers);
    assert_eq!(database.numbers_by(Index::Name, b"peers-test").unwrap(), numbers);
    assert!(database.numbers_by(Index::BaseName, b"nothing").unwrap().is_empty());
}

#[test]
fn a_corrupt_database_is_named() {
    let folder = folder();
    let root = installed(folder.path());
    let file = root.join("usr/lib/sysimage/rpm/rpmdb.sqlite");
    std::fs::write(&file, b"this is no database, and long enough to be looked at as one").unwrap();
    let error = Database::open(&Root::open(&root).unwrap()).unwrap_err();
    assert!(error.is_corrupt(), "{error:?}");
    assert!(error.next_step().contains("rpmdb --rebuilddb"), "{}", error.next_step());
    std::fs::remove_dir_all(root.join("usr/lib/sysimage/rpm")).unwrap();
    let error = Database::open(&Root::open(&root).unwrap()).unwrap_err().to_string();
    assert!(error.starts_with("there is no package database"), "{error}");
}
