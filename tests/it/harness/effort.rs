//! How much a test does: little in CI, much where `WSEXEC_LONG` is set.

/// The first, or the second where `WSEXEC_LONG` is set to anything.
pub fn effort<T>(short: T, long: T) -> T {
    match std::env::var_os("WSEXEC_LONG") {
        None => short,
        Some(_) => long,
    }
}
