//! What has to hold of scopes and patterns, whatever they are; and how the rules of the other
//! modules take their data apart.

use super::{InstanceId, Labels, Place, Scope, wildcard};

/// The first byte, and what follows.
pub fn first(data: &[u8]) -> (u8, &[u8]) {
    data.split_first()
        .map_or((0, data), |(first, rest)| (*first, rest))
}

/// What comes before the first line end, and what follows.
pub fn first_line(data: &[u8]) -> (&[u8], &[u8]) {
    match data.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&data[..end], &data[end + 1..]),
        None => (data, &[]),
    }
}

/// The bytes in pieces, whose size the first one chooses.
pub fn pieces(data: &[u8]) -> (&[u8], impl Iterator<Item = &[u8]>) {
    let (size, bytes) = first(data);
    (bytes, bytes.chunks(1 + usize::from(size)))
}

/// Whether a sentence that repeats foreign words can be shown: on one line, without control
/// characters, and not without end.
pub fn is_sentence(text: &str, longest: usize) -> bool {
    !text.is_empty() && text.len() <= longest && !text.contains(char::is_control)
}

/// A scope is read as it is written, and one that is no wider than another allows no more.
///
/// # Panics
/// Where that does not hold.
pub fn scopes(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut parts = text.splitn(3, '\n');
    let mut part = || parts.next().unwrap_or_default();
    let (place, narrow, wide) = (part(), part(), part());
    let read = |rules: &str| Scope::parse(rules.split_ascii_whitespace());
    let (Ok(narrow), Ok(wide)) = (read(narrow), read(wide)) else {
        return;
    };
    for scope in [&narrow, &wide] {
        let rules = scope.rules();
        assert_eq!(
            Scope::parse(rules.iter().map(String::as_str)).as_ref(),
            Ok(scope)
        );
        let everything = Scope::default();
        assert_eq!(scope.first_beyond(&everything), None);
        assert_eq!(scope.first_beyond(scope), None);
    }
    let mut words = place.split(' ');
    let mut word = || words.next().unwrap_or_default();
    let (login, host, id) = (word(), word(), word().parse().unwrap_or(1));
    let labels = Labels::from([(word().to_owned(), word().to_owned())]);
    let place = Place {
        id: InstanceId(id),
        ip: Some(host),
        labels: &labels,
    };
    for scope in [&narrow, &wide] {
        assert!(
            !scope.allows(login, place) || scope.sees(place),
            "{scope:?}"
        );
    }
    let forbids = |scope: &Scope| scope.rules().iter().any(|rule| rule.starts_with('!'));
    let has_rules = !narrow.is_everything() && !wide.is_everything();
    if has_rules && !forbids(&narrow) && !forbids(&wide) && narrow.first_beyond(&wide).is_none() {
        let more = narrow.allows(login, place) && !wide.allows(login, place);
        assert!(
            !more,
            "{narrow:?} allows {login} on {host}, {wide:?} does not"
        );
    }
}

/// A pattern fits what a textbook says that it fits.
///
/// # Panics
/// Where it does not.
pub fn pattern(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (pattern, name) = text.split_once('\n').unwrap_or((&text, ""));
    // Which beginnings of the name each beginning of the pattern fits.
    let mut fits = vec![false; name.len() + 1];
    fits[0] = true;
    for wanted in pattern.bytes() {
        let mut after: Vec<bool> = Vec::with_capacity(fits.len());
        for (end, here) in fits.iter().enumerate() {
            let last = end.checked_sub(1);
            let one = |at: usize| {
                let is = wanted == b'?' || name.as_bytes()[at].eq_ignore_ascii_case(&wanted);
                is && fits[at]
            };
            let fit = match wanted {
                b'*' => *here || last.is_some_and(|at| after[at]),
                _ => last.is_some_and(one),
            };
            after.push(fit);
        }
        fits = after;
    }
    assert_eq!(
        wildcard(pattern, name),
        fits[name.len()],
        "{pattern:?} {name:?}"
    );
}
