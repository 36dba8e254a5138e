//! The kernel's key service: `add_key(2)`, `keyctl(2)`, `/proc/keys`.
//!
//! No crate does this: those that exist fix the key's type to `user`, and `.ima` takes `asymmetric` keys only.
#![expect(unsafe_code, reason = "add_key(2) and keyctl(2) have no safe wrapper")]

use std::ffi::CStr;
use std::io;

/// Serial number of a key or keyring.
pub type Serial = i32;

/// A key as the kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Serial number.
    pub serial: Serial,
    /// Type, e.g. `asymmetric` or `keyring`.
    pub kind: String,
    /// Description, e.g. `CN: SKID`.
    pub description: String,
}

const KEYCTL_SETPERM: libc::c_int = 5;
const KEYCTL_DESCRIBE: libc::c_int = 6;
const KEYCTL_READ: libc::c_int = 11;

fn serial(result: libc::c_long) -> io::Result<Serial> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Serial::try_from(result).map_err(|_| io::Error::other("the kernel gave a serial number that does not fit"))
}

/// Adds a DER certificate to a keyring. The empty description makes the kernel name the key after the certificate
/// (`O: CN: SKID`), so that no key replaces another of the same name.
pub fn add_certificate(keyring: Serial, der: &[u8]) -> io::Result<Serial> {
    const KIND: &CStr = c"asymmetric";
    const DESCRIPTION: &CStr = c"";
    // SAFETY: both strings end in NUL, `der` is valid for its length, and the kernel only reads all three.
    serial(unsafe {
        libc::syscall(libc::SYS_add_key, KIND.as_ptr(), DESCRIPTION.as_ptr(), der.as_ptr(), der.len(), keyring)
    })
}

/// Makes a keyring of this name in the user's keyring, which a process with `KeyringMode=shared` finds in its session.
pub fn add_keyring(name: &CStr) -> io::Result<Serial> {
    const KIND: &CStr = c"keyring";
    const KEY_SPEC_USER_KEYRING: Serial = -4;
    // SAFETY: both strings end in NUL and are only read; a keyring takes no payload.
    serial(unsafe {
        libc::syscall(
            libc::SYS_add_key,
            KIND.as_ptr(),
            name.as_ptr(),
            std::ptr::null::<u8>(),
            0usize,
            KEY_SPEC_USER_KEYRING,
        )
    })
}

/// Lets a key be viewed, read and searched by its owner, and changed by nobody (`linux/key.h: KEY_POS_…`, `KEY_USR_…`). Root
/// can take that back.
pub fn seal(key: Serial) -> io::Result<()> {
    const VIEW: u32 = 0x01;
    const READ: u32 = 0x02;
    const SEARCH: u32 = 0x08;
    const POSSESSOR: u32 = 24;
    const OWNER: u32 = 16;
    let allowed = VIEW | READ | SEARCH;
    let permissions = allowed << POSSESSOR | allowed << OWNER;
    // SAFETY: the call takes two numbers.
    serial(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_SETPERM, key, permissions) }).map(drop)
}

/// Calls a keyctl operation that fills a buffer, with a buffer that is large enough.
fn read_into_buffer(operation: libc::c_int, key: Serial) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0u8; 4096];
    loop {
        // SAFETY: the kernel writes at most `buffer.len()` bytes into `buffer`, which outlives the call.
        let needed =
            serial(unsafe { libc::syscall(libc::SYS_keyctl, operation, key, buffer.as_mut_ptr(), buffer.len()) })?;
        let needed = usize::try_from(needed).unwrap_or(0);
        if needed <= buffer.len() {
            buffer.truncate(needed);
            return Ok(buffer);
        }
        buffer.resize(needed, 0);
    }
}

/// The keys that a keyring links (`KEYCTL_READ`), each described. A key that goes away meanwhile is left out.
pub fn members(keyring: Serial) -> io::Result<Vec<Key>> {
    let serials = read_into_buffer(KEYCTL_READ, keyring)?;
    let mut keys = Vec::new();
    for bytes in serials.as_chunks::<4>().0 {
        match describe(Serial::from_ne_bytes(*bytes)) {
            Ok(key) => keys.push(key),
            Err(error)
                if matches!(error.raw_os_error(), Some(libc::ENOKEY | libc::EKEYREVOKED | libc::EKEYEXPIRED)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(keys)
}

/// Describes a key (`KEYCTL_DESCRIBE`: `type;uid;gid;perm;description`).
fn describe(key: Serial) -> io::Result<Key> {
    let text = read_into_buffer(KEYCTL_DESCRIBE, key)?;
    let text = String::from_utf8_lossy(text.strip_suffix(&[0]).unwrap_or(&text)).into_owned();
    let mut fields = text.splitn(5, ';');
    let kind = fields.next().unwrap_or_default().to_owned();
    let description = fields.nth(3).unwrap_or_default().to_owned();
    Ok(Key { serial: key, kind, description })
}

/// Finds a keyring by its name in `/proc/keys`, which shows the kernel's own keyrings to uid 0.
pub fn find(name: &str) -> io::Result<Option<Serial>> {
    Ok(find_in(&std::fs::read_to_string("/proc/keys")?, name).map(|(serial, _)| serial))
}

/// How many hold on to the keyring of this name.
pub fn usage(name: &str) -> io::Result<Option<u64>> {
    Ok(find_in(&std::fs::read_to_string("/proc/keys")?, name).map(|(_, usage)| usage))
}

/// `SERIALHEX FLAGS USAGE EXPIRY PERM UID GID TYPE DESCRIPTION: SUMMARY`
fn find_in(keys: &str, name: &str) -> Option<(Serial, u64)> {
    keys.lines().find_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let serial = fields.next()?;
        let usage = fields.nth(1)?;
        let is_it = fields.nth(4)? == "keyring" && fields.next()?.strip_suffix(':')? == name;
        let serial = is_it.then(|| u32::from_str_radix(serial, 16).ok())??;
        Some((serial.cast_signed(), usage.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: &str = "\
0335b3c5 I------     1 perm 1f0b0000     0     0 keyring   .ima: 2
1ff1ac37 I------     1 perm 1f0f0000     0     0 keyring   .builtin_trusted_keys: 2
2b6b3a05 I--Q---     1 perm 1f3f0000     0 65534 keyring   _uid_ses.0: 1
3f000000 I------     1 perm 1f030000     0     0 asymmetri imad test CA: 0123456789: X509.ecdsa 23456789 []
";

    #[test]
    fn finds_a_keyring_by_name() {
        assert_eq!(find_in(KEYS, ".ima"), Some((0x0335_b3c5, 1)));
        assert_eq!(find_in(KEYS, "_uid_ses.0"), Some((0x2b6b_3a05, 1)));
        assert_eq!(find_in(KEYS, "_ima"), None);
        assert_eq!(find_in(KEYS, "imad"), None);
    }
}
