//! Labels as rpm's own `ima` plugin writes them while it installs a package.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use imad::model::algo::HashAlgo;
use imad::model::cert::Certificate;
use imad::model::config::Labels;
use imad::model::label::Label;
use imad::model::plan::State;
use imad::model::report::LabelReport;
use imad::model::verify::Trust;
use imad::ops::labels::{Progress, Request, Selection, run as run_labels};
use imad::sys::root::Root;
use openssl::ecdsa::EcdsaSig;
use rustix::io::Errno;

use crate::machine::{example, folder, keys, run};

/// Where Debian's rpm-common has it.
const PLUGIN: &str = "rpm-plugins/ima.so";
/// One file of everything that rpm's plugin or imad treats in a way of its own, all below `/opt/NAME`.
const SPEC: &str = r#"
Name: @NAME@
Version: 1
Release: 1
Summary: Files of all kinds
License: MIT
BuildArch: noarch
AutoReqProv: no
%global _binary_filedigest_algorithm @DIGEST@
%global __os_install_post %{nil}
%description
%install
mkdir -p %{buildroot}/opt/@NAME@/kept && cd %{buildroot}/opt/@NAME@
for file in program setuid caps data 'with space' plain.conf run.conf group-run.conf noreplace.conf doc kept/run.conf; do
    echo "@NAME@ $file" > "$file"
done
: > empty
head -c 300000 /dev/zero | tr '\0' @NAME@ > large
ln program hardlink
ln program another-hardlink
ln -s program symlink
%files
%defattr(0644,root,root,0755)
%dir /opt/@NAME@
%attr(0755,-,-) /opt/@NAME@/program
%attr(0755,-,-) /opt/@NAME@/hardlink
%attr(0755,-,-) /opt/@NAME@/another-hardlink
/opt/@NAME@/symlink
%attr(4755,-,-) /opt/@NAME@/setuid
%attr(0755,-,-) %caps(cap_net_raw=ep) /opt/@NAME@/caps
/opt/@NAME@/data
/opt/@NAME@/empty
/opt/@NAME@/large
/opt/@NAME@/with?space
%config /opt/@NAME@/plain.conf
%config %attr(0755,-,-) /opt/@NAME@/run.conf
%config %attr(0654,-,-) /opt/@NAME@/group-run.conf
%config(noreplace) /opt/@NAME@/noreplace.conf
%config(noreplace) %attr(0755,-,-) /opt/@NAME@/kept/run.conf
%doc /opt/@NAME@/doc
%ghost /opt/@NAME@/ghost
%ghost %attr(0755,-,-) /opt/@NAME@/ghost-that-is-there
"#;
/// Name (a letter), file digests' algorithm in OpenPGP's numbers, and the key that signs the files.
const PACKAGES: [(&str, u32, Option<&str>); 6] = [
    ("a", 8, Some("ima")),
    ("b", 10, Some("accepted/rsa")),
    ("c", 9, Some("accepted/p384")),
    ("d", 2, Some("ima")),
    ("f", 8, Some("foreign")),
    ("u", 8, None),
];

fn build(folder: &Path, (name, digest, key): (&str, u32, Option<&str>)) -> PathBuf {
    let spec = folder.join(format!("{name}.spec"));
    fs::write(&spec, SPEC.replace("@NAME@", name).replace("@DIGEST@", &digest.to_string())).unwrap();
    let mut build = Command::new("rpmbuild");
    build.args(["-bb", "--quiet", "--define", &format!("_topdir {}", folder.display())]).arg(spec);
    run(build);
    let package = folder.join(format!("RPMS/noarch/{name}-1-1.noarch.rpm"));
    if let Some(key) = key {
        let mut sign = Command::new(example("sign-rpm"));
        let file = |kind| keys().join(key).with_extension(kind);
        sign.arg("--key").arg(file("key")).arg("--cert").arg(file("pem")).arg(&package);
        run(sign);
    }
    package
}

/// A folder of plugins with none but `ima`: Debian's rpm looks for them in a folder that it does not have.
fn plugins(folder: &Path) -> PathBuf {
    let mut list = Command::new("dpkg");
    list.args(["-L", "rpm-common"]);
    let list = String::from_utf8(run(list).stdout).unwrap();
    let plugin = list.lines().find(|line| line.ends_with(PLUGIN));
    let plugin = plugin.unwrap_or_else(|| panic!("the package rpm-common brings no {PLUGIN}"));
    let plugins = folder.join("plugins");
    fs::create_dir(&plugins).unwrap();
    std::os::unix::fs::symlink(plugin, plugins.join("ima.so")).unwrap();
    plugins
}

fn rpm(root: &Path) -> Command {
    let mut rpm = Command::new("rpm");
    rpm.arg("--root").arg(root).args(["--dbpath", "/usr/lib/sysimage/rpm", "--define", "_db_backend sqlite"]);
    rpm
}

