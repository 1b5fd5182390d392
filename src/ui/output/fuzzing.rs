//! What has to hold of output on a page, whatever it is.

use super::ansi::{self, Painter, Run};
use super::canvas::{Canvas, Needle};
use super::rows::{Content, LONG, Row, Rows};
use crate::domain::Stream;
use crate::domain::fuzzing::pieces;
use crate::service::Place;
use crate::ui::filters::show;

/// However the bytes come, they make the same rows; a row is well-formed HTML of few elements, in
/// which nothing acts and nothing hides, and its text is what was written, but for control
/// sequences.
///
/// # Panics
/// Where that does not hold.
pub fn output(data: &[u8]) {
    let (bytes, pieces) = pieces(data);
    painted(
        &String::from_utf8_lossy(bytes),
        data.first().map_or(1, |it| usize::from(*it) + 1),
    );
    let whole = rows([bytes].into_iter());
    let again = rows(pieces);
    assert_eq!(
        again.iter().map(seen).collect::<Vec<_>>(),
        whole.iter().map(seen).collect::<Vec<_>>()
    );
    let all: Vec<u8> = whole.iter().flat_map(|row| seen(row).3.to_vec()).collect();
    assert_eq!(all, bytes);
    let mut canvas = Canvas::default();
    for row in &whole {
        let length = seen(row).3.len() as u64;
        assert!(
            (1..2 * LONG + 4).contains(&length),
            "a row of {length} bytes"
        );
        let mut html = String::new();
        canvas.draw(row, &mut html);
        text_of(&html);
    }
}

fn rows<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Row> {
    let mut rows = Rows::new(false, Place::default(), [Some(0); 2]);
    let mut found = Vec::new();
    for piece in pieces {
        rows.take(Stream::Stdout, piece, &mut |row| found.push(row));
    }
    rows.finish(&mut |row| found.push(row));
    found
}

fn seen(row: &Row) -> (Option<u64>, bool, [Place; 2], &[u8]) {
    let Content::Line(bytes) = &row.content else {
        panic!("nothing is left out");
    };
    (row.line, row.is_first, [row.from, row.to], bytes)
}

/// Text that comes in pieces of so many characters.
fn painted(text: &str, size: usize) {
    let paint = |pieces: &[String]| {
        let (mut painter, mut runs) = (Painter::default(), Vec::new());
        for piece in pieces {
            painter.paint(piece, &mut runs);
        }
        runs
    };
    let runs = paint(&[text.to_owned()]);
    let chars: Vec<char> = text.chars().collect();
    let pieces: Vec<String> = chars.chunks(size).map(String::from_iter).collect();
    assert_eq!(paint(&pieces), runs);

    // Characters are left out, and none is new or elsewhere.
    let plain = ansi::plain(&runs);
    let mut left = text.chars();
    assert!(
        plain.chars().all(|c| left.any(|it| it == c)),
        "{text:?} became {plain:?}"
    );
    if !text.contains('\x1b') {
        assert_eq!(plain, text);
    }
    let each = |run: &Run| show(&run.1);
    let shown: String = runs.iter().map(each).collect();
    let mut html = String::new();
    ansi::write(&runs, &[], &mut html);
    assert_eq!(text_of(&html), shown);

    let wanted: String = plain.chars().skip(size).take(3).collect();
    if let Ok(Some(needle)) = Needle::new(&wanted) {
        let marked = needle.places(&plain);
        assert!(!marked.is_empty(), "{wanted:?} is in {plain:?}");
        let mut html = String::new();
        ansi::write(&runs, &marked, &mut html);
        // A line end that a mark tears apart is shown in its parts.
        let joined = |text: &str| text.replace('\u{240d}', "");
        assert_eq!(joined(&text_of(&html)), joined(&shown));
    }
}

/// The text of HTML that is well-formed and has none but our elements, whose attributes do
/// nothing.
fn text_of(html: &str) -> String {
    const ATTRIBUTES: [&str; 6] = ["class", "id", "href", "data-n", "tabindex", "aria-hidden"];
    let (mut text, mut open, mut rest) = (String::new(), Vec::new(), html);
    while let Some(at) = rest.find(['<', '&']) {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(reference) = rest.strip_prefix('&') {
            let (name, behind) = reference.split_once(';').expect("a reference ends");
            text.push(match name {
                "lt" => '<',
                "gt" => '>',
                "amp" => '&',
                "quot" => '"',
                other => panic!("&{other}; in {html:?}"),
            });
            rest = behind;
            continue;
        }
        let (tag, behind) = rest[1..].split_once('>').expect("a tag ends");
        rest = behind;
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "{html:?}");
            continue;
        }
        let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        assert!(["span", "mark", "a"].contains(&name), "{html:?}");
        let mut parts = attributes.split('"');
        while let (Some(key), Some(value)) = (parts.next(), parts.next()) {
            let key = key.trim().trim_end_matches('=');
            assert!(
                ATTRIBUTES.contains(&key) && !value.contains('<'),
                "{html:?}"
            );
            assert!(key != "href" || value.starts_with('?'), "{html:?}");
        }
        open.push(name);
    }
    text.push_str(rest);
    assert!(open.is_empty() && !text.contains('\x1b'), "{html:?}");
    let hides = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    assert!(!html.contains(hides), "{html:?}");
    text
}
