//! Server-sent events as they come in (WHATWG HTML, section 9.2.6). Lines end with LF or CRLF; a
//! lone CR, which that section allows too, is sent by no server of ours.

/// The most that one event may take, in bytes: an event with 64 KiB of output takes under 400 KiB,
/// and the last one carries the script.
const EVENT_MAX: usize = 8 * 1024 * 1024;

/// One event.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) event: String,
    pub(super) data: String,
    pub(super) id: String,
}

/// The event takes more than any of ours.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// Takes bytes in any pieces, gives events.
#[derive(Debug, Default)]
pub(super) struct Parser {
    bytes: Vec<u8>,
    /// Where the first line that was not looked at begins.
    read: usize,
    message: Message,
    taken: usize,
}

impl Parser {
    /// Takes what came. All events are to be taken by [`Parser::next`] before more is given.
    pub(super) fn push(&mut self, chunk: &[u8]) -> Result<(), TooLong> {
        self.bytes.drain(..self.read);
        self.read = 0;
        self.bytes.extend_from_slice(chunk);
        if self.bytes.len() + self.taken > EVENT_MAX + chunk.len() {
            return Err(TooLong);
        }
        Ok(())
    }

    /// The next event that is whole.
    pub(super) fn next(&mut self) -> Option<Message> {
        loop {
            let rest = &self.bytes[self.read..];
            let end = rest.iter().position(|b| *b == b'\n')?;
            let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
            let line = String::from_utf8_lossy(line).into_owned();
            self.read += end + 1;
            if line.is_empty() {
                self.taken = 0;
                let message = std::mem::take(&mut self.message);
                // An event without data is none; its id counts all the same, but ours have both.
                if !message.data.is_empty() {
                    return Some(message);
                }
            } else {
                self.field(&line);
            }
        }
    }

    fn field(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        self.taken += value.len();
        match name {
            "event" => value.clone_into(&mut self.message.event),
            "id" => value.clone_into(&mut self.message.id),
            "data" => {
                if !self.message.data.is_empty() {
                    self.message.data.push('\n');
                }
                self.message.data.push_str(value);
            }
            // A comment, or what this client has no use for.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] = "id: 3-0\nevent: stdout\ndata: {\"text\":\"é\"}\n\n: still here\n\n\
        event:end\r\ndata: one\r\ndata: two\r\nid: end\r\n\r\n"
        .as_bytes();

    fn message(event: &str, data: &str, id: &str) -> Message {
        Message {
            event: event.into(),
            data: data.into(),
            id: id.into(),
        }
    }

    #[test]
    fn events_are_the_same_however_the_bytes_are_cut() {
        for size in 1..=STREAM.len() {
            let mut parser = Parser::default();
            let mut messages = Vec::new();
            for chunk in STREAM.chunks(size) {
                parser.push(chunk).unwrap();
                messages.extend(std::iter::from_fn(|| parser.next()));
            }
            assert_eq!(
                messages,
                [
                    message("stdout", "{\"text\":\"é\"}", "3-0"),
                    message("end", "one\ntwo", "end"),
                ],
                "cut into {size}"
            );
        }
    }

    #[test]
    fn an_event_without_end_is_given_up() {
        let mut parser = Parser::default();
        let chunk = [b'x'; 65_536];
        let taken = (0..1_000)
            .take_while(|_| parser.push(&chunk).is_ok())
            .count();
        assert!(taken * chunk.len() <= EVENT_MAX + chunk.len(), "{taken}");
    }
}
