//! "Would the next boot come through?": every kernel that can be booted, with its own command line and initramfs, under the
//! policy and the keys that will be there, with the boot-critical files as they are now, every content verified.
//!
//! What the kernel let through once it lets through again, whatever policy is loaded later: verdicts are kept with the
//! inode (`ima_main.c: process_measurement()`). So nothing that is tried in the running system proves the next boot.
#![forbid(unsafe_code)]

mod images;
pub(super) mod owners;
mod record;

use std::collections::BTreeMap;

pub use images::image;
pub use record::{FILE, forget, read};

use super::guard::{self, Case, Checked, Depth};
use super::keys::Keys;
use super::status::BOOT_REPORT;
use super::{boot_files, configuration, in_force, keys, manifest, policy, profile};
use crate::model::algo::HashAlgo;
use crate::model::boot_entry::menu::{Entries, Files, entries};
use crate::model::boot_entry::version_of_name;
use crate::model::boot_switches::Switches;
use crate::model::cert::hex;
use crate::model::command_line::parameters;
use crate::model::config::Config;
use crate::model::guard::initramfs_magic;
use crate::model::initramfs::{Contents, IMAD_BOOT};
use crate::model::manifest::Manifest;
use crate::model::next_boot::{
    BootKernel, KernelFacts, LISTED, Loads, NextBoot, Outcome, PolicyFacts, findings, summarize,
};
use crate::model::plan::Content as _;
use crate::model::policy::builtin::Boot;
use crate::model::policy::effective::Effective;
use crate::model::policy::kernel::{Kernel, KernelFacts as ProfileFacts};
use crate::model::policy::profile::{KernelConfig, KernelProfile};
use crate::model::report::{Problem, VERSION};
use crate::sys::file::OpenFile;
use crate::sys::root::Root;
use crate::sys::{boot_entries, clock, kernel};
use images::Images;

/// dracut's settings, and the policy that its module `integrity` loads where they name none.
const DRACUT_SETTINGS: &str = "/etc/sysconfig/ima";
const DRACUT_POLICY: &str = "/etc/sysconfig/ima-policy";
/// What systemd loads.
const SYSTEMD_POLICY: &str = "/etc/ima/ima-policy";
/// No settings are longer.
const LIMIT: u64 = 1 << 20;

/// The answer, and the boot-critical files that it is about.
#[derive(Debug)]
pub struct Answer {
    /// The answer.
    pub report: NextBoot,
    /// The files; not looked for where nobody loads a policy.
    pub manifest: Option<Manifest>,
}

/// Keeps an answer: the record for the status, and the manifest for the guard. What could not be written is returned.
pub fn keep(root: &Root, answer: &Answer) -> Vec<Problem> {
    let manifest = answer.manifest.as_ref().and_then(|manifest| manifest::write(root, manifest).err());
    manifest.into_iter().chain(record::write(root, &answer.report).err()).collect()
}

/// Whether an answer is about the images of an initramfs that are there now, as far as they may be looked at.
pub fn is_of_these_images(root: &Root, report: &NextBoot) -> bool {
    images::are_same(root, &report.images)
}

/// Finds out. `only`: the kernel with this release alone.
pub fn check(root: &Root, only: Option<&str>) -> Answer {
    let (config, problems) = configuration::load(root);
    check_with(root, only, &config, problems)
}

/// Finds out as if this file of the root were the policy of the next boot.
pub fn check_policy(root: &Root, path: &str) -> Answer {
    let (mut config, problems) = configuration::load(root);
    path.clone_into(&mut config.policy.path);
    check_with(root, None, &config, problems)
}

/// What can be booted, each with what its initramfs holds, as far as that is known; no policy is looked at.
pub fn bootable(root: &Root) -> Vec<(BootKernel, Option<Contents>)> {
    let (files, _) = boot_entries::find(root);
    let mut images = Images::new(root, files.partitions.clone(), read(root).ok().flatten());
    booted(&files, &own_line(root), &mut images, None)
}

