//! The sentences for a person: what happened on the way to a machine, and what to do.

use super::library::Trouble;
use super::login::Tried;
use super::offers::Algorithms;
use super::{Failure, Target};
use crate::domain::Outcome;
use std::io::{self, ErrorKind};
use std::time::Duration;

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

/// `judged`: whether a host key was shown before.
pub fn login_timed_out(target: &Target, limit: Duration, judged: bool) -> Failure {
    let (at, seconds) = (at(target), limit.as_secs_f32());
    unreachable(match judged {
        false => format!(
            "{at} took the connection and did not finish the key exchange within {seconds} s. Is \
             it an SSH server, and is it overloaded?"
        ),
        true => format!("{at} did not finish the login within {seconds} s. Is it overloaded?"),
    })
}

/// It had too many logins under way for all of the time.
pub fn busy(target: &Target, patience: Duration) -> Failure {
    let (at, seconds) = (at(target), patience.as_secs());
    unreachable(format!(
        "{at} had too many logins under way for {seconds} s (MaxStartups in sshd_config). Raise \
         it there, or find out who connects so often."
    ))
}

/// It closed the connection before a login.
pub fn closed(target: &Target) -> Failure {
    key_exchange(target, &Trouble::Closed)
}

/// The failure of a machine on the way, as that of the machine behind it: told with the machine
/// where it happened.
pub fn at_jump(jump: &Target, failure: Failure) -> Failure {
    if failure.jump.is_some() {
        return failure;
    }
    Failure {
        reason: format!("The jump {}: {}", at(jump), failure.reason),
        jump: Some(Box::new((jump.host.clone(), jump.port))),
        ..failure
    }
}

pub fn jump_refused(target: &Target, words: &str) -> Failure {
    let at = at(target);
    unreachable(format!(
        "The jump opened no connection to {at} ({words}). Does an SSH server listen there, and may \
         the jump's user connect to it (AllowTcpForwarding and PermitOpen in the jump's \
         sshd_config)?"
    ))
}

pub fn jump_lost(target: &Target) -> Failure {
    let at = at(target);
    unreachable(format!(
        "The connection to the jump was lost before it connected to {at}."
    ))
}

/// Nothing fits: what the server offers, and what we have.
pub fn no_common(target: &Target, kexinit: Option<&[u8]>, ours: &Algorithms) -> Failure {
    let at = at(target);
    let theirs = kexinit.and_then(Algorithms::parse).unwrap_or_default();
    unreachable(format!(
        "{at} and WSEXEC have no algorithm in common. {}. Let the server offer one of ours \
         (sshd_config).",
        theirs.compare(ours)
    ))
}

/// Why there was no login before any key was refused.
pub fn key_exchange(target: &Target, trouble: &Trouble) -> Failure {
    let at = at(target);
    unreachable(match trouble {
        Trouble::NoCommon => format!("{at} and WSEXEC have no algorithm in common."),
        Trouble::NotProved => {
            format!("{at} could not prove that it holds its host key: something is between.")
        }
        Trouble::NoPublicKeys => {
            return auth_failed(format!(
                "{at} takes no login by public key (PubkeyAuthentication in sshd_config)."
            ));
        }
        Trouble::Left | Trouble::Closed => format!(
            "{at} closed the connection before the login. Is it an SSH server? If so it may be \
             overloaded (MaxStartups in sshd_config) or refuse this server's address."
        ),
        Trouble::Foreign(error) => {
            format!("What listens at {at} does not speak SSH as it should: {error}.")
        }
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
             nor id_ed25519, id_ecdsa or id_rsa in ~/.ssh, nor one of the agent. Make one with \
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
