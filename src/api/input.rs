use super::word::{OneOf, Word};
use crate::domain::{Error, Field, Kind, Result};
use crate::http::{read_body, too_large};
use poem::http::header::CONTENT_TYPE;
use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaMediaType, MetaRequest, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::fmt;
use tokio::sync::OwnedSemaphorePermit;

/// The most members that one answer says are unknown or come twice: a body of a few bytes each would
/// else be answered with a thousand times as much.
const TOLD: usize = 32;

/// What a body can be read as.
pub trait Input: Sized + Send {
    /// The shape that the document shows.
    type Schema: Type;

    /// How many bytes of a body are taken beyond the usual limit of one: what members took that may
    /// be longer.
    fn large(_: &Members) -> usize {
        0
    }

    /// Takes its members out.
    ///
    /// # Errors
    /// `Invalid`, naming every member that is wrong.
    fn read(members: Members) -> Result<Self>;
}

/// A request's body: one JSON object, read strictly.
pub struct Json<T> {
    /// What it says.
    pub value: T,
    /// SHA-256 of its bytes as they came.
    pub fingerprint: [u8; 32],
    _place: Option<OwnedSemaphorePermit>,
}

impl<'a, T: Input> ApiExtractor<'a> for Json<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::Schema::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        Some(MetaRequest {
            description: None,
            content: vec![MetaMediaType {
                content_type: "application/json",
                schema: T::Schema::schema_ref(),
            }],
            required: true,
        })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        require_json(request)?;
        let received = read_body(request, body).await?;
        let members = Members::parse(&received.bytes);
        if received.excess > 0 {
            let members = members.as_ref().map_err(|_| too_large())?;
            if received.excess > T::large(members) {
                return Err(too_large().into());
            }
        }
        Ok(Self {
            value: T::read(members?)?,
            fingerprint: Sha256::digest(&received.bytes).into(),
            _place: received.place,
        })
    }
}

fn require_json(request: &Request) -> Result<()> {
    let is_json = request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"));
    if is_json {
        return Ok(());
    }
    Err(Error::new(
        Kind::UnsupportedMediaType,
        "The body must be JSON, sent with Content-Type: application/json.",
    ))
}

/// The members of a body. What is wrong with them is gathered, so that the caller hears of all of
/// it at once; what nobody takes is unknown, and wrong too.
#[derive(Debug, Default)]
pub struct Members {
    left: Map<String, Value>,
    known: Vec<&'static str>,
    wrong: Vec<Field>,
}

impl Members {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        let malformed = |error: serde_json::Error| {
            let what = if error.is_data() {
                format!("The body must be a JSON object: {error}.")
            } else {
                format!("The body is not JSON: {error}.")
            };
            Error::new(Kind::Invalid, what)
        };
        let mut json = serde_json::Deserializer::from_slice(bytes);
        let members = json.deserialize_map(ObjectVisitor).map_err(malformed)?;
        json.end().map_err(malformed)?;
        Ok(members)
    }

    /// Whether a member was given.
    pub fn has(&self, name: &str) -> bool {
        self.left.contains_key(name)
    }

    /// How many bytes of the body these members may have taken, as texts with whatever escapes.
    pub fn size(&self, names: &[&str]) -> usize {
        let texts = names
            .iter()
            .filter_map(|name| self.left.get(*name)?.as_str());
        let escaped = |byte: &u8| *byte < 0x20 || matches!(byte, b'"' | b'\\' | b'/' | 0x7f..);
        texts
            .map(|text| text.len() + 5 * text.bytes().filter(|byte| escaped(byte)).count())
            .sum()
    }

    /// Notes that a member is wrong; the first thing that is said of it stays.
    pub fn wrong(&mut self, field: &'static str, message: impl Into<String>) {
        if self.is_right(field) {
            self.wrong.push(Field {
                field: field.into(),
                message: message.into(),
            });
        }
    }

    fn is_right(&self, field: &str) -> bool {
        !self.wrong.iter().any(|wrong| wrong.field == field)
    }

    /// Takes a member that may be left out.
    pub fn take<T: FromJson>(&mut self, name: &'static str) -> Option<T> {
        self.known.push(name);
        let value = self.left.remove(name)?;
        let taken = T::from_json(value);
        if taken.is_none() {
            self.wrong(name, format!("must be {}", T::expected()));
        }
        taken
    }

    /// Takes a member that must be there. Where it is not, that is noted and the default stands
    /// in for it.
    pub fn need<T: FromJson + Default>(&mut self, name: &'static str) -> T {
        let is_there = self.left.contains_key(name);
        let taken = self.take(name);
        if !is_there {
            self.wrong(name, "is required");
        }
        taken.unwrap_or_default()
    }

    /// Takes a member as it is.
    pub fn take_raw(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.left.remove(name)
    }

    /// What was made of the members, checked by the domain's rules.
    ///
    /// # Errors
    /// `Invalid`, naming every member that is wrong.
    pub fn finish<T>(mut self, made: T, check: impl FnOnce(&T) -> Result<()>) -> Result<T> {
        if let Err(error) = check(&made) {
            for field in error.invalid_fields() {
                if self.is_right(&field.field) {
                    self.wrong.push(field.clone());
                }
            }
        }
        let known = self.known.join(", ");
        self.wrong
            .extend(self.left.into_iter().take(TOLD).map(|(name, _)| Field {
                field: name.into(),
                message: format!("is not a member of this request; it takes {known}"),
            }));
        if self.wrong.is_empty() {
            Ok(made)
        } else {
            Err(Error::fields(self.wrong))
        }
    }
}

