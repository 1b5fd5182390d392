//! What has to hold of what a request says, whatever it is.

use super::change::TaskChange;
use super::conditional::{Key, etag};
use super::identity_change::IdentityPut;
use super::input::{Input, Members};
use super::instance_change::{HostKeyPut, InstancePut};
use super::param::{Id, Int, Query, Value};
use super::range::ByteRange;
use super::user_change::{PasswordPut, UserPut};
use super::word::OneOf;
use super::{Limit, Order};
use crate::domain::fuzzing::first;
use crate::domain::{
    ApprovalVerdict, CheckRequest, Error, IfMatch, Kind, NewIdentity, NewInstance, NewTask,
    NewUser, Result, State, TokenRequest,
};
use futures_util::FutureExt as _;
use poem::http::Uri;
use poem::{Request, RequestBody};
use poem_openapi::{ApiExtractor, ExtractParamOptions};
use serde_json::json;

/// The most fields that one answer complains of.
const COMPLAINTS: usize = 128;

/// The body of a request of any kind, which the first byte chooses. What is refused is refused as
/// `Invalid`, in few words; what is taken is taken as well when it is written out anew, and not with
/// a member that nobody knows.
///
/// # Panics
/// Where that does not hold.
pub fn body(data: &[u8]) {
    let kinds = [
        taken::<NewTask>,
        taken::<TaskChange>,
        taken::<NewInstance>,
        taken::<InstancePut>,
        taken::<HostKeyPut>,
        taken::<CheckRequest>,
        taken::<NewUser>,
        taken::<UserPut>,
        taken::<PasswordPut>,
        taken::<TokenRequest>,
        taken::<NewIdentity>,
        taken::<IdentityPut>,
        taken::<ApprovalVerdict>,
    ];
    let (kind, json) = first(data);
    let taken = kinds[usize::from(kind) % kinds.len()];
    if let Err(error) = taken(json) {
        refusal(&error, json.len());
        return;
    }
    let mut value: serde_json::Value = serde_json::from_slice(json).expect("it was read");
    taken(value.to_string().as_bytes()).expect("it says the same");
    value["zz"] = json!(1);
    let error = taken(value.to_string().as_bytes()).expect_err("nobody knows this member");
    refusal(&error, json.len());
    assert!(error.invalid_fields().iter().any(|it| it.field == "zz"));
}

fn taken<T: Input>(json: &[u8]) -> Result<()> {
    T::read(Members::parse(json)?).map(drop)
}

/// The refusal of so many bytes.
fn refusal(error: &Error, length: usize) {
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
    let fields = error.invalid_fields();
    assert!(fields.len() <= COMPLAINTS, "{} complaints", fields.len());
    assert!(fields.iter().all(|it| !it.message.is_empty()));
    let detail = error.detail();
    let bound = 32 * 1024 + 8 * length;
    assert!(
        !detail.is_empty() && detail.len() <= bound,
        "{}",
        detail.len()
    );
}

/// `Range`: what is served lies within what there is, and asking for just that gives the same.
///
/// # Panics
/// Where that does not hold.
pub fn range(data: &[u8]) {
    let (length, text) = data.split_first_chunk::<8>().unwrap_or((&[0; 8], data));
    let text = String::from_utf8_lossy(text);
    let within = |text: &str, length| ByteRange::parse(text).map(|it| it.within(length));
    for length in [u64::from_le_bytes(*length), u64::from(length[0])] {
        let Ok(Ok(Some(range))) = within(&text, length) else {
            continue;
        };
        assert!(
            range.start < range.end && range.end <= length,
            "{text} of {length}"
        );
        let plain = format!("bytes={}-{}", range.start, range.end - 1);
        assert_eq!(within(&plain, length), Ok(Ok(Some(range))));
        assert!(text.to_ascii_lowercase().contains("bytes"), "{text}");
    }
}

/// `If-Match` and `Idempotency-Key`.
///
/// # Panics
/// Where a list of versions is not read as it is written.
pub fn condition(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if Key::parse(&text).is_ok() {
        assert!((1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()));
    }
    if let Ok(IfMatch::Versions(versions)) = IfMatch::parse(&text) {
        assert!(versions.len() <= text.len() / 3);
        for version in &versions {
            assert!(text.contains(&etag(*version)), "{version} of {text}");
            assert!(IfMatch::check(Some(&IfMatch::Versions(versions.clone())), *version).is_ok());
        }
        let tags: Vec<String> = versions.iter().map(|it| etag(*it)).collect();
        if !tags.is_empty() {
            assert_eq!(
                IfMatch::parse(&tags.join(", ")),
                Ok(IfMatch::Versions(versions))
            );
        }
    }
}

/// The query of a list.
///
/// # Panics
/// Where a value is out of its bounds, or an error does not say which parameter is wrong.
pub fn query(data: &[u8]) {
    let uri = Uri::builder().path_and_query([b"/wsexec/tasks?", data].concat());
    let Ok(uri) = uri.build() else {
        return;
    };
    let request = Request::builder().uri(uri).finish();
    if let Some(Int(limit)) = parameter::<Limit>(&request, "limit") {
        assert!((1..=1_000_000).contains(&limit));
    }
    for name in ["after", "before", "instance"] {
        assert!(parameter::<Id>(&request, name).is_none_or(|Int(id)| id >= 1));
    }
    parameter::<OneOf<Order>>(&request, "order");
    parameter::<OneOf<State>>(&request, "state");
    for name in ["q", "tag", "name", "user"] {
        let text = parameter::<String>(&request, name);
        assert!(text.is_none_or(|text| !text.contains('\0')));
    }
}

fn parameter<T: Value>(request: &Request, name: &'static str) -> Option<T> {
    let options = ExtractParamOptions {
        name,
        ignore_case: false,
        default_value: None,
        example_value: None,
        explode: true,
        style: None,
    };
    let mut body = RequestBody::default();
    let read = Query::<T>::from_request(request, &mut body, options).now_or_never();
    match read.expect("nothing is waited for") {
        Ok(Query(value)) => value,
        Err(error) => {
            let error = error.downcast_ref::<Error>().expect("an error of ours");
            assert_eq!(error.kind(), Kind::Invalid);
            assert!(error.invalid_fields().iter().any(|it| it.field == name));
            None
        }
    }
}
