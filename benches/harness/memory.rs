//! What a process uses, as the kernel counts it.

use std::fs;

pub const MIB: f64 = 1024.0;

/// Figures of `/proc/PID/status`, in KiB.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// Resident now.
    pub resident: u64,
    /// The most that was resident since [`forget_peak`].
    pub peak: u64,
    /// The resident part that is heap and stacks; the rest is the program's own file.
    pub anonymous: u64,
}

impl Memory {
    pub fn of(pid: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs, on Linux");
        let field = |name: &str| {
            status
                .lines()
                .find_map(|line| {
                    line.strip_prefix(name)?
                        .split_whitespace()
                        .next()?
                        .parse()
                        .ok()
                })
                .expect("a figure in kB")
        };
        Self {
            resident: field("VmRSS:"),
            peak: field("VmHWM:"),
            anonymous: field("RssAnon:"),
        }
    }
}

/// Sets the peak to what is resident now (proc(5), `clear_refs`).
pub fn forget_peak(pid: u32) {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").expect("our own process, on Linux");
}

/// Milliseconds of processor time that a process has used, in steps of 10.
pub fn cpu_ms(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs, on Linux");
    let after_name = stat.rsplit(')').next().expect("a name in brackets");
    let ticks = |at: usize| -> f64 {
        let field = after_name.split_whitespace().nth(at);
        field.and_then(|f| f.parse().ok()).expect("a number")
    };
    (ticks(11) + ticks(12)) * 10.0
}

/// How many files and sockets a process has open.
pub fn open_files(pid: u32) -> usize {
    entries(pid, "fd")
}

/// How many threads a process has.
pub fn threads(pid: u32) -> usize {
    entries(pid, "task")
}

fn entries(pid: u32, of: &str) -> usize {
    let entries = fs::read_dir(format!("/proc/{pid}/{of}"));
    entries.expect("our own process, on Linux").count()
}

/// KiB of a process and all below it; what several share is counted in parts (`Pss` of proc(5)).
pub fn proportional(pid: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let own = rollup.lines().find_map(|line| {
        let figure = line.strip_prefix("Pss:")?.split_whitespace().next()?;
        figure.parse::<u64>().ok()
    });
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.unwrap_or_default();
    let below = children.split_whitespace().filter_map(|it| it.parse().ok());
    own.unwrap_or(0) + below.map(proportional).sum::<u64>()
}
