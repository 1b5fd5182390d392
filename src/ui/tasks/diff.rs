//! Two runs side by side.

use super::{Row, id_of, row};
use crate::domain::{Error, Result, Stream, Task};
use crate::http::Caller;
use crate::service::{Actor, Piece, Place, Service, View};
use crate::ui::filters;
use crate::ui::output::without_sequences;
use crate::ui::page::{self, Section, Shell};
use askama::Template;
use poem::web::{Data, Path, Query};
use poem::{Response, handler};
use serde::Deserialize;
use similar::{ChangeTag, TextDiff};
use std::time::Duration;

/// What is compared of each stream: its beginning.
const BYTES: usize = 1024 * 1024;
const LINES: usize = 20_000;
/// The longest that a comparison looks for the best result.
const PATIENCE: Duration = Duration::from_millis(500);
/// Lines around a difference.
const AROUND: usize = 3;
/// The most lines that one part shows, and the most of one line, in bytes.
const SHOWN: usize = 2000;
const SHOWN_OF_LINE: usize = 2000;

#[derive(Template)]
#[template(path = "pages/tasks/diff.html")]
struct DiffPage {
    shell: Shell,
    old: Option<Row>,
    new: Row,
    parts: Vec<Part>,
    /// What stands in the field for the other run.
    with: String,
    /// Why there is nothing to see.
    problem: Option<String>,
}

/// What is compared.
struct Part {
    title: &'static str,
    lines: Vec<Line>,
    /// Lines that are different, in the old one and in the new one.
    gone: usize,
    came: usize,
    /// Whether one of them goes on past what was compared.
    is_cut: bool,
    /// Whether there is more than is shown.
    is_long: bool,
}

struct Line {
    tag: ChangeTag,
    old: Option<usize>,
    new: Option<usize>,
    text: String,
    /// Whether lines that are the same are left out before it.
    after_gap: bool,
}

/// What the page is asked for.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Asked {
    with: String,
}

#[handler]
pub async fn compare(
    Caller(actor): Caller,
    Data(service): Data<&Service>,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> poem::Result<Response> {
    let new = service.task(&actor, id_of(&id)?).await?;
    let with = asked.with.trim().to_owned();
    let (old, problem) = match with.parse() {
        Ok(other) => (
            Some(service.task(&actor, crate::domain::TaskId(other)).await?),
            None,
        ),
        Err(_) if with.is_empty() => (None, None),
        Err(_) => (None, Some("That is not the number of a task.".to_owned())),
    };
    let mut parts = Vec::new();
    if let Some(old) = &old {
        let pairs = texts(service, &actor, old, &new).await?;
        let compared =
            tokio::task::spawn_blocking(move || pairs.into_iter().map(Part::of).collect());
        parts = compared.await.map_err(Error::internal)?;
    }
    let old = match old {
        Some(old) => Some(row(service, &actor, old).await?),
        None => None,
    };
    page::html(&DiffPage {
        shell: Shell::of(&actor, Section::Tasks),
        old,
        new: row(service, &actor, new).await?,
        parts,
        with,
        problem,
    })
}

/// Text, and whether there is more of it.
type Text = (String, bool);

async fn texts(
    service: &Service,
    actor: &Actor,
    old: &Task,
    new: &Task,
) -> Result<Vec<(&'static str, Text, Text)>> {
    let script = |task: &Task| (task.script.clone(), false);
    let mut pairs = vec![("Script", script(old), script(new))];
    for (stream, title) in [
        (Stream::Stdout, "Standard output"),
        (Stream::Stderr, "Standard error"),
    ] {
        let old = beginning(service, actor, old, stream).await?;
        let new = beginning(service, actor, new, stream).await?;
        pairs.push((title, old, new));
    }
    Ok(pairs)
}

async fn beginning(service: &Service, actor: &Actor, task: &Task, stream: Stream) -> Result<Text> {
    let kept = service.kept(actor, task).await?;
    let mut bytes = Vec::new();
    let mut place = Place::default();
    'read: loop {
        let pieces = kept.read(View::One(stream), place).await?;
        if pieces.is_empty() || bytes.len() > BYTES {
            break;
        }
        for piece in pieces {
            match piece {
                Piece::Data {
                    offset,
                    bytes: more,
                    ..
                } => {
                    bytes.extend_from_slice(&more);
                    place = place.with(stream, offset + more.len() as u64);
                }
                Piece::Gap { .. } => break 'read,
            }
        }
    }
    bytes.truncate(BYTES);
    let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    if let Some((last, _)) = ends.clone().nth(LINES - 1) {
        bytes.truncate(last + 1);
    }
    let is_cut = (bytes.len() as u64) < kept.end().of(stream);
    Ok((without_sequences(&String::from_utf8_lossy(&bytes)), is_cut))
}

impl Part {
    fn of((title, old, new): (&'static str, Text, Text)) -> Self {
        let diff = TextDiff::configure()
            .timeout(PATIENCE)
            .diff_lines(&old.0, &new.0);
        let mut it = Self {
            title,
            lines: Vec::new(),
            gone: 0,
            came: 0,
            is_cut: old.1 || new.1,
            is_long: false,
        };
        for group in diff.grouped_ops(AROUND) {
            let mut after_gap = !it.lines.is_empty();
            for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
                match change.tag() {
                    ChangeTag::Delete => it.gone += 1,
                    ChangeTag::Insert => it.came += 1,
                    ChangeTag::Equal => {}
                }
                if it.lines.len() == SHOWN {
                    it.is_long = true;
                    continue;
                }
                it.lines.push(Line {
                    tag: change.tag(),
                    old: change.old_index().map(|at| at + 1),
                    new: change.new_index().map(|at| at + 1),
                    text: shortened(change.value()),
                    after_gap: std::mem::take(&mut after_gap),
                });
            }
        }
        it
    }
}

fn shortened(line: &str) -> String {
    let line = line.trim_end_matches(['\n', '\r']);
    let shown = line.floor_char_boundary(SHOWN_OF_LINE.min(line.len()));
    let more = if shown < line.len() { "…" } else { "" };
    format!("{}{more}", &line[..shown])
}
