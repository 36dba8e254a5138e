//! `imad.toml`: its keys, their defaults, the merge of drop-ins, and faults with line and nearest key.
#![forbid(unsafe_code)]

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

/// Who loads the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BootLoader {
    /// imad-boot, in the initramfs; PID 1 is kept from loading it again.
    #[default]
    Imad,
    /// systemd's PID 1; imad-boot only loads the certificates.
    Systemd,
}

/// What the guard's "no" means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Guard {
    /// The policy is not loaded, and the boot goes on without it.
    #[default]
    Open,
    /// The boot stops in an emergency shell; a missing policy is a "no" too.
    Closed,
    /// It is not asked.
    Off,
}

/// The configuration in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Config {
    /// `[boot]`
    pub boot: Boot,
    /// `[trial]`
    pub trial: Trial,
    /// `[policy]`
    pub policy: Policy,
    /// `[keys]`
    pub keys: Keys,
    /// `[labels]`
    pub labels: Labels,
}

/// `[boot]`: what imad-boot does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Boot {
    /// Who loads the policy.
    pub loader: BootLoader,
    /// What becomes of a boot whose policy the guard does not let through.
    pub guard: Guard,
    /// Heed `imad.policy=off` and `imad.guard=…` on the kernel command line.
    pub command_line: bool,
}

/// `[trial]`: policies that have not yet carried this machine to a login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trial {
    /// Boots that may fail before the policy is not loaded again; at least 1.
    pub attempts: u32,
}

/// `[policy]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Policy {
    /// The file that is loaded at boot.
    pub path: String,
    /// Load no policy without a signature by a key of the keyring.
    pub require_signature: bool,
}

/// `[keys]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Keys {
    /// The folder with the certificates.
    pub dir: String,
    /// Make do with `_ima` on a kernel without a trusted keyring.
    pub allow_untrusted_keyring: bool,
}

/// `[labels]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Labels {
    /// Label configuration files without an execute bit too.
    pub config_files: bool,
    /// Files and folders (with all below them) that are not labelled.
    pub exclude: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            boot: Boot { loader: BootLoader::Imad, guard: Guard::Open, command_line: true },
            trial: Trial { attempts: 2 },
            policy: Policy { path: "/etc/ima/ima-policy".to_owned(), require_signature: true },
            keys: Keys { dir: "/etc/keys/ima".to_owned(), allow_untrusted_keyring: false },
            labels: Labels::default(),
        }
    }
}

