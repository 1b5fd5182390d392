//! What has to hold of tokens and tickets, whatever is shown as one.

use super::ticket::{Errand, TICKET_LIFE, Tickets};
use super::token::{checksum, is_api_token};
use crate::domain::Secret;
use crate::domain::fuzzing::{first, first_line};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::sync::OnceLock;

/// A token of ours is known as one, and not with one character changed in its checksum or missing.
///
/// # Panics
/// Where that does not hold.
pub fn token(data: &[u8]) {
    let is_token = |text: &str| is_api_token(&Secret::new(text));
    let text = String::from_utf8_lossy(data);
    if is_token(&text) {
        assert!(text.len() == 52 && text.starts_with("wsx_"), "{text}");
    }
    let (at, rest) = first(data);
    let (other, rest) = first(rest);
    let mut random = [0; 32];
    random
        .iter_mut()
        .zip(rest)
        .for_each(|(to, from)| *to = *from);
    let bytes = [&random[..], &checksum(&random)].concat();
    let token = format!("wsx_{}", URL_SAFE_NO_PAD.encode(&bytes));
    assert!(is_token(&token), "{token}");
    let at = usize::from(at) % token.len();
    let mut shorter = token.clone();
    shorter.remove(at);
    assert!(!is_token(&shorter), "{shorter}");
    // The last 32 of the 288 bits.
    let mut changed = bytes;
    changed[32 + at % 4] ^= other.max(1);
    let changed = format!("wsx_{}", URL_SAFE_NO_PAD.encode(changed));
    assert!(!is_token(&changed), "{changed}");
}

/// Only what was made here is a ticket, with its own `state`, in its time, and once.
///
/// # Panics
/// Where that does not hold.
pub fn ticket(data: &[u8]) {
    static TICKETS: OnceLock<Tickets> = OnceLock::new();
    const NOW: i64 = 1_000_000;
    let tickets = TICKETS.get_or_init(Tickets::new);
    let (foreign, next) = first_line(data);
    let (foreign, next) = (
        String::from_utf8_lossy(foreign),
        String::from_utf8_lossy(next),
    );
    let errand = Errand::new(NOW, &next, None);
    assert!(errand.next.len() <= 1024);
    let (cookie, state, _) = tickets.make(errand.clone());
    let found = tickets.read(&cookie, &state, NOW).expect("it is ours");
    assert_eq!(found.errand, errand);
    assert!(tickets.read(&cookie, &state, NOW + TICKET_LIFE).is_none());
    assert!(tickets.read(&cookie, &foreign, NOW).is_none());
    assert!(tickets.read(&Secret::new(&*foreign), &state, NOW).is_none());
    let longer = Secret::new(format!("{}{foreign}x", cookie.expose()));
    assert!(tickets.read(&longer, &state, NOW).is_none());
    assert!(tickets.take(&found, NOW) && !tickets.take(&found, NOW));
    tickets.give_back(&found);
}