/// A root in which rpm installed the packages, and labelled their files.
struct Installed {
    root: PathBuf,
    _folder: tempfile::TempDir,
}

impl Installed {
    fn new(with_config: bool) -> Self {
        let folder = folder();
        let root = folder.path().join("root");
        for (name, ..) in PACKAGES {
            fs::create_dir_all(root.join(format!("opt/{name}/kept"))).unwrap();
            // What an administrator has changed stays, and a ghost's file is nobody's.
            for path in ["kept/run.conf", "ghost-that-is-there"] {
                fs::write(root.join(format!("opt/{name}/{path}")), "of the administrator").unwrap();
            }
        }
        let mut rpm = rpm(&root);
        rpm.arg("--define").arg(format!("__plugindir {}", plugins(folder.path()).display()));
        rpm.arg("--define").arg(format!("_ima_sign_config_files {}", u8::from(with_config)));
        rpm.args(["-i", "--excludedocs"]).args(PACKAGES.map(|package| build(folder.path(), package)));
        run(rpm);
        Self { root, _folder: folder }
    }

    /// Mode, owner and all extended attributes of every file, as getfattr shows them.
    fn files(&self) -> BTreeMap<String, Vec<String>> {
        let mut command = Command::new("getfattr");
        command.args(["--recursive", "--physical", "--no-dereference", "--match=-", "--dump", "--encoding=hex"]);
        command.arg("--absolute-names").arg(self.root.join("opt"));
        let text = String::from_utf8(run(command).stdout).unwrap();
        let mut find = Command::new("find");
        find.arg(self.root.join("opt")).args(["-printf", "%p|%M %u %n %s %T@\\n"]);
        let found = String::from_utf8(run(find).stdout).unwrap();
        let mut files: BTreeMap<_, _> = found
            .lines()
            .map(|line| line.split_once('|').unwrap())
            .map(|(path, facts)| (path.to_owned(), vec![facts.to_owned()]))
            .collect();
        for block in text.split("\n\n").filter(|block| !block.is_empty()) {
            let (path, attributes) = block.split_once('\n').unwrap();
            let path = path.strip_prefix("# file: ").unwrap().replace("\\040", " ");
            let facts = files.get_mut(&path).unwrap_or_else(|| panic!("{path}"));
            facts.extend(attributes.lines().map(str::to_owned));
            facts[1..].sort();
        }
        let prefix = self.root.to_str().unwrap().len();
        files.into_iter().map(|(path, facts)| (path[prefix..].to_owned(), facts)).collect()
    }

    /// What the packages bring, as rpm reads its database.
    fn signatures(&self) -> BTreeMap<String, String> {
        let mut query = rpm(&self.root);
        query.args(["-qa", "--qf", "[%{FILENAMES}|%{FILESIGNATURES}\\n]"]);
        let text = String::from_utf8(run(query).stdout).unwrap();
        let entries = text.lines().map(|line| line.split_once('|').unwrap());
        entries.map(|(path, signature)| (path.to_owned(), format!("security.ima=0x{signature}"))).collect()
    }

    fn relabel(&self, config_files: bool) -> LabelReport {
        let certificate = |name: &str| Certificate::parse(&fs::read(keys().join(name)).unwrap()).unwrap();
        let trust = Trust::new(["ima.der", "accepted/rsa.der", "accepted/p384.der"].map(certificate));
        let root = Root::open(&self.root).unwrap();
        let rules = Labels { config_files, ..Labels::default() };
        let request = Request {
            root: &root,
            rules: &rules,
            trust: &trust,
            selection: &Selection::All,
            write: Some("test"),
            full: true,
        };
        run_labels(&request, &Progress::default()).unwrap()
    }
}

/// The files below `/opt/NAME` that get a label from their package, and those that get one if configuration files do.
const LABELLED: [&str; 11] = [
    "another-hardlink",
    "caps",
    "data",
    "empty",
    "group-run.conf",
    "hardlink",
    "large",
    "program",
    "run.conf",
    "setuid",
    "with space",
];
const LINKS: [&str; 3] = ["another-hardlink", "hardlink", "program"];
const CONFIGURATION: [&str; 2] = ["noreplace.conf", "plain.conf"];
/// What rpm unpacks beside a changed configuration file. No package owns it, so that imad leaves it alone.
const BESIDE: &str = "kept/run.conf.rpmnew";

/// Takes the labels out of what getfattr showed.
fn take_labels(files: &mut BTreeMap<String, Vec<String>>) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    for (path, facts) in files {
        let label = facts.iter().position(|fact| fact.starts_with("security.ima="));
        labels.extend(label.map(|place| (path.clone(), facts.remove(place))));
    }
    labels
}

