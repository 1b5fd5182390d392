use super::random_bytes;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where the time of day comes from; passed in, so that a test can say what time it is.
pub trait Clock: Send + Sync + 'static {
    /// Unix seconds.
    fn now(&self) -> i64;
}

/// The machine's own clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> i64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
    }
}

/// Between half of a pause and all of it, so that those who failed together do not come back
/// together.
pub fn jittered(pause: Duration) -> Duration {
    let [byte] = random_bytes::<1>();
    pause / 2 + pause / 2 * u32::from(byte) / 255
}
