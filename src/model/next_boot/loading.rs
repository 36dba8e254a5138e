//! Who would load the policy at a kernel's boot, with which keys, and what is in the way.
#![forbid(unsafe_code)]

use super::Outcome;
use crate::model::boot_switches::Switches;
use crate::model::config::{BootLoader, Config, Guard};
use crate::model::initramfs::{Contents, IMAD_BOOT};
use crate::model::policy::builtin::{Boot, Mode};
use crate::model::policy::profile::KernelProfile;
use crate::model::report::Problem;

/// What systemd loads (`src/core/ima-setup.c`).
const SYSTEMD_POLICY: &str = "/etc/ima/ima-policy";

/// The policy of the next boot.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct PolicyFacts {
    /// The configured file is there.
    pub exists: bool,
    /// `/etc/ima/ima-policy` is there: systemd loads it unless imad-boot hides it.
    pub for_systemd: bool,
    /// dracut's `/etc/sysconfig/ima-policy`, or what IMAPOLICY of `/etc/sysconfig/ima` names, is there.
    pub for_dracut: bool,
    /// A certificate will be in the keyring.
    pub has_keys: bool,
    /// What imad-boot has against the file, whatever the kernel.
    pub problem: Option<Problem>,
}

/// A kernel that can be booted.
#[derive(Debug, Clone, Copy)]
pub struct KernelFacts<'a> {
    /// `uname -r`.
    pub release: &'a str,
    /// It has IMA.
    pub has_ima: bool,
    /// What it makes of policies.
    pub profile: &'a KernelProfile,
    /// What its command line says to imad-boot.
    pub switches: &'a Switches,
    /// How its command line starts IMA.
    pub boot: &'a Boot,
    /// What its initramfs holds; `None` where it has none, or where that is not known, which is a problem of its own.
    pub contents: Option<&'a Contents>,
    /// SHA-256 of the installed imad-boot.
    pub installed: Option<&'a str>,
}

/// Who loads the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Loads {
    /// Nobody.
    #[default]
    Nobody,
    /// imad-boot, or systemd with its leave (`boot.loader = "systemd"`): the guard has been asked.
    ImadBoot,
    /// systemd, in the real root, without anybody having been asked; dracut has loaded the certificates.
    Systemd,
    /// systemd, without any key in the keyring.
    SystemdWithoutKeys,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Findings {
    /// Who loads the policy.
    pub loads: Loads,
    /// Denials deny.
    pub enforces: bool,
    /// The boot stops, whatever the files' labels.
    pub stops: bool,
    /// What the guard's "no" means.
    pub guard: Guard,
    /// What is in the way.
    pub problems: Vec<Problem>,
    /// What a person should know all the same.
    pub notes: Vec<Problem>,
}

impl Findings {
    /// What the boot comes to where the policy denies it something, or nothing.
    pub fn outcome(&self, refused: bool) -> Outcome {
        let is_loaded = self.loads != Loads::Nobody && self.enforces;
        let guarded = self.loads == Loads::ImadBoot;
        match (refused, self.guard) {
            _ if self.stops => Outcome::Fails,
            (true, Guard::Open) if guarded => Outcome::Unprotected,
            (true, _) if is_loaded => Outcome::Fails,
            _ if is_loaded && self.problems.is_empty() => Outcome::Protected,
            _ => Outcome::Unprotected,
        }
    }
}

