//! Refusals on record: the first of its kind at once, and those that repeat counted together, so
//! that a flood of them does not fill the store.

use super::{Actor, Service};
use crate::domain::By;
use crate::store::{Note, UserKey};
use serde_json::json;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Kinds, names and networks that are told apart within a minute. What comes past them is counted
/// by its kind alone, so that a minute has at most about twice as many records.
const REMEMBERED: usize = 128;
/// How much of a path is kept, in bytes.
const PATH: usize = 256;

/// Why somebody was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefusalKind {
    /// A wrong password or code, or one that was not even looked at.
    Login,
    /// A token that is unknown, expired or revoked.
    Token,
    /// No login.
    Unauthenticated,
    /// Logged in, and not allowed.
    Forbidden,
    /// The request comes from another site.
    Origin,
    /// Too many tries.
    TooMany,
}

impl RefusalKind {
    fn action(self) -> &'static str {
        match self {
            Self::Login => "refusal.login",
            Self::Token => "refusal.token",
            Self::Unauthenticated => "refusal.unauthenticated",
            Self::Forbidden => "refusal.forbidden",
            Self::Origin => "refusal.origin",
            Self::TooMany => "refusal.too_many",
        }
    }
}

/// A request that was refused.
#[derive(Debug, Clone)]
pub struct Refusal<'a> {
    /// Why.
    pub kind: RefusalKind,
    /// Who, where somebody was logged in.
    pub actor: Option<&'a Actor>,
    /// The name that a login was tried with.
    pub tried: Option<&'a str>,
    /// Where the request came from.
    pub from: IpAddr,
    /// Its method.
    pub method: &'a str,
    /// Its path.
    pub path: &'a str,
    /// The status of the answer.
    pub status: u16,
    /// The id of the request.
    pub request: &'a str,
}

/// What belongs together: kind, name and network; the last two are empty for what is past
/// [`REMEMBERED`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key(RefusalKind, String, Option<IpAddr>);

/// The last one of those that belong together, with how many are not on record.
struct Seen {
    last: Note,
    repeated: i64,
}

/// Counts what repeats.
#[derive(Default)]
pub(super) struct Refusals {
    seen: Mutex<HashMap<Key, Seen>>,
}

impl Refusals {
    /// Counts one; gives it back where it is the first of its kind, to be put on record now.
    fn see(&self, key: Key, note: Note) -> Option<Note> {
        let mut seen = self.lock();
        let key = match seen.len() < REMEMBERED || seen.contains_key(&key) {
            true => key,
            false => Key(key.0, String::new(), None),
        };
        if let Some(known) = seen.get_mut(&key) {
            known.repeated += 1;
            known.last = note;
            return None;
        }
        let known = Seen {
            last: note.clone(),
            repeated: 0,
        };
        seen.insert(key, known);
        Some(note)
    }

    /// What has repeated since the last time; what has not is forgotten.
    fn take(&self) -> Vec<Note> {
        let mut seen = self.lock();
        seen.retain(|_, it| it.repeated > 0);
        let count = |(key, it): (&Key, &mut Seen)| {
            let mut note = it.last.clone();
            note.count = std::mem::take(&mut it.repeated);
            if key.2.is_none() {
                note.detail = json!({"many": "more names and networks than are told apart"});
                note.by.name.clear();
                note.by.grant = None;
                note.object.clear();
            }
            note
        };
        seen.iter_mut().map(count).collect()
    }

