//! Certificates as the kernel's keyrings see them: the key id, and why `.ima` would refuse one.
//!
//! The kernel answers nearly every refusal with ENOKEY and logs nothing, so the reason is read from the certificate,
//! in the order of `crypto/asymmetric_keys/restrict.c: restrict_link_by_digsig()`.
#![forbid(unsafe_code)]

use std::fmt;

use openssl::pkey::{Id, PKey, Public};
use openssl::x509::X509;

use super::der;
use super::label::KeyId;

/// Days before a certificate's end from which on the status names it.
pub const SOON: i32 = 30;

/// A certificate that OpenSSL could read.
#[derive(Clone)]
pub struct Certificate {
    der: Vec<u8>,
    subject: String,
    issuer: String,
    skid: Option<Vec<u8>>,
    akid: Option<Vec<u8>>,
    key_usage: Option<u16>,
    is_ca: bool,
    not_before: String,
    not_after: String,
    days_left: i32,
    days_until_begin: i32,
    key: PKey<Public>,
}

/// Why bytes are no certificate that could be handed to the kernel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertError {
    /// The file is empty.
    #[error("the file is empty")]
    Empty,
    /// Neither DER nor PEM.
    #[error("neither a DER nor a PEM certificate ({0})")]
    Malformed(String),
    /// OpenSSL read the certificate but not the key in it.
    #[error("its public key cannot be used ({0})")]
    Key(String),
}

/// Why the kernel does not take a certificate into a trusted keyring, or why it would be of no use there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The key usage extension is missing.
    NoKeyUsage,
    /// Key usage lacks digitalSignature.
    NoDigitalSignature,
    /// Basic constraints say CA:TRUE.
    IsCa,
    /// Key usage has keyCertSign.
    KeyCertSign,
    /// No key that the kernel trusts signed it.
    NoTrustedSigner {
        /// The issuer's name.
        issuer: String,
        /// The issuer's key id, where the certificate tells it.
        akid: Option<String>,
    },
    /// The certificate has no subject key identifier: it is taken, but no label is ever matched with it.
    NoSubjectKeyId,
}

impl Refusal {
    /// Whether the kernel takes the certificate all the same.
    pub const fn is_warning(&self) -> bool {
        matches!(self, Self::NoSubjectKeyId)
    }

    /// What to do about it.
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::NoKeyUsage | Self::NoDigitalSignature => {
                "issue it again with keyUsage=critical,digitalSignature (openssl x509 -extfile)"
            }
            Self::IsCa => "issue a certificate for signing files, with basicConstraints=critical,CA:FALSE",
            Self::KeyCertSign => "issue it again without keyCertSign in keyUsage",
            Self::NoTrustedSigner { .. } => {
                "have it signed by a key of the kernel's .builtin_trusted_keys, .secondary_trusted_keys or .machine \
                 keyring (keyctl show %:.builtin_trusted_keys), or enrol the signer with mokutil"
            }
            Self::NoSubjectKeyId => "issue it again with subjectKeyIdentifier=hash",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKeyUsage => f.write_str("it has no keyUsage extension"),
            Self::NoDigitalSignature => f.write_str("its keyUsage lacks digitalSignature"),
            Self::IsCa => f.write_str("it is a CA certificate (CA:TRUE)"),
            Self::KeyCertSign => f.write_str("its keyUsage has keyCertSign"),
            Self::NoTrustedSigner { issuer, akid: Some(akid) } => {
                write!(f, "its issuer \"{issuer}\" (key {akid}) is not among the keys that this kernel trusts")
            }
            Self::NoTrustedSigner { issuer, akid: None } => {
                write!(f, "its issuer \"{issuer}\" is not among the keys that this kernel trusts")
            }
            Self::NoSubjectKeyId => {
                f.write_str("it has no subject key identifier, so no label is ever matched with it")
            }
        }
    }
}

/// A key of a kernel keyring, as `/proc/keys` describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelKey {
    /// The key's description without its type's suffix, e.g. `CN: SKID`.
    pub description: String,
    /// The subject key identifier in hexadecimal, where the description ends in one.
    pub skid: Option<String>,
}