/// Judges a kernel.
pub fn findings(config: &Config, policy: &PolicyFacts, kernel: &KernelFacts<'_>) -> Findings {
    let guard = kernel.switches.guard;
    let mut found = Findings { guard, ..Findings::default() };
    let release = kernel.release;
    let image = format!("dracut --force --kver {release}");
    let none = Contents::default();
    let contents = kernel.contents.unwrap_or(&none);
    if contents.policy {
        found.stops = true;
        found.problems.push(Problem::new(
            format!("the initramfs of {release} holds {SYSTEMD_POLICY}: systemd loads it there, before any key"),
            format!("take the file out of dracut's install_items, then {image}"),
        ));
    }
    if !policy.exists && !policy.for_systemd {
        if guard == Guard::Closed && contents.imad_boot_starts && !kernel.switches.policy_off {
            closed_without_policy(config, &mut found);
        }
        return found;
    }
    if !kernel.has_ima {
        let what = format!("kernel {release} has no IMA (CONFIG_IMA), so nothing is protected there");
        found.problems.push(Problem::new(what, "remove it, or boot another by default: grubby --info=ALL"));
        found.stops |= guard == Guard::Closed && contents.imad_boot_starts;
        return found;
    }
    let mode = kernel.boot.mode(kernel.profile).0;
    found.enforces = mode == Mode::Enforce;
    if !found.enforces {
        let what = match &kernel.boot.appraise {
            Some(mode) => format!("the command line has ima_appraise={mode}: denials are not enforced"),
            None => format!("kernel {release} was built without CONFIG_IMA_APPRAISE: nothing is appraised"),
        };
        found.notes.push(Problem::new(what, format!("boot {release} without it to be protected")));
    }
    if let Some(packed) = &contents.packed {
        found.problems.push(Problem::new(
            format!("what the initramfs of {release} holds is not known: it lies in {packed}"),
            format!(
                "make the image without dracut's squash modules: {image} --omit \"squash squash-squashfs squash-erofs\""
            ),
        ));
        return found;
    }
    if !contents.imad_boot || !contents.imad_boot_starts {
        without_imad_boot(policy, kernel, contents, &image, &mut found);
        return found;
    }
    if kernel.installed.is_some() && contents.imad_boot_sha256.as_deref() != kernel.installed {
        let what = format!("the initramfs of {release} holds another imad-boot than {IMAD_BOOT}");
        found.notes.push(Problem::new(what, image.clone()));
    }
    if contents.loads_policy && policy.for_dracut {
        found.notes.push(Problem::new(
            format!(
                "dracut's module \"integrity\" in the initramfs of {release} loads a policy that nothing has checked"
            ),
            format!("leave it out: {image} --omit integrity"),
        ));
    }
    for (word, why) in &kernel.switches.unheeded {
        let what = format!("{word} on the command line of {release} is not heeded: {why}");
        found.notes.push(Problem::new(what, "man imad.toml"));
    }
    if kernel.switches.policy_off {
        let what = format!("the command line of {release} has imad.policy=off: the policy is not loaded");
        found.notes.push(Problem::new(what, "take it off the boot entry to be protected"));
        return found;
    }
    if !kernel.profile.trusted_keyring && config.uses_untrusted_keyring() {
        let what = format!("kernel {release} verifies with the keyring _ima, into which root puts any key");
        found.notes.push(Problem::new(what, "boot a kernel with CONFIG_INTEGRITY_TRUSTED_KEYRING"));
    } else if !kernel.profile.trusted_keyring {
        found.stops |= guard == Guard::Closed;
        found.problems.push(Problem::new(
            format!("kernel {release} has no trusted keyring .ima, so imad-boot loads no policy"),
            "boot a kernel with CONFIG_INTEGRITY_TRUSTED_KEYRING",
        ));
        return found;
    }
    let no_keys = || {
        let what =
            format!("no certificate of {} will be in the keyring, so every program would be denied", config.keys.dir);
        Problem::new(what, format!("put the certificate of your packages' signer into {}", config.keys.dir))
    };
    let problem = policy.problem.clone().or_else(|| (!policy.has_keys).then(no_keys));
    match problem {
        None if config.boot.loader == BootLoader::Imad || policy.for_systemd => found.loads = Loads::ImadBoot,
        // systemd looks nowhere else.
        None => found.problems.push(Problem::new(
            format!("boot.loader is \"systemd\", which loads {SYSTEMD_POLICY}, and that is not there"),
            format!("put the policy there: cp --preserve=xattr {} {SYSTEMD_POLICY}", config.policy.path),
        )),
        Some(problem) => {
            found.stops |= guard == Guard::Closed;
            found.problems.push(problem);
        }
    }
    found
}

