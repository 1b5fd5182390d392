//! Colours and styles that a script writes (ECMA-48 SGR), as spans with classes: the content
//! security policy forbids inline styles. No other control sequence has an effect.

use crate::ui::filters::show_into;
use anstyle_parse::state::{State, state_change};
use std::ops::Range;

/// The longest control sequence, in bytes. What goes on for longer is shown instead: whatever
/// comes, no more than this is ever kept from sight.
const LONGEST: usize = 2048;

/// How text looks. Colours are those of the palette of 256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pen {
    text: Option<u8>,
    back: Option<u8>,
    bold: bool,
    dim: bool,
    italic: bool,
    underline: bool,
    inverse: bool,
    strike: bool,
}

impl Pen {
    /// The classes of a span; empty for plain text. On a coloured ground the style sheet chooses
    /// the colour of the text, so that it can always be read.
    fn classes(self) -> String {
        let mut classes: Vec<String> = Vec::new();
        match (self.inverse, self.text, self.back) {
            (false, Some(text), None) => classes.push(format!("f{text}")),
            (false, _, Some(back)) => classes.push(format!("k{back}")),
            (true, Some(text), _) => classes.push(format!("k{text}")),
            (true, None, _) => classes.push("v".into()),
            (false, None, None) if self.dim => classes.push("d".into()),
            (false, None, None) => {}
        }
        let flags = [
            (self.bold, "b"),
            (self.italic, "i"),
            (self.underline, "u"),
            (self.strike, "s"),
        ];
        classes.extend(flags.iter().filter(|it| it.0).map(|it| it.1.to_owned()));
        classes.join(" ")
    }

    /// Takes the parameters of one SGR sequence (ECMA-48 8.3.117, ITU-T T.416 13.1.8).
    fn take(&mut self, parameters: &str) {
        let mut all = parameters.split(';');
        while let Some(one) = all.next() {
            let mut parts = one.split(':');
            let code: u16 = match parts.next() {
                Some("") | None => 0,
                Some(number) => number.parse().unwrap_or(u16::MAX),
            };
            match code {
                0 => *self = Self::default(),
                1 => self.bold = true,
                2 => self.dim = true,
                3 => self.italic = true,
                4 => self.underline = parts.next() != Some("0"),
                7 => self.inverse = true,
                9 => self.strike = true,
                21 => self.underline = true,
                22 => (self.bold, self.dim) = (false, false),
                23 => self.italic = false,
                24 => self.underline = false,
                27 => self.inverse = false,
                29 => self.strike = false,
                30..=37 => self.text = Some((code - 30) as u8),
                40..=47 => self.back = Some((code - 40) as u8),
                90..=97 => self.text = Some((code - 90 + 8) as u8),
                100..=107 => self.back = Some((code - 100 + 8) as u8),
                39 => self.text = None,
                49 => self.back = None,
                38 | 48 => {
                    let parts: Vec<&str> = parts.collect();
                    let colour = match parts.as_slice() {
                        [] => colour(&mut all),
                        // The colour space, which may be there or not, is of no account.
                        ["2", _, r, g, b, ..] | ["2", r, g, b] => {
                            colour(&mut ["2", r, g, b].into_iter())
                        }
                        parts => colour(&mut parts.iter().copied()),
                    };
                    let Some(colour) = colour else { continue };
                    let place = if code == 38 {
                        &mut self.text
                    } else {
                        &mut self.back
                    };
                    *place = Some(colour);
                }
                _ => {}
            }
        }
    }
}

/// What follows 38 or 48: `5;N`, or `2;R;G;B`, of which the nearest in the palette.
fn colour<'a>(parts: &mut impl Iterator<Item = &'a str>) -> Option<u8> {
    let kind = parts.next()?;
    let mut number = || parts.next()?.parse::<u8>().ok();
    match kind {
        "5" => number(),
        "2" => Some(nearest([number()?, number()?, number()?])),
        _ => None,
    }
}

