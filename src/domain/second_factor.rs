use super::Sealed;

/// The authenticator of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecondFactor {
    /// What the authenticator was told, encrypted.
    pub sealed: Sealed,
    /// Whether a first code has shown that it works; until then no login asks for one.
    pub confirmed: bool,
    /// The last step of time whose code was taken.
    pub last_step: i64,
    /// When it was set up, Unix seconds.
    pub created: i64,
    /// How many recovery codes are left.
    pub recovery_codes: u32,
}
