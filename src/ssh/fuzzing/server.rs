//! A server whose every word was chosen by nobody.

use super::SENTENCE;
use crate::config::{self, HostKeys};
use crate::domain::fuzzing::{first, is_sentence};
use crate::domain::{Launch, Outcome, SshLibrary};
use crate::ssh::remote::Command;
use crate::ssh::remote::detached::Detached;
use crate::ssh::{
    Connector, Event, Failure, Inner, LoginKey, Session, Target, Timeouts, generate_key,
};
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use thrussh::server::{Auth, Config, Handler, run_stream};
use thrussh::{ChannelId, CryptoVec, Disconnect, Error, Sig};
use thrussh_keys::key::{KeyPair, PublicKey};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, sleep, timeout};

/// For a login, where the server is not to get as far as that, and for a command: a server that says
/// nothing costs all of it, and there is one in every few inputs.
const SOON: Duration = Duration::from_millis(200);
/// For a login, where the server lets everybody in.
const LATER: Duration = Duration::from_secs(3);
/// How long a server goes on at most, once it is spoken to.
const TALK: Duration = Duration::from_secs(1);
/// All that one input may take: more than all deadlines on its way, on a machine that is busy.
const LONGEST: Duration = Duration::from_secs(20);
/// What stands for the word that our programs are known by, where the server repeats it.
const NONCE: u8 = 1;
/// Between two things that the server does.
const NEXT: u8 = 0xff;
const BANNER: &[u8] = b"SSH-2.0-fuzz\r\n";

/// What is there once for all inputs.
struct World {
    runtime: Runtime,
    key: LoginKey,
    /// What a server has that lets everybody in.
    config: Arc<Config>,
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let (value, half) = generate_key("fuzz");
        World {
            runtime: Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime"),
            key: LoginKey {
                name: "fuzz".into(),
                fingerprint: half.fingerprint,
                value,
                passphrase: None,
            },
            config: Arc::new(Config {
                keys: vec![KeyPair::generate_ed25519().expect("a key can be made")],
                connection_timeout: None,
                ..Config::default()
            }),
        }
    })
}

/// A server, of which the first byte says how far it behaves, and the rest what it says then: from
/// the first byte on, in packets after a KEXINIT, or on the channel of a command once it has let
/// us in. Whatever it says, the login ends in its time with a reason that can be shown, a host key
/// counts only once it was proved, and nothing is left of it.
///
/// # Panics
/// Where that does not hold.
pub fn server(data: &[u8]) {
    let (how, script) = first(data);
    // It is asked to try again for minutes, which is for whoever waits to end.
    let busy = b"MaxStartups";
    if script.windows(busy.len()).any(|part| part == busy) {
        return;
    }
    let how = How {
        library: match how & 1 {
            0 => SshLibrary::Thrussh,
            _ => SshLibrary::Russh,
        },
        depth: match how >> 1 & 3 {
            0 => Depth::Bytes,
            1 => Depth::Packets,
            _ => Depth::Commands,
        },
        // A server that holds on costs a whole deadline.
        holds: how >> 5 == 7,
        action: how >> 3 & 3,
    };
    let world = world();
    world.runtime.block_on(async {
        let whole = timeout(LONGEST, attempt(world, how, script)).await;
        whole.expect("all of it ends in its time");
    });
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    Bytes,
    Packets,
    Commands,
}

#[derive(Debug, Clone, Copy)]
struct How {
    library: SshLibrary,
    depth: Depth,
    holds: bool,
    action: u8,
}

