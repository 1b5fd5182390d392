use std::collections::HashMap;
use std::sync::LazyLock;

/// What stands in French for what the program says in English.
pub(super) static FRENCH: LazyLock<Catalogue> =
    LazyLock::new(|| Catalogue::read(include_str!("fr.po")));

/// A key with fewer letters than this around its values would be found in what is no sentence of
/// ours.
const LETTERS: usize = 6;
/// Sentences stand within sentences and behind one another, at most so deep.
const DEPTH: usize = 6;
/// The most places that are tried to divide sentences at.
const SENTENCES: usize = 12;

/// What a language has for each key.
pub(super) struct Catalogue {
    plain: HashMap<String, String>,
    /// For one, and for more; by the key of more.
    counted: HashMap<String, [String; 2]>,
    /// Keys with values in them, those that say most first.
    patterns: Vec<Pattern>,
}

/// A key with values: the text around them.
struct Pattern {
    around: Vec<String>,
    letters: usize,
    theirs: Vec<Piece>,
}

enum Piece {
    Text(String),
    /// The value with this number in the key.
    Value(usize),
}

impl Catalogue {
    /// Reads a file of gettext. An entry that is marked as fuzzy does not count.
    fn read(po: &str) -> Self {
        let mut catalogue = Self {
            plain: HashMap::new(),
            counted: HashMap::new(),
            patterns: Vec::new(),
        };
        let read = polib::po_file::parse_from_reader(po.as_bytes());
        // The catalogue is part of the program, and a test reads it.
        let read = read.unwrap_or_else(|error| unreachable!("fr.po: {error}"));
        for message in read.messages() {
            if message.is_fuzzy() || !message.is_translated() {
                continue;
            }
            if let (Ok(many), Ok(theirs)) = (message.msgid_plural(), message.msgstr_plural()) {
                if let [one, more] = theirs.as_slice() {
                    let both = [one.clone(), more.clone()];
                    catalogue.counted.insert(many.to_owned(), both);
                }
            } else if let Ok(theirs) = message.msgstr() {
                catalogue.add(message.msgid(), theirs);
            }
        }
        catalogue
            .patterns
            .sort_by_key(|pattern| std::cmp::Reverse(pattern.letters));
        catalogue
    }

    fn add(&mut self, ours: &str, theirs: &str) {
        self.plain.insert(ours.to_owned(), theirs.to_owned());
        let (around, names) = split(ours);
        let letters = around
            .iter()
            .map(|text| text.chars().filter(|c| c.is_alphabetic()).count())
            .sum();
        if !names.is_empty() && letters >= LETTERS {
            let theirs = pieces(theirs, &names);
            self.patterns.push(Pattern {
                around,
                letters,
                theirs,
            });
        }
    }

    /// What stands for a key.
    pub(super) fn plain(&self, key: &str) -> Option<&str> {
        self.plain.get(key).map(String::as_str)
    }

    /// What stands for a number of something: French counts 0 as 1.
    pub(super) fn counted(&self, many: &str, n: u64) -> Option<&str> {
        let [one, more] = self.counted.get(many)?;
        Some(if n < 2 { one } else { more })
    }

    /// What stands for a sentence in which values are filled in already. They may be sentences
    /// themselves, such as the cause in a reason.
    pub(super) fn sentence(&self, said: &str) -> Option<String> {
        self.within(said, DEPTH)
    }

    fn within(&self, said: &str, depth: usize) -> Option<String> {
        if let Some(theirs) = self.plain(said) {
            return Some(theirs.to_owned());
        }
        if depth == 0 {
            return None;
        }
        self.one_by_one(said, depth)
            .or_else(|| self.filled_in(said, depth))
    }

    /// What stands for several sentences, each of which is known.
    fn one_by_one(&self, said: &str, depth: usize) -> Option<String> {
        said.match_indices(". ")
            .take(SENTENCES)
            .find_map(|(at, _)| {
                let (first, rest) = (&said[..=at], &said[at + 2..]);
                let plain = self.plain(first).map(str::to_owned);
                let first = plain.or_else(|| self.filled_in(first, depth))?;
                Some(format!("{first} {}", self.within(rest, depth - 1)?))
            })
    }

