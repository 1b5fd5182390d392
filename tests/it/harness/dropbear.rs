//! A real Dropbear on a loopback port: the SSH server of small machines.

use super::sshd::{Kind, free_port, keygen, wait_until_up};
use super::users;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// A server that runs until it is dropped. It lets the user that the tests run as in.
pub struct Dropbear {
    address: SocketAddr,
    dir: TempDir,
    child: Child,
}

impl Dropbear {
    /// Starts it with these host keys, made by `dropbearkey`, and waits until it takes
    /// connections.
    pub fn start(host_keys: &[Kind]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        keygen(&dir.path().join("client"), Kind::Ed25519, "RFC4716", "");
        // It reads nothing but the user's own file, so the user gets another home.
        let ssh = dir.path().join(".ssh");
        fs::create_dir(&ssh).unwrap();
        fs::copy(dir.path().join("client.pub"), ssh.join("authorized_keys")).unwrap();
        for kind in host_keys {
            dropbearkey(&host_key(dir.path(), *kind), *kind);
        }
        for _ in 0..20 {
            let address = free_port(Ipv4Addr::LOCALHOST.into());
            let child = spawn(dir.path(), host_keys, address);
            if let Some(child) = wait_until_up(child, address) {
                users::assert_preloaded(&log(dir.path()));
                return Self {
                    address,
                    dir,
                    child,
                };
            }
        }
        panic!("dropbear does not start: {}", log(dir.path()));
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// A private key (ed25519, OpenSSH's format) that it lets in.
    pub fn identity(&self) -> PathBuf {
        self.dir.path().join("client")
    }
}

impl Drop for Dropbear {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- dropbear: {}", log(self.dir.path()));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(dir: &Path, host_keys: &[Kind], address: SocketAddr) -> Child {
    let mut command = Command::new("/usr/sbin/dropbear");
    users::another_passwd(&mut command, dir, None, dir.to_str());
    command
        .args(["-F", "-E", "-m", "-s", "-p", &address.to_string(), "-P"])
        .arg(dir.join("pid"));
    for kind in host_keys {
        command.arg("-r").arg(host_key(dir, *kind));
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(dir.join("log")).unwrap())
        .spawn()
        .expect("dropbear is installed (apt install dropbear-bin)")
}

fn host_key(dir: &Path, kind: Kind) -> PathBuf {
    dir.join(format!("host_{}", kind.as_str()))
}

fn dropbearkey(path: &Path, kind: Kind) {
    let made = Command::new("dropbearkey")
        .args(["-t", kind.as_str(), "-f"])
        .arg(path)
        .output()
        .expect("dropbearkey is installed (apt install dropbear-bin)");
    assert!(made.status.success(), "{made:?}");
}

fn log(dir: &Path) -> String {
    fs::read_to_string(dir.join("log")).unwrap_or_default()
}