/// The kernels of the boot entries; `only`: those with this release.
fn booted(
    files: &Files,
    own_line: &str,
    images: &mut Images<'_>,
    only: Option<&str>,
) -> Vec<(BootKernel, Option<Contents>)> {
    let Entries { entries, default } = entries(files, own_line);
    let mut kernels = Vec::new();
    for (place, entry) in entries.iter().enumerate() {
        let Some(image) = images.of(entry) else { continue };
        let mut release = image.release.unwrap_or_default();
        if release.is_empty() {
            release =
                entry.version.clone().or_else(|| version_of_name(&entry.kernel).map(str::to_owned)).unwrap_or_default();
        }
        let named = [Some(&release), entry.version.as_ref()].into_iter().flatten();
        if only.is_some_and(|only| !named.into_iter().any(|name| name == only)) {
            continue;
        }
        let booted = BootKernel {
            title: image.title.or_else(|| entry.title.clone()),
            entry: entry.file.clone(),
            is_default: default.map(|default| default == place),
            kernel: image.kernel,
            initrds: image.initrds,
            command_line: image.command_line.unwrap_or_else(|| entry.options.clone()),
            problems: image.problem.into_iter().collect(),
            release,
            ..BootKernel::default()
        };
        kernels.push((booted, image.contents));
    }
    kernels
}

fn own_line(root: &Root) -> String {
    if root.is_running() { kernel::command_line_text().unwrap_or_default() } else { String::new() }
}

fn check_with(root: &Root, only: Option<&str>, config: &Config, mut problems: Vec<Problem>) -> Answer {
    let began = clock::since_boot_us();
    let found = keys::gather(root, &config.keys.dir);
    problems.extend(found.problems.iter().cloned());
    let (files, unread) = boot_entries::find(root);
    problems.extend(unread);
    let own_line = own_line(root);
    let secure_boot = root.is_running() && kernel::secure_boot().ok().flatten().unwrap_or(false);
    let armed = Armed::gather(root, config, &found);
    problems.extend(armed.unread.iter().cloned());
    let mut judged = Judged { root, config, keys: &found, armed: &armed, files: None, cases: Vec::new() };
    let mut images = Images::new(root, files.partitions.clone(), read(root).ok().flatten());
    let mut kernels = Vec::new();
    for (mut booted, contents) in booted(&files, &own_line, &mut images, only) {
        judged.kernel(&mut booted, contents.as_ref(), secure_boot);
        kernels.push(booted);
    }
    // Whoever hands kernels to a machine from outside (a network, a hypervisor) leaves no boot entry on it.
    if kernels.is_empty() && only.is_none() && root.is_running() {
        let mut booted = BootKernel {
            release: kernel::release(),
            title: Some("the kernel that runs".to_owned()),
            entry: "/proc/cmdline".to_owned(),
            command_line: own_line,
            ..BootKernel::default()
        };
        // What its initramfs holds is known by what it did.
        let ran = root.exists(BOOT_REPORT);
        let contents = Contents { imad_boot: ran, imad_boot_starts: ran, ..Contents::default() };
        judged.kernel(&mut booted, Some(&contents), secure_boot);
        kernels.push(booted);
    }
    let Judged { files: needed, cases, .. } = judged;
    let manifest = needed.map(|needed| {
        problems.extend(needed.problems);
        needed.manifest
    });
    let files = cases.iter().map(|case| case.checked.files).max().unwrap_or(0);
    owners::name(root, config, &found.trust, kernels.iter_mut().flat_map(|kernel| &mut kernel.refused));
    let mut report = NextBoot {
        version: VERSION,
        checked_time_us: clock::wall_us(),
        duration_us: clock::since_boot_us() - began,
        policy: config.policy.path.clone(),
        policy_sha256: armed.sha256,
        files,
        kernels,
        problems,
        images: images.seen(),
        ..NextBoot::default()
    };
    summarize(&mut report, armed.facts.exists || armed.facts.for_systemd);
    Answer { report, manifest }
}

/// The policy of the next boot, and what the boot loads it with.
#[derive(Debug, Default)]
struct Armed {
    facts: PolicyFacts,
    sha256: Option<String>,
    /// The file that is loaded, and its content.
    file: Option<(String, Vec<u8>)>,
    /// SHA-256 of the installed imad-boot.
    imad_boot: Option<String>,
    /// What could not be read.
    unread: Vec<Problem>,
}

