//! A file system in memory that is soon full.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// It goes with its test.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one of so many KiB, which anybody may write to, on a directory that is made where it
    /// is not there. None where that cannot be done; says so.
    pub fn mount(at: &Path, kibibytes: u32) -> Option<Self> {
        fs::create_dir_all(at).expect("the directory can be made");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o"])
            .arg(format!("size={kibibytes}k,mode=777"))
            .arg("tmpfs")
            .arg(at)
            .output();
        if !mount.is_ok_and(|output| output.status.success()) {
            eprintln!("skipped: only root, and not in every container, can mount a small disk");
            return None;
        }
        Some(Self(at.to_owned()))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}