fn closed_without_policy(config: &Config, found: &mut Findings) {
    found.stops = true;
    found.problems.push(Problem::new(
        format!("{} is not there, and a closed guard stops a boot without a policy", config.policy.path),
        format!("put a signed policy there: cp --preserve=xattr POLICY {}", config.policy.path),
    ));
}

/// An image from which imad-boot does not load anything.
fn without_imad_boot(
    policy: &PolicyFacts,
    kernel: &KernelFacts<'_>,
    contents: &Contents,
    image: &str,
    found: &mut Findings,
) {
    let release = kernel.release;
    let what = match (kernel.contents, contents.imad_boot) {
        (None, _) => format!("{release} boots without an initramfs that is known"),
        (Some(_), true) => format!("nothing starts imad-boot in the initramfs of {release}"),
        (Some(_), false) => format!("the initramfs of {release} does not hold imad-boot"),
    };
    let consequence = if !policy.for_systemd {
        "nobody loads the policy"
    } else if contents.loads_keys && kernel.profile.trusted_keyring {
        found.loads = Loads::Systemd;
        "systemd loads it, and nothing is asked before"
    } else {
        found.loads = Loads::SystemdWithoutKeys;
        found.stops |= found.enforces;
        "systemd loads the policy without a key in the keyring, and every program is denied"
    };
    let next = format!("{image} (with the package that has dracut's module \"imad\": see imad-boot(8))");
    found.problems.push(Problem::new(format!("{what}, so {consequence}"), next));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Contents {
        let sha256 = Some("aa".to_owned());
        Contents {
            files: 900,
            imad_boot: true,
            imad_boot_sha256: sha256,
            imad_boot_starts: true,
            ..Contents::default()
        }
    }

    fn armed() -> PolicyFacts {
        PolicyFacts { exists: true, for_systemd: true, has_keys: true, ..PolicyFacts::default() }
    }

    fn ask(config: &Config, policy: &PolicyFacts, contents: Option<&Contents>, command_line: &str) -> Findings {
        ask_of(&KernelProfile::default(), config, policy, contents, command_line)
    }

    fn ask_of(
        profile: &KernelProfile,
        config: &Config,
        policy: &PolicyFacts,
        contents: Option<&Contents>,
        command_line: &str,
    ) -> Findings {
        let command_line_words = crate::model::command_line::parameters(command_line);
        let facts = KernelFacts {
            release: "6.12.1",
            has_ima: true,
            profile,
            switches: &Switches::new(&config.boot, &command_line_words),
            boot: &Boot::from_command_line(command_line),
            contents,
            installed: Some("aa"),
        };
        findings(config, policy, &facts)
    }

    #[test]
    fn an_image_with_imad_boot_loads_the_policy() {
        let found = ask(&Config::default(), &armed(), Some(&good()), "ro quiet");
        assert_eq!(found, Findings { loads: Loads::ImadBoot, enforces: true, ..Findings::default() });
        let older = Contents { imad_boot_sha256: Some("bb".to_owned()), ..good() };
        let found = ask(&Config::default(), &armed(), Some(&older), "ro quiet");
        assert!(found.problems.is_empty() && found.notes[0].what.contains("another imad-boot"), "{found:?}");
    }

    #[test]
    fn without_a_trusted_keyring_nothing_is_loaded_unless_that_is_asked_for() {
        let untrusted = KernelProfile { trusted_keyring: false, ..KernelProfile::default() };
        let mut config = Config::default();
        let found = ask_of(&untrusted, &config, &armed(), Some(&good()), "ro");
        assert!(found.loads == Loads::Nobody && found.problems[0].what.contains("no trusted keyring"), "{found:?}");
        config.keys.allow_untrusted_keyring = true;
        let found = ask_of(&untrusted, &config, &armed(), Some(&good()), "ro");
        assert!(found.loads == Loads::ImadBoot && found.problems.is_empty(), "{found:?}");
        assert!(found.notes[0].what.contains("root puts any key"), "{found:?}");
        config.boot.loader = BootLoader::Systemd;
        assert_eq!(ask_of(&untrusted, &config, &armed(), Some(&good()), "ro").loads, Loads::Nobody);
    }

    #[test]
    fn an_image_without_imad_boot_stops_the_boot_where_systemd_finds_the_policy() {
        for contents in [Some(Contents::default()), None, Some(Contents { imad_boot_starts: false, ..good() })] {
            let found = ask(&Config::default(), &armed(), contents.as_ref(), "ro");
            assert!(found.stops && found.loads == Loads::SystemdWithoutKeys, "{found:?}");
            assert_eq!(found.problems.len(), 1);
        }
        let elsewhere = PolicyFacts { for_systemd: false, ..armed() };
        let found = ask(&Config::default(), &elsewhere, Some(&Contents::default()), "ro");
        assert!(
            !found.stops && found.loads == Loads::Nobody && found.problems[0].what.ends_with("nobody loads the policy")
        );
        let dracut = Contents { loads_keys: true, ..Contents::default() };
        let found = ask(&Config::default(), &armed(), Some(&dracut), "ro");
        assert!(!found.stops && found.loads == Loads::Systemd, "{found:?}");
    }

    #[test]
    fn a_policy_in_the_image_stops_the_boot_even_where_none_is_armed() {
        let inside = Contents { policy: true, ..good() };
        let found = ask(&Config::default(), &PolicyFacts::default(), Some(&inside), "ro");
        assert!(found.stops && found.problems[0].what.contains("before any key"), "{found:?}");
    }

    #[test]
    fn what_the_command_line_switches_off_is_told_and_no_problem() {
        for line in ["ima_appraise=log", "imad.policy=off"] {
            let found = ask(&Config::default(), &armed(), Some(&good()), line);
            assert!(found.problems.is_empty() && found.notes[0].what.contains(line), "{found:?}");
        }
        let mut config = Config::default();
        config.boot.command_line = false;
        let unheeded = ask(&config, &armed(), Some(&good()), "imad.policy=off");
        assert!(unheeded.loads == Loads::ImadBoot && unheeded.notes[0].what.contains("not heeded"), "{unheeded:?}");
    }

    #[test]
    fn no_policy_is_no_problem_unless_the_guard_is_closed() {
        let mut config = Config::default();
        let none = PolicyFacts::default();
        assert_eq!(ask(&config, &none, Some(&Contents::default()), "ro"), Findings::default());
        config.boot.guard = Guard::Closed;
        assert!(ask(&config, &none, Some(&good()), "ro").stops);
    }

    #[test]
    fn without_keys_the_policy_stays_out_or_stops_systemd() {
        let keyless = PolicyFacts { has_keys: false, ..armed() };
        let mut config = Config::default();
        let found = ask(&config, &keyless, Some(&good()), "ro");
        assert!(!found.stops && found.problems[0].what.contains("no certificate"), "{found:?}");
        config.boot.guard = Guard::Closed;
        assert!(ask(&config, &keyless, Some(&good()), "ro").stops);
    }

    #[test]
    fn what_refused_files_come_to_is_the_guards_to_say() {
        let outcome = |line: &str, refused| ask(&Config::default(), &armed(), Some(&good()), line).outcome(refused);
        assert_eq!(outcome("ro", false), Outcome::Protected);
        assert_eq!(outcome("ro", true), Outcome::Unprotected);
        assert_eq!(outcome("ro imad.guard=closed", true), Outcome::Fails);
        assert_eq!(outcome("ro imad.guard=off", true), Outcome::Fails);
        assert_eq!(outcome("ro imad.policy=off", true), Outcome::Unprotected);
        assert_eq!(outcome("ro ima_appraise=log", false), Outcome::Unprotected);
        let dracut = Contents { loads_keys: true, ..Contents::default() };
        assert_eq!(ask(&Config::default(), &armed(), Some(&dracut), "ro").outcome(true), Outcome::Fails);
        let mut config = Config::default();
        config.boot.loader = BootLoader::Systemd;
        assert_eq!(ask(&config, &armed(), Some(&good()), "ro").outcome(false), Outcome::Protected);
        let elsewhere = PolicyFacts { for_systemd: false, ..armed() };
        assert_eq!(ask(&config, &elsewhere, Some(&good()), "ro").outcome(false), Outcome::Unprotected);
    }
}