async fn attempt(world: &World, how: How, script: &[u8]) {
    let alive = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let before = alive();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let script = script.to_vec();
    let config = world.config.clone();
    let serving = tokio::spawn(async move {
        // A library may come again, offering more.
        while let Ok((stream, _)) = listener.accept().await {
            let served = serve(stream, how, script.clone(), config.clone());
            let _ = timeout(TALK, served).await;
        }
    });
    let connector = connector(how);
    let began = Instant::now();
    match connector.connect(&target(world, address)).await {
        Ok(session) => {
            assert_eq!(
                how.depth,
                Depth::Commands,
                "a key is trusted that nobody has proved"
            );
            assert_eq!(session.host_key().algorithm, "ssh-ed25519");
            command(session, how).await;
        }
        Err(failure) => {
            reason(&failure);
            if how.depth != Depth::Commands {
                let expected = [Outcome::Unreachable, Outcome::HostKeyRefused];
                assert!(expected.contains(&failure.outcome), "{failure:?}");
                assert_eq!(
                    failure.shown, None,
                    "a key is handed on that nobody has proved"
                );
                // Twice: russh offers more to who finds nothing in common.
                let limit = 2 * SOON + Duration::from_secs(8);
                assert!(
                    began.elapsed() < limit,
                    "{failure:?} took {:?}",
                    began.elapsed()
                );
            }
        }
    }
    serving.abort();
    let _ = serving.await;
    let spawned = connector.inner.spawned.clone();
    drop(connector);
    let deadline = Instant::now() + Duration::from_secs(8);
    while alive() > before || !spawned.is_empty() {
        let left = (alive(), before, spawned.len());
        assert!(Instant::now() < deadline, "work is left: {left:?}");
        sleep(Duration::from_millis(1)).await;
    }
}

fn connector(how: How) -> Connector {
    let config = config::Ssh {
        known_hosts: Some("/nonexistent/known_hosts".into()),
        host_keys: HostKeys::AcceptNew,
        library: match how.library {
            SshLibrary::Thrussh => config::SshLibrary::Thrussh,
            SshLibrary::Russh => config::SshLibrary::Russh,
        },
        ..config::Ssh::default()
    };
    let limit = match how.depth {
        Depth::Bytes | Depth::Packets => SOON,
        Depth::Commands => LATER,
    };
    let made = Connector::new(&config);
    let Ok(inner) = Arc::try_unwrap(made.inner) else {
        unreachable!("nobody else has it")
    };
    let timeouts = Timeouts {
        connect: LATER,
        login: limit,
        start: SOON,
    };
    Connector {
        inner: Arc::new(Inner { timeouts, ..inner }),
    }
}

fn target(world: &World, address: SocketAddr) -> Target {
    Target {
        host: address.ip().to_string(),
        port: address.port(),
        user: "someone".into(),
        key: Some(world.key.clone()),
        ..Target::default()
    }
}

fn reason(failure: &Failure) {
    assert!(is_sentence(&failure.reason, SENTENCE), "{failure:?}");
}

/// Something is run there.
async fn command(mut session: Session, how: How) {
    let run = Command {
        script: "true".into(),
        launch: Launch::default(),
        password: None,
        secrets: Vec::new(),
        stdin: None,
    };
    let detached = Detached {
        store: "store",
        run: "run",
        command: &run,
        wanted: None,
    };
    let failure = match how.action {
        0 | 1 => match session.exec("true").await {
            Ok(mut running) => {
                let mut taken = 0;
                // What a reader of output gets, until the end or until it has enough.
                while let Ok(event) = timeout(TALK, running.next()).await {
                    match event {
                        Event::Stdout(data) | Event::Stderr(data) => {
                            assert!(data.len() <= 64 * 1024);
                            taken += data.len();
                            assert!(taken <= 1024 * 1024, "more than was sent");
                        }
                        Event::Signalled(name) => {
                            assert!(name.is_empty() || is_sentence(&name, 32), "{name:?}");
                            break;
                        }
                        Event::Disconnected(why) => {
                            assert!(is_sentence(&why, SENTENCE));
                            break;
                        }
                        Event::Exited(_) => break,
                    }
                }
                None
            }
            Err(failure) => Some(failure),
        },
        2 => session.findings().await.err(),
        _ => match session.collect_detached(detached, [0, 0]).await {
            Ok(Some(mut collection)) => loop {
                match collection.next().await {
                    Ok(Some(_)) => {}
                    Ok(None) => break collection.tails().await.err(),
                    Err(failure) => break Some(failure),
                }
            },
            Ok(None) => None,
            Err(failure) => Some(failure),
        },
    };
    if let Some(failure) = failure {
        reason(&failure);
        let expected = [Outcome::StartFailed, Outcome::Lost];
        assert!(expected.contains(&failure.outcome), "{failure:?}");
    }
}