impl Armed {
    fn gather(root: &Root, config: &Config, found: &Keys) -> Self {
        let mut armed = Self::default();
        let path = &config.policy.path;
        armed.facts.has_keys = !found.trust.is_empty();
        armed.facts.for_systemd = root.exists(SYSTEMD_POLICY);
        armed.facts.for_dracut = root.exists(&dracut_policy(root));
        match policy::read(root, path, &found.trust) {
            Ok(Some(file)) => {
                armed.facts.exists = true;
                armed.facts.problem = file.fault(path, config.policy.require_signature);
                armed.sha256 = Some(file.sha256);
                armed.file = Some((path.clone(), file.bytes));
            }
            Ok(None) => {}
            Err(why) => {
                armed.facts.exists = true;
                armed.facts.problem =
                    Some(Problem::new(format!("{path} cannot be read: {why}"), format!("ls -lZ {path}")));
            }
        }
        if armed.file.is_none() && armed.facts.for_systemd && path != SYSTEMD_POLICY {
            let read = policy::read(root, SYSTEMD_POLICY, &found.trust).ok().flatten();
            armed.file = read.map(|file| (SYSTEMD_POLICY.to_owned(), file.bytes));
        }
        if root.exists(IMAD_BOOT) {
            let digest = OpenFile::open_following(root, IMAD_BOOT.as_bytes()).map_err(|error| error.to_string());
            match digest.and_then(|mut file| file.digest(HashAlgo::Sha256)) {
                Ok(digest) => armed.imad_boot = Some(hex(&digest)),
                Err(why) => armed.unread.push(Problem::new(format!("{IMAD_BOOT}: {why}"), "run it as root")),
            }
        }
        armed
    }
}

/// The policy that dracut's module `integrity` loads (98integrity/ima-policy-load.sh).
pub(super) fn dracut_policy(root: &Root) -> String {
    let settings = root.read(DRACUT_SETTINGS, LIMIT).unwrap_or_default();
    let settings = String::from_utf8_lossy(&settings);
    let value = settings.lines().find_map(|line| line.trim().strip_prefix("IMAPOLICY="));
    let value = value.map(|value| value.trim_matches(['"', '\'']).to_owned()).filter(|value| !value.is_empty());
    value.unwrap_or_else(|| DRACUT_POLICY.to_owned())
}

/// What was judged once: kernels alike are not judged twice.
#[derive(Debug)]
struct Judged<'a> {
    root: &'a Root,
    config: &'a Config,
    keys: &'a Keys,
    armed: &'a Armed,
    /// The boot's files, once a kernel asks for them.
    files: Option<Needed>,
    cases: Vec<JudgedCase>,
}

/// The files that the boot needs.
#[derive(Debug)]
struct Needed {
    /// With the labels that verified just now.
    manifest: Manifest,
    /// What each is needed for.
    why: BTreeMap<Vec<u8>, String>,
    problems: Vec<Problem>,
}

impl Needed {
    fn gather(root: &Root, keys: &Keys) -> Self {
        let found = boot_files::gather(root);
        let (manifest, more) = manifest::make(root, &keys.trust, &found);
        let why = found.files.into_iter().map(|file| (file.path, file.why)).collect();
        Self { manifest, why, problems: found.problems.into_iter().chain(more).collect() }
    }
}

#[derive(Debug)]
struct JudgedCase {
    profile: KernelProfile,
    boot: Boot,
    initramfs: u64,
    checked: Checked,
    problem: Option<Problem>,
}

