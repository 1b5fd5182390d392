//! What a kill, a full disk and a disk that fails leave behind; and a long day.
//!
//! `WSEXEC_LONG=1 ./test crash::` takes hours instead of minutes, `WSEXEC_SEED=N` repeats a run's
//! chance. Each test prints its figure.

mod disk;
mod kills;
mod load;
pub mod points;
mod soak;
mod strace;
mod synced;