/// One file's content: every key may be missing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fragment {
    boot: Option<BootFragment>,
    trial: Option<TrialFragment>,
    policy: Option<PolicyFragment>,
    keys: Option<KeysFragment>,
    labels: Option<LabelsFragment>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct BootFragment {
    loader: Option<BootLoader>,
    guard: Option<Guard>,
    command_line: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TrialFragment {
    attempts: Option<NonZeroU32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyFragment {
    path: Option<AbsolutePath>,
    require_signature: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeysFragment {
    dir: Option<AbsolutePath>,
    allow_untrusted_keyring: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LabelsFragment {
    config_files: Option<bool>,
    exclude: Option<Vec<AbsolutePath>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct AbsolutePath(String);

impl TryFrom<String> for AbsolutePath {
    type Error = String;

    fn try_from(path: String) -> Result<Self, String> {
        if path.starts_with('/') { Ok(Self(path)) } else { Err(format!("\"{path}\" is not an absolute path")) }
    }
}

/// A fault in a configuration file. Displays as `FILE:LINE:COLUMN: what`, the line and a caret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {message}{hint}\n{excerpt}")]
pub struct Fault {
    file: String,
    line: usize,
    column: usize,
    message: String,
    hint: String,
    excerpt: String,
}

/// Reads one file's content; `file` is its name for faults.
pub fn parse(file: &str, text: &str) -> Result<Fragment, Fault> {
    toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start).min(text.len());
        let before = text.get(..at).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |tail| tail.chars().count()) + 1;
        let source = text.lines().nth(line - 1).unwrap_or("");
        let message = error.message().lines().next().unwrap_or("not valid TOML").to_owned();
        Fault {
            file: file.to_owned(),
            line,
            column,
            hint: nearest_key(&message).map_or_else(String::new, |key| format!("; did you mean `{key}`?")),
            excerpt: format!("  {source}\n  {}^", " ".repeat(column - 1)),
            message,
        }
    })
}

/// The key most like the unknown one, out of serde's ``unknown field `x`, expected `a` or `b` ``.
fn nearest_key(message: &str) -> Option<&str> {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let unknown = quoted.next().filter(|_| message.starts_with("unknown"))?;
    quoted
        .map(|key| (strsim::damerau_levenshtein(unknown, key), key))
        .filter(|(d, _)| *d <= 3)
        .min()
        .map(|(_, key)| key)
}

impl Config {
    /// Lays a file's keys over what was read before.
    pub fn apply(&mut self, fragment: Fragment) {
        fn set<T>(target: &mut T, value: Option<impl Into<T>>) {
            if let Some(value) = value {
                *target = value.into();
            }
        }
        let Fragment { boot, trial, policy, keys, labels } = fragment;
        let (boot, policy) = (boot.unwrap_or_default(), policy.unwrap_or_default());
        let (keys, labels) = (keys.unwrap_or_default(), labels.unwrap_or_default());
        set(&mut self.boot.loader, boot.loader);
        set(&mut self.boot.guard, boot.guard);
        set(&mut self.boot.command_line, boot.command_line);
        set(&mut self.trial.attempts, trial.unwrap_or_default().attempts);
        set(&mut self.policy.path, policy.path.map(|path| path.0));
        set(&mut self.policy.require_signature, policy.require_signature);
        set(&mut self.keys.dir, keys.dir.map(|path| path.0));
        set(&mut self.keys.allow_untrusted_keyring, keys.allow_untrusted_keyring);
        set(&mut self.labels.config_files, labels.config_files);
        set(
            &mut self.labels.exclude,
            labels.exclude.map(|paths| paths.into_iter().map(|path| path.0).collect::<Vec<_>>()),
        );
    }
}

impl Config {
    /// Whether policies are loaded on kernels that have no trusted keyring: by imad-boot alone, since what is verified first
    /// must be imad-boot's (`digsig.c: integrity_keyring_from_id()`).
    pub fn uses_untrusted_keyring(&self) -> bool {
        self.keys.allow_untrusted_keyring && self.boot.loader == BootLoader::Imad
    }
}

impl Labels {
    /// Whether a path is one of `exclude` or lies below one.
    pub fn excludes(&self, path: &[u8]) -> bool {
        self.exclude.iter().any(|excluded| {
            let excluded = excluded.trim_end_matches('/').as_bytes();
            path.strip_prefix(excluded).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_files_win_key_by_key() {
        let mut config = Config::default();
        config.apply(parse("a", "[policy]\nrequire_signature = false\n[labels]\nexclude = ['/srv']\n").unwrap());
        config.apply(parse("b", "[boot]\nloader = 'systemd'\n").unwrap());
        assert!(!config.policy.require_signature);
        assert_eq!(config.boot.loader, BootLoader::Systemd);
        assert_eq!(config.policy.path, "/etc/ima/ima-policy");
        assert!(
            config.labels.excludes(b"/srv/x") && config.labels.excludes(b"/srv") && !config.labels.excludes(b"/srvx")
        );
    }

    #[test]
    fn an_untrusted_keyring_is_for_imad_boot_alone() {
        let mut config = Config::default();
        assert!(!config.uses_untrusted_keyring());
        config.apply(parse("a", "[keys]\nallow_untrusted_keyring = true\n").unwrap());
        assert!(config.uses_untrusted_keyring());
        config.apply(parse("b", "[boot]\nloader = 'systemd'\n").unwrap());
        assert!(!config.uses_untrusted_keyring());
    }

    #[test]
    fn an_unknown_key_is_named_with_its_place_and_the_nearest_one() {
        let fault = parse("/etc/imad/imad.toml", "[policy]\n  require_signatur = true\n").unwrap_err().to_string();
        assert!(fault.starts_with("/etc/imad/imad.toml:2:3: unknown field `require_signatur`"), "{fault}");
        assert!(fault.contains("did you mean `require_signature`?"), "{fault}");
        assert!(fault.ends_with("  ^"), "{fault}");
    }

    #[test]
    fn wrong_values_are_named() {
        let fault = parse("f", "[keys]\ndir = 'etc'\n").unwrap_err().to_string();
        assert!(fault.contains("\"etc\" is not an absolute path"), "{fault}");
        assert!(parse("f", "[boot]\nloader = 3\n").is_err());
        assert!(parse("f", "boot").is_err());
        assert!(parse("f", "[trial]\nattempts = 0\n").is_err());
        assert!(parse("f", "[boot]\nguard = 'ajar'\n").is_err());
    }
}
