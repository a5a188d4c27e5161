//! Writes that come to an end: a peer that takes nothing at all for too long is given up, whatever
//! is being written to it. hyper bounds how long it reads, but not how long it writes.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// A stream whose writes fail when nothing is taken within a time.
pub struct StallBound<T> {
    stream: T,
    within: Duration,
    /// Runs while a write waits. In a box, since most connections never need it.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<T> StallBound<T> {
    /// Bounds the writes of a stream.
    pub fn new(stream: T, within: Duration) -> Self {
        Self { stream, within, stalled: None }
    }

    fn bounded(
        &mut self,
        written: Poll<io::Result<usize>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let within = self.within;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(within)));
        stalled.as_mut().poll(cx).map(|()| {
            let why = "the peer has taken nothing for too long";
            Err(io::Error::new(io::ErrorKind::TimedOut, why))
        })
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for StallBound<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.bounded(written, cx)
    }
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, parts);
        this.bounded(written, cx)
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A socket has nothing to flush: its flush says nothing about the peer.
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for StallBound<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, into)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn a_peer_that_takes_nothing_is_given_up() {
        let (ours, _theirs) = duplex(8);
        let mut ours = StallBound::new(ours, Duration::from_millis(5));
        let error = ours.write_all(&[0; 9]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn each_byte_that_is_taken_begins_the_wait_anew() {
        let (ours, mut theirs) = duplex(1);
        let mut ours = StallBound::new(ours, Duration::from_secs(600));
        ours.write_all(&[1]).await.unwrap();
        for byte in 2..20 {
            {
                let mut writing = std::pin::pin!(ours.write_all(std::slice::from_ref(&byte)));
                let mut cx = Context::from_waker(std::task::Waker::noop());
                assert!(writing.as_mut().poll(&mut cx).is_pending());
            }
            assert!(ours.stalled.is_some());
            assert_eq!(theirs.read_u8().await.unwrap(), byte - 1);
            ours.write_all(&[byte]).await.unwrap();
            assert!(ours.stalled.is_none());
        }
    }
}
