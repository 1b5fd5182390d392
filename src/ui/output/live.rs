//! Rows of a running task as they come, drawn as the page draws them.

use super::canvas::Canvas;
use super::rows::{Row, Rows};
use super::window::{lead_in, read_on, take};
use crate::domain::{Error, Result, Stream};
use crate::http::{Caller, server_sent};
use crate::service::{Came, Follow, Kept, Piece, Place, Service, View};
use crate::ui::language::Language;
use crate::ui::tasks::id_of;
use bytes::Bytes;
use futures_util::stream;
use poem::http::{HeaderMap, StatusCode};
use poem::web::{Data, Path, Query};
use poem::{Response, handler};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::Duration;

/// How long a stream is silent before it says that it is there.
const SILENCE: Duration = Duration::from_secs(10);

/// The most rows that are told at once; of more that come at once only the last are drawn.
const TOLD: usize = 1000;

/// Where nothing stops: as far as there is anything.
const NOWHERE: Place = Place([u64::MAX / 4; 2]);

/// How the events are asked for.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Asked {
    /// `together` or `apart`.
    view: String,
    /// The [`Place`] up to which the page has all, where no `Last-Event-ID` says so.
    from: String,
}

#[handler]
pub async fn follow(
    Caller(actor): Caller,
    Data(service): Data<&Service>,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
    headers: &HeaderMap,
) -> poem::Result<Response> {
    let (task, followed) = service.follow(&actor, id_of(&id)?).await?;
    let kept = service.kept(&actor, &task).await?;
    let last = headers.get("Last-Event-ID").and_then(|it| it.to_str().ok());
    if last == Some("end") && task.state.has_ended() {
        return Ok(Response::builder().status(StatusCode::NO_CONTENT).finish());
    }
    let from: Place = last.unwrap_or(&asked.from).parse().unwrap_or_default();
    let end = kept.end();
    // Nobody was told more than there is.
    let from = Place([0, 1].map(|it| from.0[it].min(end.0[it])));
    let views = match asked.view.as_str() {
        "together" => vec![View::Both],
        _ => Stream::ALL.map(View::One).into(),
    };
    let mut live = Live {
        follow: followed,
        kept,
        cursor: from.0,
        panes: Vec::new(),
        over: false,
    };
    for view in views {
        live.open(view, from).await?;
    }
    let language = Language::current();
    let told = stream::try_unfold(live, move |mut live| async move {
        let told = language.speak(live.next()).await?;
        Ok::<_, Error>(told.map(|told| (told, live)))
    });
    Ok(server_sent(told))
}

struct Live {
    follow: Follow,
    kept: Kept,
    cursor: [u64; 2],
    panes: Vec<Pane>,
    over: bool,
}

struct Pane {
    view: View,
    rows: Rows,
    canvas: Canvas,
    /// Not told yet.
    fresh: VecDeque<Row>,
    /// More came at once than is told.
    cut: bool,
    /// What was told of the row that is open: behind it.
    told: Place,
}

/// What one event tells: rows as HTML, which go behind those that the page has; a row that the page
/// has already takes its place.
#[derive(Serialize)]
struct Told<'a> {
    pane: &'static str,
    /// Where the rows begin.
    from: Place,
    /// All bytes that came.
    total: u64,
    /// Whether rows between those before and these are left out.
    cut: bool,
    html: &'a str,
}

impl Serialize for Place {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Live {
    async fn open(&mut self, view: View, from: Place) -> Result<()> {
        let mut pane = Pane {
            view,
            rows: lead_in(&self.kept, view, from, 0).await?,
            canvas: Canvas::default(),
            fresh: VecDeque::new(),
            cut: false,
            told: from,
        };
        let canvas = &mut pane.canvas;
        let mut passed = |row: Row| canvas.pass(&row);
        while read_on(&self.kept, view, &mut pane.rows, from, &mut passed).await? {}
        self.panes.push(pane);
        Ok(())
    }

    async fn next(&mut self) -> Result<Option<Bytes>> {
        while !self.over {
            let came = tokio::time::timeout(SILENCE, self.follow.next(&mut self.cursor)).await;
            let told = match came {
                Err(_) => ":\n\n".to_owned(),
                Ok(came) => match came? {
                    None => return Ok(None),
                    Some(Came::Output(pieces)) => self.take(pieces).await?,
                    Some(Came::End(_)) => self.end()?,
                },
            };
            if !told.is_empty() {
                return Ok(Some(told.into()));
            }
        }
        Ok(None)
    }

    async fn take(&mut self, pieces: Vec<Piece>) -> Result<String> {
        for piece in pieces {
            let (Piece::Data { stream, .. } | Piece::Gap { stream, .. }) = &piece;
            let stream = *stream;
            for pane in &mut self.panes {
                if pane.view == View::Both || pane.view == View::One(stream) {
                    let Pane {
                        rows,
                        canvas,
                        fresh,
                        cut,
                        ..
                    } = pane;
                    let mut found = |row| {
                        fresh.push_back(row);
                        if fresh.len() > TOLD {
                            *cut = true;
                            fresh.drain(..1).for_each(|row| canvas.pass(&row));
                        }
                    };
                    take(&self.kept, rows, piece, NOWHERE, &mut found).await?;
                    break;
                }
            }
        }
        self.tell()
    }

    /// All that has come and was not told.
    fn tell(&mut self) -> Result<String> {
        let mut events = String::new();
        for at in 0..self.panes.len() {
            let Some(told) = self.panes[at].tell()? else {
                continue;
            };
            let id = self.place();
            // Writing to a String does not fail.
            let _ = write!(events, "id: {id}\nevent: rows\ndata: {told}\n\n");
        }
        Ok(events)
    }

    fn end(&mut self) -> Result<String> {
        self.over = true;
        for pane in &mut self.panes {
            let fresh = &mut pane.fresh;
            pane.rows.finish(&mut |row| fresh.push_back(row));
        }
        Ok(self.tell()? + "id: end\nevent: end\ndata: {}\n\n")
    }

    /// From where to go on after what was told: the beginning of what is open.
    fn place(&self) -> Place {
        let mut place = Place::default();
        for pane in &self.panes {
            for stream in pane.view.streams() {
                let told = match pane.fresh.is_empty() {
                    true => pane.rows.resume(),
                    false => pane.fresh[0].from,
                };
                place = place.with(stream, told.of(stream));
            }
        }
        place
    }
}

impl Pane {
    fn tell(&mut self) -> Result<Option<String>> {
        let streams = self.view.streams();
        let open = streams.iter().find_map(|stream| self.rows.open(*stream));
        if self.fresh.is_empty() && (open.is_none() || self.told == self.rows.place()) {
            return Ok(None);
        }
        let mut html = String::new();
        let first = self.fresh.front().or(open.as_ref());
        let from = first.map_or(self.told, |row| row.from);
        for row in self.fresh.drain(..) {
            self.canvas.draw(&row, &mut html);
        }
        if let Some(open) = open {
            // What follows in this row is drawn with it once more.
            self.canvas.clone().draw(&open, &mut html);
        }
        let place = self.rows.place();
        self.told = place;
        let told = Told {
            pane: match self.view {
                View::One(stream) => stream.as_str(),
                View::Both => "output",
            },
            from,
            total: streams.iter().map(|stream| place.of(*stream)).sum(),
            cut: std::mem::take(&mut self.cut),
            html: &html,
        };
        serde_json::to_string(&told)
            .map(Some)
            .map_err(Error::internal)
    }
}