/// The colour of the palette's cube and greys that is nearest.
fn nearest(wanted: [u8; 3]) -> u8 {
    let away = |index: &u8| -> u32 {
        let found = super::palette::rgb(*index);
        let parts = found.iter().zip(wanted);
        parts.map(|(a, b)| u32::from(a.abs_diff(b)).pow(2)).sum()
    };
    (16..=255).min_by_key(away).unwrap_or(7)
}

/// Text that looks the same all through, or what is left out of it.
pub type Run = (Pen, String);

/// Reads text with control sequences; what one piece begins, the next one ends.
#[derive(Debug, Clone)]
pub struct Painter {
    pen: Pen,
    state: State,
    /// The control sequence that has begun.
    sequence: String,
}

impl Default for Painter {
    fn default() -> Self {
        Self {
            pen: Pen::default(),
            state: State::Ground,
            sequence: String::new(),
        }
    }
}

impl Painter {
    /// Takes text, and gives it as runs.
    pub fn paint(&mut self, mut text: &str, runs: &mut Vec<Run>) {
        while !text.is_empty() {
            if self.sequence.is_empty() {
                let (plain, rest) = text.split_at(text.find('\x1b').unwrap_or(text.len()));
                self.put(plain, runs);
                text = rest;
            }
            let Some(c) = text.chars().next() else {
                return;
            };
            text = &text[c.len_utf8()..];
            self.step(c, runs);
        }
    }

    /// Whether a control sequence has begun and not ended.
    pub fn is_in_sequence(&self) -> bool {
        !self.sequence.is_empty()
    }

    /// One character of a control sequence.
    fn step(&mut self, c: char, runs: &mut Vec<Run>) {
        use State::{DcsPassthrough, OscString, SosPmApcString};
        let in_text = matches!(self.state, OscString | DcsPassthrough | SosPmApcString);
        let goes_on = match c {
            '\x1b' => self.sequence.is_empty() || in_text,
            '\x07' => self.state == OscString,
            ' '..='~' => true,
            c => in_text && !c.is_control(),
        };
        if !goes_on || self.sequence.len() >= LONGEST {
            self.give_up(runs);
            if c != '\x1b' {
                self.put(c.encode_utf8(&mut [0; 4]), runs);
                return;
            }
        }
        self.sequence.push(c);
        if let Ok(byte) = u8::try_from(c) {
            match state_change(self.state, byte).0 {
                State::Anywhere => {}
                state => self.state = state,
            }
        }
        if self.state == State::Ground {
            let sequence = std::mem::take(&mut self.sequence);
            let parameters = sequence
                .strip_prefix("\x1b[")
                .and_then(|it| it.strip_suffix('m'));
            let is_style = |it: &&str| it.bytes().all(|b| matches!(b, b'0'..=b'9' | b';' | b':'));
            if let Some(parameters) = parameters.filter(is_style) {
                self.pen.take(parameters);
            }
        }
    }

    /// What was no control sequence after all is shown.
    fn give_up(&mut self, runs: &mut Vec<Run>) {
        self.state = State::Ground;
        let shown = std::mem::take(&mut self.sequence);
        self.put(&shown, runs);
    }

    fn put(&mut self, text: &str, runs: &mut Vec<Run>) {
        match runs.last_mut() {
            _ if text.is_empty() => {}
            Some((pen, last)) if *pen == self.pen => last.push_str(text),
            _ => runs.push((self.pen, text.to_owned())),
        }
    }
}

/// The text of runs, without their looks.
pub fn plain(runs: &[Run]) -> String {
    runs.iter().map(|(_, text)| text.as_str()).collect()
}

/// Text without its control sequences.
pub fn without_sequences(text: &str) -> String {
    let mut runs = Vec::new();
    Painter::default().paint(text, &mut runs);
    plain(&runs)
}

