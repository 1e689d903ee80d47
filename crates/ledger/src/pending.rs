//! An answer of the writer that has not come yet, for callers with and without a runtime.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use futures_channel::oneshot;

use crate::Error;

/// What the writer will answer. Dropping it takes nothing back: the entry may have been written already.
#[derive(Debug)]
#[must_use = "without the answer nobody knows whether the entry is durable"]
pub struct Pending<T> {
    receiver: oneshot::Receiver<Result<T, Error>>,
}

/// Where the answer goes.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, Error>>;

impl<T> Pending<T> {
    pub(crate) fn new() -> (Reply<T>, Self) {
        let (sender, receiver) = oneshot::channel();
        (sender, Self { receiver })
    }

    /// An answer that is known already.
    pub(crate) fn ready(answer: Result<T, Error>) -> Self {
        let (sender, pending) = Self::new();
        answer_to(sender, answer);
        pending
    }

    /// Blocks this thread until the answer is there. Not for threads that serve others meanwhile.
    ///
    /// # Errors
    /// Those of what was asked for.
    pub fn wait(self) -> Result<T, Error> {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        let mut this = pin!(self);
        loop {
            match this.as_mut().poll(&mut context) {
                Poll::Ready(answer) => return answer,
                Poll::Pending => thread::park(),
            }
        }
    }
}

impl<T> Future for Pending<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.receiver).poll(context).map(|answer| answer.unwrap_or(Err(Error::Closed)))
    }
}

/// Answers; a caller that no longer waits is none of the writer's business.
pub(crate) fn answer_to<T>(reply: Reply<T>, answer: Result<T, Error>) {
    drop(reply.send(answer));
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
