//! One connection to the demo server, in a process of its own.

use super::command::{self, Window};
use super::{AUTHORIZED, HOST_KEY, USER, processes};
use crate::ssh::host_keys::fingerprint;
use crate::ssh::identities;
use openssl::pkey::PKey;
use rustix::process::Signal;
use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use thrussh::server::{Auth, Config, Handler, Session, run_stream};
use thrussh::{ChannelId, Error, MethodSet, Preferred, Sig, mac};
use thrussh_keys::PublicKeyBase64;
use thrussh_keys::key::PublicKey;
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

/// Commands on one connection, as sshd's `MaxSessions` has it.
const MAX_COMMANDS: usize = 10;

/// Serves the connection that is this process's stdin, with the keys in `dir`. Returns when it is
/// over, or on SIGTERM, and then nothing of its scripts is left.
///
/// # Errors
/// Where stdin is no connection, or a key cannot be read.
pub async fn demo_connection(dir: &Path) -> io::Result<()> {
    // So that nothing outlives a server that was killed.
    rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
    let mut terminated = signal(SignalKind::terminate())?;
    let stream = std::net::TcpStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    let (theirs, ours) = (stream.peer_addr()?, stream.local_addr()?);
    let (client, server) = (theirs.ip(), ours.ip());
    let stream = TcpStream::from_std(stream)?;
    let host_key = PKey::private_key_from_pem(&std::fs::read(dir.join(HOST_KEY))?)?;
    let host_key = identities::ed25519_of(&host_key).map_err(|_| io::Error::other("host key"))?;
    let (sessions, mut started) = mpsc::channel(MAX_COMMANDS);
    let commands = Commands {
        user: std::fs::read_to_string(dir.join(USER))?,
        authorized: std::fs::read_to_string(dir.join(AUTHORIZED))?,
        // As ssh(1) has it.
        connection: format!("{client} {} {server} {}", theirs.port(), ours.port()),
        running: HashMap::new(),
        tracker: TaskTracker::new(),
        inputs: TaskTracker::new(),
        sessions,
    };
    let config = Config {
        server_id: concat!("SSH-2.0-wsexec_", env!("CARGO_PKG_VERSION")).into(),
        methods: MethodSet::PUBLICKEY,
        keys: vec![host_key],
        // A script may be silent for as long as it likes.
        connection_timeout: None,
        preferred: Preferred {
            mac: &[mac::hmac_sha256::NAME],
            compression: &["none"],
            ..Preferred::DEFAULT_SERVER
        },
        ..Config::default()
    };
    let mut served = std::pin::pin!(run_stream(Arc::new(config), stream, commands));
    let mut ids = HashSet::new();
    loop {
        tokio::select! {
            Some(id) = started.recv() => drop(ids.insert(id)),
            _ = &mut served => break,
            _ = terminated.recv() => break,
        }
    }
    while let Ok(id) = started.try_recv() {
        ids.insert(id);
    }
    processes::end_sessions(&ids).await;
    Ok(())
}

struct Commands {
    user: String,
    /// The fingerprint of the one key.
    authorized: String,
    connection: String,
    running: HashMap<ChannelId, Running>,
    tracker: TaskTracker,
    inputs: TaskTracker,
    /// The sessions that scripts have begun, by the id of their leaders.
    sessions: mpsc::Sender<u32>,
}

/// A command that was started.
struct Running {
    id: u32,
    window: Arc<Window>,
    /// Until its input has ended.
    input: Option<mpsc::Sender<Vec<u8>>>,
}

type Done = Result<(Commands, Session), Error>;

impl Handler for Commands {
    type Error = Error;

    async fn auth_publickey(self, user: &str, key: &PublicKey) -> Result<(Self, Auth), Error> {
        let right = user == self.user && fingerprint(&key.public_key_bytes()) == self.authorized;
        Ok((self, if right { Auth::Accept } else { Auth::Reject }))
    }

    async fn exec_request(
        mut self,
        channel: ChannelId,
        command: &[u8],
        mut session: Session,
    ) -> Done {
        let started = match self.tracker.len() < MAX_COMMANDS {
            true => command::start(command, &self.user, &self.connection).ok(),
            false => None,
        };
        match started.and_then(|child| Some((child.id()?, child))) {
            Some((id, mut child)) => {
                let window = Arc::new(Window::new());
                let (sender, input) = mpsc::channel(command::INPUT);
                if let Some(stdin) = child.stdin.take() {
                    self.inputs.spawn(command::feed(stdin, input));
                }
                let running = Running {
                    id,
                    window: window.clone(),
                    input: Some(sender),
                };
                self.running.insert(channel, running);
                let _ = self.sessions.send(id).await;
                session.channel_success(channel);
                let carried = command::carry(child, channel, session.handle(), window);
                self.tracker.spawn(carried);
            }
            None => session.channel_failure(channel),
        }
        Ok((self, session))
    }

    async fn data(self, channel: ChannelId, data: &[u8], session: Session) -> Done {
        let running = self.running.get(&channel);
        if let Some(input) = running.and_then(|it| it.input.as_ref()) {
            // Fails where the script reads no more.
            let _ = input.send(data.to_vec()).await;
        }
        Ok((self, session))
    }

    async fn channel_eof(mut self, channel: ChannelId, session: Session) -> Done {
        if let Some(running) = self.running.get_mut(&channel) {
            running.input = None;
        }
        Ok((self, session))
    }

    async fn channel_close(mut self, channel: ChannelId, session: Session) -> Done {
        if let Some(running) = self.running.get_mut(&channel) {
            running.input = None;
        }
        Ok((self, session))
    }

    async fn signal(self, channel: ChannelId, signal: Sig, session: Session) -> Done {
        let signal = match signal {
            Sig::TERM => Some(Signal::TERM),
            Sig::KILL => Some(Signal::KILL),
            Sig::INT => Some(Signal::INT),
            Sig::HUP => Some(Signal::HUP),
            _ => None,
        };
        let leader = self
            .running
            .get(&channel)
            .and_then(|it| processes::pid(it.id));
        if let (Some(leader), Some(signal)) = (leader, signal) {
            // Fails where the script has ended.
            let _ = rustix::process::kill_process_group(leader, signal);
        }
        Ok((self, session))
    }

    async fn window_adjusted(self, channel: ChannelId, size: usize, session: Session) -> Done {
        if let Some(running) = self.running.get(&channel) {
            running.window.adjust(size);
        }
        Ok((self, session))
    }
}
