//! IMA's and EVM's files below `/sys/kernel/security`.
#![forbid(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

const IMA: &str = "/sys/kernel/security/ima";
const POLICY: &str = "/sys/kernel/security/ima/policy";
const COUNT: &str = "/sys/kernel/security/ima/runtime_measurements_count";
const EVM: [&str; 2] = ["/sys/kernel/security/integrity/evm/evm", "/sys/kernel/security/evm"];

/// Whether the kernel has IMA switched on and securityfs is mounted.
pub fn has_ima() -> bool {
    Path::new(IMA).is_dir()
}

/// Whether a policy can be loaded: the file goes away, or loses its write bit, after the one load that some kernels
/// allow.
pub fn policy_loadable() -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(POLICY).is_ok_and(|metadata| metadata.permissions().mode() & 0o200 != 0)
}

/// The mode of the policy's file; `None` where it is gone, as after the only load that some kernels take.
pub fn policy_mode() -> io::Result<Option<u32>> {
    use std::os::unix::fs::PermissionsExt;
    match std::fs::metadata(POLICY) {
        Ok(metadata) => Ok(Some(metadata.permissions().mode() & 0o777)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The active security modules, comma-separated; `None` where securityfs is not mounted.
pub fn security_modules() -> Option<String> {
    std::fs::read_to_string("/sys/kernel/security/lsm").ok()
}

/// Whether SELinux has a policy: the classes that the policy knows have folders from then on
/// (`security/selinux/selinuxfs.c: sel_make_policy_nodes()`).
pub fn selinux_has_policy() -> bool {
    std::fs::read_dir("/sys/fs/selinux/class").is_ok_and(|mut classes| classes.next().is_some())
}

/// The active rules, one an item; `None` where the kernel does not let them be read.
pub fn active_rules() -> io::Result<Option<Vec<Vec<u8>>>> {
    match std::fs::read(POLICY) {
        Ok(text) => {
            let lines = text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
            Ok(Some(lines.map(<[u8]>::to_vec).collect()))
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

/// How many entries the measurement list has.
pub fn measurement_count() -> io::Result<u64> {
    let text = std::fs::read_to_string(COUNT)?;
    text.trim().parse().map_err(|_| io::Error::other(format!("{COUNT} holds \"{text}\"")))
}

/// The value of EVM's file; `None` without EVM.
pub fn evm() -> io::Result<Option<u64>> {
    for path in EVM {
        match std::fs::read_to_string(path) {
            Ok(text) => {
                let text = text.trim_matches(['\0', '\n']);
                return text.parse().map(Some).map_err(|_| io::Error::other(format!("{path} holds \"{text}\"")));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Whether EVM's setup is complete, which its file does not show; `None` where that cannot be found out. A zero is refused
/// in either case, and changes nothing: EPERM where it is complete, else EINVAL (`evm_secfs.c: evm_write_key()`).
pub fn evm_is_locked() -> Option<bool> {
    let error = EVM.iter().find_map(|path| match OpenOptions::new().write(true).open(path) {
        Ok(mut file) => file.write(b"0").err(),
        Err(_) => None,
    })?;
    match error.raw_os_error()? {
        libc::EPERM => Some(true),
        libc::EINVAL => Some(false),
        _ => None,
    }
}

/// A load of the policy. Rules become active when it is dropped (`ima_release_policy()`), if each write succeeded.
#[derive(Debug)]
pub struct Load(File);

impl Load {
    /// Opens the policy file for writing; `EBUSY` where another load is going on.
    pub fn begin() -> io::Result<Self> {
        OpenOptions::new().write(true).open(POLICY).map(Self)
    }

    /// Lets the kernel read a policy from this path, in this process's mount namespace. One `write(2)`: what it
    /// returns is the verdict on syntax and label, but not yet on the load.
    pub fn path(&mut self, path: &str) -> io::Result<()> {
        self.write_once(path)
    }

    /// Hands one rule to the kernel.
    pub fn rule(&mut self, rule: &str) -> io::Result<()> {
        self.write_once(rule)
    }

    /// The kernel takes one line a write and returns up to one byte more than it was given, so this is a single
    /// `write(2)` whose count says nothing.
    fn write_once(&mut self, line: &str) -> io::Result<()> {
        let line = format!("{line}\n");
        loop {
            match self.0.write(line.as_bytes()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result.map(drop),
            }
        }
    }
}
