//! "What will fail some day?": everything that is known of a machine, gathered for the doctor.
#![forbid(unsafe_code)]

mod packages;
mod plugin;

use std::collections::BTreeSet;
use std::io;

pub use packages::unsigned;
pub use plugin::plugin;

use super::keys::{self, CertificateFile};
use super::{configuration, in_force, next_boot, policy, profile};
use crate::model::config::Config;
use crate::model::doctor::{
    CertificateFacts, CommandLine, Containers, Diagnosis, Dracut, Facts, Folder, FolderState, ImageFacts, KernelBuild,
    Policy, Unit, diagnose,
};
use crate::model::evm::Evm;
use crate::model::guard::Judge;
use crate::model::initramfs::Contents;
use crate::model::next_boot::{BootKernel, NextBoot};
use crate::model::policy::builtin::Boot;
use crate::model::policy::kernel::{Kernel, KernelFacts};
use crate::model::policy::outline::refuses_files;
use crate::model::policy::profile::{KernelConfig, KernelProfile};
use crate::model::report::Status;
use crate::sys::root::Root;
use crate::sys::{kernel, kernel_config, securityfs, services};

/// Folders that imad writes to.
const FOLDERS: [&str; 2] = [crate::sys::attempts::FOLDER, crate::sys::state_dir::FOLDER];
/// Units of imad's packages.
const UNITS: [&str; 3] = ["imad.service", "imad-boot-check.service", "imad-confirm.service"];
/// Where podman, docker and containerd keep layers (containers-storage.conf(5); docker's data-root).
const STORAGE: [&str; 3] = [
    "/var/lib/containers/storage/overlay",
    "/var/lib/docker/overlay2",
    "/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs",
];
/// `OVERLAYFS_SUPER_MAGIC`
const OVERLAY: (&str, u64) = ("overlay", 0x794c_7630);
/// Where dracut's configuration is, the later file after the earlier (dracut.conf(5)).
const DRACUT: [&str; 3] = ["/etc/dracut.conf.d", "/usr/lib/dracut/dracut.conf.d", "/lib/dracut/dracut.conf.d"];
/// No file of it is longer.
const LIMIT: u64 = 1 << 20;

/// Looks at everything and judges it. `status` is the daemon's where it runs.
pub fn doctor(root: &Root, status: &Status) -> Diagnosis {
    diagnose(&gather(root, status))
}

fn gather(root: &Root, status: &Status) -> Facts {
    let running = root.is_running();
    let (config, _) = configuration::load(root);
    let packaged = packages::look(root);
    let next_boot = next_boot::check(root, None).report;
    let kernels = kernels(root);
    let command_lines = command_lines(root, &next_boot, &kernels);
    let (policy, containers) = policy_facts(root, &config);
    let images = next_boot.kernels.iter().filter_map(|kernel| image(kernel, &next_boot)).collect();
    Facts {
        status: status.problems.clone(),
        policy,
        command_lines,
        kernels,
        evm: if running { evm() } else { None },
        certificates: certificates(root, &config),
        keys_dir: config.keys.dir,
        next_boot: Some(next_boot),
        images,
        dracut: dracut(root),
        plugin: plugin(root),
        places: packages::places(root, &packaged.folders),
        packages: packaged.packages,
        containers,
        labels: status.labels.clone(),
        units: units(root),
        folders: FOLDERS.iter().map(|path| folder(root, path)).collect(),
    }
}

/// Kernels with a configuration or modules in the root, and the running one.
fn kernels(root: &Root) -> Vec<KernelBuild> {
    let own = root.is_running().then(kernel::release);
    let releases: BTreeSet<String> = kernel_config::releases(root).into_iter().chain(own.clone()).collect();
    let build = |release: String| {
        let text = profile::configuration(root, &release);
        // What cannot be read is not known; the check of the next boot says why.
        let config = text.ok().flatten().map(|(source, text)| (source, KernelConfig::parse(&text)));
        KernelBuild { release, config: config.filter(|(_, config)| !config.is_empty()) }
    };
    releases.into_iter().map(build).collect()
}

/// The command lines of the boot entries, and the running kernel's where no entry has it.
fn command_lines(root: &Root, next_boot: &NextBoot, kernels: &[KernelBuild]) -> Vec<CommandLine> {
    let secure_boot = root.is_running() && kernel::secure_boot().ok().flatten().unwrap_or(false);
    let of_kernel = |of: String, line: &str, release: &str| {
        let config = kernels.iter().find(|kernel| kernel.release == release).and_then(|kernel| kernel.config.clone());
        let facts = KernelFacts { release: Some(release.to_owned()), config, running: None };
        let boot = Boot { secure_boot, ..Boot::from_command_line(line) };
        CommandLine { of, boot, profile: Kernel::from_facts(&facts).profile }
    };
    let entries = next_boot.kernels.iter().map(|entry| {
        let title = entry.title.as_deref().unwrap_or(&entry.entry);
        of_kernel(format!("\"{title}\""), &entry.command_line, &entry.release)
    });
    let mut lines: Vec<CommandLine> = entries.collect();
    if root.is_running() {
        let (line, release) = (kernel::command_line_text().unwrap_or_default(), kernel::release());
        let same = |entry: &BootKernel| entry.release == release && entry.command_line.trim() == line.trim();
        if !next_boot.kernels.iter().any(same) {
            lines.push(of_kernel("the running kernel".to_owned(), &line, &release));
        }
    }
    lines
}

