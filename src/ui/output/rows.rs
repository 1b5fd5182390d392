//! Output cut into rows: lines, and the parts of lines that are too long for one.

use crate::domain::Stream;
use crate::service::Place;

/// A line that is longer than this, in bytes, goes on in the next row. Rows of one line end at
/// multiples of it, so that wherever reading begins, they are soon the same.
pub const LONG: u64 = 4096;

/// What a row shows.
pub enum Content {
    /// Bytes of a line, with its end where that is in it.
    Line(Vec<u8>),
    /// So many bytes are not kept.
    Gap(u64),
}

/// A line of output, or a part of one.
pub struct Row {
    pub stream: Stream,
    /// The line that it is of, from 0; none where that is not known.
    pub line: Option<u64>,
    /// Whether the line begins here.
    pub is_first: bool,
    /// Where it begins.
    pub from: Place,
    /// Behind it.
    pub to: Place,
    pub content: Content,
}

/// Cuts what it is given into rows.
#[derive(Clone)]
pub struct Rows {
    /// Whether what one stream writes ends the row of the other.
    together: bool,
    place: Place,
    streams: [Reading; 2],
}

#[derive(Clone)]
struct Reading {
    line: Option<u64>,
    /// Whether the next row begins a line.
    fresh: bool,
    /// The row that has begun, from where, and where it ends at the latest.
    open: Vec<u8>,
    from: Place,
    limit: u64,
}

impl Rows {
    /// Reads on from a place, where the streams are in these lines.
    pub fn new(together: bool, place: Place, lines: [Option<u64>; 2]) -> Self {
        let reading = |stream: Stream| Reading {
            line: lines[stream as usize],
            fresh: place.of(stream) == 0,
            open: Vec::new(),
            from: place,
            limit: 0,
        };
        Self {
            together,
            place,
            streams: Stream::ALL.map(reading),
        }
    }

    /// Behind all that was taken.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Takes the next bytes of a stream.
    pub fn take(&mut self, stream: Stream, mut bytes: &[u8], found: &mut impl FnMut(Row)) {
        if self.together {
            self.break_off(other(stream), found);
        }
        while !bytes.is_empty() {
            let it = &mut self.streams[stream as usize];
            let at = self.place.of(stream);
            if it.open.is_empty() {
                it.from = self.place;
                let whole = if it.fresh { LONG } else { 1 };
                it.limit = (at + whole).next_multiple_of(LONG);
            }
            let room = usize::try_from(it.limit - at).unwrap_or(usize::MAX);
            let part = &bytes[..bytes.len().min(room)];
            let end = part.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(part.len(), |end| end + 1);
            it.open.extend_from_slice(&part[..taken]);
            bytes = &bytes[taken..];
            self.place = self.place.with(stream, at + taken as u64);
            if end.is_some() {
                self.close(stream, true, found);
            } else if at + taken as u64 == it.limit {
                // A character is not torn.
                if unfinished(&it.open) > 0 && it.limit % LONG < 3 {
                    it.limit += 1;
                } else {
                    self.close(stream, false, found);
                }
            }
        }
    }

    /// What follows of a stream is not kept; behind it is this line.
    pub fn gap(
        &mut self,
        stream: Stream,
        (offset, length): (u64, u64),
        line: Option<u64>,
        found: &mut impl FnMut(Row),
    ) {
        self.break_off(stream, found);
        if self.together {
            self.break_off(other(stream), found);
        }
        let from = self.place;
        self.place = self.place.with(stream, offset + length);
        let it = &mut self.streams[stream as usize];
        found(Row {
            stream,
            line: it.line,
            is_first: false,
            from,
            to: self.place,
            content: Content::Gap(length),
        });
        (it.line, it.fresh) = (line, false);
    }

    /// The row of a stream that has begun, as far as it is there.
    pub fn open(&self, stream: Stream) -> Option<Row> {
        let it = &self.streams[stream as usize];
        let whole = it.open.len() - unfinished(&it.open);
        let content = Content::Line(it.open[..whole].to_vec());
        (whole > 0).then(|| it.row(stream, self.place, content))
    }

    /// Where reading can begin again and miss nothing: the beginning of what is open.
    pub fn resume(&self) -> Place {
        let mut place = self.place;
        for stream in Stream::ALL {
            let it = &self.streams[stream as usize];
            if !it.open.is_empty() {
                place = place.with(stream, it.from.of(stream));
            }
        }
        place
    }

    /// The stream has ended: what is open is all.
    pub fn finish(&mut self, found: &mut impl FnMut(Row)) {
        for stream in Stream::ALL {
            self.break_off(stream, found);
        }
    }

    fn break_off(&mut self, stream: Stream, found: &mut impl FnMut(Row)) {
        if !self.streams[stream as usize].open.is_empty() {
            self.close(stream, false, found);
        }
    }

    fn close(&mut self, stream: Stream, ends: bool, found: &mut impl FnMut(Row)) {
        let it = &mut self.streams[stream as usize];
        let bytes = std::mem::take(&mut it.open);
        found(it.row(stream, self.place, Content::Line(bytes)));
        it.fresh = ends;
        it.line = it.line.map(|line| line + u64::from(ends));
    }
}

impl Reading {
    fn row(&self, stream: Stream, to: Place, content: Content) -> Row {
        Row {
            stream,
            line: self.line,
            is_first: self.fresh,
            from: self.from,
            to,
            content,
        }
    }
}

fn other(stream: Stream) -> Stream {
    match stream {
        Stream::Stdout => Stream::Stderr,
        Stream::Stderr => Stream::Stdout,
    }
}

/// How many bytes at the end are the beginning of a UTF-8 sequence (RFC 3629 section 4).
fn unfinished(bytes: &[u8]) -> usize {
    let last = &bytes[bytes.len().saturating_sub(3)..];
    let lead = last.iter().rposition(|byte| byte & 0xc0 != 0x80);
    let Some(lead) = lead else { return 0 };
    let length = match last[lead] {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return 0,
    };
    let there = last.len() - lead;
    if there < length { there } else { 0 }
}
