//! The SSH server of `wsexec demo`: on loopback, for one key made for the run, as the current user.
//!
//! Each connection is a process of its own, and each script a session of its own under it, as with
//! OpenSSH: [`Session::terminate`](super::Session::terminate) stands on that. `wsexec` runs itself
//! for both, under the hidden words [`CONNECTION`] and [`EXEC`]. What a script leaves behind in its
//! session ends with its connection.

mod command;
mod connection;
mod processes;

pub use connection::demo_connection;

use super::host_keys::fingerprint;
use openssl::pkey::{PKey, Private};
use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// `wsexec demo-connection DIR` serves the connection on its stdin: [`demo_connection`].
pub const CONNECTION: &str = "demo-connection";
/// `wsexec demo-exec COMMAND` becomes the command: [`demo_exec`].
pub const EXEC: &str = "demo-exec";

const MAX_CONNECTIONS: usize = 64;
/// For a connection to end its scripts; it gives them less.
const STOP: Duration = Duration::from_secs(8);

const HOST_KEY: &str = "demo_host_key";
const CLIENT_KEY: &str = "demo_client_key";
const AUTHORIZED: &str = "demo_authorized";
const KNOWN_HOSTS: &str = "demo_known_hosts";
const USER: &str = "demo_user";

/// A server that runs until it is stopped.
pub struct DemoServer {
    dir: PathBuf,
    port: u16,
    user: String,
    stop: CancellationToken,
    connections: TaskTracker,
}

impl DemoServer {
    /// Makes the keys as files in `dir`, a directory that nobody else may read, and listens on a
    /// free port of 127.0.0.1.
    ///
    /// # Errors
    /// Where a file cannot be written, no port is free, or the user has no name.
    pub async fn start(dir: &Path) -> io::Result<Self> {
        let user = user_name().await?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let server = Self {
            dir: dir.to_owned(),
            port: listener.local_addr()?.port(),
            user,
            stop: CancellationToken::new(),
            connections: TaskTracker::new(),
        };
        server.write_files()?;
        let accepting = accept(
            listener,
            server.dir.clone(),
            server.stop.clone(),
            server.connections.clone(),
        );
        server.connections.spawn(accepting);
        Ok(server)
    }

    /// Where it listens on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The one user that it lets in.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The private key that it lets in.
    pub fn identity(&self) -> PathBuf {
        self.dir.join(CLIENT_KEY)
    }

    /// A known_hosts file that has its host key.
    pub fn known_hosts(&self) -> PathBuf {
        self.dir.join(KNOWN_HOSTS)
    }

    /// Ends every connection and every script, and returns when they are gone.
    pub async fn stop(self) {
        self.stop.cancel();
        self.connections.close();
        self.connections.wait().await;
    }

    fn write_files(&self) -> io::Result<()> {
        let write = |name: &str, bytes: &[u8]| write_private(&self.dir.join(name), bytes);
        let (host, client) = (PKey::generate_ed25519()?, PKey::generate_ed25519()?);
        write(HOST_KEY, &host.private_key_to_pem_pkcs8()?)?;
        write(CLIENT_KEY, &client.private_key_to_pem_pkcs8()?)?;
        write(AUTHORIZED, fingerprint(&blob(&client)?).as_bytes())?;
        write(USER, self.user.as_bytes())?;
        let key = base64(&blob(&host)?);
        let line = format!("[127.0.0.1]:{} ssh-ed25519 {key}\n", self.port);
        write(KNOWN_HOSTS, line.as_bytes())
    }
}

impl Drop for DemoServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Becomes a command, in a session of its own: `$SHELL -c COMMAND` in the home directory. Returns
/// only where that fails.
pub fn demo_exec(command: &OsStr) -> io::Error {
    command::become_command(command)
}

async fn accept(
    listener: TcpListener,
    dir: PathBuf,
    stop: CancellationToken,
    connections: TaskTracker,
) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let next = async {
            let place = places.clone().acquire_owned().await.ok();
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            next = next => next,
            () = stop.cancelled() => return,
        };
        let serving = match accepted {
            Ok((stream, _)) => serve(stream, &dir),
            Err(error) => Err(error),
        };
        match serving {
            Ok(child) => drop(connections.spawn(watch(child, place, stop.clone()))),
            Err(error) => {
                tracing::warn!(%error, "demo: a connection cannot be served");
                // Out of descriptors or processes: a moment may help, a busy loop does not.
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// A process for the connection, in a process group of its own: an interrupt from the terminal is
/// for `wsexec` alone, which ends its scripts in order.
fn serve(stream: TcpStream, dir: &Path) -> io::Result<Child> {
    let socket = OwnedFd::from(stream.into_std()?);
    Command::new(std::env::current_exe()?)
        .arg(CONNECTION)
        .arg(dir)
        .stdin(Stdio::from(socket))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
}

async fn watch(mut child: Child, _place: Option<OwnedSemaphorePermit>, stop: CancellationToken) {
    tokio::select! {
        _ = child.wait() => return,
        () = stop.cancelled() => {}
    }
    if let Some(pid) = child.id().and_then(processes::pid) {
        // Fails where it has ended meanwhile.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    if timeout(STOP, child.wait()).await.is_err() {
        let _ = child.kill().await;
    }
}

async fn user_name() -> io::Result<String> {
    let output = Command::new("id").arg("-un").output().await?;
    let name = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    match name.is_empty() {
        true => Err(io::Error::other("the current user has no name")),
        false => Ok(name),
    }
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)
}

/// The public key blob of an ed25519 key (RFC 8709 section 4).
fn blob(key: &PKey<Private>) -> io::Result<Vec<u8>> {
    let public = key.raw_public_key()?;
    let mut blob = Vec::new();
    for part in [b"ssh-ed25519".as_slice(), &public] {
        blob.extend_from_slice(&(part.len() as u32).to_be_bytes());
        blob.extend_from_slice(part);
    }
    Ok(blob)
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