/// What a kernel's initramfs holds, as the check of the next boot found it.
fn image(kernel: &BootKernel, next_boot: &NextBoot) -> Option<ImageFacts> {
    let contents = |path: &String| next_boot.images.iter().find(|image| image.path == *path);
    let contents = kernel.initrds.iter().filter_map(contents).map(|image| image.contents.clone());
    Some(ImageFacts { release: kernel.release.clone(), contents: contents.reduce(Contents::and)? })
}

fn evm() -> Option<Evm> {
    let bits = securityfs::evm().ok().flatten().filter(|&bits| bits != 0)?;
    let fix = kernel::command_line().is_ok_and(|parameters| Evm::is_fix(&parameters));
    Some(Evm { bits, locked: securityfs::evm_is_locked(), fix })
}

fn certificates(root: &Root, config: &Config) -> Vec<CertificateFacts> {
    let facts = |CertificateFile { file, certificate }: CertificateFile| {
        // Why a file is no certificate is among the status's problems.
        let certificate = certificate.ok()?;
        Some(CertificateFacts {
            file,
            subject: certificate.subject().to_owned(),
            key: certificate.key_kind(),
            days_left: certificate.days_left(),
            days_until_begin: certificate.days_until_begin(),
        })
    };
    keys::certificates(root, &config.keys.dir).unwrap_or_default().into_iter().filter_map(facts).collect()
}

/// The policy, and what it does to containers.
fn policy_facts(root: &Root, config: &Config) -> (Policy, Containers) {
    let path = &config.policy.path;
    let mut facts = Policy { path: path.clone(), exists: root.exists(path), refuses_files: false };
    let mut containers = Containers::default();
    containers.storage.extend(STORAGE.iter().filter(|path| root.exists(path)).map(|path| (*path).to_owned()));
    // What is wrong with the file is among the problems of status and next boot.
    let trust = keys::gather(root, &config.keys.dir).trust;
    let Ok(Some(file)) = policy::read(root, path, &trust) else { return (facts, containers) };
    let rules = file.outline.map_or_else(|_| Vec::new(), |outline| outline.rules);
    facts.refuses_files = rules.iter().any(|(_, rule)| refuses_files(rule.as_bytes()));
    let kernel = if root.is_running() { profile::running(root).0.profile } else { KernelProfile::default() };
    if let Ok(found) = in_force::of_file(path, &file.bytes, &Boot::default(), &kernel) {
        containers.denied = Judge::new(&kernel, &found.rules).denies_programs_on(OVERLAY.0, OVERLAY.1);
    }
    (facts, containers)
}

fn dracut(root: &Root) -> Dracut {
    let policy = next_boot::dracut_policy(root);
    let mut settings = vec!["/etc/dracut.conf".to_owned()];
    for folder in DRACUT {
        let names = root.list(folder).unwrap_or_default();
        let names = names.iter().filter(|name| name.extension().is_some_and(|extension| extension == "conf"));
        settings.extend(names.map(|name| format!("{folder}/{}", name.display())));
    }
    let adds = |file: &String| {
        let text = root.read(file, LIMIT).unwrap_or_default();
        String::from_utf8_lossy(&text).lines().any(adds_integrity)
    };
    // A file may have two names: /lib is a link to /usr/lib.
    let mut seen = BTreeSet::new();
    let real = |file: &str| root.open_with(file.as_bytes(), rustix::fs::OFlags::PATH).and_then(|fd| root.real_path(fd));
    settings.retain(|file| real(file).is_ok_and(|real| seen.insert(real)) && adds(file));
    Dracut { policy: root.exists(&policy).then_some(policy), settings }
}

/// Whether a line of dracut's configuration, which is shell, puts the module `integrity` into images.
fn adds_integrity(line: &str) -> bool {
    let Some((name, value)) = line.split_once('=') else { return false };
    let name = name.trim().trim_end_matches('+');
    let adds = ["add_dracutmodules", "force_add_dracutmodules", "dracutmodules"].contains(&name);
    adds && value.split(|c: char| !(c.is_alphanumeric() || c == '-' || c == '_')).any(|word| word == "integrity")
}

fn units(root: &Root) -> Vec<Unit> {
    let state = |name: &str| services::unit_file_state(root.path(), name).map_err(|error| error.to_string());
    UNITS.iter().map(|name| Unit { name: (*name).to_owned(), state: state(name) }).collect()
}

fn folder(root: &Root, path: &str) -> Folder {
    let state = match root.may_write(path) {
        Ok(()) => FolderState::Writable,
        Err(error) if error.kind() == io::ErrorKind::NotFound => FolderState::Missing,
        Err(error) => FolderState::Refused { why: error.to_string() },
    };
    Folder { path: path.to_owned(), state }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dracuts_settings_are_read_for_its_module() {
        for line in [
            "add_dracutmodules+=\" integrity \"",
            "force_add_dracutmodules+='masterkey integrity'",
            "dracutmodules=\"base integrity\"",
        ] {
            assert!(adds_integrity(line), "{line}");
        }
        for line in [
            "omit_dracutmodules+=\" integrity \"",
            "# add_dracutmodules+=\" integrity \"",
            "add_dracutmodules+=\" integrity-of-mine \"",
            "integrity",
        ] {
            assert!(!adds_integrity(line), "{line}");
        }
    }
}
