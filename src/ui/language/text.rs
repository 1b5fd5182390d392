use super::Language;
use super::catalogue::FRENCH;
use std::borrow::Cow;
use std::fmt::{self, Display};

/// A text in the language of the page, and the values that go where it has `{}`.
pub struct Text {
    pattern: Cow<'static, str>,
    values: Vec<String>,
}

impl Text {
    fn new(pattern: impl Into<Cow<'static, str>>) -> Self {
        Self {
            pattern: pattern.into(),
            values: Vec::new(),
        }
    }

    /// With the next value.
    #[must_use]
    pub fn with(mut self, value: impl Display) -> Self {
        self.values.push(value.to_string());
        self
    }

    /// What stands before the first value, and what after it: a page has an element there.
    pub fn around(&self) -> (&str, &str) {
        self.pattern.split_once("{}").unwrap_or((&self.pattern, ""))
    }
}

impl Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut values = self.values.iter();
        let mut rest: &str = &self.pattern;
        while let Some((text, after)) = rest.split_once("{}") {
            f.write_str(text)?;
            f.write_str(values.next().map_or("{}", String::as_str))?;
            rest = after;
        }
        f.write_str(rest)
    }
}

/// What stands for an English text on the page that is made now; the text itself where the
/// catalogue has none.
pub fn of(english: impl Display) -> Text {
    let english = english.to_string();
    match Language::current() {
        Language::English => Text::new(english),
        Language::French => match FRENCH.plain(&english) {
            Some(french) => Text::new(french),
            None => Text::new(english),
        },
    }
}

/// What stands for a sentence that some other module made, with its values filled in.
pub fn sentence(english: impl Display) -> String {
    let english = english.to_string();
    match Language::current() {
        Language::English => english,
        Language::French => FRENCH.sentence(&english).unwrap_or(english),
    }
}

/// A number of something.
pub fn counted(n: u64, one: &'static str, many: &'static str) -> Text {
    let pattern = match Language::current() {
        Language::French => FRENCH.counted(many, n),
        Language::English => None,
    };
    let english = if n == 1 { one } else { many };
    Text::new(pattern.unwrap_or(english)).with(number(n))
}

/// A number with its digits in groups of three.
fn number(n: u64) -> String {
    let digits = n.to_string();
    // A narrow no-break space in French, as the Imprimerie nationale has it.
    let between = match Language::current() {
        Language::English => ',',
        Language::French => '\u{202f}',
    };
    let mut grouped = String::with_capacity(digits.len() * 2);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(between);
        }
        grouped.push(digit);
    }
    grouped
}
