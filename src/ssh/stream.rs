//! The bytes of a connection on their way to an SSH library: how a server greets, and what can be
//! read of the key exchange while it is in the clear.

use bytes::{Buf, Bytes, BytesMut};
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Our identification (RFC 4253 section 4.2), without its line end.
pub const CLIENT_ID: &str = concat!("SSH-2.0-wsexec_", env!("CARGO_PKG_VERSION"));
const LINE_END: &str = "\r\n";
/// What a server may say before it identifies itself, in bytes.
const PREAMBLE: usize = 8 * 1024;
/// The largest packet of a key exchange that is looked into, in bytes.
const PACKET: usize = 64 * 1024;
/// Message numbers (RFC 4253 section 12).
const KEXINIT: u8 = 20;
const NEWKEYS: u8 = 21;

/// A connection's bytes, over TCP or over a channel of another connection.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Any [`Stream`].
pub type Raw = Box<dyn Stream>;

/// Why a server did not identify itself.
#[derive(Debug)]
pub enum NoGreeting {
    /// It says that too many logins are under way.
    Busy,
    /// It closed the connection without a word, or refuses for now.
    Closed,
    /// It speaks something else.
    Foreign,
}

/// Says who we are, and reads until the server has said who it is. What comes is that line and
/// what was read behind it. Needs a deadline.
///
/// # Errors
/// Where the connection ends first, or goes on without an SSH 2 identification.
pub async fn greet(stream: &mut Raw) -> Result<Bytes, NoGreeting> {
    // A server that refuses closes without reading this; what it said can still be read.
    let _ = stream
        .write_all(format!("{CLIENT_ID}{LINE_END}").as_bytes())
        .await;
    let _ = stream.flush().await;
    let mut said = BytesMut::new();
    let mut begins = 0;
    loop {
        while let Some(length) = said[begins..].iter().position(|byte| *byte == b'\n') {
            let line = &said[begins..];
            if line.starts_with(b"SSH-2.0-") || line.starts_with(b"SSH-1.99-") {
                return Ok(said.split_off(begins).freeze());
            }
            begins += length + 1;
        }
        if said.len() > PREAMBLE || stream.read_buf(&mut said).await.unwrap_or(0) == 0 {
            return Err(refusal(&said));
        }
    }
}

/// What OpenSSH says before it closes: the one from `MaxStartups`, the other, for a while, to those
/// whose logins fail (`PerSourcePenalties`).
fn refusal(said: &[u8]) -> NoGreeting {
    let said = String::from_utf8_lossy(said);
    if said.contains("Exceeded MaxStartups") {
        NoGreeting::Busy
    } else if said.trim().is_empty() || said.contains("Not allowed at this time") {
        NoGreeting::Closed
    } else {
        NoGreeting::Foreign
    }
}

/// What was seen of a key exchange.
#[derive(Default)]
pub struct Seen {
    kexinit: Mutex<Option<Vec<u8>>>,
    proved: AtomicBool,
}

impl Seen {
    /// The payload of the server's first KEXINIT (RFC 4253 section 7.1).
    pub fn kexinit(&self) -> Option<Vec<u8>> {
        let kexinit = self.kexinit.lock();
        kexinit.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the server has proved to hold its host key: a library says NEWKEYS only once it has
    /// verified the signature over the key exchange.
    pub fn has_proved(&self) -> bool {
        self.proved.load(Ordering::Acquire)
    }
}

/// A connection whose server has identified itself, as a library is to find it: from the server's
/// identification on, and with ours still to be said.
pub struct Wire {
    inner: Raw,
    replay: Bytes,
    /// Bytes of the library's identification, which [`greet`] has sent.
    unsaid: usize,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    theirs: Clear,
    ours: Clear,
    seen: Arc<Seen>,
}

impl Wire {
    /// `greeting` is what [`greet`] read. The stream ends, either way, when `cut` is set.
    pub fn new(inner: Raw, greeting: Bytes, cut: CancellationToken, seen: Arc<Seen>) -> Self {
        let line = greeting.iter().position(|byte| *byte == b'\n');
        let mut theirs = Clear::default();
        note_theirs(&mut theirs, &seen, &greeting[line.map_or(0, |at| at + 1)..]);
        Self {
            inner,
            replay: greeting,
            unsaid: CLIENT_ID.len() + LINE_END.len(),
            cut: Box::pin(cut.cancelled_owned()),
            theirs,
            ours: Clear::default(),
            seen,
        }
    }

