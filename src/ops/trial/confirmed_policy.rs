//! The copy of the last confirmed policy, with the labels that the kernel asks for when it is loaded in another's place.
#![forbid(unsafe_code)]

use std::io;

use crate::model::label::{XATTR_EVM, XATTR_IMA};
use crate::model::report::Problem;
use crate::model::trial::{State, Sum};
use crate::sys::attempts::FOLDER;
use crate::sys::file::{OpenError, OpenFile};
use crate::sys::kept::{self, NewFile};
use crate::sys::root::Root;

/// Where the copy is.
pub const CONFIRMED_POLICY: &str = "/etc/imad/state/confirmed-policy";

/// No policy is longer.
const LIMIT: u64 = 1 << 22;
/// `EVM_XATTR_PORTABLE_DIGSIG`: the one that says nothing of the inode, so that it holds for a copy too.
const PORTABLE: u8 = 5;

/// The copy, where it may be loaded in the place of this policy: it is another one, and the one that was confirmed.
pub fn fallback(root: &Root, state: Option<&State>, candidate_policy: Sum) -> Option<Sum> {
    let confirmed = state?.last_policy.filter(|&last| last != candidate_policy)?;
    let bytes = root.read(CONFIRMED_POLICY, LIMIT).ok()?;
    (Sum::of(&bytes) == confirmed).then_some(confirmed)
}

/// Keeps a copy of the policy that was loaded, if the file still is what was loaded.
pub(super) fn keep(root: &Root, path: &str, loaded: Sum) -> Result<(), Problem> {
    let failed = |what: String| Problem::new(what, format!("ls -lZ {path} {CONFIRMED_POLICY}; df -h {FOLDER}"));
    if path == CONFIRMED_POLICY {
        return Ok(());
    }
    let file = match OpenFile::open_following(root, path.as_bytes()) {
        Ok(file) => file,
        Err(error @ (OpenError::Absent | OpenError::NotRegular | OpenError::Io(_))) => {
            return Err(failed(format!("{path} cannot be kept as the last confirmed policy: {error}")));
        }
    };
    let read = || -> io::Result<_> {
        Ok((file.read(LIMIT)?, file.label()?, file.evm()?, file.owner()?, file.identity()?.mode))
    };
    let (bytes, label, evm, owner, mode) =
        read().map_err(|error| failed(format!("{path} cannot be kept as the last confirmed policy: {error}")))?;
    if Sum::of(&bytes) != loaded {
        return Err(Problem::new(
            format!("{path} was changed since it was loaded, so no copy of it is kept as the last confirmed policy"),
            "none is needed: the changed policy is on trial at the next boot",
        ));
    }
    let evm = evm.filter(|evm| evm.first() == Some(&PORTABLE));
    let copy = Copy { bytes: &bytes, label: label.as_deref(), evm: evm.as_deref(), owner, mode };
    copy.put(root).map_err(|error| failed(format!("{CONFIRMED_POLICY} cannot be written: {error}")))
}

/// What makes up the copy: a portable EVM signature covers owner, group and mode too.
struct Copy<'a> {
    bytes: &'a [u8],
    label: Option<&'a [u8]>,
    evm: Option<&'a [u8]>,
    owner: (u32, u32),
    mode: u32,
}

impl Copy<'_> {
    fn put(&self, root: &Root) -> io::Result<()> {
        if self.is_there(root) {
            return Ok(());
        }
        let named = [(XATTR_IMA, self.label), (XATTR_EVM, self.evm)];
        let xattrs: Vec<_> = named.into_iter().filter_map(|(name, value)| Some((name, value?.to_vec()))).collect();
        let mode = self.mode & 0o7777;
        let new = NewFile { bytes: self.bytes, owner: Some(self.owner), mode, xattrs: &xattrs };
        kept::put(root, CONFIRMED_POLICY, &new)?;
        if self.is_there(root) { Ok(()) } else { Err(io::Error::other("what was written is not read back")) }
    }

    /// Whether the copy is there already, so that a confirmed boot writes nothing anew.
    fn is_there(&self, root: &Root) -> bool {
        let same = || -> io::Result<bool> {
            let file = OpenFile::open(root, CONFIRMED_POLICY.as_bytes()).map_err(io::Error::other)?;
            let same_evm = self.evm.is_none() || file.evm()?.as_deref() == self.evm;
            Ok(same_evm && file.read(LIMIT)? == self.bytes && file.label()?.as_deref() == self.label)
        };
        same().unwrap_or(false)
    }
}
