//! What the disk gives to one that writes and waits.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// Appends of 4 KiB, each with an fdatasync, per second.
pub fn syncs_per_second(dir: &Path) -> f64 {
    let mut file = tempfile::tempfile_in(dir).expect("a file");
    let (began, mut count) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(1) {
        file.write_all(&[b'x'; 4096]).expect("room");
        file.sync_data().expect("a disk");
        count += 1;
    }
    f64::from(count) / began.elapsed().as_secs_f64()
}