/// Reads an object and notes the members that come twice, where serde_json would keep the last.
struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Members::default();
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            if members.left.contains_key(&name) {
                if members.wrong.len() == TOLD {
                    continue;
                }
                members.wrong.push(Field {
                    field: name.into(),
                    message: "is given twice".into(),
                });
            } else {
                members.left.insert(name, value);
            }
        }
        Ok(members)
    }
}

/// What a member's value can be read as.
pub trait FromJson: Sized {
    /// What it must be, to go after "must be".
    fn expected() -> String;

    /// Reads it.
    fn from_json(value: Value) -> Option<Self>;
}

impl FromJson for String {
    fn expected() -> String {
        "a string".into()
    }

    fn from_json(value: Value) -> Option<Self> {
        match value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }
}

impl FromJson for bool {
    fn expected() -> String {
        "true or false".into()
    }

    fn from_json(value: Value) -> Option<Self> {
        value.as_bool()
    }
}

/// Texts by name, in the order of the body.
#[derive(Debug, Default)]
pub struct Texts(pub Vec<(String, String)>);

impl FromJson for Texts {
    fn expected() -> String {
        "an object of strings".into()
    }

    fn from_json(value: Value) -> Option<Self> {
        let Value::Object(members) = value else {
            return None;
        };
        let text = |(name, value)| Some((name, String::from_json(value)?));
        members
            .into_iter()
            .map(text)
            .collect::<Option<_>>()
            .map(Self)
    }
}

impl FromJson for i64 {
    fn expected() -> String {
        "an integer".into()
    }

    fn from_json(value: Value) -> Option<Self> {
        value.as_i64()
    }
}

/// An integer, or a string that holds one, as clients of the old service send.
#[derive(Debug, Default)]
pub struct Number(pub i64);

impl FromJson for Number {
    fn expected() -> String {
        "an integer or a numeric string".into()
    }

    fn from_json(value: Value) -> Option<Self> {
        match value {
            Value::String(text) => text.parse().ok().map(Self),
            other => other.as_i64().map(Self),
        }
    }
}

impl<T: Word> FromJson for OneOf<T> {
    fn expected() -> String {
        T::expected()
    }

    fn from_json(value: Value) -> Option<Self> {
        value.as_str().and_then(T::read).map(Self)
    }
}

/// A value, or null.
pub struct Nullable<T>(pub Option<T>);

impl<T: FromJson> FromJson for Nullable<T> {
    fn expected() -> String {
        format!("{} or null", T::expected())
    }

    fn from_json(value: Value) -> Option<Self> {
        match value {
            Value::Null => Some(Self(None)),
            other => T::from_json(other).map(|it| Self(Some(it))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(error: &Error) -> Vec<&str> {
        error.invalid_fields().iter().map(|f| &*f.field).collect()
    }

    fn read(text: &str) -> Result<(String, Option<i64>)> {
        let mut members = Members::parse(text.as_bytes())?;
        let made = (members.need("a"), members.take("b"));
        members.finish(made, |_| Ok(()))
    }

    #[test]
    fn everything_that_is_wrong_is_named_at_once() {
        assert_eq!(read(r#"{"a":"x","b":5}"#).unwrap(), ("x".into(), Some(5)));
        let error = read(r#"{"b":"5","c":1,"b":2}"#).unwrap_err();
        assert_eq!(named(&error), ["b", "a", "c"]);
        assert_eq!(named(&read(r#"{"a":null}"#).unwrap_err()), ["a"]);
    }

    #[test]
    fn what_is_not_one_json_object_is_refused_and_never_overflows_the_stack() {
        let deep = format!("{{\"a\":{}", "[".repeat(1_000_000));
        for bad in [
            "",
            "{",
            "[]",
            "null",
            "\"x\"",
            r#"{"a":"x"} x"#,
            r#"{"a":"\ud800"}"#,
            r#"{"a":1e400}"#,
            &deep,
        ] {
            let error = read(bad).unwrap_err();
            assert_eq!(error.kind(), Kind::Invalid);
        }
        assert!(Members::parse(b"{\"a\":\"\xff\"}").is_err());
    }
}
