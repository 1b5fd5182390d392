use super::{Error, Kind, Result};

/// The condition of an `If-Match` header (RFC 9110 section 13.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfMatch {
    /// `*`: whatever version it has.
    Any,
    /// One of these versions; a tag that is none of ours matches nothing.
    Versions(Vec<i64>),
}

impl IfMatch {
    /// Whether a thing of this version may be changed.
    ///
    /// # Errors
    /// [`Kind::PreconditionFailed`] where somebody else was faster.
    pub fn check(condition: Option<&Self>, version: i64) -> Result<()> {
        match condition {
            None | Some(Self::Any) => Ok(()),
            Some(Self::Versions(expected)) if expected.contains(&version) => Ok(()),
            Some(Self::Versions(_)) => Err(Error::new(
                Kind::PreconditionFailed,
                "It was changed since it was read. Read it again, then change it.",
            )),
        }
    }
}

/// What an `Idempotency-Key` header stands for: the same key and the same body from the same user
/// on the same route are one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// 1 to 128 visible characters.
    pub key: String,
    /// SHA-256 of the body as it came.
    pub fingerprint: [u8; 32],
}
