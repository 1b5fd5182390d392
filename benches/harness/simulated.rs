//! Machines that only seem to be: one process that speaks SSH on all of 127.0.0.0/8, starts
//! nothing, and lets each "script" hold its channel open and print a line now and then.
//!
//! This program starts itself again as that process, so that nothing of it is counted elsewhere.

use russh::keys::load_secret_key;
use russh::server::{Auth, ChannelOpenHandle, Config, Handle, Handler, Msg, Session};
use russh::server::{VerifiedPublicKey, run_stream};
use russh::{Channel, ChannelId};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// The script that never ends.
pub const HOLD: &str = "hold";
/// The script that says a line and ends well after so many seconds, which follow.
pub const STAY: &str = "stay ";
const MODE: &str = "simulated-machines";
/// Between two lines of a script.
const PACE: Duration = Duration::from_secs(10);

/// The process; ended when it is dropped.
pub struct Machines {
    pub port: u16,
    child: Child,
}

impl Machines {
    /// With the private key that all of them show, in OpenSSH's format.
    pub fn start(host_key: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("the path of this program"))
            .arg(MODE)
            .arg(host_key)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts again");
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        stdout.read_line(&mut line).expect("a line");
        let port = line.trim_end().parse().expect("a port");
        Self { port, child }
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// As many descriptors as we may have.
pub fn raise_descriptors() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, raised).expect("up to the hard limit anybody may");
}

/// Is that process, where this program was started as it.
pub fn serve() -> Option<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    if arguments.next()? != MODE {
        return None;
    }
    let host_key = arguments.next()?;
    raise_descriptors();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(listen(Path::new(&host_key)));
    Some(ExitCode::FAILURE)
}

async fn listen(host_key: &Path) {
    let key = load_secret_key(host_key, None).expect("a key");
    let config = Arc::new(Config {
        keys: vec![key],
        inactivity_timeout: None,
        nodelay: true,
        ..Config::default()
    });
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await;
    let listener = listener.expect("a port");
    println!("{}", listener.local_addr().expect("it listens").port());
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let config = config.clone();
        tokio::spawn(async move {
            // A client that goes is as good as one that says so.
            if let Ok(session) = run_stream(config, stream, Machine).await {
                let _ = session.await;
            }
        });
    }
}

/// One connection.
struct Machine;

impl Handler for Machine {
    type Error = russh::Error;

    async fn auth_publickey(
        &mut self,
        _: &str,
        _: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        _: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_success(channel)?;
        let text = String::from_utf8_lossy(command);
        let stays = text.strip_prefix(STAY).and_then(|it| it.parse().ok());
        if command == HOLD.as_bytes() {
            tokio::spawn(hold(session.handle(), channel));
        } else if let Some(seconds) = stays {
            tokio::spawn(stay(
                session.handle(),
                channel,
                Duration::from_secs(seconds),
            ));
        } else {
            // What WSEXEC asks beside a script finds nothing here.
            session.exit_status_request(channel, 1)?;
            session.eof(channel)?;
            session.close(channel)?;
        }
        Ok(())
    }
}

/// Prints until nobody is there.
async fn hold(handle: Handle, channel: ChannelId) {
    for line in 0u64.. {
        let text = format!("line {line}\n");
        if handle.data(channel, text).await.is_err() {
            return;
        }
        tokio::time::sleep(PACE).await;
    }
}

async fn stay(handle: Handle, channel: ChannelId, time: Duration) {
    let _ = handle.data(channel, "a line\n".to_owned()).await;
    tokio::time::sleep(time).await;
    let _ = handle.exit_status_request(channel, 0).await;
    let _ = handle.eof(channel).await;
    let _ = handle.close(channel).await;
}
