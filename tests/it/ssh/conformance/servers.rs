//! The servers: OpenSSH as people configure it, and Dropbear.

use super::{Bench, Case, LIBRARIES, LINE, MIB};
use crate::harness::dropbear::Dropbear;
use crate::harness::sshd::{Kind, Sshd, throwaway_user};
use std::io::Write as _;
use tempfile::NamedTempFile;

/// What thrussh has, as its reasons must list it.
const THRUSSH_KEX: &str = "curve25519-sha256";
const THRUSSH_MAC: &str = "hmac-sha2-256";
const THRUSSH_KEYS: &str = "ssh-ed25519";

fn openssh(line: &str) -> Sshd {
    Sshd::builder().line(line).start()
}

#[tokio::test]
async fn openssh_as_debian_ships_it() {
    let as_shipped = Sshd::builder()
        .host_keys(&[Kind::Rsa, Kind::Ecdsa, Kind::Ed25519])
        .line("UsePAM yes\nX11Forwarding yes\nAcceptEnv LANG LC_*");
    Case::of(&as_shipped.start()).holds().await;
}

#[tokio::test]
async fn openssh_with_nothing_but_etm_macs() {
    let macs = "hmac-sha2-512-etm@openssh.com,hmac-sha2-256-etm@openssh.com";
    // Without the authenticated ciphers, which need no MAC.
    let sshd = openssh(&format!("MACs {macs}\nCiphers aes256-ctr,aes128-ctr"));
    let words = &[
        "hmac-sha2-512-etm@openssh.com",
        "hmac-sha2-256-etm@openssh.com",
        THRUSSH_MAC,
    ];
    Case::of(&sshd).beyond_thrussh(words).holds().await;
}

#[tokio::test]
async fn openssh_as_ssh_audit_hardens_it() {
    let sshd = openssh(
        "MACs hmac-sha2-512-etm@openssh.com,hmac-sha2-256-etm@openssh.com,umac-128-etm@openssh.com\n\
         Ciphers chacha20-poly1305@openssh.com,aes256-gcm@openssh.com,aes128-gcm@openssh.com,\
         aes256-ctr,aes192-ctr,aes128-ctr\n\
         KexAlgorithms sntrup761x25519-sha512@openssh.com,curve25519-sha256,\
         curve25519-sha256@libssh.org,diffie-hellman-group16-sha512",
    );
    let words = &["hmac-sha2-256-etm@openssh.com", THRUSSH_MAC];
    Case::of(&sshd).beyond_thrussh(words).holds().await;
}

#[tokio::test]
async fn openssh_with_nothing_but_aes_gcm() {
    let sshd = openssh("Ciphers aes256-gcm@openssh.com,aes128-gcm@openssh.com");
    Case::of(&sshd).holds().await;
}

#[tokio::test]
async fn openssh_with_nothing_but_the_key_exchange_of_nist_curves() {
    let names = "ecdh-sha2-nistp256,ecdh-sha2-nistp384,ecdh-sha2-nistp521";
    let sshd = openssh(&format!("KexAlgorithms {names}"));
    let words = &["ecdh-sha2-nistp256", "ecdh-sha2-nistp521", THRUSSH_KEX];
    Case::of(&sshd).beyond_thrussh(words).holds().await;
}

#[tokio::test]
async fn openssh_with_nothing_but_the_key_exchange_of_group_14() {
    let sshd = openssh("KexAlgorithms diffie-hellman-group14-sha256");
    let words = &["diffie-hellman-group14-sha256", THRUSSH_KEX];
    Case::of(&sshd).beyond_thrussh(words).holds().await;
}

#[tokio::test]
async fn openssh_with_an_ed25519_host_key() {
    let sshd = Sshd::builder().host_keys(&[Kind::Ed25519]).start();
    Case::of(&sshd).holds().await;
}

#[tokio::test]
async fn openssh_with_an_rsa_host_key() {
    let sshd = Sshd::builder().host_keys(&[Kind::Rsa]).start();
    Case::of(&sshd).holds().await;
}

#[tokio::test]
async fn openssh_with_an_ecdsa_host_key() {
    let sshd = Sshd::builder().host_keys(&[Kind::Ecdsa]).start();
    let words = &["ecdsa-sha2-nistp256", THRUSSH_KEYS];
    Case::of(&sshd).beyond_thrussh(words).holds().await;
}

#[tokio::test]
async fn openssh_that_allows_one_session_a_connection() {
    Case::of(&openssh("MaxSessions 1")).holds().await;
}

#[tokio::test]
async fn openssh_that_changes_keys_after_each_mebibyte() {
    let sshd = openssh("RekeyLimit 1M\nLogLevel DEBUG1");
    let case = Case::of(&sshd);
    for library in LIBRARIES {
        let before = exchanges(&sshd);
        let bench = case.start(library).await;
        bench.brings(20 * MIB).await;
        let exchanges = exchanges(&sshd) - before;
        assert!(exchanges >= 15, "{library}: {exchanges} key exchanges");
    }
}

/// How often the server agreed on algorithms.
fn exchanges(sshd: &Sshd) -> usize {
    sshd.log().matches("kex: algorithm:").count()
}

#[tokio::test]
async fn openssh_that_asks_each_second_whether_we_are_there() {
    let sshd = openssh("ClientAliveInterval 1\nClientAliveCountMax 2");
    let case = Case::of(&sshd);
    for library in LIBRARIES {
        let bench: Bench = case.start(library).await;
        let task = bench.run("sleep 4; echo still here").await;
        assert_eq!(task["stdout"], "still here\n", "{library}: {task:#}");
        assert_eq!(task["rc"], 0, "{library}: {task:#}");
    }
}

#[tokio::test]
async fn openssh_with_pam() {
    Case::of(&openssh("UsePAM yes")).holds().await;
    if let Some(user) = throwaway_user("/bin/bash") {
        let sshd = Sshd::builder().user(user).line("UsePAM yes").start();
        Case::of(&sshd).holds().await;
    }
}

#[tokio::test]
async fn openssh_with_a_banner() {
    let mut banner = NamedTempFile::new().unwrap();
    banner.write_all(LINE.repeat(100).as_bytes()).unwrap();
    let sshd = openssh(&format!("Banner {}", banner.path().display()));
    Case::of(&sshd).holds().await;
}

#[tokio::test]
async fn openssh_with_nothing_that_we_have_is_refused_with_what_it_offers_and_what_we_have() {
    for (line, words) in [
        ("Ciphers 3des-cbc", ["3des-cbc", "aes256-ctr"]),
        (
            "KexAlgorithms diffie-hellman-group1-sha1",
            ["diffie-hellman-group1-sha1", THRUSSH_KEX],
        ),
        (
            "Ciphers aes256-ctr\nMACs hmac-md5",
            ["hmac-md5", THRUSSH_MAC],
        ),
    ] {
        let sshd = openssh(line);
        let case = Case::of(&sshd);
        for library in LIBRARIES {
            case.fails(library, "unreachable", &words).await;
        }
    }
}

#[tokio::test]
async fn dropbear_with_each_kind_of_host_key() {
    for kind in [Kind::Ed25519, Kind::Rsa] {
        let dropbear = Dropbear::start(&[kind]);
        Case::of_dropbear(&dropbear).holds().await;
    }
    let dropbear = Dropbear::start(&[Kind::Ecdsa]);
    // It offers RSA without having such a key, and goes where that is taken.
    let words = &["closed the connection before the login"];
    let case = Case::of_dropbear(&dropbear).beyond_thrussh(words);
    case.holds().await;
}
