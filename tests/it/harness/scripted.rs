//! An SSH server that misbehaves in one chosen way. It lets every key in.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use thrussh::server::{Auth, Config, Handle, Handler, Session, run_stream};
use thrussh::{ChannelId, CryptoVec, Error};
use thrussh_keys::key::{KeyPair, PublicKey};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// What it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// It takes the connection and says nothing.
    SilentAfterAccept,
    /// It says who it is, and nothing more.
    SilentAfterBanner,
    /// It speaks another protocol.
    SpeaksHttp,
    /// It closes the connection at once, as an overloaded sshd does.
    ClosesAtOnce,
    /// It begins the key exchange and goes silent.
    StallsInKeyExchange,
    /// It begins the key exchange and closes the connection.
    ClosesInKeyExchange,
    /// It offers only MACs that we do not have, and ciphers that need one.
    OffersOtherMacs,
    /// It announces a packet of 4 GiB.
    AnnouncesHugePacket,
    /// It shows a host key of somebody else, and a signature that proves nothing.
    ShowsStolenKey,
    /// It never answers a login.
    StallsInLogin,
    /// It answers the request for a command neither with yes nor no.
    IgnoresExec,
    /// It refuses the command, and keeps the channel.
    RefusesExec,
    /// It closes the channel instead of running the command.
    ClosesOnExec,
    /// It drops the connection instead of answering.
    DropsOnExec,
    /// It says something and closes the channel, with no exit status.
    EndsWithoutStatus,
    /// It drops the connection in the middle of the output.
    DropsInOutput,
    /// It tells the exit status first, then the output, then the end.
    StatusBeforeOutput,
    /// It tells the exit status, and drops the connection before the output.
    DropsAfterStatus,
    /// It says something and then nothing, for ever.
    SilentInOutput,
    /// It writes for ever.
    Floods,
}

/// What it writes where it writes at all.
pub const OUTPUT: &[u8] = b"what it wrote";

