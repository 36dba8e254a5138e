//! What is done once at a time.
#![forbid(unsafe_code)]

/// Something that is done once at a time, and once more if it was wanted meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Turn {
    /// It is not being done.
    #[default]
    Free,
    /// It is being done.
    Going,
    /// It is being done and wanted again.
    Again,
}

impl Turn {
    /// It is wanted: `true` where it is to begin.
    pub(super) fn want(&mut self) -> bool {
        let begin = *self == Self::Free;
        *self = if begin { Self::Going } else { Self::Again };
        begin
    }

    /// It was done: `true` where it is wanted again.
    pub(super) fn end(&mut self) -> bool {
        std::mem::take(self) == Self::Again
    }
}