impl KernelKey {
    /// Reads a key's description (`O: CN: SKIDHEX`; the kernel writes the serial where there is no SKID).
    pub fn new(description: &str) -> Self {
        let skid = description
            .rsplit(": ")
            .next()
            .filter(|hex| hex.len() >= 8 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
            .map(str::to_ascii_lowercase);
        Self { description: description.to_owned(), skid }
    }
}

// Bits of keyUsage's BIT STRING, first byte first (RFC 5280 §4.2.1.3).
const DIGITAL_SIGNATURE: u16 = 0x8000;
const KEY_CERT_SIGN: u16 = 0x0400;

const OID_SKID: [u8; 3] = [0x55, 0x1d, 0x0e];
const OID_KEY_USAGE: [u8; 3] = [0x55, 0x1d, 0x0f];
const OID_BASIC_CONSTRAINTS: [u8; 3] = [0x55, 0x1d, 0x13];
const OID_AKID: [u8; 3] = [0x55, 0x1d, 0x23];

const PEM_BEGIN: &[u8] = b"-----BEGIN ";

impl Certificate {
    /// Reads a certificate, DER or PEM. Bytes after a DER certificate are dropped, as the kernel ignores them.
    pub fn parse(bytes: &[u8]) -> Result<Self, CertError> {
        if bytes.is_empty() {
            return Err(CertError::Empty);
        }
        let is_pem = bytes.windows(PEM_BEGIN.len()).any(|window| window == PEM_BEGIN);
        let x509 = if is_pem { X509::from_pem(bytes) } else { X509::from_der(bytes) }
            .map_err(|error| CertError::Malformed(first_reason(&error)))?;
        Self::from_x509(&x509)
    }

    fn from_x509(x509: &X509) -> Result<Self, CertError> {
        let malformed = |error: openssl::error::ErrorStack| CertError::Malformed(first_reason(&error));
        let der = x509.to_der().map_err(malformed)?;
        let key = x509.public_key().map_err(|error| CertError::Key(first_reason(&error)))?;
        let now = openssl::asn1::Asn1Time::days_from_now(0).map_err(malformed)?;
        let left = now.diff(x509.not_after()).map_err(malformed)?;
        let ahead = now.diff(x509.not_before()).map_err(malformed)?;
        let skid = der::extension(&der, &OID_SKID).and_then(|mut v| der::expect(&mut v, der::OCTET_STRING));
        let key_usage = der::extension(&der, &OID_KEY_USAGE)
            .and_then(|mut v| der::expect(&mut v, der::BIT_STRING))
            .map(|bits| u16::from_be_bytes([bits.get(1).copied().unwrap_or(0), bits.get(2).copied().unwrap_or(0)]));
        Ok(Self {
            subject: name(x509.subject_name()),
            issuer: name(x509.issuer_name()),
            skid: skid.map(<[u8]>::to_vec),
            akid: der::extension(&der, &OID_AKID).and_then(authority_key_id).map(<[u8]>::to_vec),
            key_usage,
            is_ca: der::extension(&der, &OID_BASIC_CONSTRAINTS).is_some_and(has_ca_bit),
            not_before: x509.not_before().to_string(),
            not_after: x509.not_after().to_string(),
            // Both parts have the same sign.
            days_left: if left.secs < 0 { left.days - 1 } else { left.days },
            // A day that has begun counts.
            days_until_begin: if ahead.secs > 0 { ahead.days + 1 } else { ahead.days },
            key,
            der,
        })
    }

    /// The certificate as DER, the only form that the kernel reads.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The subject's common name, else the whole subject.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The issuer's common name, else the whole issuer.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The subject key identifier in hexadecimal.
    pub fn skid(&self) -> Option<String> {
        self.skid.as_deref().map(hex)
    }

    /// What labels name this certificate's key by; `None` without a subject key identifier of four bytes.
    pub fn key_id(&self) -> Option<KeyId> {
        let tail = self.skid.as_deref()?.last_chunk::<4>()?;
        Some(KeyId(u32::from_be_bytes(*tail)))
    }

    /// End of validity, as OpenSSL prints it. The kernel does not look at it.
    pub fn not_after(&self) -> &str {
        &self.not_after
    }

    /// Begin of validity, as OpenSSL prints it. The kernel does not look at it.
    pub fn not_before(&self) -> &str {
        &self.not_before
    }

    /// Whole days until the end of validity, negative after it, by the system's clock at parsing.
    pub const fn days_left(&self) -> i32 {
        self.days_left
    }