/// A server that runs, on the runtime that started it, until it is dropped.
pub struct Scripted {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Scripted {
    /// Listens on a free port of 127.0.0.1.
    pub async fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            let config = Arc::new(config());
            loop {
                tokio::select! {
                    Ok((stream, _)) = listener.accept() => {
                        connections.spawn(serve(stream, behaviour, config.clone()));
                    }
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        Self { address, serving }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn config() -> Config {
    Config {
        keys: vec![KeyPair::generate_ed25519().unwrap()],
        connection_timeout: None,
        ..Config::default()
    }
}

async fn serve(mut stream: TcpStream, behaviour: Behaviour, config: Arc<Config>) {
    let opening: &[&[u8]] = match behaviour {
        Behaviour::SilentAfterAccept => &[],
        Behaviour::SilentAfterBanner => &[BANNER],
        Behaviour::SpeaksHttp => &[b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"],
        Behaviour::ClosesAtOnce => return,
        Behaviour::StallsInKeyExchange | Behaviour::ClosesInKeyExchange => {
            &[BANNER, &kexinit("hmac-sha2-256")]
        }
        Behaviour::ShowsStolenKey => {
            let _ = show_stolen_key(&mut stream).await;
            return;
        }
        Behaviour::OffersOtherMacs => &[BANNER, &kexinit("umac-64@openssh.com")],
        Behaviour::AnnouncesHugePacket => &[BANNER, &[0xff; 64]],
        _ => {
            let socket = socket2::SockRef::from(&stream).try_clone().unwrap();
            let commands = Commands { behaviour, socket };
            let _ = run_stream(config, stream, commands).await;
            return;
        }
    };
    for part in opening {
        if stream.write_all(part).await.is_err() {
            return;
        }
    }
    let ends = [Behaviour::ClosesInKeyExchange, Behaviour::SpeaksHttp];
    let mut buffer = [0; 4096];
    if ends.contains(&behaviour) {
        let _ = stream.read(&mut buffer).await;
        return;
    }
    while stream
        .read(&mut buffer)
        .await
        .is_ok_and(|length| length > 0)
    {}
}

/// The host key that a server shows which does not hold it: 32 bytes of an ed25519 key.
pub const STOLEN: [u8; 32] = [9; 32];

async fn show_stolen_key(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(BANNER).await?;
    stream.write_all(&kexinit("hmac-sha2-256")).await?;
    // What the client says: its identification, its KEXINIT and its half of the key exchange.
    let mut said = Vec::new();
    while !said
        .windows(6)
        .any(|bytes| bytes == [30, 0, 0, 0, 32, bytes[5]])
    {
        if stream.read_buf(&mut said).await? == 0 {
            return Ok(());
        }
    }
    let string = |data: &[u8]| [&(data.len() as u32).to_be_bytes(), data].concat();
    let name = string(b"ssh-ed25519");
    let key = string(&[name.clone(), string(&STOLEN)].concat());
    // A point of the curve: nobody needs to know its logarithm.
    let ephemeral = string(&[9; 32]);
    let signature = string(&[name, string(&[7; 64])].concat());
    let reply = packet([&[31][..], &key, &ephemeral, &signature].concat());
    stream.write_all(&reply).await?;
    stream.write_all(&packet(vec![21])).await?;
    while stream.read_buf(&mut said).await? > 0 && said.len() < 65536 {}
    Ok(())
}

const BANNER: &[u8] = b"SSH-2.0-scripted\r\n";

/// A packet with the algorithms of a server (RFC 4253 sections 6 and 7.1).
fn kexinit(mac: &str) -> Vec<u8> {
    let mut payload = vec![20];
    payload.extend_from_slice(&[7; 16]);
    for list in [
        "curve25519-sha256@libssh.org",
        "ssh-ed25519",
        "aes256-ctr",
        "aes256-ctr",
        mac,
        mac,
        "none",
        "none",
        "",
        "",
    ] {
        payload.extend_from_slice(&(list.len() as u32).to_be_bytes());
        payload.extend_from_slice(list.as_bytes());
    }
    payload.extend_from_slice(&[0; 5]);
    packet(payload)
}

/// A packet in the clear.
fn packet(mut payload: Vec<u8>) -> Vec<u8> {
    let padding = 8 - (payload.len() + 5) % 8 + 8;
    let mut packet = ((payload.len() + 1 + padding) as u32)
        .to_be_bytes()
        .to_vec();
    packet.push(padding as u8);
    packet.append(&mut payload);
    packet.resize(packet.len() + padding, 0);
    packet
}

struct Commands {
    behaviour: Behaviour,
    socket: socket2::Socket,
}

type Done = Result<(Commands, Session), Error>;

impl Handler for Commands {
    type Error = Error;

    async fn auth_publickey(self, _: &str, _: &PublicKey) -> Result<(Self, Auth), Error> {
        if self.behaviour == Behaviour::StallsInLogin {
            // As long as the client keeps the connection: its end is not seen from in here.
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
        Ok((self, Auth::Accept))
    }

    async fn exec_request(self, channel: ChannelId, _: &[u8], mut session: Session) -> Done {
        match self.behaviour {
            Behaviour::IgnoresExec => {}
            Behaviour::RefusesExec => session.channel_failure(channel),
            Behaviour::ClosesOnExec => session.close(channel),
            Behaviour::DropsOnExec => self.socket.shutdown(std::net::Shutdown::Both).unwrap(),
            _ => {
                session.channel_success(channel);
                let socket = self.socket.try_clone().unwrap();
                tokio::spawn(act(self.behaviour, channel, session.handle(), socket));
            }
        }
        Ok((self, session))
    }
}

async fn act(
    behaviour: Behaviour,
    channel: ChannelId,
    mut to: Handle,
    socket: socket2::Socket,
) -> Option<()> {
    let output = || CryptoVec::from_slice(OUTPUT);
    match behaviour {
        Behaviour::EndsWithoutStatus => {
            to.data(channel, output()).await.ok()?;
            to.eof(channel).await.ok()?;
            to.close(channel).await.ok()?;
        }
        Behaviour::DropsInOutput => {
            to.data(channel, output()).await.ok()?;
            until_written(&mut to, channel).await?;
            socket.shutdown(std::net::Shutdown::Both).ok()?;
        }
        Behaviour::StatusBeforeOutput => {
            to.exit_status_request(channel, 5).await.ok()?;
            to.data(channel, output()).await.ok()?;
            to.eof(channel).await.ok()?;
            to.close(channel).await.ok()?;
        }
        Behaviour::DropsAfterStatus => {
            to.exit_status_request(channel, 5).await.ok()?;
            until_written(&mut to, channel).await?;
            socket.shutdown(std::net::Shutdown::Both).ok()?;
        }
        Behaviour::Floods => loop {
            // thrussh's server queues what is over the window, so this flood has a pace.
            to.data(channel, CryptoVec::from_slice(&[b'y'; 16384]))
                .await
                .ok()?;
            tokio::time::sleep(Duration::from_millis(1)).await;
        },
        _ => to.data(channel, output()).await.ok()?,
    }
    Some(())
}

/// Returns when thrussh's session has written what it was handed before: it writes after each
/// message, and its queue has ten places.
async fn until_written(to: &mut Handle, channel: ChannelId) -> Option<()> {
    for _ in 0..12 {
        to.data(channel, CryptoVec::new()).await.ok()?;
    }
    Some(())
}