/// Writes runs as HTML in which nothing hides; `marked` are the places in their text that are to
/// stand out, in order.
pub fn write(runs: &[Run], marked: &[Range<usize>], html: &mut String) {
    let mut begin = 0;
    for (pen, text) in runs {
        let classes = pen.classes();
        if !classes.is_empty() {
            html.push_str("<span class=\"");
            html.push_str(&classes);
            html.push_str("\">");
        }
        let end = begin + text.len();
        let mut at = begin;
        for mark in marked.iter().filter(|it| it.start < end && it.end > begin) {
            let (from, to) = (mark.start.max(begin), mark.end.min(end));
            escape(&text[at - begin..from - begin], html);
            html.push_str("<mark>");
            escape(&text[from - begin..to - begin], html);
            html.push_str("</mark>");
            at = to;
        }
        escape(&text[at - begin..], html);
        if !classes.is_empty() {
            html.push_str("</span>");
        }
        begin = end;
    }
}

fn escape(text: &str, html: &mut String) {
    let mut shown = String::with_capacity(text.len());
    show_into(text, &mut shown);
    for c in shown.chars() {
        match c {
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '&' => html.push_str("&amp;"),
            '"' => html.push_str("&quot;"),
            c => html.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn html(pieces: &[&str]) -> String {
        let mut painter = Painter::default();
        let mut runs = Vec::new();
        for piece in pieces {
            painter.paint(piece, &mut runs);
        }
        painter.paint("\n", &mut runs);
        let mut html = String::new();
        write(&runs, &[], &mut html);
        html.replace('\n', "")
    }

    #[test]
    fn styles_become_classes_and_nothing_else_does() {
        for (text, shown) in [
            ("a\x1b[31mb\x1b[0mc", "a<span class=\"f1\">b</span>c"),
            (
                "\x1b[1;4;92mx\x1b[22;24;39my",
                "<span class=\"f10 b u\">x</span>y",
            ),
            ("\x1b[38;5;200mx", "<span class=\"f200\">x</span>"),
            ("\x1b[38;2;255;0;0mx", "<span class=\"f196\">x</span>"),
            ("\x1b[48:2::0:0:255mx", "<span class=\"k21\">x</span>"),
            ("\x1b[31;7mx", "<span class=\"k1\">x</span>"),
            ("\x1b[31;42mx", "<span class=\"k2\">x</span>"),
            ("\x1b[7mx\x1b[27my", "<span class=\"v\">x</span>y"),
            ("\x1b[2;3;9mx", "<span class=\"d i s\">x</span>"),
            ("a\x1b[2K\x1b[1Gb", "ab"),
            ("\x1b]0;title\x07x", "x"),
            ("\x1b]8;;http://evil/\x1b\\text\x1b]8;;\x1b\\.", "text."),
            ("\x1bPq#0\x1b\\x", "x"),
            ("\x1b[99999999999mx", "x"),
            ("<b>&\"", "&lt;b&gt;&amp;&quot;"),
        ] {
            assert_eq!(html(&[text]), shown, "{text:?}");
        }
    }

    #[test]
    fn a_sequence_may_come_in_pieces_and_one_that_never_ends_is_shown() {
        assert_eq!(
            html(&["\x1b", "[3", "1", "mx"]),
            "<span class=\"f1\">x</span>"
        );
        assert_eq!(html(&["a\x1b[31"]), "a␛[31");
        assert_eq!(html(&["\x1b[3\x01mx"]), "␛[3␁mx");
        let endless = format!("\x1b]0;{}", "x".repeat(2 * LONGEST));
        assert_eq!(html(&[&endless]).matches('x').count(), 2 * LONGEST);
    }

    #[test]
    fn marks_go_over_the_borders_of_styles() {
        let mut runs = Vec::new();
        Painter::default().paint("ab\x1b[31mcd\x1b[0mef", &mut runs);
        let mut html = String::new();
        write(&runs, &[1..3, 4..6], &mut html);
        let shown = "a<mark>b</mark><span class=\"f1\"><mark>c</mark>d</span><mark>ef</mark>";
        assert_eq!(html, shown);
    }
}