    /// What stands for a key whose values are filled in.
    fn filled_in(&self, said: &str, depth: usize) -> Option<String> {
        let mut found = self
            .patterns
            .iter()
            .filter_map(|pattern| Some((pattern, values(&pattern.around, said)?)));
        let (pattern, values) = found.next()?;
        let translated = |value: &str| {
            self.within(value, depth - 1)
                .unwrap_or_else(|| value.to_owned())
        };
        Some(pattern.theirs.iter().fold(String::new(), |mut all, piece| {
            match piece {
                Piece::Text(text) => all.push_str(text),
                Piece::Value(n) => all.push_str(&translated(values[*n])),
            }
            all
        }))
    }
}

/// The text around the values of a key, and what those are called.
fn split(key: &str) -> (Vec<String>, Vec<String>) {
    let (mut around, mut names) = (vec![String::new()], Vec::new());
    let mut rest = key;
    while let Some((text, after)) = rest.split_once('{') {
        let Some((name, after)) = after.split_once('}') else {
            break;
        };
        around.last_mut().expect("one at least").push_str(text);
        around.push(String::new());
        names.push(name.split(':').next().unwrap_or_default().to_owned());
        rest = after;
    }
    around.last_mut().expect("one at least").push_str(rest);
    (around, names)
}

/// A translation, with the values where they belong: by name, or in order where they have none.
fn pieces(theirs: &str, ours: &[String]) -> Vec<Piece> {
    let (around, names) = split(theirs);
    let mut pieces = vec![Piece::Text(around[0].clone())];
    for (at, (name, text)) in names.iter().zip(&around[1..]).enumerate() {
        let named = ours.iter().position(|it| !it.is_empty() && it == name);
        pieces.push(Piece::Value(named.unwrap_or(at).min(ours.len() - 1)));
        pieces.push(Piece::Text(text.clone()));
    }
    pieces
}

/// The values in what was said, where it has this text around them.
fn values<'a>(around: &[String], said: &'a str) -> Option<Vec<&'a str>> {
    let (first, last) = (around.first()?, around.last()?);
    let mut rest = said.strip_prefix(first.as_str())?;
    let mut found = Vec::with_capacity(around.len());
    for text in &around[1..around.len() - 1] {
        let (value, after) = rest.split_once(text.as_str())?;
        found.push(value);
        rest = after;
    }
    found.push(rest.strip_suffix(last.as_str())?);
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PO: &str = r#"
msgid ""
msgstr ""
"Language: fr\n"
"MIME-Version: 1.0\n"
"Content-Type: text/plain; charset=UTF-8\n"
"Content-Transfer-Encoding: 8bit\n"
"Plural-Forms: nplurals=2; plural=(n > 1);\n"

msgid "Task {id} is {state} and cannot {what}."
msgstr "La tâche {id} ne peut pas {what} : elle est {state}."

msgid "be cancelled"
msgstr "être annulée"

msgid "It exited by itself. {}"
msgstr "Il s'est terminé. {}"

msgid "{} task"
msgid_plural "{} tasks"
msgstr[0] "{} tâche"
msgstr[1] "{} tâches"
"#;

    #[test]
    fn a_sentence_is_found_with_its_values_in_it() {
        let catalogue = Catalogue::read(PO);
        assert_eq!(
            catalogue
                .sentence("It exited by itself. Task 7 is DONE and cannot be cancelled.")
                .as_deref(),
            Some("Il s'est terminé. La tâche 7 ne peut pas être annulée : elle est DONE.")
        );
        assert_eq!(catalogue.sentence("Task 7 is done."), None);
        assert_eq!(
            catalogue
                .sentence(
                    "Task 7 is DONE and cannot be cancelled. It exited by itself. Why: a b. c."
                )
                .as_deref(),
            Some(
                "La tâche 7 ne peut pas être annulée : elle est DONE. Il s'est terminé. Why: a b. c."
            )
        );
        assert_eq!(catalogue.counted("{} tasks", 1), Some("{} tâche"));
        assert_eq!(catalogue.counted("{} tasks", 2), Some("{} tâches"));
    }

    #[test]
    fn what_the_program_has_can_be_read() {
        assert!(FRENCH.plain("Log in").is_some());
    }
}
