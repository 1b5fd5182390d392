//! Plain HTTP on the TLS port.

use super::bare;
use crate::domain::{Error, Kind};
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The first byte of a TLS record that holds a handshake (RFC 8446 section 5.1).
const HANDSHAKE: u8 = 0x16;

/// How much of a plain request is read after the answer: closing with unread bytes would reset
/// the connection and take the answer with it.
const DROPPED: u64 = 64 * 1024;

/// What a client began with.
pub(super) enum Opening {
    Tls,
    /// The start of an HTTP request line.
    Http,
    /// Neither, or nothing at all.
    Else,
}

/// Looks at the first byte and leaves it where it is.
pub(super) async fn opening(socket: &TcpStream) -> io::Result<Opening> {
    let mut first = [0];
    Ok(match (socket.peek(&mut first).await?, first[0]) {
        (1, HANDSHAKE) => Opening::Tls,
        (1, letter) if letter.is_ascii_alphabetic() => Opening::Http,
        _ => Opening::Else,
    })
}

/// Says that only HTTPS is spoken here, and closes.
pub(super) async fn refuse(mut socket: TcpStream, peer: SocketAddr) -> io::Result<()> {
    let error = Error::new(
        Kind::Invalid,
        "This port speaks HTTPS only: use https:// in the address.",
    );
    socket.write_all(&bare::answer(&error, peer, None)).await?;
    socket.shutdown().await?;
    tokio::io::copy(&mut socket.take(DROPPED), &mut tokio::io::sink()).await?;
    Ok(())
}
