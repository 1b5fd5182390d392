//! What has to hold of known_hosts, of keys, and of what machines and agents say, whatever it is.

mod server;

pub use server::server;

use super::host_keys::Rules;
use super::identities::Identity;
use super::known_hosts::{self, Known};
use super::offers::Algorithms;
use super::stream::Clear;
use super::{Target, agent, certificates, keys, remote};
use crate::config::HostKeys;
use crate::domain::fuzzing::{first, first_line, is_sentence, pieces};
use crate::domain::{Outcome, Secret};
use russh::keys::agent::client::AgentClient;
use russh::keys::ssh_key::{Kdf, PublicKey, private::Ed25519Keypair};
use russh::keys::{Certificate, PrivateKey};
use std::sync::OnceLock;
use tokio::io::AsyncWriteExt as _;

/// The longest sentence that says why a machine was not reached, in bytes.
const SENTENCE: usize = 8192;

/// A key of which nobody has heard: it, and its public half in its two forms.
fn unheard_of() -> &'static (PrivateKey, Vec<u8>, String) {
    static KEY: OnceLock<(PrivateKey, Vec<u8>, String)> = OnceLock::new();
    KEY.get_or_init(|| {
        let key = PrivateKey::from(Ed25519Keypair::from_seed(&[7; 32]));
        let blob = key.public_key().to_bytes().expect("it has one");
        let line = key.public_key().to_openssh().expect("it can be written");
        (key, blob, line)
    })
}

/// A known_hosts file, behind a line with a host. A key that it does not have is trusted by none of
/// its lines; one that it revokes never; one that a line has for the host is, unless it is revoked.
/// Comments and the form of line ends change nothing.
///
/// # Panics
/// Where that does not hold.
pub fn known_hosts(data: &[u8]) {
    let (host, file) = first_line(data);
    let host = String::from_utf8_lossy(host).to_ascii_lowercase();
    let is_host = |c: char| c.is_ascii_alphanumeric() || ".:-".contains(c);
    if host.is_empty() || !host.chars().all(is_host) {
        return;
    }
    let (_, blob, key) = unheard_of();
    let text = String::from_utf8_lossy(file);
    let base64 = key.split(' ').nth(1).expect("a type and the key");
    if text.contains(base64) {
        return;
    }
    for port in [22, 2222] {
        let read = |text: &str| {
            let entries = known_hosts::parse(text.as_bytes()).ok()?;
            Some(Known::of(&entries, &host, port))
        };
        let Some(known) = read(&text) else {
            let revokes = text
                .lines()
                .any(|line| line.trim_start().starts_with("@revoked"));
            assert!(revokes, "{text:?} cannot be read");
            return;
        };
        let target = Target {
            host: host.clone(),
            port,
            ..Target::default()
        };
        let judge = |known: &Known| {
            let verdict = Rules::new(&target, known.clone(), HostKeys::Strict).judge(blob);
            if let Err(failure) = &verdict {
                assert_eq!(failure.outcome, Outcome::HostKeyRefused);
                assert!(!failure.reason.is_empty());
            }
            verdict.is_ok()
        };
        assert!(!judge(&known), "an unknown key is trusted");
        let name = known_hosts::name(&host, port);
        let with = |line: String| read(&format!("{text}\n{line}\n")).expect("a good line is new");
        let trusting = with(format!("{name} {key}"));
        assert!(judge(&trusting), "a known key is not trusted");
        let revoking = read(&format!("{text}\n{name} {key}\n@revoked * {key}\n"));
        assert!(
            !judge(&revoking.expect("good lines are new")),
            "a revoked key is trusted"
        );
        let certifying = with(format!("@cert-authority * {key}"));
        assert!(
            !judge(&certifying),
            "an authority's key is trusted as a host's"
        );
        assert_eq!(with("# a comment".into()), known);
        if !text.contains('\r') {
            assert_eq!(read(&text.replace('\n', "\r\n")), Some(known));
        }
    }
}

