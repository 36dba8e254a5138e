//! A private root with real packages in a real package database.

use std::ffi::OsStr;
use std::fmt::Write;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::machine;
pub(crate) use crate::machine::{example, folder, keys};

/// The database's place in a private root.
pub(crate) const DATABASE: &str = "usr/lib/sysimage/rpm";

/// Runs a program that must be there; its exit status is the caller's affair.
pub(crate) fn output(program: impl AsRef<OsStr>, arguments: &[impl AsRef<OsStr>]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments);
    machine::output(command)
}

/// Runs a program that must succeed.
pub(crate) fn run(program: impl AsRef<OsStr>, arguments: &[impl AsRef<OsStr>]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments);
    machine::run(command)
}

/// Writes until there is no block left, each one to the disk.
pub(crate) fn fill(mounted: &Path) {
    let mut filler = std::fs::File::options().append(true).create(true).open(mounted.join("filler")).unwrap();
    let mut size = 1 << 20;
    while size > 0 {
        match filler.write_all(&vec![1; size]).and_then(|()| filler.sync_all()) {
            Ok(()) => {}
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
                size /= 2;
            }
        }
    }
}

/// How a package is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signed {
    /// By the key whose certificate is in `/etc/keys/ima`.
    Good,
    /// By a key that nobody trusts.
    Foreign,
    /// Not at all.
    Not,
}

/// A private root.
#[derive(Debug)]
pub(crate) struct PrivateRoot {
    folder: tempfile::TempDir,
    path: PathBuf,
}

impl PrivateRoot {
    /// A root with the test certificate and no packages, in a folder of its own.
    pub(crate) fn new() -> Self {
        let folder = folder();
        let path = folder.path().join("root");
        Self::at(folder, path)
    }

    /// A root at this path, e.g. on a file system of its own; the folder is for everything else.
    pub(crate) fn at(folder: tempfile::TempDir, path: PathBuf) -> Self {
        let root = Self { folder, path };
        std::fs::create_dir_all(root.join("etc/keys/ima")).unwrap();
        std::fs::copy(keys().join("ima.der"), root.join("etc/keys/ima/ima.der")).unwrap();
        root
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn join(&self, path: &str) -> PathBuf {
        self.path.join(path)
    }

    /// Builds a package with these files (path, content, octal mode), and signs them.
    pub(crate) fn build(&self, name: &str, version: &str, files: &[(&str, &str, &str)], signed: Signed) -> PathBuf {
        let top = self.folder.path().join(format!("build-{name}-{version}"));
        std::fs::create_dir_all(&top).unwrap();
        let (mut install, mut list) = (String::new(), String::new());
        for (number, (path, content, mode)) in files.iter().enumerate() {
            let source = top.join(format!("content{number}"));
            std::fs::write(&source, content).unwrap();
            writeln!(install, "install -Dm{mode} '{}' '%{{buildroot}}{path}'", source.display()).unwrap();
            let config = if path.starts_with("/etc/") { "%config(noreplace) " } else { "" };
            writeln!(list, "{config}\"{path}\"").unwrap();
        }
        let spec = format!(
            "Name: {name}\nVersion: {version}\nRelease: 1\nSummary: Test\nLicense: MIT\nBuildArch: noarch\nAutoReqProv: no\n\
             %global _binary_filedigest_algorithm 8\n%global __os_install_post %{{nil}}\n\
             %description\n%install\n{install}%files\n{list}"
        );
        let spec_file = top.join("test.spec");
        std::fs::write(&spec_file, spec).unwrap();
        let define = format!("_topdir {}", top.display());
        run(
            "rpmbuild",
            &[OsStr::new("-bb"), "--quiet".as_ref(), "--define".as_ref(), define.as_ref(), spec_file.as_ref()],
        );
        let package = top.join(format!("RPMS/noarch/{name}-{version}-1.noarch.rpm"));
        let name = match signed {
            Signed::Good => "ima",
            Signed::Foreign => "foreign",
            Signed::Not => return package,
        };
        let (key, certificate) = (keys().join(format!("{name}.key")), keys().join(format!("{name}.pem")));
        let arguments: [&OsStr; 5] =
            ["--key".as_ref(), key.as_ref(), "--cert".as_ref(), certificate.as_ref(), package.as_ref()];
        run(example("sign-rpm"), &arguments);
        package
    }

    /// Runs rpm on this root; no plugin labels anything here.
    pub(crate) fn rpm(&self, arguments: &[&OsStr]) -> Output {
        let define = "_db_backend sqlite";
        let own: [&OsStr; 6] = [
            "--root".as_ref(),
            self.path.as_ref(),
            "--dbpath".as_ref(),
            "/usr/lib/sysimage/rpm".as_ref(),
            "--define".as_ref(),
            define.as_ref(),
        ];
        run("rpm", &[&own[..], arguments].concat())
    }

    /// Installs or upgrades packages.
    pub(crate) fn install(&self, packages: &[PathBuf]) {
        let options: [&OsStr; 2] = ["-U".as_ref(), "--noscripts".as_ref()];
        let packages: Vec<&OsStr> = packages.iter().map(AsRef::as_ref).collect();
        self.rpm(&[&options[..], &packages].concat());
    }

    /// A file's label in hexadecimal, as getfattr sees it.
    pub(crate) fn label(&self, path: &str) -> Option<String> {
        let file = self.join(path);
        let arguments: [&OsStr; 6] = [
            "--only-values".as_ref(),
            "-e".as_ref(),
            "hex".as_ref(),
            "-n".as_ref(),
            "security.ima".as_ref(),
            file.as_ref(),
        ];
        let output = output("getfattr", &arguments);
        output.status.success().then(|| imad::model::cert::hex(&output.stdout))
    }

    /// Runs imactl on this root: exit status and output.
    pub(crate) fn imactl(&self, arguments: &[&str]) -> (i32, String) {
        let root: [&OsStr; 2] = ["--root".as_ref(), self.path.as_ref()];
        let arguments: Vec<&OsStr> = arguments.iter().map(AsRef::as_ref).collect();
        let output = output(env!("CARGO_BIN_EXE_imactl"), &[&root[..], &arguments].concat());
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
    }

    /// A report of imactl.
    pub(crate) fn report(&self, arguments: &[&str]) -> imad::model::report::LabelReport {
        let (_, text) = self.imactl(&[&["--json"], arguments].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }
}