impl Judged<'_> {
    /// Fills in what a kernel's boot comes to.
    fn kernel(&mut self, booted: &mut BootKernel, contents: Option<&Contents>, secure_boot: bool) {
        let configured = self.profile(&booted.release, &mut booted.notes);
        let words = parameters(&booted.command_line);
        let boot = Boot { secure_boot, ..Boot::from_command_line(&booted.command_line) };
        let found = findings(
            self.config,
            &self.armed.facts,
            &KernelFacts {
                release: &booted.release,
                has_ima: configured.has_ima,
                profile: &configured.profile,
                switches: &Switches::new(&self.config.boot, &words),
                boot: &boot,
                contents,
                installed: self.armed.imad_boot.as_deref(),
            },
        );
        booted.notes.extend(found.notes.iter().cloned());
        let armed = &self.armed.facts;
        if !armed.exists && !armed.for_systemd {
            // What cannot be looked into is in the way of no policy.
            booted.notes.append(&mut booted.problems);
        }
        if !booted.problems.is_empty() {
            // What could not be looked into says all that is to be said of it.
            booted.outcome = Outcome::Unknown;
            return;
        }
        let mut refused = false;
        // What a policy would deny that nobody loads is no concern of the boot's.
        if found.loads != Loads::Nobody {
            let initramfs = initramfs_magic(words.iter().any(|word| word.starts_with("root=")));
            let case = self.case(configured.profile, boot, initramfs);
            booted.problems.extend(case.problem.clone());
            booted.refused_count = case.checked.refused.len() as u64;
            booted.refused = case.checked.refused.iter().take(LISTED).map(owners::unowned).collect();
            refused = case.problem.is_some() || case.checked.stops();
            let needed = self.files.iter().map(|needed| &needed.why);
            for file in &mut booted.refused {
                file.needed_for = needed.clone().find_map(|why| why.get(file.path.as_bytes())).cloned();
            }
        }
        booted.outcome = found.outcome(refused);
        booted.problems.extend(found.problems);
        booted.ready = booted.problems.is_empty() && !refused;
    }

    fn case(&mut self, profile: KernelProfile, boot: Boot, initramfs: u64) -> &JudgedCase {
        let alike = |case: &JudgedCase| (&case.profile, &case.boot, case.initramfs) == (&profile, &boot, initramfs);
        let place = self.cases.iter().position(alike).unwrap_or_else(|| {
            let (checked, problem) = match self.rules(&boot, &profile) {
                Err(problem) => (Checked::default(), Some(problem)),
                Ok(rules) => {
                    let needed = self.files.get_or_insert_with(|| Needed::gather(self.root, self.keys));
                    let case = Case {
                        root: self.root,
                        manifest: Some(&needed.manifest),
                        trust: &self.keys.trust,
                        kernel: &profile,
                        rules: &rules,
                        initramfs,
                        // Labels that the manifest has were verified just now, with every content; the rest is read here.
                        depth: Depth::Labels,
                    };
                    (guard::check(&case), None)
                }
            };
            self.cases.push(JudgedCase { profile, boot, initramfs, checked, problem });
            self.cases.len() - 1
        });
        &self.cases[place]
    }

    /// The rules as they will be in force with a kernel, or why it will not take them.
    fn rules(&self, boot: &Boot, profile: &KernelProfile) -> Result<Effective, Problem> {
        let Some((path, bytes)) = &self.armed.file else { return Ok(Effective::at_boot(boot, profile)) };
        guard::lets_policy_be_read(self.root, path, &self.keys.trust, profile, boot)?;
        in_force::of_file(path, bytes, boot, profile).map(|found| found.rules)
    }

    /// What a kernel makes of policies, by the configuration that is installed with it.
    fn profile(&self, release: &str, notes: &mut Vec<Problem>) -> Configured {
        let text = profile::configuration(self.root, release).unwrap_or_else(|error| {
            let what = format!("the configuration of kernel {release} cannot be read: {error}");
            notes.push(Problem::new(what, format!("ls -l /boot/config-{release}")));
            None
        });
        let config = text.map(|(source, text)| (source, KernelConfig::parse(&text)));
        let config = config.filter(|(_, config)| !config.is_empty());
        if config.is_none() {
            let what = format!(
                "the configuration of kernel {release} was not found; its options are taken to be Fedora's and RHEL's"
            );
            notes.push(Problem::new(what, format!("ls /boot/config-{release} /lib/modules/{release}/config")));
        }
        let has_ima = config.as_ref().is_none_or(|(_, config)| config.has("IMA"));
        let facts = ProfileFacts { release: Some(release.to_owned()), config, running: None };
        Configured { has_ima, profile: Kernel::from_facts(&facts).profile }
    }
}

struct Configured {
    has_ima: bool,
    profile: KernelProfile,
}
