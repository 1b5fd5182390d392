//! What templates apply to values. askama escapes what these give.

use super::language::{self, Language, Text};
use askama::Values;
use std::fmt::{Display, Write as _};
use time::OffsetDateTime;
use time::macros::format_description;

/// Whether a character changes the direction of the text around it (Unicode UAX 9), and so could
/// make a script or a name look like another.
fn turns_text(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Text in which nothing hides: control characters as their pictures, characters that turn the
/// direction by number. Line ends and tabs stay.
pub fn show(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    show_into(text, &mut shown);
    shown
}

/// See [`show`].
pub fn show_into(text: &str, shown: &mut String) {
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\n' | '\t' => shown.push(c),
            '\r' if rest.peek() == Some(&'\n') => {}
            '\0'..='\x1f' => shown.push(picture(c)),
            '\x7f' => shown.push('\u{2421}'),
            '\u{80}'..='\u{9f}' => shown.push('\u{fffd}'),
            c if turns_text(c) => {
                let _ = write!(shown, "[U+{:04X}]", u32::from(c));
            }
            c => shown.push(c),
        }
    }
}

fn picture(control: char) -> char {
    char::from_u32(0x2400 + u32::from(control)).unwrap_or('\u{fffd}')
}

/// See [`show`].
#[askama::filter_fn]
pub fn visible(text: impl Display, _: &dyn Values) -> askama::Result<String> {
    Ok(show(&text.to_string()))
}

/// A text of a page in the language of its reader; with `{}` where values go.
#[askama::filter_fn]
pub fn t(english: impl Display, _: &dyn Values) -> askama::Result<Text> {
    Ok(language::of(english))
}

/// The next value of a text.
#[askama::filter_fn]
pub fn with<V: Display>(text: Text, _: &dyn Values, value: V) -> askama::Result<Text> {
    Ok(text.with(value))
}

/// What stands before the first value of a text, where that is an element.
#[askama::filter_fn]
pub fn before(text: Text, _: &dyn Values) -> askama::Result<String> {
    Ok(text.around().0.to_owned())
}

/// What stands after it.
#[askama::filter_fn]
pub fn after(text: Text, _: &dyn Values) -> askama::Result<String> {
    Ok(text.around().1.to_owned())
}

/// A sentence that another module made – an error, a reason – in the language of the reader.
#[askama::filter_fn]
pub fn said(english: impl Display, _: &dyn Values) -> askama::Result<String> {
    Ok(language::sentence(english))
}

/// A number of something: `n|plural("{} task", "{} tasks")`.
#[askama::filter_fn]
pub fn plural(
    n: impl Display,
    _: &dyn Values,
    one: &'static str,
    many: &'static str,
) -> askama::Result<Text> {
    let n = n.to_string().parse().map_err(askama::Error::custom)?;
    Ok(language::counted(n, one, many))
}

/// Unix seconds as the value of `<time datetime>`.
#[askama::filter_fn]
pub fn instant(seconds: &i64, _: &dyn Values) -> askama::Result<String> {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    at(*seconds).format(format).map_err(askama::Error::custom)
}

/// Unix seconds for people, in UTC.
#[askama::filter_fn]
pub fn utc(seconds: &i64, _: &dyn Values) -> askama::Result<String> {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");
    at(*seconds).format(format).map_err(askama::Error::custom)
}

/// Unix seconds as an hour of the day for people, in UTC.
#[askama::filter_fn]
pub fn clock(seconds: &i64, _: &dyn Values) -> askama::Result<String> {
    let format = format_description!("[hour]:[minute] UTC");
    at(*seconds).format(format).map_err(askama::Error::custom)
}

fn at(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// Seconds as `3 s`, `2 min 5 s`, `1 h 0 min`, `4 d 2 h`.
#[askama::filter_fn]
pub fn span(seconds: &i64, _: &dyn Values) -> askama::Result<String> {
    let s = *seconds;
    let d = match Language::current() {
        Language::English => 'd',
        Language::French => 'j',
    };
    Ok(match s {
        ..60 => format!("{s} s"),
        60..3_600 => format!("{} min {} s", s / 60, s % 60),
        3_600..86_400 => format!("{} h {} min", s / 3_600, s % 3_600 / 60),
        _ => format!("{} {d} {} h", s / 86_400, s % 86_400 / 3_600),
    })
}

/// Seconds that are a round number of one unit, as that: `10 s`, `1 min`, `4 d`.
#[askama::filter_fn]
pub fn brief(seconds: &i64, _: &dyn Values) -> askama::Result<String> {
    let s = *seconds;
    Ok(match s {
        ..60 => format!("{s} s"),
        60..3_600 => format!("{} min", s / 60),
        3_600..86_400 => format!("{} h", s / 3_600),
        _ if Language::current() == Language::French => format!("{} j", s / 86_400),
        _ => format!("{} d", s / 86_400),
    })
}

/// Bytes as `512 bytes`, `64.0 KiB`, `3.2 MiB`.
#[askama::filter_fn]
pub fn size(bytes: &u64, _: &dyn Values) -> askama::Result<String> {
    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;
    let (point, letter) = match Language::current() {
        Language::English => ('.', 'B'),
        Language::French => (',', 'o'),
    };
    let in_units = |unit: u64, prefix: &str| {
        let tenths = bytes % unit * 10 / unit;
        format!("{}{point}{tenths} {prefix}{letter}", bytes / unit)
    };
    Ok(match *bytes {
        ..KIB => language::counted(*bytes, "{} byte", "{} bytes").to_string(),
        KIB..MIB => in_units(KIB, "Ki"),
        MIB..GIB => in_units(MIB, "Mi"),
        _ => in_units(GIB, "Gi"),
    })
}

#[cfg(test)]
mod tests {
    use super::show;

    #[test]
    fn what_hides_is_shown_and_what_is_plain_stays() {
        assert_eq!(show("a\tb\r\nc\n"), "a\tb\nc\n");
        assert_eq!(show("\x1b[31m\x07\r\x7f"), "␛[31m␇␍␡");
        assert_eq!(show("a\u{202e}b\u{2066}"), "a[U+202E]b[U+2066]");
        assert_eq!(show("é漢👍"), "é漢👍");
    }
}