    /// Days until the begin of validity, zero or less after it, by the system's clock at parsing.
    pub const fn days_until_begin(&self) -> i32 {
        self.days_until_begin
    }

    /// Kind and size of the key, e.g. `RSA 2048` or `EC 256`.
    pub fn key_kind(&self) -> String {
        let name = match self.key.id() {
            Id::RSA => "RSA",
            Id::EC => "EC",
            Id::ED25519 => "Ed25519",
            _ => "key",
        };
        format!("{name} {}", self.key.bits())
    }

    /// The public key.
    pub(super) const fn key(&self) -> &PKey<Public> {
        &self.key
    }

    /// Every reason for which a trusted keyring of this kernel refuses the certificate, in the kernel's order, then
    /// what makes it useless there. `trusted` are the keys of `.builtin_trusted_keys`, `.secondary_trusted_keys` and
    /// `.machine`; `None` where they could not be listed, and then the signer is not judged.
    pub fn refusals(&self, trusted: Option<&[KernelKey]>) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        match self.key_usage {
            None => refusals.push(Refusal::NoKeyUsage),
            Some(usage) if usage & DIGITAL_SIGNATURE == 0 => refusals.push(Refusal::NoDigitalSignature),
            Some(_) => {}
        }
        if self.is_ca {
            refusals.push(Refusal::IsCa);
        }
        if self.key_usage.is_some_and(|usage| usage & KEY_CERT_SIGN != 0) {
            refusals.push(Refusal::KeyCertSign);
        }
        if trusted.is_some_and(|keys| !keys.iter().any(|key| self.issued_by(key))) {
            let akid = self.akid.as_deref().map(hex);
            refusals.push(Refusal::NoTrustedSigner { issuer: self.issuer.clone(), akid });
        }
        if self.key_id().is_none() {
            refusals.push(Refusal::NoSubjectKeyId);
        }
        refusals
    }

    /// Whether this kernel key is the issuer: by key id where the certificate names one, else by the issuer's name.
    fn issued_by(&self, key: &KernelKey) -> bool {
        match (&self.akid, &key.skid) {
            (Some(akid), Some(skid)) => hex(akid) == *skid,
            _ => key.description.rsplit_once(": ").is_some_and(|(names, _)| names.ends_with(&self.issuer)),
        }
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("subject", &self.subject)
            .field("skid", &self.skid())
            .finish_non_exhaustive()
    }
}

/// Bytes in lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        write!(text, "{byte:02x}").unwrap_or_default();
        text
    })
}

/// The common name, else all entries as `NAME=value, …`.
fn name(name: &openssl::x509::X509NameRef) -> String {
    let text = |entry: &openssl::x509::X509NameEntryRef| entry.data().to_string().unwrap_or_else(|_| "?".to_owned());
    if let Some(entry) = name.entries_by_nid(openssl::nid::Nid::COMMONNAME).last() {
        return text(entry);
    }
    let entries = name.entries().map(|e| format!("{}={}", e.object().nid().short_name().unwrap_or("?"), text(e)));
    entries.collect::<Vec<_>>().join(", ")
}

fn first_reason(stack: &openssl::error::ErrorStack) -> String {
    stack.errors().first().and_then(openssl::error::Error::reason).unwrap_or("no reason given").to_owned()
}

/// basicConstraints: SEQUENCE { cA BOOLEAN DEFAULT FALSE, … }
fn has_ca_bit(mut value: &[u8]) -> bool {
    der::expect(&mut value, der::SEQUENCE)
        .and_then(|mut sequence| der::expect(&mut sequence, der::BOOLEAN))
        .is_some_and(|boolean| boolean.first().is_some_and(|&byte| byte != 0))
}

/// authorityKeyIdentifier: SEQUENCE { keyIdentifier \[0\] IMPLICIT OCTET STRING OPTIONAL, … }
fn authority_key_id(mut value: &[u8]) -> Option<&[u8]> {
    const KEY_IDENTIFIER: u8 = 0x80;
    let mut sequence = der::expect(&mut value, der::SEQUENCE)?;
    der::expect(&mut sequence, KEY_IDENTIFIER)
}

#[cfg(test)]
#[path = "cert_tests.rs"]
mod tests;

#[cfg(test)]
pub(crate) use tests::{ending_for_tests, self_signed_for_tests};
