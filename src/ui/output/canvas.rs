//! Rows as HTML.

use super::ansi::{self, Painter, Run};
use super::rows::{Content, Row};
use crate::domain::{Error, Result, Stream};
use crate::ui::language;
use aho_corasick::AhoCorasick;
use std::fmt::Write as _;
use std::ops::Range;

/// The longest text that is looked for, in bytes.
pub const LONGEST: usize = 1000;

/// What is looked for, whatever the case of its ASCII letters.
#[derive(Clone)]
pub struct Needle(AhoCorasick);

impl Needle {
    /// None for nothing.
    ///
    /// # Errors
    /// `Invalid` where it is too long.
    pub fn new(text: &str) -> Result<Option<Self>> {
        if text.is_empty() {
            return Ok(None);
        }
        if text.len() > LONGEST {
            let message = format!("must have at most {LONGEST} bytes");
            return Err(Error::field("q", message));
        }
        let search = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .build([text]);
        search.map(Self).map(Some).map_err(Error::internal)
    }

    /// Where it is in a text; what touches is one place.
    pub fn places(&self, text: &str) -> Vec<Range<usize>> {
        let mut places: Vec<Range<usize>> = Vec::new();
        for found in self.0.find_iter(text) {
            match places.last_mut() {
                Some(last) if last.end == found.start() => last.end = found.end(),
                _ => places.push(found.range()),
            }
        }
        places
    }

    /// Whether it is in there.
    pub fn is_in(&self, bytes: &[u8]) -> bool {
        self.0.is_match(bytes)
    }
}

/// Draws rows in their order: what one sets of the colours goes on in the next.
#[derive(Clone, Default)]
pub struct Canvas {
    painters: [Painter; 2],
    /// What is marked.
    pub needle: Option<Needle>,
    /// The line that stands out.
    pub here: Option<(Stream, u64)>,
}

impl Canvas {
    /// Takes a row that is not shown.
    pub fn pass(&mut self, row: &Row) {
        if let Content::Line(bytes) = &row.content {
            // Without an escape it changes nothing, but for what it ends.
            let painter = &mut self.painters[row.stream as usize];
            if bytes.contains(&b'\x1b') || painter.is_in_sequence() {
                painter.paint(&String::from_utf8_lossy(bytes), &mut Vec::new());
            }
        }
    }

    /// The row's text as runs, without its end.
    pub fn paint(&mut self, row: &Row) -> Vec<Run> {
        let mut runs = Vec::new();
        if let Content::Line(bytes) = &row.content {
            let text = String::from_utf8_lossy(bytes);
            self.painters[row.stream as usize].paint(&text, &mut runs);
            if let Some((_, last)) = runs.last_mut() {
                let length = last.trim_end_matches('\n').trim_end_matches('\r').len();
                if last.ends_with('\n') {
                    last.truncate(length);
                }
            }
        }
        runs
    }

    /// Whether the line that stands out begins with this row.
    pub fn is_here(&self, row: &Row) -> bool {
        let here = row.line.map(|line| (row.stream, line));
        row.is_first && here.is_some() && here == self.here
    }

    /// Writes a row as HTML.
    pub fn draw(&mut self, row: &Row, html: &mut String) {
        let runs = self.paint(row);
        html.push_str("<span class=\"l");
        if row.stream == Stream::Stderr {
            html.push_str(" e");
        }
        if self.is_here(row) {
            html.push_str(" here");
        }
        if matches!(row.content, Content::Gap(_)) {
            html.push_str(" gap");
        }
        let _ = write!(html, "\" id=\"{}\">", id(row));
        if let (true, Some(line)) = (row.is_first, row.line) {
            let address = address(row.stream, line);
            let number = line + 1;
            let _ = write!(
                html,
                "<a href=\"{address}\" data-n=\"{number}\" tabindex=\"-1\" aria-hidden=\"true\"></a>"
            );
        }
        match row.content {
            Content::Line(..) => {
                let marked = match &self.needle {
                    Some(needle) => needle.places(&ansi::plain(&runs)),
                    None => Vec::new(),
                };
                ansi::write(&runs, &marked, html);
            }
            Content::Gap(bytes) => {
                let gap = language::of("[{} bytes are left out here]").with(bytes);
                let _ = write!(html, "{gap}");
            }
        }
        html.push_str("\n</span>");
    }
}

/// What the names of a stream's rows begin with.
pub fn letter(stream: Stream) -> char {
    match stream {
        Stream::Stdout => 'o',
        Stream::Stderr => 'e',
    }
}

/// The name of a row in its page: the same wherever reading began.
pub fn id(row: &Row) -> String {
    let letter = letter(row.stream);
    let offset = row.from.of(row.stream);
    match row.line {
        Some(line) if row.is_first => format!("{letter}{}", line + 1),
        _ => format!("{letter}-{offset}"),
    }
}

/// Where a line, from 0, is on its task's page.
pub fn address(stream: Stream, line: u64) -> String {
    let (number, letter) = (line + 1, letter(stream));
    match stream {
        Stream::Stdout => format!("?line={number}#{letter}{number}"),
        Stream::Stderr => format!("?of=stderr&amp;line={number}#{letter}{number}"),
    }
}