    fn is_cut(&mut self, context: &mut Context<'_>) -> bool {
        self.cut.as_mut().poll(context).is_ready()
    }
}

fn note_theirs(theirs: &mut Clear, seen: &Seen, bytes: &[u8]) {
    theirs.take(bytes, |payload| {
        let found = payload.first() == Some(&KEXINIT);
        if found {
            let mut kexinit = seen.kexinit.lock().unwrap_or_else(PoisonError::into_inner);
            *kexinit = Some(payload.to_vec());
        }
        found
    });
}

fn note_ours(ours: &mut Clear, seen: &Seen, bytes: &[u8]) {
    ours.take(bytes, |payload| {
        let found = payload.first() == Some(&NEWKEYS);
        seen.proved.fetch_or(found, Ordering::AcqRel);
        found
    });
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.replay.has_remaining() {
            let length = self.replay.len().min(buffer.remaining());
            buffer.put_slice(&self.replay.split_to(length));
            return Poll::Ready(Ok(()));
        }
        if self.is_cut(context) {
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(context, buffer);
        let wire = &mut *self;
        note_theirs(&mut wire.theirs, &wire.seen, &buffer.filled()[before..]);
        polled
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_cut(context) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if self.unsaid > 0 {
            let length = self.unsaid.min(bytes.len());
            self.unsaid -= length;
            return Poll::Ready(Ok(length));
        }
        let polled = Pin::new(&mut self.inner).poll_write(context, bytes);
        if let Poll::Ready(Ok(length)) = &polled {
            let wire = &mut *self;
            note_ours(&mut wire.ours, &wire.seen, &bytes[..*length]);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_cut(context) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

/// The packets of one direction while they are in the clear (RFC 4253 section 6).
#[derive(Default)]
pub(super) struct Clear {
    buffer: Vec<u8>,
    done: bool,
}

impl Clear {
    /// Shows each packet's payload until one is the last that matters.
    pub(super) fn take(&mut self, bytes: &[u8], mut is_last: impl FnMut(&[u8]) -> bool) {
        if self.done {
            return;
        }
        self.buffer.extend_from_slice(bytes);
        while let Some(head) = self.buffer.first_chunk::<5>() {
            let [a, b, c, d, padding] = *head;
            let length = u32::from_be_bytes([a, b, c, d]) as usize;
            let padding = usize::from(padding);
            if length > PACKET || padding + 1 > length {
                self.done = true;
                break;
            }
            let Some(packet) = self.buffer.get(5..4 + length) else {
                return;
            };
            if is_last(&packet[..length - 1 - padding]) {
                self.done = true;
                break;
            }
            self.buffer.drain(..4 + length);
        }
        if self.done {
            self.buffer = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(payload: &[u8]) -> Vec<u8> {
        let mut packet = (payload.len() as u32 + 5).to_be_bytes().to_vec();
        packet.push(4);
        packet.extend_from_slice(payload);
        packet.extend_from_slice(&[0; 4]);
        packet
    }

    #[test]
    fn packets_are_found_however_they_are_cut() {
        let bytes = [packet(b"first"), packet(b"second"), packet(b"third")].concat();
        for size in 1..bytes.len() {
            let (mut clear, mut found) = (Clear::default(), Vec::new());
            for piece in bytes.chunks(size) {
                clear.take(piece, |payload| {
                    found.push(payload.to_vec());
                    payload == b"second"
                });
            }
            assert_eq!(found, [b"first".to_vec(), b"second".to_vec()]);
        }
    }

    #[tokio::test]
    async fn what_is_said_before_the_identification_is_left_out() {
        let (ours, mut theirs) = tokio::io::duplex(1024);
        let said = b"hello\r\nno SSH-2.0-yet\r\nSSH-2.0-x\r\nmore";
        theirs.write_all(said).await.unwrap();
        let greeting = greet(&mut (Box::new(ours) as Raw)).await.unwrap();
        assert_eq!(&greeting[..], b"SSH-2.0-x\r\nmore");
    }

    #[tokio::test]
    async fn servers_that_are_busy_gone_or_something_else_are_told_apart() {
        for (said, expected) in [
            ("Exceeded MaxStartups\r\n", "Busy"),
            ("", "Closed"),
            ("Not allowed at this time\r\n", "Closed"),
            ("HTTP/1.1 400 Bad Request\r\n", "Foreign"),
            ("SSH-1.5-old\r\n", "Foreign"),
        ] {
            let (ours, mut theirs) = tokio::io::duplex(1024);
            theirs.write_all(said.as_bytes()).await.unwrap();
            theirs.shutdown().await.unwrap();
            let refused = greet(&mut (Box::new(ours) as Raw)).await.unwrap_err();
            assert_eq!(format!("{refused:?}"), expected, "{said}");
        }
    }
}
