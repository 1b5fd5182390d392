use super::param::Value;
use poem_openapi::registry::MetaSchema;
use std::ops::Range;

/// What a `Range` header asks for (RFC 9110 section 14.2). One range of bytes is served; anything
/// else (other units, several ranges, a malformed one) asks for nothing: the answer is the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteRange {
    /// Nothing that is served.
    Whole,
    /// From the first of these to the second, which is part of it.
    Between(u64, u64),
    /// From here on.
    From(u64),
    /// So many at the end.
    Last(u64),
}

/// There are no such bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct Unsatisfiable;

impl ByteRange {
    /// Which of `length` bytes it means; none where it means the whole.
    ///
    /// # Errors
    /// Where it means none of them.
    pub fn within(self, length: u64) -> Result<Option<Range<u64>>, Unsatisfiable> {
        let range = match self {
            Self::Whole => return Ok(None),
            Self::Between(first, last) => first..length.min(last.saturating_add(1)),
            Self::From(first) => first..length,
            Self::Last(count) => length.saturating_sub(count)..length,
        };
        if range.is_empty() {
            return Err(Unsatisfiable);
        }
        Ok(Some(range))
    }
}

impl Value for ByteRange {
    fn schema() -> MetaSchema {
        MetaSchema::new("string")
    }

    fn parse(text: &str) -> Result<Self, String> {
        Ok(one_range(text).unwrap_or(Self::Whole))
    }
}

fn one_range(text: &str) -> Option<ByteRange> {
    let (unit, set) = text.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let number = |digits: &str| {
        let all_digits = digits.bytes().all(|b| b.is_ascii_digit());
        (all_digits && !digits.is_empty()).then(|| digits.parse().unwrap_or(u64::MAX))
    };
    let (first, last) = set.trim().split_once('-')?;
    match (first, last) {
        ("", count) => number(count).map(ByteRange::Last),
        (first, "") => number(first).map(ByteRange::From),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(ByteRange::Between(first, last))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_ten(text: &str) -> Result<Option<Range<u64>>, Unsatisfiable> {
        ByteRange::parse(text).unwrap().within(10)
    }

    #[test]
    fn one_range_is_served_and_anything_else_is_the_whole() {
        assert_eq!(of_ten("bytes=0-0"), Ok(Some(0..1)));
        assert_eq!(of_ten("bytes=5-"), Ok(Some(5..10)));
        assert_eq!(of_ten("Bytes=5-99999999999999999999"), Ok(Some(5..10)));
        assert_eq!(of_ten("bytes=-3"), Ok(Some(7..10)));
        assert_eq!(of_ten("bytes=-30"), Ok(Some(0..10)));
        for none in ["bytes=10-", "bytes=10-20", "bytes=-0"] {
            assert_eq!(of_ten(none), Err(Unsatisfiable), "{none}");
        }
        for whole in [
            "bytes=0-1,3-4",
            "lines=1-2",
            "bytes=2-1",
            "bytes=x-",
            "bytes=-",
            "bytes",
            "",
            "bytes=+1-2",
        ] {
            assert_eq!(of_ten(whole), Ok(None), "{whole}");
        }
        assert_eq!(ByteRange::From(0).within(0), Err(Unsatisfiable));
    }
}