async fn serve(mut stream: TcpStream, how: How, script: Vec<u8>, config: Arc<Config>) {
    let said = match how.depth {
        Depth::Bytes => script,
        Depth::Packets => {
            let mut said = [BANNER, &packet(&kexinit())].concat();
            for payload in script.split(|byte| *byte == NEXT) {
                said.extend(packet(payload));
            }
            said
        }
        Depth::Commands => {
            let parts = script.split(|byte| *byte == NEXT).map(<[u8]>::to_vec);
            let talker = Talker {
                parts: parts.collect::<Vec<_>>().into_iter(),
                nonce: Vec::new(),
            };
            let _ = run_stream(config, stream, talker).await;
            return;
        }
    };
    let _ = stream.write_all(&said).await;
    if !how.holds {
        let _ = stream.shutdown().await;
    }
    let mut buffer = [0; 4096];
    while stream
        .read(&mut buffer)
        .await
        .is_ok_and(|length| length > 0)
    {}
}

/// A server's algorithms, of which each of our libraries has some (RFC 4253 section 7.1).
fn kexinit() -> Vec<u8> {
    let mut payload = vec![20];
    payload.extend_from_slice(&[7; 16]);
    for list in [
        "curve25519-sha256,curve25519-sha256@libssh.org",
        "ssh-ed25519",
        "aes256-ctr",
        "aes256-ctr",
        "hmac-sha2-256",
        "hmac-sha2-256",
        "none",
        "none",
        "",
        "",
    ] {
        payload.extend_from_slice(&(list.len() as u32).to_be_bytes());
        payload.extend_from_slice(list.as_bytes());
    }
    payload.extend_from_slice(&[0; 5]);
    payload
}

/// A packet in the clear (RFC 4253 section 6).
fn packet(payload: &[u8]) -> Vec<u8> {
    let padding = 16 - (payload.len() + 5) % 8;
    let mut packet = ((payload.len() + 1 + padding) as u32)
        .to_be_bytes()
        .to_vec();
    packet.push(padding as u8);
    packet.extend_from_slice(payload);
    packet.resize(packet.len() + padding, 0);
    packet
}

/// Lets everybody in, and says the next part whenever it hears something.
struct Talker {
    parts: std::vec::IntoIter<Vec<u8>>,
    /// The last word of ours that it heard.
    nonce: Vec<u8>,
}

type Said = Result<(Talker, thrussh::server::Session), Error>;

impl Handler for Talker {
    type Error = Error;

    async fn auth_publickey(self, _: &str, _: &PublicKey) -> Result<(Self, Auth), Error> {
        Ok((self, Auth::Accept))
    }

    async fn exec_request(
        mut self,
        channel: ChannelId,
        line: &[u8],
        mut session: thrussh::server::Session,
    ) -> Said {
        self.listen(line);
        self.say(channel, &mut session);
        Ok((self, session))
    }

    async fn data(
        mut self,
        channel: ChannelId,
        data: &[u8],
        mut session: thrussh::server::Session,
    ) -> Said {
        self.listen(data);
        self.say(channel, &mut session);
        Ok((self, session))
    }
}

impl Talker {
    /// `wsexec-` and 32 digits.
    fn listen(&mut self, heard: &[u8]) {
        const LENGTH: usize = 39;
        let mut words = heard.windows(LENGTH);
        if let Some(word) = words.rfind(|word| word.starts_with(b"wsexec-")) {
            self.nonce = word.to_vec();
        }
    }

    /// Does what the next parts say, as far as one that waits; at the end of all it goes.
    fn say(&mut self, channel: ChannelId, session: &mut thrussh::server::Session) {
        for part in self.parts.by_ref() {
            let (what, words) = first(&part);
            let repeats = |byte: &u8| match *byte {
                NONCE => self.nonce.clone(),
                byte => vec![byte],
            };
            let text: Vec<u8> = words.iter().flat_map(repeats).collect();
            let number = u32::from(words.first().copied().unwrap_or(0));
            match what % 12 {
                0 | 1 => session.data(channel, CryptoVec::from_slice(&text)),
                2 | 3 => session.extended_data(channel, 1, CryptoVec::from_slice(&text)),
                4 => session.extended_data(channel, number, CryptoVec::from_slice(&text)),
                5 => session.channel_success(channel),
                6 => session.channel_failure(channel),
                7 => session.exit_status_request(channel, number),
                8 => {
                    let name = String::from_utf8_lossy(&text).into_owned();
                    let signal = Sig::Custom(name);
                    session.exit_signal_request(channel, signal, false, "", "");
                }
                9 => session.eof(channel),
                10 => session.close(channel),
                _ => return,
            }
        }
        session.disconnect(Disconnect::ByApplication, "", "");
    }
}
