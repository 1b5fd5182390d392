//! One script on the demo server: started, its output carried, its end told.

use super::EXEC;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use thrussh::server::Handle;
use thrussh::{ChannelId, CryptoVec, Sig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{Notify, mpsc};

/// The bytes of one message.
const PIECE: usize = 16 * 1024;
/// More than can be on the way from [`Window::take`] to thrussh's session, whose queue has ten
/// places.
const ON_THE_WAY: u64 = 16 * PIECE as u64;
/// What [`Connector`](super::super::Connector) opens a channel with.
const FIRST_WINDOW: u64 = 2 * 1024 * 1024;
/// RFC 4254 section 5.2.
const EXTENDED_STDERR: u32 = 1;

pub fn become_command(command: &OsStr) -> io::Error {
    // Fails for a leader of a process group, which the server does not make.
    if let Err(error) = rustix::process::setsid() {
        return error.into();
    }
    let shell = std::env::var_os("SHELL").unwrap_or_else(|| OsString::from("/bin/sh"));
    let mut shell = std::process::Command::new(shell);
    shell.arg("-c").arg(command).exec()
}

/// Starts `wsexec demo-exec COMMAND`, with an environment that has none of the server's secrets.
pub fn start(command: &[u8], user: &str, connection: &str) -> io::Result<Child> {
    let keep = |name: &str| std::env::var_os(name).map(|value| (name.to_owned(), value));
    let kept = ["HOME", "SHELL", "PATH", "LANG", "LC_ALL", "TZ"];
    let mut child = Command::new(std::env::current_exe()?);
    child
        .arg(EXEC)
        .arg("--")
        .arg(OsStr::from_bytes(command))
        .env_clear()
        .envs(kept.into_iter().filter_map(keep))
        .env("USER", user)
        .env("LOGNAME", user)
        .env("SSH_CONNECTION", connection)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(home) = std::env::var_os("HOME").filter(|home| home.as_bytes() != b"") {
        child.current_dir(home);
    }
    child.spawn()
}

/// Messages of a command's input that wait for it to read: more than a window of them, and all of
/// the longest input that a task may have.
pub const INPUT: usize = 2048;

/// Carries what comes on a channel to a command that may not read it.
pub async fn feed(mut stdin: ChildStdin, mut input: mpsc::Receiver<Vec<u8>>) {
    while let Some(data) = input.recv().await {
        if stdin.write_all(&data).await.is_err() {
            return;
        }
    }
}

/// Carries the output and the end of a command to its channel.
pub async fn carry(mut child: Child, channel: ChannelId, handle: Handle, window: Arc<Window>) {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let mut ending = handle.clone();
    let end = async {
        if let Ok(status) = child.wait().await {
            tell(&mut ending, channel, status).await;
        }
    };
    tokio::join!(
        end,
        pump(stdout, None, channel, handle.clone(), &window),
        pump(
            stderr,
            Some(EXTENDED_STDERR),
            channel,
            handle.clone(),
            &window
        ),
    );
    // What fails here fails because the connection is gone.
    let mut handle = handle;
    let _ = handle.eof(channel).await;
    let _ = handle.close(channel).await;
}

async fn tell(handle: &mut Handle, channel: ChannelId, status: ExitStatus) {
    let _ = match status.signal() {
        Some(signal) => {
            let core_dumped = status.core_dumped();
            let text = String::new();
            handle
                .exit_signal_request(channel, name_of(signal), core_dumped, text.clone(), text)
                .await
        }
        None => {
            let code = u32::try_from(status.code().unwrap_or(255)).unwrap_or(255);
            handle.exit_status_request(channel, code).await
        }
    };
}

async fn pump(
    source: Option<impl AsyncRead + Unpin>,
    kind: Option<u32>,
    channel: ChannelId,
    mut handle: Handle,
    window: &Window,
) {
    let Some(mut source) = source else { return };
    let mut buffer = vec![0; PIECE];
    while let Ok(length @ 1..) = source.read(&mut buffer).await {
        window.take(length as u64).await;
        let data = CryptoVec::from_slice(&buffer[..length]);
        let sent = match kind {
            None => handle.data(channel, data).await,
            Some(kind) => handle.extended_data(channel, kind, data).await,
        };
        if sent.is_err() {
            return;
        }
    }
}

/// A channel's window (RFC 4254 section 5.2), counted here too: thrussh queues what does not fit
/// without a bound, and sends queued stderr as stdout.
pub struct Window {
    bytes: Mutex<Bytes>,
    wider: Notify,
}

struct Bytes {
    sent: u64,
    granted: u64,
}

impl Window {
    pub fn new() -> Self {
        Self {
            bytes: Mutex::new(Bytes {
                sent: 0,
                granted: FIRST_WINDOW,
            }),
            wider: Notify::new(),
        }
    }

    /// The session's window is so many bytes now, which does not count what is on its way there.
    pub fn adjust(&self, size: usize) {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let granted = (bytes.sent + size as u64).saturating_sub(ON_THE_WAY);
        bytes.granted = bytes.granted.max(granted);
        self.wider.notify_waiters();
    }

    async fn take(&self, length: u64) {
        loop {
            let wider = self.wider.notified();
            tokio::pin!(wider);
            wider.as_mut().enable();
            {
                let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
                if bytes.sent + length <= bytes.granted {
                    bytes.sent += length;
                    return;
                }
            }
            wider.await;
        }
    }
}

/// Numbers of Linux (signal(7)); those that RFC 4254 section 6.10 does not name get a name of
/// their own form.
fn name_of(signal: i32) -> Sig {
    match signal {
        1 => Sig::HUP,
        2 => Sig::INT,
        3 => Sig::QUIT,
        4 => Sig::ILL,
        6 => Sig::ABRT,
        8 => Sig::FPE,
        9 => Sig::KILL,
        11 => Sig::SEGV,
        13 => Sig::PIPE,
        14 => Sig::ALRM,
        15 => Sig::TERM,
        other => Sig::Custom(format!("{other}@wsexec")),
    }
}
