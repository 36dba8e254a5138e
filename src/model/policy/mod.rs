//! The policy language, as the kernel reads it (`security/integrity/ima/ima_policy.c`).
//!
//! - [`lex`]: lines and words, with their places
//! - [`rule`]: one rule's meaning, [`canonical`]: how it is written
//! - [`profile`]: what a kernel's configuration and version make of the language, [`kernel`]: which kernel that is
//! - [`parse`]: bytes to rules, [`error`]: why not, in words
//! - `validate`: which words go together
//! - [`builtin`], [`effective`]: the rules in force; [`event`]: what happens to which file
//! - [`decide`]: what the rules say, [`verdict`]: what becomes of it, [`cause`]: why, in the kernel's words
//!   (`appraise`: the label's part); [`gates`]: what is decided without a label
//! - [`inode`]: what the kernel remembers of a file
//! - [`steps`]: which questions an access asks; [`readback`]: rules that the kernel shows, back to rules
//! - [`lint`]: what loads and should not, [`fmt`]: how a file is laid out
//! - [`measuring`]: a policy that measures what another one appraises
//! - [`report`]: what is said of a file, [`origin`]: which line a rule comes from
//! - [`outline`]: what imad-boot wants to know before a load
#![forbid(unsafe_code)]

mod appraise;
pub mod builtin;
pub mod canonical;
pub mod cause;
pub mod decide;
pub mod effective;
pub mod error;
pub mod event;
pub mod fmt;
pub mod gates;
pub mod inode;
pub mod kernel;
pub mod lex;
pub mod lint;
pub mod measuring;
pub mod origin;
pub mod outline;
pub mod parse;
pub mod profile;
pub mod readback;
pub mod report;
pub mod rule;
pub mod steps;
mod validate;
pub mod verdict;

#[cfg(test)]
mod language_tests;
