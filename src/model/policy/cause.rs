//! Why an access is denied, in the kernel's words where it has any.
#![forbid(unsafe_code)]

/// Why an access is denied, or would be if the kernel enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// No label, and a hash would do.
    MissingHash,
    /// No signature, and one is wanted.
    SignatureRequired,
    /// No signature over the fs-verity digest, and one is wanted.
    VeritySignatureRequired,
    /// No signature of version 3, and one is wanted (Linux 7.1).
    Sigv3Required,
    /// The label could not be read, or the kernel does not know its signature's format.
    Unknown,
    /// The content is another than the hash label's.
    InvalidHash,
    /// The signature does not verify: content, key or format.
    InvalidSignature,
    /// A signature version that the label's type does not have.
    InvalidSignatureVersion,
    /// The signature over the fs-verity digest does not verify.
    InvalidVeritySignature,
    /// Not a label.
    UnknownData,
    /// EVM is active, and the file has no `security.evm`.
    MissingHmac,
    /// EVM is active, and `security.evm` does not fit.
    InvalidHmac,
    /// EVM is active, and the portable signature does not fit.
    InvalidFailImmutable,
    /// The file system can change content unseen.
    UnverifiableSignature,
    /// The content could not be hashed: it cannot be read, or the kernel lacks the algorithm.
    Failed,
    /// O_DIRECT: the content is not read.
    FailedDirectIo,
    /// The file has no fs-verity digest, and one is wanted.
    NoVerityDigest,
    /// The rule does not allow the label's hash algorithm.
    DeniedHashAlgorithm,
    /// Somebody has the file mapped shared and writable.
    MappedWriters,
    /// mprotect(2) would make a mapping of the file executable.
    FailedMprotect,
    /// The file system has no extended attributes. No record.
    NoXattrs,
    /// The digest is in `.blacklist`. No record.
    Blacklisted,
    /// A file with a signature is opened for writing. No record.
    SignedFileWritten,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 23] = [
        Self::MissingHash,
        Self::SignatureRequired,
        Self::VeritySignatureRequired,
        Self::Sigv3Required,
        Self::Unknown,
        Self::InvalidHash,
        Self::InvalidSignature,
        Self::InvalidSignatureVersion,
        Self::InvalidVeritySignature,
        Self::UnknownData,
        Self::MissingHmac,
        Self::InvalidHmac,
        Self::InvalidFailImmutable,
        Self::UnverifiableSignature,
        Self::Failed,
        Self::FailedDirectIo,
        Self::NoVerityDigest,
        Self::DeniedHashAlgorithm,
        Self::MappedWriters,
        Self::FailedMprotect,
        Self::NoXattrs,
        Self::Blacklisted,
        Self::SignedFileWritten,
    ];

    /// `op=` and `cause=` of the audit record (type 1800); `None` where the kernel is silent.
    pub const fn record(self) -> Option<(&'static str, &'static str)> {
        const APPRAISE: &str = "appraise_data";
        const COLLECT: &str = "collect_data";
        Some(match self {
            Self::MissingHash => (APPRAISE, "missing-hash"),
            Self::SignatureRequired => (APPRAISE, "IMA-signature-required"),
            Self::VeritySignatureRequired => (APPRAISE, "verity-signature-required"),
            Self::Sigv3Required => (APPRAISE, "IMA-sigv3-required"),
            Self::Unknown => (APPRAISE, "unknown"),
            Self::InvalidHash => (APPRAISE, "invalid-hash"),
            Self::InvalidSignature => (APPRAISE, "invalid-signature"),
            Self::InvalidSignatureVersion => (APPRAISE, "invalid-signature-version"),
            Self::InvalidVeritySignature => (APPRAISE, "invalid-verity-signature"),
            Self::UnknownData => (APPRAISE, "unknown-ima-data"),
            Self::MissingHmac => (APPRAISE, "missing-HMAC"),
            Self::InvalidHmac => (APPRAISE, "invalid-HMAC"),
            Self::InvalidFailImmutable => (APPRAISE, "invalid-fail-immutable"),
            Self::UnverifiableSignature => (APPRAISE, "unverifiable-signature"),
            Self::Failed => (COLLECT, "failed"),
            Self::FailedDirectIo => (COLLECT, "failed(directio)"),
            Self::NoVerityDigest => (COLLECT, "no-verity-digest"),
            Self::DeniedHashAlgorithm => (COLLECT, "denied-hash-algorithm"),
            Self::FailedMprotect => (COLLECT, "failed-mprotect"),
            Self::MappedWriters => ("mmap_file", "mmapped_writers"),
            Self::NoXattrs | Self::Blacklisted | Self::SignedFileWritten => return None,
        })
    }
}

/// An audit record that an access leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Record {
    /// What it says; one that the kernel records.
    pub cause: Cause,
    /// `res=`: 1 can go with a denial.
    pub res: bool,
}

impl Record {
    /// A record of a step that failed.
    pub const fn failed(cause: Cause) -> Self {
        Self { cause, res: false }
    }
}
