//! What people use instead: programs of Debian, and libraries of PyPI by a script each in `peers/`.

use super::harness::sshd::{Kind, Sshd, public_key, user};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;

/// What runs at once, of everybody.
pub const AT_ONCE: usize = 32;
/// What no peer may take longer than.
const DEADLINE: Duration = Duration::from_secs(120);

/// The machines, and what a peer needs to log in on them.
pub struct Ground {
    pub port: u16,
    key: PathBuf,
    known_hosts: PathBuf,
    dir: TempDir,
}

/// A script on each of these hosts, one of which may be there many times.
pub struct Work {
    pub hosts: Vec<String>,
    /// The library may keep its connections, as there is one host.
    pub kept: bool,
    pub script: &'static str,
}

pub struct Peer {
    pub name: &'static str,
    /// How it is called in the table: on many addresses, and on one host.
    pub figures: [&'static str; 2],
    command: fn(&Ground, &Work) -> Command,
    /// The time is its own, without the start of its interpreter.
    tells: bool,
}

pub static PEERS: [Peer; 7] = [
    Peer {
        name: "ssh (xargs)",
        figures: [
            "a  against ssh under xargs -P 32",
            "b  against ssh under xargs -P 32",
        ],
        command: ssh,
        tells: false,
    },
    Peer {
        name: "pdsh",
        figures: ["a  against pdsh -f 32", "b  against pdsh under xargs -P 32"],
        command: pdsh,
        tells: false,
    },
    Peer {
        name: "clush",
        figures: [
            "a  against clush -f 32",
            "b  against clush under xargs -P 32",
        ],
        command: clush,
        tells: false,
    },
    Peer {
        name: "ansible raw",
        figures: [
            "a  against ansible -m raw -f 32",
            "b  against ansible -m raw -f 32",
        ],
        command: ansible,
        tells: false,
    },
    Peer {
        name: "parallel-ssh",
        figures: ["a  against parallel-ssh", "b  against parallel-ssh"],
        command: parallel_ssh,
        tells: true,
    },
    Peer {
        name: "asyncssh",
        figures: [
            "a  against asyncssh",
            "b  against asyncssh, 4 kept connections",
        ],
        command: asyncssh,
        tells: true,
    },
    Peer {
        name: "paramiko",
        figures: [
            "a  against paramiko, 32 threads",
            "b  against paramiko, 32 kept connections",
        ],
        command: paramiko,
        tells: true,
    },
];

impl Ground {
    pub fn new(sshd: &Sshd, hosts: &[String]) -> Self {
        Self::at(
            sshd.port(),
            &sshd.identity(),
            &sshd.host_key(Kind::Ed25519),
            hosts,
        )
    }

    /// Where all hosts show one key.
    pub fn at(port: u16, key: &Path, host_key: &Path, hosts: &[String]) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let known_hosts = dir.path().join("known_hosts");
        let host_key = public_key(host_key);
        let line = |host: &String| format!("[{host}]:{port} {host_key}\n");
        fs::write(&known_hosts, hosts.iter().map(line).collect::<String>()).expect("a file");
        Self {
            port,
            key: key.to_owned(),
            known_hosts,
            dir,
        }
    }

    /// The options that every use of OpenSSH's client has: nothing of the user's configuration, the
    /// one key, and host keys that are checked.
    pub fn ssh_options(&self) -> Vec<String> {
        let option = |it: String| ["-o".to_owned(), it];
        let mut options = vec!["-F".to_owned(), "none".to_owned()];
        options.extend(option("BatchMode=yes".to_owned()));
        options.extend(option("IdentitiesOnly=yes".to_owned()));
        options.extend(option("StrictHostKeyChecking=yes".to_owned()));
        options.extend(option(format!(
            "UserKnownHostsFile={}",
            self.known_hosts.display()
        )));
        options.extend(option(format!("IdentityFile={}", self.key.display())));
        options.extend(option(format!("Port={}", self.port)));
        options
    }

    fn list(&self, work: &Work) -> Stdio {
        let file = self.dir.path().join("hosts");
        fs::write(&file, work.hosts.join("\n") + "\n").expect("a file");
        fs::File::open(file).expect("it is there").into()
    }

    /// The program once for each host, 32 at a time.
    fn xargs(&self, work: &Work) -> Command {
        let mut command = Command::new("xargs");
        command.args(["-P", &AT_ONCE.to_string(), "-I", "{}"]);
        command.stdin(self.list(work));
        command
    }

    /// A script of `peers/` in the environment that `scripts/peers` makes.
    pub fn python(&self, script: &str) -> Command {
        let mut command = Command::new(python());
        command.arg(own(script)).env("PYTHONWARNINGS", "ignore");
        command
    }

    pub fn library(&self, script: &str, at_once: usize, work: &Work) -> Command {
        let mut command = self.python(script);
        command.arg(self.port.to_string()).arg(user());
        command.arg(&self.key).arg(&self.known_hosts);
        command.arg(at_once.to_string());
        command.arg(if work.kept { "kept" } else { "new" });
        command.arg(work.script).args(&work.hosts);
        command
    }

