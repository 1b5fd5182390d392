//! Which library serves a machine.

use super::{attempt, config, refusal, run, target};
use crate::harness::sshd::{Kind, Sshd, keygen};
use wsexec::config::SshLibrary::{Russh, Thrussh};
use wsexec::domain::{Outcome, SshLibrary};

/// With the choice left to the program, whatever library the other tests run on.
async fn library(sshd: &Sshd, target: &wsexec::ssh::Target) -> SshLibrary {
    let config = wsexec::config::Ssh {
        library: wsexec::config::SshLibrary::Auto,
        ..config(sshd)
    };
    let mut session = attempt(&config, target).await.unwrap();
    assert_eq!(run(&mut session, "echo in").await.stdout, b"in\n");
    session.library()
}

#[tokio::test]
async fn thrussh_comes_first_and_what_served_the_last_time_before_it() {
    let sshd = Sshd::start();
    let mut target = target(&sshd);
    assert_eq!(library(&sshd, &target).await, SshLibrary::Thrussh);
    target.library = Some(SshLibrary::Russh);
    assert_eq!(library(&sshd, &target).await, SshLibrary::Russh);
    target.library = Some(SshLibrary::Thrussh);
    assert_eq!(library(&sshd, &target).await, SshLibrary::Thrussh);
}

#[tokio::test]
async fn servers_that_have_nothing_in_common_with_thrussh_are_reached_in_the_same_call() {
    for line in [
        "MACs hmac-sha2-512-etm@openssh.com,hmac-sha2-256-etm@openssh.com\nCiphers aes256-ctr",
        "KexAlgorithms ecdh-sha2-nistp384",
        "KexAlgorithms diffie-hellman-group14-sha256",
        "KexAlgorithms diffie-hellman-group-exchange-sha256",
        "Ciphers aes128-gcm@openssh.com",
    ] {
        let sshd = Sshd::builder().line(line).start();
        let served = library(&sshd, &target(&sshd)).await;
        assert_eq!(served, SshLibrary::Russh, "{line}");
    }
    let sshd = Sshd::builder().host_keys(&[Kind::Ecdsa]).start();
    assert_eq!(library(&sshd, &target(&sshd)).await, SshLibrary::Russh);
}

#[tokio::test]
async fn where_nothing_fits_the_reason_lists_both_sides() {
    let sshd = Sshd::builder()
        .line("Ciphers aes256-cbc\nMACs hmac-sha1")
        .start();
    let failure = refusal(attempt(&config(&sshd), &target(&sshd)).await);
    assert_eq!(failure.outcome, Outcome::Unreachable);
    for words in [
        "Cipher (Ciphers): it offers aes256-cbc; WSEXEC has ",
        "aes256-ctr",
        "MAC (MACs): it offers hmac-sha1; WSEXEC has ",
        "hmac-sha2-256",
    ] {
        assert!(
            failure.reason.contains(words),
            "{words}: {}",
            failure.reason
        );
    }
    assert!(
        !failure.reason.contains("KexAlgorithms"),
        "{}",
        failure.reason
    );
}

#[tokio::test]
async fn a_library_that_is_set_is_the_only_one() {
    let etm = "MACs hmac-sha2-256-etm@openssh.com\nCiphers aes256-ctr";
    let sshd = Sshd::builder().line(etm).start();
    let with = |library| wsexec::config::Ssh {
        library,
        ..config(&sshd)
    };
    let failure = refusal(attempt(&with(Thrussh), &target(&sshd)).await);
    let words = "it offers hmac-sha2-256-etm@openssh.com; WSEXEC has hmac-sha2-256.";
    assert!(failure.reason.contains(words), "{}", failure.reason);
    let session = attempt(&with(Russh), &target(&sshd)).await.unwrap();
    assert_eq!(session.library(), SshLibrary::Russh);
}

#[tokio::test]
async fn a_key_that_only_russh_can_offer_is_offered_behind_those_that_were_refused() {
    let sshd = Sshd::start();
    let (stranger, ecdsa) = (sshd.dir().join("stranger"), sshd.dir().join("ecdsa"));
    keygen(&stranger, Kind::Ed25519, "RFC4716", "");
    keygen(&ecdsa, Kind::Ecdsa, "RFC4716", "");
    let mut config = config(&sshd);
    config.identities = vec![stranger, ecdsa.clone()];
    let reason = refusal(attempt(&config, &target(&sshd)).await).reason;
    for name in ["stranger (SHA256:", "ecdsa (SHA256:"] {
        assert_eq!(reason.matches(name).count(), 1, "{reason}");
    }
    sshd.authorize(&ecdsa);
    let session = attempt(&config, &target(&sshd)).await.unwrap();
    assert_eq!(session.library(), SshLibrary::Russh);
}