    /// What could not be put on record is counted on.
    fn put_back(&self, key: &Key) {
        if let Some(it) = self.lock().get_mut(key) {
            it.repeated += 1;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Service {
    /// Puts a refusal on record, or counts it where it repeats. A refusal stands whether or not it
    /// can be put on record.
    pub async fn refused(&self, it: Refusal<'_>) {
        let is_login = matches!(it.kind, RefusalKind::Login | RefusalKind::TooMany);
        let known = match it.tried {
            // What was typed for a name may be a password: it is kept only where it is a name.
            Some(name) if is_login && it.actor.is_none() => self.user_if_there(name).await,
            Some(_) | None => None,
        };
        let name = match (it.actor, &known) {
            (Some(actor), _) => actor.name().to_owned(),
            (None, Some((_, name))) => name.clone(),
            (None, None) => String::new(),
        };
        let by = match it.actor {
            Some(actor) => actor.by(self.now()),
            None => By {
                name: String::new(),
                from: Some(it.from),
                ..By::server(self.now())
            },
        };
        let path = &it.path[..it.path.floor_char_boundary(PATH)];
        let mut detail = json!({
            "method": it.method, "path": path, "status": it.status, "request": it.request,
        });
        if let Some((_, name)) = &known {
            detail["name"] = json!(name);
        }
        let note = Note {
            by,
            action: it.kind.action(),
            object: known.map_or_else(String::new, |(id, _)| format!("user/{id}")),
            count: 1,
            detail,
        };
        self.count_refusal(Key(it.kind, name, Some(network(it.from))), note)
            .await;
    }

    /// As [`Service::refused`], for somebody who is logged in and typed a wrong password for their
    /// own.
    pub(super) async fn own_password_refused(&self, actor: &Actor, from: IpAddr) {
        let kind = RefusalKind::Login;
        let note = Note {
            by: actor.by(self.now()),
            action: kind.action(),
            object: actor
                .user()
                .map_or_else(String::new, |id| format!("user/{}", id.0)),
            count: 1,
            detail: json!({"name": actor.name(), "for": "another password"}),
        };
        let key = Key(kind, actor.name().to_owned(), Some(network(from)));
        self.count_refusal(key, note).await;
    }

    async fn count_refusal(&self, key: Key, note: Note) {
        if let Some(first) = self.inner.refusals.see(key.clone(), note)
            && let Err(error) = self.inner.store.note(vec![first]).await
        {
            tracing::warn!(%error, "cannot put a refusal on record");
            self.inner.refusals.put_back(&key);
        }
    }

    async fn user_if_there(&self, name: &str) -> Option<(i64, String)> {
        let key = UserKey::Name(name.to_owned());
        let user = self.inner.store.user(key).await.ok().flatten()?;
        Some((user.id.0, user.name))
    }

    /// Puts on record what has repeated.
    pub(super) async fn record_refusals(&self) {
        let notes = self.inner.refusals.take();
        if notes.is_empty() {
            return;
        }
        let counted: i64 = notes.iter().map(|note| note.count).sum();
        if let Err(error) = self.inner.store.note(notes).await {
            tracing::error!(%error, counted, "cannot put refusals on record");
        }
    }
}

/// An IPv4 address stands for itself, an IPv6 address for its /64, which one customer has.
fn network(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note() -> Note {
        Note {
            by: By::server(1),
            action: RefusalKind::Login.action(),
            object: String::new(),
            count: 1,
            detail: json!({}),
        }
    }

    #[test]
    fn a_flood_of_any_kind_is_few_records_and_none_is_left_out() {
        let refusals = Refusals::default();
        let (mut records, mut counted) = (0, 0);
        for minute in 0..3 {
            for number in 0..30_000_u32 {
                let from = IpAddr::from((number % 1000 + minute).to_be_bytes());
                let key = Key(RefusalKind::Login, format!("{}", number % 700), Some(from));
                if refusals.see(key, note()).is_some() {
                    records += 1;
                    counted += 1;
                }
            }
            let notes = refusals.take();
            records += notes.len();
            counted += notes.iter().map(|note| note.count).sum::<i64>();
        }
        assert_eq!(counted, 90_000);
        assert!(records <= 3 * 2 * (REMEMBERED + 1), "{records}");
        refusals.take();
        assert!(refusals.take().is_empty());
        assert!(refusals.lock().is_empty(), "what is over is forgotten");
    }
}
