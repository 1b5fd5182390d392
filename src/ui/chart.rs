//! The pictures of a day, drawn here: shapes in a grid that the page stretches to its width. What is
//! written stands beside them as text of the page, so that it keeps its size.

use crate::domain::{Day, Fate, Hour};

/// Units from one hour to the next.
const STEP: usize = 20;
const HEIGHT: f64 = 100.0;
/// What is there is seen, however little it is beside the rest.
const LEAST: f64 = 2.5;
/// What times are told by, in seconds: one apart in the picture.
const TICKS: [i64; 8] = [1, 10, 60, 600, 3_600, 36_000, 345_600, 3_456_000];

/// A piece of a column.
pub struct Bar {
    /// What it stands for.
    pub fate: Fate,
    /// From the left.
    pub x: usize,
    /// From the top.
    pub y: String,
    /// Its height.
    pub height: String,
}

/// How long the tasks of an hour took.
pub struct Span {
    /// The middle of the hour, from the left.
    pub x: usize,
    /// The median, from the top.
    pub median: String,
    /// The 95th percentile, from the top.
    pub p95: String,
}

/// A day in two pictures.
pub struct Picture {
    /// The hours, for the table.
    pub hours: Vec<Hour>,
    /// Only what ended since then was counted.
    pub since: Option<i64>,
    /// How many tasks ended, by fate in the order of [`Fate::ALL`].
    pub ended: [u64; Fate::ALL.len()],
    /// The columns.
    pub bars: Vec<Bar>,
    /// What the top of the columns stands for.
    pub most: u64,
    /// The times.
    pub spans: Vec<Span>,
    /// What the lines behind the times stand for, from the top, in seconds.
    pub ticks: Vec<i64>,
}

impl Picture {
    /// Of this day.
    pub fn of(day: Day) -> Self {
        let most = round_up(day.hours.iter().map(Hour::all).max().unwrap_or_default());
        let slowest = day.hours.iter().filter_map(|it| it.p95).max();
        let last = TICKS.iter().position(|it| *it >= slowest.unwrap_or(10));
        let last = last.unwrap_or(TICKS.len() - 1).max(1);
        let mut ended = [0; Fate::ALL.len()];
        for hour in &day.hours {
            for (sum, n) in ended.iter_mut().zip(hour.ended) {
                *sum += n;
            }
        }
        let numbered = || day.hours.iter().enumerate();
        Self {
            bars: numbered().flat_map(|(n, it)| column(n, it, most)).collect(),
            spans: numbered().filter_map(|(n, it)| span(n, it, last)).collect(),
            ticks: TICKS[..=last].iter().rev().copied().collect(),
            ended,
            most,
            since: day.since,
            hours: day.hours,
        }
    }

    /// How many tasks ended so.
    pub fn of_fate(&self, fate: &Fate) -> u64 {
        self.ended[*fate as usize]
    }

    /// How many tasks ended.
    pub fn all(&self) -> u64 {
        self.ended.iter().sum()
    }

    /// How wide it is.
    pub fn width(&self) -> usize {
        self.hours.len() * STEP
    }

    /// Where the lines behind the times are, from the top.
    pub fn lines(&self) -> Vec<String> {
        let gaps = self.ticks.len().saturating_sub(1).max(1) as f64;
        let at = |n: usize| n as f64 / gaps * HEIGHT;
        (0..self.ticks.len()).map(|n| short(at(n))).collect()
    }

    /// The hours that are named below the picture.
    pub fn named(&self) -> impl Iterator<Item = &Hour> {
        self.hours.iter().step_by(6)
    }
}

fn column(place: usize, hour: &Hour, most: u64) -> Vec<Bar> {
    let mut y = HEIGHT;
    let there = Fate::ALL.iter().zip(hour.ended).filter(|(_, n)| *n > 0);
    there
        .map(|(fate, n)| {
            let height = (n as f64 / most as f64 * HEIGHT).max(LEAST);
            y -= height;
            Bar {
                fate: *fate,
                x: place * STEP + 3,
                y: short(y),
                height: short(height),
            }
        })
        .collect()
}

fn span(place: usize, hour: &Hour, last: usize) -> Option<Span> {
    Some(Span {
        x: place * STEP + STEP / 2,
        median: short(depth(hour.median?, last)),
        p95: short(depth(hour.p95?, last)),
    })
}

/// How far from the top a time is, between the ticks by its logarithm.
fn depth(seconds: i64, last: usize) -> f64 {
    let seconds = seconds.clamp(1, TICKS[last]);
    let above = TICKS.partition_point(|it| *it < seconds).clamp(1, last);
    let (low, high) = (TICKS[above - 1] as f64, TICKS[above] as f64);
    let part = (seconds as f64 / low).ln() / (high / low).ln();
    let rank = (above - 1) as f64 + part;
    (1.0 - rank / last as f64) * HEIGHT
}

/// A round even number that is not less.
fn round_up(n: u64) -> u64 {
    let mut unit = 2;
    loop {
        if let Some(round) = (1..=5).map(|it| it * unit).find(|it| *it >= n) {
            return round;
        }
        unit *= 10;
    }
}

fn short(number: f64) -> String {
    let text = format!("{number:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_reach_up_to_a_round_number_and_nothing_is_too_small_to_see() {
        assert_eq!(
            [0, 2, 3, 11, 99, 101].map(round_up),
            [2, 2, 4, 20, 100, 200]
        );
        let ended = [(Fate::Succeeded, None, 100_000), (Fate::Failed, None, 1)];
        let day = Day {
            hours: vec![Hour::new(0, ended)],
            since: None,
        };
        let picture = Picture::of(day);
        assert_eq!((picture.all(), picture.most), (100_001, 200_000));
        assert_eq!(picture.bars[0].height, "50");
        assert_eq!(picture.bars[1].height, "2.5");
        assert!(picture.spans.is_empty());
    }

    #[test]
    fn times_stand_between_the_lines_that_tell_them() {
        assert_eq!(
            [1, 10, 60].map(|it| short(depth(it, 2))),
            ["100", "50", "0"]
        );
        assert_eq!(short(depth(0, 2)), "100");
        assert_eq!(short(depth(1_000_000, 2)), "0");
        let quick = Hour::new(0, [(Fate::Succeeded, Some(25), 3)]);
        let day = Day {
            hours: vec![quick],
            since: None,
        };
        assert_eq!(Picture::of(day).ticks, [60, 10, 1]);
    }
}
