//! A real OpenSSH server on a loopback port, with keys made for the run.

pub use super::users::{me as user, throwaway_user};

use super::users::{self, User};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(10);

/// What `ssh-keygen -t` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Ed25519,
    Rsa,
    Ecdsa,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::Rsa => "rsa",
            Self::Ecdsa => "ecdsa",
        }
    }
}

/// Makes a key pair with `ssh-keygen`: `path`, and `path.pub`. `format` is `RFC4716` (OpenSSH's
/// own), `PKCS8` or `PEM`.
pub fn keygen(path: &Path, kind: Kind, format: &str, passphrase: &str) {
    let bits: &[&str] = if kind == Kind::Rsa {
        &["-b", "2048"]
    } else {
        &[]
    };
    let output = Command::new("ssh-keygen")
        .args([
            "-q",
            "-t",
            kind.as_str(),
            "-m",
            format,
            "-C",
            "",
            "-N",
            passphrase,
            "-f",
        ])
        .arg(path)
        .args(bits)
        .stdin(Stdio::null())
        .output()
        .expect("ssh-keygen runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// `TYPE BASE64` of a public key file.
pub fn public_key(path: &Path) -> String {
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    fs::read_to_string(name).unwrap().trim_end().to_owned()
}

/// `SHA256:...` of a key file, from `ssh-keygen -l`.
pub fn fingerprint(path: &Path) -> String {
    let output = Command::new("ssh-keygen")
        .arg("-lf")
        .arg(path)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().nth(1).unwrap().to_owned()
}

/// How the server is to be.
pub struct Builder {
    address: IpAddr,
    host_keys: Vec<Kind>,
    lines: Vec<String>,
    shell: Option<String>,
    user: Option<User>,
    elsewhere: Option<Elsewhere>,
}

/// Where a server listens that is not in our own network, and what starts it there.
struct Elsewhere {
    address: SocketAddr,
    command: Vec<String>,
}

impl Builder {
    /// Where it listens, instead of 127.0.0.1.
    pub fn address(mut self, address: impl Into<IpAddr>) -> Self {
        self.address = address.into();
        self
    }

    /// Its host keys, instead of ed25519 and RSA.
    pub fn host_keys(mut self, kinds: &[Kind]) -> Self {
        self.host_keys = kinds.to_vec();
        self
    }

    /// A line of sshd_config, before all others (the first value of a keyword wins).
    pub fn line(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    /// Another login shell for the user that the tests run as, on this server alone: it reads a
    /// passwd of its own (nss_wrapper, Debian's libnss-wrapper). The home is [`Sshd::dir`].
    pub fn login_shell(mut self, shell: &str) -> Self {
        assert!(Path::new(shell).exists(), "{shell} is not installed");
        self.shell = Some(shell.to_owned());
        self
    }

    /// Lets this user in, in its own home, instead of the user that the tests run as. The user is
    /// gone with the server.
    pub fn user(mut self, user: User) -> Self {
        self.user = Some(user);
        self
    }

    /// In another network: at this address, started by this command with its own words behind it.
    pub fn elsewhere(mut self, address: SocketAddr, command: Vec<String>) -> Self {
        self.elsewhere = Some(Elsewhere { address, command });
        self
    }

    /// Starts it and waits until it takes connections.
    pub fn start(self) -> Sshd {
        if rustix::process::getuid().is_root() {
            fs::create_dir_all("/run/sshd").expect("sshd's own directory");
        }
        let dir = tempfile::tempdir().unwrap();
        keygen(&dir.path().join("client"), Kind::Ed25519, "RFC4716", "");
        let authorized_keys = match &self.user {
            Some(user) => user.authorized_keys(),
            None => dir.path().join("authorized_keys"),
        };
        fs::copy(dir.path().join("client.pub"), &authorized_keys).unwrap();
        for kind in &self.host_keys {
            host_key(dir.path(), *kind);
        }
        // Between the choice of a port and sshd's bind somebody else may take it.
        for _ in 0..20 {
            let address = match &self.elsewhere {
                Some(there) => there.address,
                None => free_port(self.address),
            };
            let child = self.spawn(dir.path(), &authorized_keys, address);
            if let Some(child) = wait_until_up(child, address) {
                users::assert_preloaded(&log(dir.path()));
                return Sshd {
                    address,
                    dir,
                    child,
                    authorized_keys,
                    user: self.user,
                    elsewhere: self.elsewhere,
                };
            }
        }
        panic!("sshd does not start: {}", log(dir.path()));
    }

    fn spawn(&self, dir: &Path, authorized_keys: &Path, address: SocketAddr) -> Child {
        let mut config = self.lines.join("\n");
        config.push_str(&format!(
            "\nListenAddress {}\nPort {}\nPidFile none\nUsePAM no\nStrictModes no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nPrintMotd no\n\
             AuthorizedKeysFile {}\n",
            address.ip(),
            address.port(),
            authorized_keys.display()
        ));
        // Of this one the last value wins.
        if !config.contains("MaxStartups") {
            config.push_str("MaxStartups 1000\n");
        }
        if self.user.is_none() {
            // A home of its own: the shell files of whoever runs the tests take their time.
            config.push_str(&format!("SetEnv HOME={}\n", dir.display()));
        }
        for kind in &self.host_keys {
            config.push_str(&format!(
                "HostKey {}\n",
                host_key_path(dir, *kind).display()
            ));
        }
        fs::write(dir.join("sshd_config"), config).unwrap();
        let mut command = command(dir, self.elsewhere.as_ref());
        if let Some(shell) = &self.shell {
            users::another_passwd(&mut command, dir, Some(shell), None);
        }
        command.spawn().expect("sshd is installed")
    }
}

fn command(dir: &Path, elsewhere: Option<&Elsewhere>) -> Command {
    const SSHD: &str = "/usr/sbin/sshd";
    let words = elsewhere.map_or(&[][..], |there| &there.command);
    let mut command = Command::new(words.first().map_or(SSHD, String::as_str));
    if let [_, more @ ..] = words {
        command.args(more).arg(SSHD);
    }
    let log = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(dir.join("log"));
    command
        .args(["-D", "-e", "-f"])
        .arg(dir.join("sshd_config"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log.expect("our own directory"));
    command
}

/// A server that runs until it is dropped.
pub struct Sshd {
    address: SocketAddr,
    dir: TempDir,
    child: Child,
    authorized_keys: PathBuf,
    user: Option<User>,
    elsewhere: Option<Elsewhere>,
}

impl Sshd {
    /// With the usual settings.
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// With other settings.
    pub fn builder() -> Builder {
        Builder {
            address: Ipv4Addr::LOCALHOST.into(),
            host_keys: vec![Kind::Ed25519, Kind::Rsa],
            lines: Vec::new(),
            shell: None,
            user: None,
            elsewhere: None,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The process that listens: its children are the connections.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to it and to its processes for connections; scripts get none.
    pub fn signal_all(&self, signal: Signal) {
        let mut its = vec![self.pid()];
        while let Some(pid) = its.pop() {
            its.extend(children(pid));
            if let Some(pid) = Pid::from_raw(pid.cast_signed()) {
                // It may have ended by itself.
                let _ = kill_process(pid, signal);
            }
        }
    }

    /// Kills it with all its connections; what they have started goes on.
    pub fn crash(&mut self) {
        self.signal_all(Signal::KILL);
        self.child.wait().expect("our own child");
    }

    /// Starts it again after [`Sshd::crash`], with the same keys at the same place.
    pub fn start_again(&mut self) {
        let child = command(self.dir.path(), self.elsewhere.as_ref()).spawn();
        let child = child.expect("sshd is installed");
        self.child = wait_until_up(child, self.address).expect("its port is free");
    }

    /// A directory for what a test needs; gone with the server.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The user that it lets in.
    pub fn user(&self) -> String {
        self.user
            .as_ref()
            .map_or_else(user, |user| user.name.clone())
    }

    /// What it has logged until now.
    pub fn log(&self) -> String {
        log(self.dir())
    }

    /// A private key (ed25519, OpenSSH's format) that the server lets in.
    pub fn identity(&self) -> PathBuf {
        self.dir().join("client")
    }

    /// Lets another key in.
    pub fn authorize(&self, identity: &Path) {
        use std::io::Write as _;
        let mut file = fs::OpenOptions::new()
            .append(true)
            .open(&self.authorized_keys)
            .unwrap();
        writeln!(file, "{}", public_key(identity)).unwrap();
    }

    /// One of its host keys: the private file.
    pub fn host_key(&self, kind: Kind) -> PathBuf {
        host_key_path(self.dir(), kind)
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The children of an sshd that are sshd themselves.
fn children(parent: u32) -> Vec<u32> {
    let of = |entry: fs::DirEntry| -> Option<u32> {
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(") ")?;
        let its: u32 = rest.split(' ').nth(1)?.parse().ok()?;
        let pid = entry.file_name().to_str()?.parse().ok()?;
        (name == "sshd" && its == parent).then_some(pid)
    };
    let all = fs::read_dir("/proc").expect("Linux");
    all.flatten().filter_map(of).collect()
}

/// A key of its own for every server, but for RSA, which takes its time: that one they share.
fn host_key(dir: &Path, kind: Kind) {
    /// Kind, private file, public file.
    type Files = (Kind, Vec<u8>, Vec<u8>);
    static MADE: Mutex<Vec<Files>> = Mutex::new(Vec::new());
    let path = host_key_path(dir, kind);
    if kind != Kind::Rsa {
        return keygen(&path, kind, "RFC4716", "");
    }
    let public = path.with_extension("pub");
    let mut made = MADE.lock().unwrap();
    if let Some((_, private, text)) = made.iter().find(|(of, _, _)| *of == kind) {
        fs::write(&path, private).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(public, text).unwrap();
        return;
    }
    keygen(&path, kind, "RFC4716", "");
    made.push((kind, fs::read(&path).unwrap(), fs::read(public).unwrap()));
}

fn host_key_path(dir: &Path, kind: Kind) -> PathBuf {
    dir.join(format!("host_{}", kind.as_str()))
}

fn log(dir: &Path) -> String {
    fs::read_to_string(dir.join("log")).unwrap_or_default()
}

/// A port that was free a moment ago.
pub fn free_port(address: IpAddr) -> SocketAddr {
    let listener = TcpListener::bind((address, 0)).expect("a loopback port");
    listener.local_addr().unwrap()
}

/// The child of a server, once it takes connections; nothing where it ended instead.
pub fn wait_until_up(mut child: Child, address: SocketAddr) -> Option<Child> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if child.try_wait().unwrap().is_some() {
            return None;
        }
        if TcpStream::connect(address).is_ok() {
            return Some(child);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}
