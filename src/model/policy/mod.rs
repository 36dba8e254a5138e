//! The policy language, as the kernel reads it (`security/integrity/ima/ima_policy.c`).
//!
//! - [`lex`]: lines and words, with their places
//! - [`rule`]: one rule's meaning, [`canonical`]: how it is written
//! - [`profile`]: what a kernel's configuration and version make of the language
//! - [`parse`]: bytes to rules, [`error`]: why not, in words
//! - `validate`: which words go together
//! - [`outline`]: what imad-boot wants to know before a load
#![forbid(unsafe_code)]

pub mod canonical;
pub mod error;
pub mod lex;
pub mod outline;
pub mod parse;
pub mod profile;
pub mod rule;
mod validate;