    /// One that holds a script on each host.
    pub fn holder(&self, library: &str, work: &Work) -> Command {
        let mut command = self.python("hold.py");
        command.arg(library).arg(self.port.to_string()).arg(user());
        command.arg(&self.key).arg(&self.known_hosts);
        command.arg(work.script).args(&work.hosts);
        command
    }
}

/// The interpreter that has the libraries.
pub fn python() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/bin/python")
}

/// A file of `peers/`.
pub fn own(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("benches/compare/peers")
        .join(name)
}

fn ssh(ground: &Ground, work: &Work) -> Command {
    let mut command = ground.xargs(work);
    command.arg("ssh").args(ground.ssh_options());
    command.args(["-l", &user(), "{}", work.script]);
    command
}

fn pdsh(ground: &Ground, work: &Work) -> Command {
    // It asks each host once: the same one again is another call of it.
    let (mut command, hosts) = match work.kept {
        true => {
            let mut command = ground.xargs(work);
            command.arg("pdsh");
            (command, "{}".to_owned())
        }
        false => (Command::new("pdsh"), work.hosts.join(",")),
    };
    command.args(["-R", "ssh", "-S", "-f", &AT_ONCE.to_string(), "-l", &user()]);
    command.args(["-w", &hosts, work.script]);
    command.env("PDSH_SSH_ARGS_APPEND", ground.ssh_options().join(" "));
    command
}

fn clush(ground: &Ground, work: &Work) -> Command {
    let (mut command, hosts) = match work.kept {
        true => {
            let mut command = ground.xargs(work);
            command.arg("clush");
            (command, "{}".to_owned())
        }
        false => (Command::new("clush"), work.hosts.join(",")),
    };
    command.args(["-S", "-f", &AT_ONCE.to_string(), "-l", &user()]);
    command.args([
        "-o",
        &ground.ssh_options().join(" "),
        "-w",
        &hosts,
        work.script,
    ]);
    command
}

/// With its own way to keep connections, as it comes.
fn ansible(ground: &Ground, work: &Work) -> Command {
    let inventory = ground.dir.path().join("inventory");
    let line = |(number, host): (usize, &String)| {
        format!(
            "h{number} ansible_host={host} ansible_port={}\n",
            ground.port
        )
    };
    let lines: String = work.hosts.iter().enumerate().map(line).collect();
    fs::write(&inventory, lines).expect("a file");
    let config = ground.dir.path().join("ansible.cfg");
    fs::write(&config, "").expect("a file");
    let mut command = Command::new("ansible");
    command.args([
        "all",
        "-m",
        "raw",
        "-a",
        work.script,
        "-f",
        &AT_ONCE.to_string(),
    ]);
    command.arg("-i").arg(inventory).args(["-u", &user()]);
    let kept = "-C -o ControlMaster=auto -o ControlPersist=60s";
    let options = ground.ssh_options().join(" ");
    command.env("ANSIBLE_SSH_ARGS", format!("{kept} {options}"));
    command.env("ANSIBLE_HOME", ground.dir.path());
    command.env("ANSIBLE_LOCAL_TEMP", ground.dir.path().join("tmp"));
    command.env("ANSIBLE_SSH_CONTROL_PATH_DIR", ground.dir.path().join("cp"));
    command.env("ANSIBLE_CONFIG", config);
    command
}

fn parallel_ssh(ground: &Ground, work: &Work) -> Command {
    ground.library("parallel_ssh.py", AT_ONCE, work)
}

fn asyncssh(ground: &Ground, work: &Work) -> Command {
    ground.library("asyncssh_loop.py", AT_ONCE, work)
}

fn paramiko(ground: &Ground, work: &Work) -> Command {
    ground.library("paramiko_threads.py", AT_ONCE, work)
}

impl Peer {
    /// Does the work and gives the seconds that it took; why not, where it did not.
    pub async fn run(&self, ground: &Ground, work: &Work) -> Result<f64, String> {
        let command = (self.command)(ground, work);
        let (seconds, told) = run(command).await?;
        match (self.tells, told.last()) {
            (true, Some(own)) => Ok(*own),
            (true, None) => Err("it did not tell its time".to_owned()),
            (false, _) => Ok(seconds),
        }
    }
}

/// Runs a peer to its end: the seconds, and the numbers of its last line.
pub async fn run(mut command: Command) -> Result<(f64, Vec<f64>), String> {
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    if command.as_std().get_program() != "xargs" {
        command.stdin(Stdio::null());
    }
    let began = Instant::now();
    let output = timeout(DEADLINE, command.output()).await;
    let seconds = began.elapsed().as_secs_f64();
    let output = match output {
        Err(_) => return Err(format!("not done after {} s", DEADLINE.as_secs())),
        Ok(Err(_)) => return Err("not installed: scripts/peers installs it".to_owned()),
        Ok(Ok(output)) => output,
    };
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.code() == Some(127) || text.contains("ModuleNotFoundError") {
            return Err("not installed: scripts/peers installs it".to_owned());
        }
        let last = text
            .lines()
            .rfind(|it| !it.trim().is_empty())
            .unwrap_or("no word");
        return Err(format!(
            "failed: {}",
            last.chars().take(80).collect::<String>()
        ));
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let numbers = text.lines().last().unwrap_or_default().split_whitespace();
    Ok((seconds, numbers.filter_map(|it| it.parse().ok()).collect()))
}
