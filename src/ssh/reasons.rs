//! The sentences for a person: what happened on the way to a machine, and what to do.

use super::handler::Shared;
use super::login::Tried;
use super::{Failure, Target};
use crate::domain::Outcome;
use std::io::{self, ErrorKind};
use std::time::Duration;
use thrussh::Error;

fn unreachable(reason: impl Into<String>) -> Failure {
    Failure::new(Outcome::Unreachable, reason)
}

fn at(target: &Target) -> String {
    match target.host.contains(':') {
        true => format!("[{}]:{}", target.host, target.port),
        false => format!("{}:{}", target.host, target.port),
    }
}

pub fn no_such_name(target: &Target, error: &io::Error) -> Failure {
    let host = &target.host;
    unreachable(format!(
        "The name {host} has no address ({error}). Correct the instance's ip, or the DNS."
    ))
}

pub fn lookup_timed_out(target: &Target, limit: Duration) -> Failure {
    let (host, seconds) = (&target.host, limit.as_secs_f32());
    unreachable(format!(
        "The look-up of the name {host} took longer than {seconds} s. Check the DNS."
    ))
}

pub fn connect_timed_out(target: &Target, limit: Duration) -> Failure {
    let (at, seconds) = (at(target), limit.as_secs_f32());
    unreachable(format!(
        "No answer from {at} within {seconds} s. Is the machine up, and does a firewall let this \
         server through?"
    ))
}

pub fn network(target: &Target, error: &io::Error) -> Failure {
    let at = at(target);
    unreachable(match error.kind() {
        ErrorKind::ConnectionRefused => {
            format!("{at} refused the connection. Does an SSH server listen on this port?")
        }
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
            format!("There is no route to {at}. Check the instance's ip and the network.")
        }
        _ => format!("The connection to {at} failed: {error}."),
    })
}

pub fn not_ssh(target: &Target) -> Failure {
    let at = at(target);
    unreachable(format!(
        "What listens at {at} does not speak SSH as it should."
    ))
}

pub fn login_timed_out(target: &Target, limit: Duration, shared: &Shared) -> Failure {
    let (at, seconds) = (at(target), limit.as_secs_f32());
    unreachable(match shared.verdict() {
        None => format!(
            "{at} took the connection and did not finish the key exchange within {seconds} s. Is \
             it an SSH server, and is it overloaded?"
        ),
        Some(_) => format!("{at} did not finish the login within {seconds} s. Is it overloaded?"),
    })
}

/// Why thrussh gave up before any key was refused.
pub fn key_exchange(target: &Target, error: &Error) -> Failure {
    let at = at(target);
    let lacks = |what: &str, needed: &str| {
        format!("{at} and WSEXEC have no {what} in common. It must offer {needed}.")
    };
    unreachable(match error {
        Error::NoCommonKexAlgo => lacks(
            "key exchange",
            "mlkem768x25519-sha256 or curve25519-sha256@libssh.org (KexAlgorithms)",
        ),
        Error::NoCommonKeyAlgo => lacks(
            "kind of host key",
            "ssh-ed25519 or rsa-sha2-256 (HostKeyAlgorithms)",
        ),
        Error::NoCommonCipher => lacks(
            "cipher",
            "chacha20-poly1305@openssh.com, aes256-gcm@openssh.com or aes256-ctr (Ciphers)",
        ),
        Error::NoCommonMac => lacks("message authentication", "hmac-sha2-256 (MACs)"),
        Error::NoCommonCompression => lacks("compression", "none (Compression)"),
        Error::WrongServerSig => {
            format!("{at} could not prove that it holds its host key: something is between.")
        }
        Error::NoAuthMethod => {
            return auth_failed(format!(
                "{at} takes no login by public key (PubkeyAuthentication in sshd_config)."
            ));
        }
        Error::Disconnect | Error::HUP | Error::IO(_) => format!(
            "{at} closed the connection before the login. Is it an SSH server? If so it may be \
             overloaded (MaxStartups in sshd_config) or refuse this server's address."
        ),
        _ => format!("What listens at {at} does not speak SSH as it should: {error}."),
    })
}

fn auth_failed(reason: String) -> Failure {
    Failure::new(Outcome::AuthFailed, reason)
}

/// The machine closed the connection in the middle of the login.
pub fn cut_off(target: &Target, tried: &Tried) -> Failure {
    auth_failed(format!(
        "{} closed the connection after {} keys (too many authentication failures: MaxAuthTries \
         in sshd_config). Name the right key in ssh.identities. Offered: {}.",
        at(target),
        tried.refused.len(),
        tried.refused.join(", ")
    ))
}

/// No key was taken, or there was none.
pub fn not_authorized(target: &Target, tried: &Tried) -> Failure {
    let unusable = match tried.unusable.as_slice() {
        [] => String::new(),
        unusable => format!(" Not usable: {}.", unusable.join("; ")),
    };
    auth_failed(match tried.refused.as_slice() {
        [] => format!(
            "There is no SSH key to log in with: neither a configured identity (ssh.identities), \
             nor ~/.ssh/id_ed25519 or ~/.ssh/id_rsa, nor one of the agent. Make one with \
             ssh-keygen.{unusable}"
        ),
        offered => format!(
            "{} does not let {} in with any of our keys: {}. Put a public key into {}'s \
             ~/.ssh/authorized_keys there.{unusable}",
            at(target),
            target.user,
            offered.join(", "),
            target.user
        ),
    })
}
