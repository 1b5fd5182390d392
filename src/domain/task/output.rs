//! What is known of the two streams that a script writes, without reading them.

/// One of the two streams that a script writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Stdout, Self::Stderr];

    /// The word of the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// The part of a stream that was left out, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// Where it begins: so many bytes are kept before it.
    pub offset: u64,
    /// How much is missing.
    pub length: u64,
}

/// What is known of a stream without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StreamInfo {
    /// All bytes that came.
    pub bytes: u64,
    /// What of them was left out.
    pub gap: Option<Gap>,
}

impl StreamInfo {
    /// How many bytes are kept.
    pub fn kept(&self) -> u64 {
        self.bytes - self.gap.map_or(0, |g| g.length)
    }
}
