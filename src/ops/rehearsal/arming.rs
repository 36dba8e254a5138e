//! Asking the next boot for a rehearsal, and taking that back.
#![forbid(unsafe_code)]

use rustix::fs::Mode;

use super::{armed, taken};
use crate::model::algo::HashAlgo;
use crate::model::boot_switches::Switches;
use crate::model::cert::hex;
use crate::model::command_line::parameters;
use crate::model::config::{Config, Guard};
use crate::model::initramfs::{Contents, IMAD_BOOT};
use crate::model::label::{XATTR_EVM, XATTR_IMA};
use crate::model::plan::Content as _;
use crate::model::policy::builtin::Boot;
use crate::model::policy::measuring::Measuring;
use crate::model::policy::profile::{KernelProfile, Lsm};
use crate::model::rehearsal::{ARMED, POLICY, Plan, RehearsalWay, Request, TAKEN, way};
use crate::model::report::{BootReport, Problem, VERSION};
use crate::ops::status::BOOT_REPORT;
use crate::ops::{configuration, in_force, keys, next_boot, policy as policy_file, policy_files, profile};
use crate::sys::attempts::FOLDER;
use crate::sys::file::OpenFile;
use crate::sys::kept::{self, NewFile};
use crate::sys::root::Root;
use crate::sys::{clock, kernel, state_dir};

/// What is asked for.
#[derive(Debug)]
pub struct Ask<'a> {
    /// The root.
    pub root: &'a Root,
    /// A policy's name, or its file in the root.
    pub policy: &'a str,
    /// Change nothing, say what would be done.
    pub dry_run: bool,
    /// Who asks.
    pub who: &'a str,
}

/// Asks the next boot for a rehearsal of a policy.
pub fn arm(ask: &Ask<'_>) -> Result<Plan, Problem> {
    let root = ask.root;
    let (config, faults) = configuration::load(root);
    let path = policy_files::path_of(root, ask.policy)?;
    let trust = keys::gather(root, &config.keys.dir).trust;
    let file = policy_file::read(root, &path, &trust)
        .map_err(|why| Problem::new(format!("{path} cannot be read: {why}"), "run it as root"))?
        .ok_or_else(|| Problem::new(format!("{path} is not there"), "imactl policy list"))?;
    let next = Next::gather(root, &config);
    if next.guard == Guard::Closed {
        return Err(Problem::new(
            "a closed guard stops every boot without the policy, and a rehearsal is one",
            "set boot.guard to \"open\" for it (man imad.toml)",
        ));
    }
    let (measuring, notes) = readable(&path, &file.bytes, &next)?;
    let (way, why_nothing) = way(&next.boot, &next.profile);
    let mut problems = [faults, next.problems].concat();
    problems.extend(why_nothing.map(|why| {
        let what = format!("{why}: nothing is loaded, and the report is by what units and programs name alone");
        Problem::new(what, "sign and arm the policy: imactl setup --policy, whose first boots are on trial")
    }));
    // A rehearsal needs no signature; the policy will.
    problems.extend(file.fault(&path, config.policy.require_signature));
    problems.extend(notes);
    let request = Request {
        version: VERSION,
        policy: path.clone(),
        policy_sha256: file.sha256.clone(),
        asked_time_us: clock::wall_us(),
        who: ask.who.to_owned(),
    };
    if !ask.dry_run {
        write(root, &path, &file.bytes, &request).map_err(|error| {
            Problem::new(format!("the rehearsal cannot be armed: {error}"), format!("run it as root; df -h {FOLDER}"))
        })?;
    }
    Ok(Plan {
        version: VERSION,
        dry_run: ask.dry_run,
        armed: !ask.dry_run,
        rules: measuring.rules.len() as u64,
        way,
        next_reboot: in_plain_words(&path, &config, way, ask.dry_run),
        request,
        problems,
    })
}

/// What the policy would have the kernel measure, and what of it is not; or why no kernel could load the policy from the
/// initramfs.
fn readable(path: &str, bytes: &[u8], next: &Next) -> Result<(Measuring, Vec<Problem>), Problem> {
    let rules = in_force::parsed(path, bytes, &next.profile)?;
    let measuring = Measuring::of(&rules);
    if !measuring.measures() {
        return Err(Problem::new(
            format!("{path} appraises no file: it has nothing to rehearse"),
            "imactl policy list",
        ));
    }
    let notes = measuring.left_out.iter().map(|left_out| {
        let what = format!("{path}:{}: this rule is not rehearsed: {}", left_out.line, left_out.why);
        Problem::new(what, "none is needed: every other rule is")
    });
    let notes = notes.collect();
    Ok((measuring, notes))
}

/// The boot that is next, as far as it is known.
struct Next {
    boot: Boot,
    profile: KernelProfile,
    guard: Guard,
    problems: Vec<Problem>,
}

