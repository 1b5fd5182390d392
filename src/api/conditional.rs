use super::param::{Header, Value};
use crate::domain;
use crate::service::{Idempotency, IfMatch};
use poem_openapi::registry::MetaSchema;

/// The `ETag` of a version (RFC 9110 section 8.8.3).
pub fn etag(version: i64) -> String {
    format!("\"{version}\"")
}

impl Value for IfMatch {
    fn schema() -> MetaSchema {
        MetaSchema::new("string")
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text.trim() == "*" {
            return Ok(Self::Any);
        }
        tags(text)
            .map(Self::Versions)
            .ok_or_else(|| "must be * or a list of entity tags such as \"1\"".into())
    }
}

/// The versions that a list of entity tags names. A weak tag never matches here (RFC 9110 section
/// 13.1.1), nor does one that is none of ours: both are left out.
fn tags(list: &str) -> Option<Vec<i64>> {
    let mut versions = Vec::new();
    let mut rest = list.trim();
    loop {
        let strong = rest.strip_prefix("W/");
        let (tag, after) = strong.unwrap_or(rest).strip_prefix('"')?.split_once('"')?;
        if strong.is_none() {
            versions.extend(tag.parse::<i64>().ok().filter(|n| n.to_string() == tag));
        }
        rest = after.trim_start();
        if rest.is_empty() {
            return Some(versions);
        }
        rest = rest.strip_prefix(',')?.trim_start();
    }
}

/// What an `Idempotency-Key` header holds.
pub struct Key(String);

impl Value for Key {
    fn schema() -> MetaSchema {
        MetaSchema {
            min_length: Some(1),
            max_length: Some(128),
            ..MetaSchema::new("string")
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        domain::idempotency_key(text)?;
        Ok(Self(text.to_owned()))
    }
}

/// What the service needs to know of the key and the body that came with it.
pub fn idempotency(key: Header<Key>, fingerprint: [u8; 32]) -> Option<Idempotency> {
    key.0.map(|Key(key)| Idempotency { key, fingerprint })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_match_is_a_star_or_a_list_in_which_weak_and_foreign_tags_match_nothing() {
        let versions = |list: &[i64]| Ok(IfMatch::Versions(list.to_vec()));
        assert_eq!(IfMatch::parse(" * "), Ok(IfMatch::Any));
        assert_eq!(IfMatch::parse("\"7\""), versions(&[7]));
        assert_eq!(
            IfMatch::parse("\"1\" , W/\"2\",\"x,y\", \"3\", \"03\""),
            versions(&[1, 3])
        );
        for bad in ["", "7", "\"7", "\"1\" \"2\"", "\"1\",", "*, \"1\""] {
            assert!(IfMatch::parse(bad).is_err(), "{bad}");
        }
    }
}
