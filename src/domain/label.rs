use std::collections::BTreeMap;

/// What an instance is labelled with, such as `env=prod`.
pub type Labels = BTreeMap<String, String>;

/// The most labels of one instance.
const MOST: usize = 64;
const KEY_MAX: usize = 63;
const VALUE_MAX: usize = 255;

/// Reads `key=value`, one label each.
///
/// # Errors
/// The sentence for the caller.
pub fn labels_from<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Labels, String> {
    let mut found = Labels::new();
    for text in texts {
        let (key, value) = text
            .split_once('=')
            .ok_or_else(|| format!("{text:?} is no label: write key=value"))?;
        if found.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(format!("must have {key:?} once"));
        }
    }
    labels(&found)?;
    Ok(found)
}

/// Labels: up to 64; keys of 1 to 63 letters, digits and `. _ - /`, values of up to 255 letters,
/// digits and `. _ - / : +`. What has a meaning in a scope (`*`, `@`, `=`, `!`) or a blank is in
/// none of them.
///
/// # Errors
/// The sentence for the caller.
pub fn labels(labels: &Labels) -> Result<(), String> {
    if labels.len() > MOST {
        return Err(format!("must have at most {MOST} labels"));
    }
    let made_of = |text: &str, also: &str| {
        text.chars()
            .all(|c| c.is_ascii_alphanumeric() || also.contains(c))
    };
    for (key, value) in labels {
        if key.is_empty() || key.len() > KEY_MAX || !made_of(key, "._-/") {
            return Err(format!(
                "{key:?} is no key of a label: 1 to {KEY_MAX} letters, digits and . _ - /"
            ));
        }
        if value.len() > VALUE_MAX || !made_of(value, "._-/:+") {
            return Err(format!(
                "{value:?} is no value of a label: up to {VALUE_MAX} letters, digits and . _ - / : +"
            ));
        }
    }
    Ok(())
}
