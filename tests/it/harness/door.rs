//! A port that leads to one server and later to another, as an address does when a machine is
//! replaced, or when somebody stands between.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

/// Open until it is dropped, on the runtime that made it.
pub struct Door {
    port: u16,
    behind: Arc<Mutex<Behind>>,
    serving: JoinHandle<()>,
}

#[derive(Clone)]
struct Behind {
    target: SocketAddr,
    /// What is shown in the place of what, when the server speaks; of the same length.
    disguise: Option<(Vec<u8>, Vec<u8>)>,
    /// Ends the connections that stand.
    cut: CancellationToken,
}

impl Door {
    /// On a free port of 127.0.0.1.
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let behind = Arc::new(Mutex::new(Behind {
            target,
            disguise: None,
            cut: CancellationToken::new(),
        }));
        let now = Arc::clone(&behind);
        let serving = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((outside, _)) = listener.accept().await {
                let behind = now.lock().unwrap().clone();
                connections.spawn(pass(outside, behind));
            }
        });
        Self {
            port,
            behind,
            serving,
        }
    }

    /// Where it stands.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Leads elsewhere from now on; what is connected is cut.
    pub fn lead_to(&self, target: SocketAddr) {
        self.change(|behind| behind.target = target);
    }

    /// From now on, the server's host key is shown as another one, of which the server has no
    /// private half; what is connected is cut. Both as the blobs of RFC 4253 section 6.6.
    pub fn disguise(&self, key: Vec<u8>, other: Vec<u8>) {
        assert_eq!(key.len(), other.len());
        self.change(|behind| behind.disguise = Some((key, other)));
    }

    fn change(&self, change: impl FnOnce(&mut Behind)) {
        let mut behind = self.behind.lock().unwrap();
        change(&mut behind);
        std::mem::take(&mut behind.cut).cancel();
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn pass(outside: TcpStream, behind: Behind) {
    let Ok(inside) = TcpStream::connect(behind.target).await else {
        return;
    };
    let (from_client, to_client) = outside.into_split();
    let (from_server, to_server) = inside.into_split();
    let speak = forward(from_server, to_client, behind.disguise);
    let listen = forward(from_client, to_server, None);
    tokio::select! {
        () = async { tokio::join!(speak, listen); } => {}
        () = behind.cut.cancelled() => {}
    }
}

async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    disguise: Option<(Vec<u8>, Vec<u8>)>,
) {
    let mut held = Vec::new();
    let mut buffer = [0; 16 * 1024];
    while let Ok(length) = from.read(&mut buffer).await {
        held.extend_from_slice(&buffer[..length]);
        let mut whole = held.len();
        if let Some((key, other)) = &disguise {
            let places = held.windows(key.len()).position(|window| window == key);
            if let Some(at) = places {
                held[at..at + key.len()].copy_from_slice(other);
            }
            // What looks like the beginning of the key waits for the rest of it. Its first bytes
            // are zeros, as those of padding are.
            let is_begun = |n: &usize| held.ends_with(&key[..*n]);
            let begun = (8..key.len()).rev().find(is_begun).unwrap_or(0);
            whole -= if length == 0 { 0 } else { begun };
        }
        if to.write_all(&held[..whole]).await.is_err() || length == 0 {
            return;
        }
        held.drain(..whole);
    }
}
