//! Which kernel a policy is judged for: the running one, an image's, or the one of a configuration file.
#![forbid(unsafe_code)]

use std::path::Path;

use crate::model::policy::kernel::{Kernel, KernelFacts, NewWords, RunningFacts};
use crate::model::policy::profile::KernelConfig;
use crate::model::report::Problem;
use crate::sys::root::Root;
use crate::sys::{kernel, kernel_config, securityfs};

/// A word that every kernel's IMA knows, and words and functions that only some have (`ima_policy.c: enum policy_opt`, and
/// see [`NewWords`]).
const WORDS: [&str; 6] = [
    "Opt_dont_measure",
    "Opt_fs_subtype",
    "Opt_dont_audit",
    "asymmetric_verify_v3",
    "ima_creds_check",
    "ima_measure_raw_policy",
];

/// What a person should know who relies on the answer for this kernel.
fn assumptions(kernel: &str, config: Option<&KernelConfig>) -> Option<Problem> {
    let what = match config {
        None => format!("the configuration of {kernel} was not found; its options are taken to be Fedora's and RHEL's"),
        Some(config) if !config.has("IMA") => {
            format!("{kernel} has no IMA and takes no policy; the answer is for Linux 6.12 with every option of IMA")
        }
        Some(_) => return None,
    };
    Some(Problem::new(what, "name the configuration of the kernel that you mean by --kernel-config"))
}

/// The configuration of a kernel by its release, and where it was found: the running one tells its own.
pub fn configuration(root: &Root, release: &str) -> std::io::Result<Option<(String, String)>> {
    if root.is_running() && release == kernel::release() {
        kernel_config::running(root, release)
    } else {
        kernel_config::of_release(root, release)
    }
}

/// The running kernel, and what kept it from being known better.
pub fn running(root: &Root) -> (Kernel, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut problem = |what: &str, error: &std::io::Error| {
        problems.push(Problem::new(format!("{what} cannot be read: {error}"), "run it as root"));
    };
    let release = kernel::release();
    let config = kernel_config::running(root, &release).unwrap_or_else(|error| {
        problem("the kernel's configuration", &error);
        None
    });
    let words = kernel_config::type_names(WORDS).unwrap_or_else(|error| {
        problem("the kernel's type information", &error);
        None
    });
    let policy_mode = securityfs::policy_mode().unwrap_or_else(|error| {
        problem("the mode of the policy's file", &error);
        // Neither gone nor of use: nothing is concluded from it.
        Some(0o200)
    });
    let rules = securityfs::active_rules().unwrap_or_else(|error| {
        problem("the active rules", &error);
        None
    });
    let secure_boot = kernel::secure_boot().unwrap_or_else(|error| {
        problem("the Secure Boot variable", &error);
        None
    });
    let command_line = kernel::command_line().unwrap_or_else(|error| {
        problem("the kernel's command line", &error);
        Vec::new()
    });
    let config = config.map(|(source, text)| (source, KernelConfig::parse(&text)));
    let config = config.filter(|(_, config)| !config.is_empty());
    problems.extend(assumptions("the running kernel", config.as_ref().map(|(_, config)| config)));
    let known = |[any, fs_subtype, dont_audit, sigv3_files, creds_check, policy_text]: [bool; 6]| {
        any.then_some(NewWords { fs_subtype, dont_audit, sigv3_files, creds_check, policy_text })
    };
    let facts = KernelFacts {
        release: Some(release),
        config,
        running: Some(RunningFacts {
            words: words.and_then(known),
            ima: securityfs::has_ima(),
            policy_mode,
            rules,
            lsm: securityfs::security_modules(),
            selinux_policy: securityfs::selinux_has_policy(),
            secure_boot,
            command_line,
        }),
    };
    (Kernel::from_facts(&facts), problems)
}

/// The kernels of another root, those alike once; without any, what is assumed.
pub fn of_root(root: &Root) -> (Vec<Kernel>, Vec<Problem>) {
    let (mut kernels, mut problems) = (Vec::<Kernel>::new(), Vec::new());
    for release in kernel_config::releases(root) {
        let config = kernel_config::of_release(root, &release).unwrap_or_else(|error| {
            problems.push(Problem::new(
                format!("the configuration of kernel {release} cannot be read: {error}"),
                "name it by --kernel-config",
            ));
            None
        });
        let config = config.map(|(source, text)| (source, KernelConfig::parse(&text)));
        let config = config.filter(|(_, config)| !config.is_empty());
        problems.extend(assumptions(&format!("kernel {release}"), config.as_ref().map(|(_, config)| config)));
        let kernel = Kernel::from_facts(&KernelFacts { release: Some(release), config, running: None });
        if let Some(alike) = kernels.iter_mut().find(|other| other.profile == kernel.profile) {
            alike.name = format!("{}, {}", alike.name, kernel.name);
        } else {
            kernels.push(kernel);
        }
    }
    if kernels.is_empty() {
        problems.extend(assumptions("this root's kernel", None));
        kernels.push(Kernel::from_facts(&KernelFacts::default()));
    }
    (kernels, problems)
}

/// The kernel of a configuration file; what is wrong with the file where it is none.
pub fn of_config(path: &Path) -> Result<Kernel, String> {
    let text = std::fs::File::open(path).and_then(kernel_config::text);
    let text = text.map_err(|error| format!("{}: {error}", path.display()))?;
    let config = KernelConfig::parse(&text);
    if config.is_empty() {
        return Err(format!("{}: it is not a kernel configuration", path.display()));
    }
    if !config.has("IMA") {
        return Err(format!("{}: this kernel has no IMA (CONFIG_IMA) and takes no policy", path.display()));
    }
    Ok(Kernel::from_facts(&KernelFacts {
        release: None,
        config: Some((path.display().to_string(), config)),
        running: None,
    }))
}
