//! Users of this machine that live as long as a test.

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, getuid, kill_process, test_kill_process};
use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

/// What their names begin with; the process id of the test that made them follows.
const PREFIX: &str = "wsexec-test-";

/// A user that nobody else uses, with a home of its own; gone when this is dropped.
#[derive(Debug)]
pub struct User {
    /// Its name.
    pub name: String,
    home: PathBuf,
    uid: u32,
}

/// A new user with this login shell. None, with a word on stderr, where the tests do not run as
/// root and so cannot make one.
pub fn throwaway_user(shell: &str) -> Option<User> {
    static SWEPT: Once = Once::new();
    static MADE: AtomicU32 = AtomicU32::new(0);
    if !getuid().is_root() {
        eprintln!("skipped: only root can make a user to log in as");
        return None;
    }
    assert!(Path::new(shell).exists(), "{shell} is not installed");
    SWEPT.call_once(sweep);
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let name = format!("{PREFIX}{}-{number}", std::process::id());
    let home = std::env::temp_dir().join(&name);
    // A `*` is a password that nothing matches; a `!` would lock the account for keys too.
    let mut useradd = Command::new("useradd");
    useradd
        .args(["--create-home", "--password", "*", "--shell", shell])
        .arg("--home-dir")
        .arg(&home)
        .arg(&name);
    let made = alone(&mut useradd);
    assert!(made.status.success(), "{made:?}");
    let uid = fs::metadata(&home).expect("useradd made a home").uid();
    let ssh = home.join(".ssh");
    fs::create_dir(&ssh).expect("a new home");
    fs::set_permissions(&ssh, Permissions::from_mode(0o755)).expect("our own directory");
    Some(User { name, home, uid })
}

impl User {
    /// Its home directory.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The keys that may log in as it: `~/.ssh/authorized_keys`.
    pub fn authorized_keys(&self) -> PathBuf {
        self.home.join(".ssh/authorized_keys")
    }

    /// Gives it a password, for `sudo` and its like.
    #[allow(dead_code, reason = "for the tests of sudo")]
    pub fn set_password(&self, password: &str) {
        let lock = lock();
        let mut child = Command::new("chpasswd")
            .stdin(Stdio::piped())
            .spawn()
            .expect("chpasswd is there");
        let mut stdin = child.stdin.take().expect("piped");
        writeln!(stdin, "{}:{password}", self.name).expect("chpasswd reads");
        drop(stdin);
        assert!(child.wait().expect("our own child").success());
        drop(lock);
    }
}

impl Drop for User {
    fn drop(&mut self) {
        end_processes(self.uid);
        remove(&self.name);
    }
}

/// The user that the tests run as.
pub fn me() -> String {
    let output = Command::new("id").arg("-un").output().expect("id is there");
    let name = String::from_utf8(output.stdout).expect("a name");
    name.trim_end().to_owned()
}

/// Lets a server see a passwd of its own (nss_wrapper, Debian's libnss-wrapper), in which the user
/// that the tests run as has another login shell or home. The file is in `dir`.
pub fn another_passwd(server: &mut Command, dir: &Path, shell: Option<&str>, home: Option<&str>) {
    let passwd = fs::read_to_string("/etc/passwd").expect("it is there");
    let me = me();
    let lines = passwd.lines().map(|line| {
        let mut fields: Vec<&str> = line.split(':').collect();
        if let [name, .., its_home, its_shell] = fields.as_mut_slice()
            && *name == me
        {
            *its_home = home.unwrap_or(its_home);
            *its_shell = shell.unwrap_or(its_shell);
        }
        fields.join(":") + "\n"
    });
    let file = dir.join("passwd");
    fs::write(&file, lines.collect::<String>()).expect("our own directory");
    server
        .env("LD_PRELOAD", "libnss_wrapper.so")
        .env("NSS_WRAPPER_PASSWD", file)
        .env("NSS_WRAPPER_GROUP", "/etc/group");
}

/// Holds what a server with [`another_passwd`] said against what ld.so says where the library is
/// missing.
pub fn assert_preloaded(said: &str) {
    let missing = said.contains("cannot be preloaded");
    assert!(
        !missing,
        "nss_wrapper is missing (apt install libnss-wrapper)"
    );
}

/// Users whose test was killed before it could remove them.
fn sweep() {
    let passwd = fs::read_to_string("/etc/passwd").expect("it is there");
    for line in passwd.lines().filter(|line| line.starts_with(PREFIX)) {
        let mut fields = line.split(':');
        let name = fields.next().unwrap_or_default();
        let uid = fields.nth(1).and_then(|uid| uid.parse().ok());
        let maker = name[PREFIX.len()..].split('-').next();
        let maker = maker.and_then(|pid| Pid::from_raw(pid.parse().ok()?));
        let (Some(uid), Some(maker)) = (uid, maker) else {
            continue;
        };
        if test_kill_process(maker).is_err() {
            end_processes(uid);
            remove(name);
        }
    }
}

fn remove(name: &str) {
    // Forced: a process of it may still be on its way out.
    let removed = alone(Command::new("userdel").args(["--remove", "--force", name]));
    if !removed.status.success() {
        eprintln!("{name} is left: {removed:?}");
    }
}

/// Ends what runs as a user that only one test uses.
fn end_processes(uid: u32) {
    for entry in fs::read_dir("/proc").expect("Linux").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|pid| pid.parse().ok()) else {
            continue;
        };
        let owned = entry.metadata().is_ok_and(|of| of.uid() == uid);
        if let Some(pid) = Pid::from_raw(pid).filter(|_| owned) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// Runs what writes to /etc/passwd while no other test does: the tools give up instead of waiting.
fn alone(command: &mut Command) -> Output {
    let _lock = lock();
    command.output().expect("Debian's passwd is installed")
}

fn lock() -> File {
    let file = File::create("/run/wsexec-test-users.lock").expect("root may");
    flock(&file, FlockOperation::LockExclusive).expect("a lock");
    file
}
