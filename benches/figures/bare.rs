//! thrussh alone: what the library does where nothing stands on it.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use thrussh::client::{self, Channel, Handle, Handler, Session};
use thrussh::{ChannelId, ChannelMsg, Disconnect, Error};
use thrussh_keys::key::{KeyPair, PublicKey};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

/// The key of all connections.
#[derive(Clone)]
pub struct Bare {
    key: Arc<KeyPair>,
    config: Arc<client::Config>,
    user: String,
}

impl Bare {
    pub fn new(identity: &Path, user: String) -> Self {
        let key = thrussh_keys::load_secret_key(identity, None).expect("a key");
        Self {
            key: Arc::new(key),
            config: Arc::default(),
            user,
        }
    }

    async fn connect<H: Handler + Send + 'static>(
        &self,
        (host, port): (&str, u16),
        handler: H,
    ) -> (Handle<H>, Channel)
    where
        H::Error: std::fmt::Debug,
    {
        let stream = TcpStream::connect((host, port))
            .await
            .expect("sshd listens");
        stream.set_nodelay(true).expect("a socket");
        let handle = client::connect_stream(self.config.clone(), stream, handler).await;
        let mut handle = handle.expect("a key exchange");
        let login = handle.authenticate_publickey(self.user.clone(), self.key.clone());
        assert!(login.await.expect("an answer"), "the key is right");
        let channel = handle.channel_open_session().await.expect("a channel");
        (handle, channel)
    }

    /// Connects, logs in, runs `true`, waits for its end, closes.
    async fn run_true(&self, at: (&str, u16)) {
        let (mut handle, mut channel) = self.connect(at, Trusting).await;
        channel.exec(true, "true").await.expect("it is sent");
        let mut status = None;
        while let Some(message) = channel.wait().await {
            if let ChannelMsg::ExitStatus { exit_status } = message {
                status = Some(exit_status);
                break;
            }
        }
        assert_eq!(status, Some(0));
        // It ends the spawned work behind the handle, and the socket.
        let _ = handle.disconnect(Disconnect::ByApplication, "", "en").await;
    }

    /// Runs `true` on each host, so many at once.
    pub async fn run_all(&self, hosts: Vec<String>, port: u16, at_once: usize) {
        let places = Arc::new(Semaphore::new(at_once));
        let mut runs = JoinSet::new();
        for host in hosts {
            let (bare, places) = (self.clone(), places.clone());
            runs.spawn(async move {
                let _place = places.acquire().await.expect("never closed");
                bare.run_true((&host, port)).await;
            });
        }
        while let Some(run) = runs.join_next().await {
            run.expect("it succeeds");
        }
    }

    /// Runs a script and counts what it writes.
    pub async fn count(&self, port: u16, script: &str) -> u64 {
        let (ended, mut end) = mpsc::channel(1);
        let counter = Counter {
            bytes: Arc::default(),
            ended: Mutex::new(Some(ended)),
        };
        let bytes = counter.bytes.clone();
        let (mut handle, mut channel) = self.connect(("127.0.0.1", port), counter).await;
        channel.exec(true, script).await.expect("it is sent");
        end.recv().await;
        let _ = handle.disconnect(Disconnect::ByApplication, "", "en").await;
        bytes.load(Ordering::Relaxed)
    }
}

/// Takes any host key: it is our own sshd.
struct Trusting;

impl Handler for Trusting {
    type Error = Error;

    async fn check_server_key(self, _: &PublicKey) -> Result<(Self, bool), Error> {
        Ok((self, true))
    }
}

/// Counts and forgets.
struct Counter {
    bytes: Arc<AtomicU64>,
    /// Dropped at the end of the output.
    ended: Mutex<Option<mpsc::Sender<()>>>,
}

impl Handler for Counter {
    type Error = Error;

    async fn check_server_key(self, _: &PublicKey) -> Result<(Self, bool), Error> {
        Ok((self, true))
    }

    async fn data(
        self,
        _: ChannelId,
        data: &[u8],
        session: Session,
    ) -> Result<(Self, Session), Error> {
        self.bytes.fetch_add(data.len() as u64, Ordering::Relaxed);
        Ok((self, session))
    }

    async fn channel_eof(self, _: ChannelId, session: Session) -> Result<(Self, Session), Error> {
        self.ended.lock().expect("no panic holds it").take();
        Ok((self, session))
    }
}
