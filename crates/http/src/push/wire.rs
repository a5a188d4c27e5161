//! The bytes of a WebSocket connection. Frames that we push are written here at once, several in
//! one write; everything else goes through tungstenite, which writes through here as well.
//!
//! Frames never mix: what the socket does not take of a write waits here and goes first, whoever
//! wrote it, so that each write is whole before the next one begins.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BufMut as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream of bytes, with what it has not taken yet.
pub(super) struct Wire<S> {
    stream: S,
    rest: BytesMut,
}

impl<S: AsyncWrite + Unpin> Wire<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, rest: BytesMut::new() }
    }

    /// Takes whole frames, and is ready when the socket has them. Until then it is polled on with
    /// [`Self::poll_rest`]: they are taken in any case.
    pub fn poll_send(&mut self, cx: &mut Context<'_>, frames: &[u8]) -> Poll<io::Result<()>> {
        let mut left = frames;
        if self.rest.is_empty()
            && let Poll::Ready(taken) = Pin::new(&mut self.stream).poll_write(cx, left)
        {
            left = left.get(taken?..).unwrap_or_default();
        }
        self.rest.extend_from_slice(left);
        self.poll_rest(cx)
    }

    /// Is ready when the socket has all that was sent.
    pub fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.rest.is_empty() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &self.rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                taken => self.rest.advance(taken),
            }
            if self.rest.is_empty() {
                // Most connections never need it again.
                self.rest = BytesMut::new();
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    /// Takes all or nothing.
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        frames: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_rest(cx))?;
        let taken = ready!(Pin::new(&mut self.stream).poll_write(cx, frames))?;
        self.rest.extend_from_slice(frames.get(taken..).unwrap_or_default());
        Poll::Ready(Ok(frames.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_rest(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_rest(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A whole message of text from a server: RFC 6455, 5.2.
const TEXT: u8 = 0x81;
/// Bytes before a message of 126 to 65,535 bytes, which nearly all are.
const HEADER: usize = 4;

/// Appends a frame with the text that `write` appends.
pub(super) fn text_frame(out: &mut BytesMut, write: impl FnOnce(&mut BytesMut)) {
    let begin = out.len();
    out.put_bytes(0, HEADER);
    write(out);
    let length = out.len() - begin - HEADER;
    // The length is written in as few bytes as hold it.
    let mut header = [TEXT, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let header = match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ ..126), _) => {
            header[1] = short;
            &header[..2]
        }
        (_, Ok(middle)) => {
            header[1] = 126;
            header[2..HEADER].copy_from_slice(&middle.to_be_bytes());
            &header[..HEADER]
        }
        _ => {
            header[1] = 127;
            header[2..].copy_from_slice(&(length as u64).to_be_bytes());
            &header[..]
        }
    };
    if header.len() != HEADER {
        let text = begin + HEADER;
        out.put_bytes(0, header.len().saturating_sub(HEADER));
        out.copy_within(text..text + length, begin + header.len());
        out.truncate(begin + header.len() + length);
    }
    out[begin..begin + header.len()].copy_from_slice(header);
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
    use tokio::io::DuplexStream;
    use tokio_tungstenite::WebSocketStream;
    use tungstenite::protocol::{Message, Role};

    use super::*;

    /// Both ends of a connection that takes so many bytes at once.
    async fn connection(
        room: usize,
    ) -> (WebSocketStream<Wire<DuplexStream>>, WebSocketStream<DuplexStream>) {
        let (ours, theirs) = tokio::io::duplex(room);
        let ours = WebSocketStream::from_raw_socket(Wire::new(ours), Role::Server, None).await;
        (ours, WebSocketStream::from_raw_socket(theirs, Role::Client, None).await)
    }

    fn frame(text: &str) -> BytesMut {
        let mut out = BytesMut::new();
        text_frame(&mut out, |out| out.extend_from_slice(text.as_bytes()));
        out
    }

    #[tokio::test]
    async fn a_frame_is_read_as_it_was_written_whatever_its_length() {
        let (mut ours, mut theirs) = connection(1 << 20).await;
        for length in [0, 1, 125, 126, 127, 300, 65_535, 65_536, 70_000] {
            let text: String = ('a'..='z').cycle().take(length).collect();
            let mut out = frame("before");
            text_frame(&mut out, |out| out.extend_from_slice(text.as_bytes()));
            poll_fn(|cx| ours.get_mut().poll_send(cx, &out)).now_or_never().unwrap().unwrap();
            for wanted in ["before", &text] {
                let got = theirs.next().now_or_never().unwrap().unwrap().unwrap();
                assert_eq!(got.into_text().unwrap().as_str(), wanted, "{length} bytes");
            }
        }
    }

    #[tokio::test]
    async fn frames_of_both_writers_do_not_mix_however_little_the_socket_takes() {
        for room in [1, 2, 3, 5, 64] {
            let (mut ours, mut theirs) = connection(room).await;
            let mut wanted = Vec::new();
            for n in 0..20 {
                let (pushed, said) = (format!("pushed {n}"), format!("said {n}"));
                // Given up right away, as after a pause that was too long: it goes out all the same.
                _ = poll_fn(|cx| ours.get_mut().poll_send(cx, &frame(&pushed))).now_or_never();
                wanted.push(pushed);
                if ours.feed(Message::text(&*said)).now_or_never().is_some() {
                    wanted.push(said);
                }
                _ = ours.flush().now_or_never();
            }
            assert!(wanted.iter().any(|one| one.starts_with("said")));
            let ours = tokio::spawn(async move {
                ours.flush().await.unwrap();
                ours
            });
            let mut got = Vec::new();
            for _ in &wanted {
                got.push(theirs.next().await.unwrap().unwrap().into_text().unwrap().to_string());
            }
            // Each of both writers keeps its order; a frame of ours may overtake one of theirs.
            for writer in ["pushed", "said"] {
                let of = |all: &[String]| {
                    all.iter().filter(|one| one.starts_with(writer)).cloned().collect::<Vec<_>>()
                };
                assert_eq!(of(&got), of(&wanted), "{room} bytes at once");
            }
            ours.await.unwrap();
        }
    }
}