/// A private key's file, behind a line with its passphrase. What can be read has a public half that
/// can be read, and is the same key when it is written anew, for either library. Why it cannot is
/// told in a sentence of ours.
///
/// # Panics
/// Where that does not hold.
pub fn key(data: &[u8]) {
    let (passphrase, file) = first_line(data);
    let passphrase = std::str::from_utf8(passphrase).ok().map(Secret::new);
    certificate(file);
    let Ok(text) = std::str::from_utf8(file) else {
        return;
    };
    if let Some(locked) = keys::locked(text)
        && matches!(locked.kdf(), Kdf::Bcrypt { rounds, .. } if (17..=keys::ROUNDS).contains(rounds))
    {
        // It takes its time, which is all that there is to find.
        return;
    }
    let half = match keys::public_half(&Secret::new(text), passphrase.as_ref(), "a comment") {
        Ok(half) => half,
        Err(why) => {
            assert!(is_sentence(&why, 200), "{why:?}");
            return;
        }
    };
    PublicKey::from_openssh(&half.line).expect("it was written here");
    assert!(half.line.ends_with(" a comment"), "{}", half.line);
    let opened = keys::parse(file, &|| Ok(passphrase.clone()));
    let opened = opened.unwrap_or_else(|it| panic!("{}", it.why()));
    let identity = Identity::of("key", opened);
    let identity = identity.unwrap_or_else(|it| panic!("{}", it.why()));
    assert_eq!(identity.fingerprint, half.fingerprint);
    let again = identity
        .key
        .to_openssh(russh::keys::ssh_key::LineEnding::LF);
    let again = again.expect("it can be written");
    let again = keys::public_half(&Secret::new(again.as_str()), None, "a comment");
    assert_eq!(again, Ok(half));
}

/// A certificate, of a user or of a host.
fn certificate(file: &[u8]) {
    let text = String::from_utf8_lossy(file);
    let binary = Certificate::from_bytes(file).ok();
    let written = Certificate::from_openssh(text.trim()).ok();
    for certificate in binary.into_iter().chain(written) {
        let (key, ..) = unheard_of();
        let problem = certificates::user_problem(&certificate, key);
        assert!(problem.is_none_or(|it| is_sentence(&it, SENTENCE)));
        if let Some(problem) = certificates::host_problem(&certificate, "host.example") {
            assert!(is_sentence(&problem, SENTENCE), "{problem:?}");
        }
    }
}

/// What a machine or an agent says. The first byte chooses what the rest is.
///
/// # Panics
/// Where a rule is broken.
pub fn remote(data: &[u8]) {
    let rules = [
        remote::fuzzing::heard,
        remote::fuzzing::state,
        remote::fuzzing::words,
        offered,
        packets,
        to_be_signed,
        agent_says,
    ];
    let (choice, rest) = first(data);
    rules[usize::from(choice) % rules.len()](rest);
}

/// The algorithms of a KEXINIT.
fn offered(data: &[u8]) {
    let Some(theirs) = Algorithms::parse(data) else {
        return;
    };
    let sentence = theirs.compare(&Algorithms::default());
    assert!(is_sentence(&sentence, SENTENCE), "{sentence:?}");
}

/// Packets in the clear are the same however they come.
fn packets(data: &[u8]) {
    let (bytes, pieces) = pieces(data);
    let found = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let (mut clear, mut found) = (Clear::default(), Vec::new());
        for piece in pieces {
            clear.take(piece, |payload| {
                found.push(payload.to_vec());
                payload.first() == Some(&21)
            });
        }
        found
    };
    let whole = found(&mut [bytes].into_iter());
    assert!(whole.iter().map(Vec::len).sum::<usize>() <= bytes.len());
    assert_eq!(found(&mut { pieces }), whole);
}

/// A request to be signed names another algorithm, and is otherwise what it was.
fn to_be_signed(data: &[u8]) {
    const NAME: &str = "rsa-sha2-512";
    if let Some(renamed) = agent::renamed(data, NAME) {
        let other = agent::renamed(&renamed, NAME).expect("it can be taken apart");
        assert_eq!(&other[..], &renamed[..]);
        assert!(renamed.len() <= data.len() + NAME.len());
    }
}

/// The list of an agent's keys.
fn agent_says(data: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(async {
        let (ours, mut theirs) = tokio::io::duplex(data.len().max(1024));
        let mut client = AgentClient::connect(ours);
        theirs.write_all(data).await.expect("there is room");
        theirs.shutdown().await.expect("it is open");
        let listed = client.request_identities().await.unwrap_or_default();
        assert!(listed.len() <= data.len());
        for key in listed.into_iter().filter_map(agent::AgentKey::of) {
            assert!(is_sentence(&key.name(), 200), "{}", key.name());
            key.for_thrussh();
        }
    });
}