impl Next {
    fn gather(root: &Root, config: &Config) -> Self {
        let (kernel, mut problems) = if root.is_running() {
            let (kernel, problems) = profile::running(root);
            (kernel.profile, problems)
        } else {
            let (kernels, problems) = profile::of_root(root);
            (kernels.into_iter().next().map(|kernel| kernel.profile).unwrap_or_default(), problems)
        };
        // In the initramfs no policy is loaded yet, neither IMA's nor a security module's.
        let profile = KernelProfile { lsm: Lsm::KnowsNothing, custom_active: false, ..kernel };
        let bootable = next_boot::bootable(root);
        let by_default = bootable.iter().find(|(kernel, _)| kernel.is_default == Some(true)).or(bootable.first());
        let line = match by_default {
            Some((kernel, contents)) => {
                problems.extend(image(root, &kernel.release, contents.as_ref()));
                kernel.command_line.clone()
            }
            None if root.is_running() => {
                if !root.exists(BOOT_REPORT) {
                    problems.push(without_imad_boot("this boot"));
                }
                kernel::command_line_text().unwrap_or_default()
            }
            None => String::new(),
        };
        let secure_boot = root.is_running() && kernel::secure_boot().ok().flatten().unwrap_or(false);
        let boot = Boot { secure_boot, ..Boot::from_command_line(&line) };
        let guard = Switches::new(&config.boot, &parameters(&line)).guard;
        Self { boot, profile, guard, problems }
    }
}

fn without_imad_boot(place: &str) -> Problem {
    Problem::new(
        format!("imad-boot does not run in the initramfs of {place}, so that boot would be no rehearsal"),
        "dracut --force --regenerate-all (with the package that has dracut's module \"imad\")",
    )
}

/// Whether the image of the kernel that boots next has an imad-boot that knows of rehearsals.
fn image(root: &Root, release: &str, contents: Option<&Contents>) -> Option<Problem> {
    let Some(contents) = contents.filter(|contents| contents.imad_boot && contents.imad_boot_starts) else {
        return Some(without_imad_boot(release));
    };
    let installed = OpenFile::open_following(root, IMAD_BOOT.as_bytes()).ok();
    let installed = installed.and_then(|mut file| file.digest(HashAlgo::Sha256).ok()).map(|digest| hex(&digest));
    (installed.is_some() && contents.imad_boot_sha256 != installed).then(|| {
        Problem::new(
            format!(
                "the initramfs of {release} holds another imad-boot than {IMAD_BOOT}; an older one rehearses nothing"
            ),
            format!("dracut --force --kver {release}"),
        )
    })
}

/// The policy first: a request is never without it.
fn write(root: &Root, path: &str, bytes: &[u8], request: &Request) -> std::io::Result<()> {
    state_dir::make_folders(root, FOLDER, Mode::RWXU)?;
    let file = OpenFile::open_following(root, path.as_bytes()).map_err(std::io::Error::other)?;
    let mut xattrs = Vec::new();
    for (name, value) in [(XATTR_IMA, file.label()?), (XATTR_EVM, file.evm()?)] {
        xattrs.extend(value.map(|value| (name, value)));
    }
    let plain = |bytes, xattrs| NewFile { bytes, owner: None, mode: 0o600, xattrs };
    kept::put(root, POLICY, &plain(bytes, &xattrs))?;
    let mut json = serde_json::to_vec_pretty(request)?;
    json.push(b'\n');
    kept::put(root, ARMED, &plain(&json, &[]))?;
    kept::remove(root, TAKEN).map(|_| ())
}

/// Takes it back; what was taken back, if there was anything. What a boot took that came to no report is forgotten too,
/// unless that is this boot.
pub fn cancel(root: &Root, boot: Option<&BootReport>) -> Result<Option<Request>, Problem> {
    let is_now = boot.is_some_and(|boot| boot.rehearsal.is_some());
    // What is damaged is to go all the same.
    let mut was = armed(root).ok().flatten();
    let files = if is_now {
        &[ARMED][..]
    } else {
        was = was.or(taken(root).ok().flatten());
        &[ARMED, TAKEN, POLICY]
    };
    for path in files {
        kept::remove(root, path).map_err(|error| Problem::new(format!("{path}: {error}"), "run it as root"))?;
    }
    Ok(was)
}

/// What the next reboot will do.
fn in_plain_words(path: &str, config: &Config, way: RehearsalWay, dry_run: bool) -> String {
    let will = if dry_run { "would be" } else { "is" };
    let armed = &config.policy.path;
    let how = match way {
        RehearsalWay::Log => {
            "the policy is loaded, and since the kernel is started with ima_appraise=log it records what it would deny \
             and lets it through, but for mprotect(2), which it denies in that mode too. Take ima_appraise=log off the \
             command line afterwards"
        }
        RehearsalWay::Measure => {
            "the kernel measures what the policy would ask for its label, and denies nothing. To see the kernel's own \
             verdicts instead, add ima_appraise=log to that boot's entry (key e in the boot loader's menu, for one boot; \
             or grubby --update-kernel=DEFAULT --args=ima_appraise=log, and --remove-args afterwards)"
        }
        RehearsalWay::Nothing => "nothing is loaded for it, and nothing is denied",
    };
    format!(
        "The next boot {will} a rehearsal of {path}: {how}. {armed} is not loaded in that boot, which is not on trial; the \
         boot after it is as this one was. When it has come up: imactl rehearse"
    )
}