fn labels_are_those_of_rpm(config_files: bool) {
    let installed = Installed::new(config_files);
    let mut files = installed.files();
    let theirs = take_labels(&mut files);
    let names = || LABELLED.iter().chain(if config_files { &CONFIGURATION[..] } else { &[] });
    let signed = || PACKAGES.iter().filter(|(.., key)| key.is_some()).map(|(name, ..)| format!("/opt/{name}"));
    let beside: Vec<_> = signed().map(|folder| format!("{folder}/{BESIDE}")).collect();
    let mut expected: Vec<_> =
        signed().flat_map(|folder| names().map(move |name| format!("{folder}/{name}"))).collect();
    expected.extend(beside.iter().cloned());
    expected.sort();
    assert_eq!(theirs.keys().cloned().collect::<Vec<_>>(), expected, "what rpm labels");

    for path in theirs.keys() {
        match rustix::fs::removexattr(installed.root.join(&path[1..]), "security.ima") {
            // A hard link's other name is the same file.
            Ok(()) | Err(Errno::NODATA) => {}
            Err(error) => panic!("{path}: {error}"),
        }
    }
    assert!(take_labels(&mut installed.files()).is_empty());
    let report = installed.relabel(config_files);
    let mut after = installed.files();
    let ours = take_labels(&mut after);
    assert_eq!(after, files, "all but the labels is as rpm left it");
    // imad writes nothing that it does not trust, and asks no more than packages do.
    let foreign = |path: &str| path.starts_with("/opt/f/");
    let mut wanted = theirs;
    wanted.retain(|path, _| !foreign(path) && !beside.contains(path));
    assert_eq!(wanted.len(), 4 * names().count());
    assert_eq!(ours.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
    // Each name of a hard link may bring a signature of its own, as ECDSA draws a number for each. rpm writes the last
    // one's, imad that of the name it comes by first; each is the file's.
    let signatures = installed.signatures();
    let is_link = |path: &str| LINKS.iter().any(|name| path.ends_with(&format!("/{name}")));
    let (mut equal, mut links) = (0, 0);
    for (path, label) in &ours {
        if is_link(path) {
            let (folder, _) = path.rsplit_once('/').unwrap();
            let of_links = LINKS.map(|name| &signatures[&format!("{folder}/{name}")]);
            assert!(of_links.contains(&label), "{path}: {label}");
            assert_eq!(Some(&&wanted[path]), of_links.last(), "{path}");
            assert!(LINKS.iter().all(|name| ours[&format!("{folder}/{name}")] == *label), "{path}");
            links += 1;
        } else {
            assert_eq!(label, &signatures[path], "{path}");
            assert_eq!(label, &wanted[path], "{path}");
            equal += 1;
        }
    }
    assert_eq!((equal, links), (4 * (names().count() - LINKS.len()), 4 * LINKS.len()));
    println!("{equal} labels of rpm's plugin are imad's, and {links} of hard links: {:?}", report.counts);
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    let counted = |state| report.counts.by_state.get(&state).copied().unwrap_or(0);
    assert_eq!(counted(State::UntrustedKey), names().count() as u64, "{:?}", report.counts);
}

#[test]
fn labels_are_those_of_rpms_plugin() {
    labels_are_those_of_rpm(false);
}

#[test]
fn labels_are_those_of_rpms_plugin_for_configuration_files_too() {
    labels_are_those_of_rpm(true);
}

/// The label that Red Hat's chapter on appraisal by signatures shows of its `/usr/sbin/ip`.
const RED_HAT: &str = "030204d3320449006730650231008b5d9eee9320dc82e2e03d8c335d4d7a75c56b9a51f13ad6bbbe6ec451f5f4ecd7f4c673f\
                       533213ffc065aa9e348281a023051cd0ceb80e2e36f4bef0e380cbb6049fca1ab617ec176c2c0d2662f8d028ba60ba445a88\
                       07dd76ce444ac6b6925fcb0";

#[test]
fn a_label_of_red_hats_is_read() {
    let bytes = imad::model::hex::decode(RED_HAT.as_bytes()).unwrap();
    let Ok(Label::Signature(signature)) = Label::parse(&bytes) else { panic!("not a signature") };
    assert_eq!((signature.version, signature.hash_algo()), (2, Some(HashAlgo::Sha256)));
    assert_eq!(signature.key_id.to_string(), "d3320449");
    assert_eq!(signature.bytes.len(), 103);
    // What follows the header is, to its last byte, what OpenSSL takes for a signature of a P-384 key.
    let parsed = EcdsaSig::from_der(signature.bytes).unwrap();
    assert_eq!(parsed.to_der().unwrap(), signature.bytes);
    assert_eq!((parsed.r().num_bits(), parsed.s().num_bits()), (384, 383));
}
