//! A connection that gives up on a peer who is too slow.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// Whether a request is being answered on the connection. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Phase(Arc<AtomicBool>);

/// A request is being answered until this is dropped.
#[derive(Debug)]
pub(crate) struct Busy(Phase);

impl Phase {
    /// A request's headers have been read.
    pub(crate) fn busy(&self) -> Busy {
        self.0.store(true, Ordering::Release);
        Busy(self.clone())
    }

    fn is_busy(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.0.store(false, Ordering::Release);
    }
}

/// Ends the connection if headers take too long to arrive, or if the peer takes none of what is written.
///
/// hyper's own limit starts when the connection becomes idle, so it serves as the idle limit; the limit here starts at
/// the first byte of a request, and for the first request at once.
#[derive(Debug)]
pub(crate) struct Watched<S> {
    stream: S,
    phase: Phase,
    header_limit: Duration,
    write_limit: Duration,
    /// Runs while headers are being read.
    header: Option<Pin<Box<Sleep>>>,
    /// Runs while nothing can be written.
    write: Option<Pin<Box<Sleep>>>,
}

impl<S> Watched<S> {
    /// Watches `stream` from now on.
    pub(crate) fn new(stream: S, phase: Phase, header_limit: Duration, write_limit: Duration) -> Self {
        let header = Some(Box::pin(tokio::time::sleep(header_limit)));
        Self { stream, phase, header_limit, write_limit, header, write: None }
    }

    fn written<T>(&mut self, context: &mut Context<'_>, done: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if done.is_ready() {
            self.write = None;
            return done;
        }
        let limit = self.write_limit;
        let timer = self.write.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        ready!(timer.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer reads nothing")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if self.phase.is_busy() {
            self.header = None;
            return read;
        }
        if read.is_ready() {
            if buffer.filled().len() > before && self.header.is_none() {
                let deadline = Instant::now() + self.header_limit;
                self.header = Some(Box::pin(tokio::time::sleep_until(deadline)));
            }
            return read;
        }
        if let Some(timer) = &mut self.header {
            ready!(timer.as_mut().poll(context));
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the headers take too long")));
        }
        Poll::Pending
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(context, done)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.written(context, done)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const SHORT: Duration = Duration::from_millis(10);
    const LONG: Duration = Duration::from_mins(10);

    #[tokio::test]
    async fn a_peer_who_reads_nothing_is_given_up() {
        let (ours, mut peer) = duplex(8);
        let mut watched = Watched::new(ours, Phase::default(), LONG, SHORT);
        watched.write_all(b"12345678").await.unwrap();
        assert_eq!(watched.write_all(b"9").await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        // A peer who reads, however slowly, is not.
        peer.read_u8().await.unwrap();
        watched.write_all(b"9").await.unwrap();
    }

    #[tokio::test]
    async fn headers_are_timed_and_answers_are_not() {
        let (ours, mut peer) = duplex(8);
        let phase = Phase::default();
        let mut watched = Watched::new(ours, phase.clone(), SHORT, LONG);
        assert_eq!(watched.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);

        let busy = phase.busy();
        tokio::select! {
            biased;
            _ = watched.read_u8() => panic!("nothing was sent"),
            () = tokio::time::sleep(2 * SHORT) => {}
        }
        drop(busy);
        // The next request's time begins with its first byte.
        peer.write_all(b"G").await.unwrap();
        watched.read_u8().await.unwrap();
        assert_eq!(watched.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
