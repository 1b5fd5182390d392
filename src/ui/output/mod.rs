//! A task's output on its page: only the part that is looked at is read.

mod ansi;
mod canvas;
#[cfg(any(test, feature = "fuzzing"))]
pub(in crate::ui) mod fuzzing;
mod live;
mod palette;
mod rows;
mod search;
mod taste;
mod window;

pub use ansi::without_sequences;
pub use live::follow;
pub use palette::rules;
pub use taste::Taste;

use crate::domain::{Result, Stream, Task};
use crate::service::{Actor, Kept, Place, Service, View};
use canvas::{Canvas, Needle};
use search::{Match, Search};
use serde::Deserialize;
use url::form_urlencoded::Serializer;
use window::{ROWS, Wanted, Window};

/// How many rows are shown before a line that was asked for, and from it on.
const BEFORE: usize = 100;
const FROM: usize = 400;

/// How a task's page is asked for. What cannot be read is as if it were not there.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Asked {
    /// `none` leaves the output out: `live.js` has it already.
    pub output: String,
    /// `together` or `apart`.
    pub view: String,
    /// `on` or `off`.
    pub wrap: String,
    /// Of which stream the next three are.
    of: String,
    /// A line, from 1.
    line: String,
    /// What ends before a [`Place`], or begins there.
    before: String,
    after: String,
    /// What is looked for, and from which [`Place`] on.
    q: String,
    from: String,
}

/// Which part is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spot {
    End,
    Line(u64),
    Before(Place),
    After(Place),
}

impl Asked {
    fn stream(&self) -> Stream {
        match self.of.as_str() {
            "stderr" => Stream::Stderr,
            _ => Stream::Stdout,
        }
    }

    fn spot(&self) -> Spot {
        let line = self.line.trim().parse().ok().filter(|line| *line > 0);
        let line = line.map(|line: u64| Spot::Line(line - 1));
        let before = || self.before.parse().ok().map(Spot::Before);
        let after = || self.after.parse().ok().map(Spot::After);
        line.or_else(before).or_else(after).unwrap_or(Spot::End)
    }

    /// The part of an address that asks for the same once more, but for how it is shown.
    pub fn same(&self) -> String {
        let mut query = Serializer::new(String::new());
        let pairs = [
            ("of", &self.of),
            ("line", &self.line),
            ("before", &self.before),
            ("after", &self.after),
            ("q", &self.q),
            ("from", &self.from),
        ];
        query.extend_pairs(pairs.iter().filter(|(_, value)| !value.is_empty()));
        let query = query.finish();
        match query.as_str() {
            "" => query,
            _ => format!("&{query}"),
        }
    }
}

/// What a page shows of one stream, or of both.
pub struct Pane {
    /// Of which; none for both.
    pub stream: Option<Stream>,
    /// Rows.
    pub html: String,
    /// All bytes that came, or that the amended text has.
    pub total: u64,
    /// Whether somebody put another text in place of what ran.
    pub amended: bool,
    /// Where the rows begin, and where they end.
    pub from: Place,
    pub to: Place,
    /// Whether there is more before and behind them.
    pub earlier: bool,
    pub later: bool,
    /// Whether they are a part that was asked for, and not the end.
    pub asked: bool,
}

impl Pane {
    /// Its name in addresses and in the page.
    pub fn name(&self) -> &'static str {
        self.stream.map_or("output", Stream::as_str)
    }
}

/// The output of a task, as one page shows it.
pub struct Output {
    /// How its reader wants it.
    pub taste: Taste,
    /// Whether both streams can be shown together: nobody amended one.
    pub may_join: bool,
    /// One, or one for each stream.
    pub panes: Vec<Pane>,
    /// From where live rows go on; none where the end is not shown.
    pub live: Option<Place>,
    /// What is looked for.
    pub q: String,
    /// What was found of it.
    pub search: Option<Search>,
    /// What cannot be shown, in words.
    pub missing: Option<String>,
    /// Asks for the same once more.
    pub same: String,
    spot: Option<(Stream, u64)>,
}

impl Output {
    /// Reads what is asked for.
    ///
    /// # Errors
    /// `Invalid` where what is looked for is too long; `Unavailable` where the store does not
    /// answer.
    pub async fn read(
        service: &Service,
        actor: &Actor,
        task: &Task,
        asked: &Asked,
        taste: Taste,
    ) -> Result<Self> {
        let kept = service.kept(actor, task).await?;
        let needle = Needle::new(&asked.q)?;
        let mut it = Self::none(taste);
        it.may_join = !Stream::ALL.iter().any(|stream| task.is_amended(*stream));
        it.q.clone_from(&asked.q);
        it.same = asked.same();
        let views = it.views();
        if let Some(needle) = &needle {
            let from = asked.from.parse().unwrap_or_default();
            it.search = Some(Search::run(&kept, &views, needle, from).await?);
        }
        let mut live = Place::default();
        for view in &views {
            let spot = match view {
                View::One(stream) if *stream != asked.stream() => Spot::End,
                View::One(_) | View::Both => asked.spot(),
            };
            let look = Look {
                view: *view,
                stream: asked.stream(),
                spot,
                needle: needle.clone(),
            };
            it.show(&kept, task, look, &mut live).await?;
        }
        let at_end = it.panes.iter().all(|pane| !pane.later);
        it.live = at_end.then_some(live);
        Ok(it)
    }

    /// Nothing: for a page that is asked for without output.
    pub fn none(taste: Taste) -> Self {
        Self {
            taste,
            may_join: true,
            panes: Vec::new(),
            live: None,
            q: String::new(),
            search: None,
            missing: None,
            same: String::new(),
            spot: None,
        }
    }

    /// Whether both streams are shown in the order in which they came.
    pub fn together(&self) -> bool {
        self.taste.together && self.may_join
    }

    fn views(&self) -> Vec<View> {
        match self.together() {
            true => vec![View::Both],
            false => Stream::ALL.map(View::One).into(),
        }
    }

    async fn show(&mut self, kept: &Kept, task: &Task, look: Look, live: &mut Place) -> Result<()> {
        let mut canvas = Canvas::default();
        canvas.needle.clone_from(&look.needle);
        if let Spot::Line(line) = look.spot {
            canvas.here = Some((look.stream, line));
            self.spot = canvas.here;
        }
        let (wanted, known) = look.wanted(kept).await?;
        let window = Window::read(kept, look.view, wanted, canvas).await?;
        let streams = look.view.streams();
        if let Spot::Line(line) = look.spot {
            self.missing = match known {
                false => Some("Which line is where is not known of so much output that was kept by an older server.".into()),
                true if !window.has_here => Some(missing(look.stream, line, window.to == kept.end())),
                true => None,
            };
        }
        for stream in &streams {
            *live = live.with(*stream, window.resume.of(*stream));
        }
        let sum = |place: Place| -> u64 { streams.iter().map(|it| place.of(*it)).sum() };
        self.panes.push(Pane {
            stream: match look.view {
                View::One(stream) => Some(stream),
                View::Both => None,
            },
            html: window.html,
            total: sum(kept.end()),
            amended: streams.iter().any(|it| task.is_amended(*it)),
            from: window.from,
            to: window.to,
            earlier: sum(window.from) > 0,
            later: sum(window.to) < sum(kept.end()),
            asked: look.spot != Spot::End,
        });
        Ok(())
    }

    /// What asks for what is looked for once more, in an address.
    pub fn with_q(&self) -> String {
        if self.q.is_empty() {
            return String::new();
        }
        let query = Serializer::new(String::new())
            .append_pair("q", &self.q)
            .finish();
        let from = self
            .search
            .as_ref()
            .map(|it| it.from)
            .filter(|it| it.position() > 0);
        let from = from.map_or_else(String::new, |from| format!("&from={from}"));
        format!("&{query}{from}")
    }

    /// What asks for it from the beginning.
    pub fn only_q(&self) -> String {
        Serializer::new(String::new())
            .append_pair("q", &self.q)
            .finish()
    }

    /// Where a match is shown.
    pub fn address(&self, it: &Match) -> String {
        let of = it.stream.as_str();
        let q = self.with_q();
        match it.line {
            Some(line) => {
                let number = line + 1;
                let letter = canvas::letter(it.stream);
                format!("?of={of}&line={number}{q}#{letter}{number}")
            }
            None => format!("?of={of}&after={}{q}#{of}", it.from),
        }
    }

    /// Whether a match is what is looked at.
    pub fn is_here(&self, it: &Match) -> bool {
        self.spot.is_some() && self.spot == it.line.map(|line| (it.stream, line))
    }

    /// The matches before and behind the line that is looked at.
    pub fn neighbours(&self) -> (Option<&Match>, Option<&Match>) {
        let Some(search) = &self.search else {
            return (None, None);
        };
        let matches = &search.matches;
        let Some((stream, line)) = self.spot else {
            return (None, matches.first());
        };
        let together = self.together();
        let order = |it: &Match| match together {
            // In the order in which they came, only the named one itself is a landmark.
            true => (0, it.line.unwrap_or(0)),
            false => (it.stream as usize, it.line.unwrap_or(0)),
        };
        let here = matches
            .iter()
            .position(|it| (it.stream, it.line) == (stream, Some(line)));
        match here {
            Some(at) => (
                at.checked_sub(1).and_then(|at| matches.get(at)),
                matches.get(at + 1),
            ),
            None => {
                let place = if together { 0 } else { stream as usize };
                let at = matches.partition_point(|it| order(it) < (place, line));
                (
                    at.checked_sub(1).and_then(|at| matches.get(at)),
                    matches.get(at),
                )
            }
        }
    }
}

/// What one pane is to show.
struct Look {
    view: View,
    stream: Stream,
    spot: Spot,
    needle: Option<Needle>,
}

impl Look {
    /// The rows for it, and whether it is known where they are.
    async fn wanted(&self, kept: &Kept) -> Result<(Wanted, bool)> {
        let end = Wanted {
            at: kept.end(),
            before: ROWS,
            behind: 0,
        };
        let within = |place: Place| {
            let end = kept.end();
            Place([0, 1].map(|it| place.0[it].min(end.0[it])))
        };
        Ok(match self.spot {
            Spot::End => (end, true),
            Spot::Before(at) => (
                Wanted {
                    at: within(at),
                    ..end
                },
                true,
            ),
            Spot::After(at) => (
                Wanted {
                    at: within(at),
                    before: 0,
                    behind: ROWS,
                },
                true,
            ),
            Spot::Line(line) => match kept.line(self.view, self.stream, line).await? {
                None => (end, false),
                Some(at) => (
                    Wanted {
                        at: within(at),
                        before: BEFORE,
                        behind: FROM,
                    },
                    true,
                ),
            },
        })
    }
}

fn missing(stream: Stream, line: u64, at_end: bool) -> String {
    let (number, stream) = (line + 1, stream.as_str());
    match at_end {
        true => format!("There is no line {number} of {stream}: this is the end."),
        false => format!("Line {number} of {stream} is not kept: this is what is nearest."),
    }
}
