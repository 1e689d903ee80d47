//! Texts of many callers, computed on one thread in turns.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use baton_contract::{Digest, TokenId};
use tokio::sync::oneshot;

use crate::{EmbedError, Error, Words};

/// Tokens of one batch: enough to keep the products busy, few enough that nobody waits long for somebody else's texts.
const BATCH_TOKENS: usize = 1024;
/// Tokens that may wait.
const MOST_WAITING: usize = 2 << 20;

/// Computes vectors.
pub trait Encode: Send {
    /// The vectors of texts as tokens, in their order, each as wide as the others.
    ///
    /// # Errors
    /// Says what went wrong, for a person.
    fn encode(&mut self, texts: &[&[TokenId]]) -> Result<Vec<Vec<f32>>, String>;
}

/// What there is to say about an encoder.
#[derive(Clone, Debug)]
pub struct EncoderCard {
    /// What a client writes as `model`.
    pub id: String,
    /// Identifies weights, tokens and the way from tokens to a vector.
    pub digest: Digest,
    /// Width of a vector.
    pub dimensions: usize,
    /// How texts become tokens.
    pub words: Words,
}

/// Embeds texts; cheap to clone. Its thread ends with the last handle.
#[derive(Clone, Debug)]
pub struct EncoderHandle {
    card: Arc<EncoderCard>,
    jobs: Sender<Job>,
    waiting: Arc<AtomicUsize>,
}

/// What came of the texts of one caller: [texts, dimensions].
type Vectors = Result<Vec<Vec<f32>>, EmbedError>;

/// The texts of one caller.
struct Job {
    texts: Vec<Vec<TokenId>>,
    vectors: Vec<Vec<f32>>,
    reply: Reply,
    room: Room,
}

/// Where it is told what came of a job.
enum Reply {
    Async(oneshot::Sender<Vectors>),
    Blocking(Sender<Vectors>),
}

/// Tokens that wait, given back by drop.
struct Room {
    waiting: Arc<AtomicUsize>,
    tokens: usize,
}

impl EncoderHandle {
    /// Starts the thread that computes.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn start(card: EncoderCard, encoder: Box<dyn Encode>) -> Result<Self, Error> {
        let (jobs, received) = channel();
        let run = move || run(encoder, &received);
        thread::Builder::new().name("baton-encoder".to_owned()).spawn(run).map_err(Error::Thread)?;
        Ok(Self { card: Arc::new(card), jobs, waiting: Arc::default() })
    }

    /// What there is to say about the encoder.
    pub fn card(&self) -> &EncoderCard {
        &self.card
    }

    /// Tokens that wait or are being computed.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// The vectors of texts as tokens, in their order: [texts, dimensions]. Dropping the future gives up.
    ///
    /// # Errors
    /// Too much waits, the thread is gone, or the computation failed.
    pub async fn embed(&self, texts: Vec<Vec<TokenId>>) -> Vectors {
        let (reply, vectors) = oneshot::channel();
        self.submit(texts, Reply::Async(reply))?;
        vectors.await.unwrap_or(Err(EmbedError::Stopped))
    }

    /// The same, blocking this thread until it is done.
    ///
    /// # Errors
    /// As [`Self::embed`].
    pub fn embed_blocking(&self, texts: Vec<Vec<TokenId>>) -> Vectors {
        let (reply, vectors) = channel();
        self.submit(texts, Reply::Blocking(reply))?;
        vectors.recv().unwrap_or(Err(EmbedError::Stopped))
    }

    fn submit(&self, texts: Vec<Vec<TokenId>>, reply: Reply) -> Result<(), EmbedError> {
        let room = self.room(texts.iter().map(Vec::len).sum())?;
        let job = Job { texts, vectors: Vec::new(), reply, room };
        self.jobs.send(job).map_err(|_| EmbedError::Stopped)
    }

    fn room(&self, tokens: usize) -> Result<Room, EmbedError> {
        let before = self.waiting.fetch_add(tokens, Ordering::Relaxed);
        let room = Room { waiting: Arc::clone(&self.waiting), tokens };
        // What finds nobody waiting is taken, however long it is.
        if before > 0 && before + tokens > MOST_WAITING {
            return Err(EmbedError::Busy { waiting: before, asked: tokens });
        }
        Ok(room)
    }
}

impl Job {
    /// All its texts were computed.
    fn end(mut self) {
        let vectors = std::mem::take(&mut self.vectors);
        self.answer(Ok(vectors));
    }

    /// Gives its room back and then says what came of it, so that whoever hears it finds the room free.
    fn answer(self, outcome: Vectors) {
        let Self { reply, room, .. } = self;
        drop(room);
        // Whoever has left needs no answer.
        match reply {
            Reply::Async(reply) => _ = reply.send(outcome),
            Reply::Blocking(reply) => _ = reply.send(outcome),
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.waiting.fetch_sub(self.tokens, Ordering::Relaxed);
    }
}

/// The thread's life: batch after batch, until nobody can ask any more.
fn run(mut encoder: Box<dyn Encode>, received: &Receiver<Job>) {
    let mut jobs = VecDeque::new();
    loop {
        if jobs.is_empty() {
            match received.recv() {
                Ok(job) => jobs.push_back(job),
                Err(_) => return,
            }
        }
        jobs.extend(received.try_iter());
        // Whoever has left is not computed for.
        jobs.retain(|job: &Job| !matches!(&job.reply, Reply::Async(reply) if reply.is_closed()));
        step(encoder.as_mut(), &mut jobs);
        for _ in 0..jobs.len() {
            if let Some(job) = jobs.pop_front() {
                if job.vectors.len() == job.texts.len() {
                    job.end();
                } else {
                    jobs.push_back(job);
                }
            }
        }
        // Who was first is last now, so that a long list does not keep others from the first place of a batch.
        if jobs.len() > 1 {
            jobs.rotate_left(1);
        }
    }
}

/// Computes one batch, of the next text of each job in turn. If that fails, the jobs in it fail, and no others.
fn step(encoder: &mut dyn Encode, jobs: &mut VecDeque<Job>) {
    let picked = pick(jobs);
    let texts: Vec<&[TokenId]> = picked.iter().map(|(job, text)| &jobs[*job].texts[*text][..]).collect();
    if texts.is_empty() {
        return;
    }
    let outcome = catch_unwind(AssertUnwindSafe(|| encoder.encode(&texts)))
        .unwrap_or_else(|_| Err("a fault in the computation; it was logged".to_owned()));
    let outcome = outcome.and_then(|vectors| {
        if vectors.len() == picked.len() { Ok(vectors) } else { Err("the encoder gave too few vectors".to_owned()) }
    });
    match outcome {
        Ok(vectors) => {
            for ((job, _), vector) in picked.into_iter().zip(vectors) {
                jobs[job].vectors.push(vector);
            }
        }
        Err(fault) => {
            tracing::error!(fault, "texts could not be embedded");
            let mut failed: Vec<usize> = picked.into_iter().map(|(job, _)| job).collect();
            failed.dedup();
            failed.sort_unstable();
            failed.dedup();
            for job in failed.into_iter().rev().filter_map(|job| jobs.remove(job)) {
                job.answer(Err(EmbedError::Failed(fault.clone())));
            }
        }
    }
}

/// The texts of the next batch, as job and place; those of one job are in their order.
fn pick(jobs: &VecDeque<Job>) -> Vec<(usize, usize)> {
    let mut next: Vec<usize> = jobs.iter().map(|job| job.vectors.len()).collect();
    let (mut picked, mut tokens) = (Vec::new(), 0);
    loop {
        let before = picked.len();
        for (index, job) in jobs.iter().enumerate() {
            let Some(text) = job.texts.get(next[index]) else { continue };
            if picked.is_empty() || tokens + text.len() <= BATCH_TOKENS {
                picked.push((index, next[index]));
                tokens += text.len();
                next[index] += 1;
            } else {
                return picked;
            }
        }
        if picked.len() == before {
            return picked;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(lengths: &[usize], done: usize) -> Job {
        let (reply, _) = oneshot::channel();
        let texts = lengths.iter().map(|length| vec![4; *length]).collect();
        Job {
            texts,
            vectors: vec![Vec::new(); done],
            reply: Reply::Async(reply),
            room: Room { waiting: Arc::default(), tokens: 0 },
        }
    }

    #[test]
    fn everybody_takes_turns_within_the_budget() {
        let jobs = |jobs: Vec<Job>| pick(&VecDeque::from(jobs));
        assert_eq!(
            jobs(vec![job(&[400; 9], 2), job(&[5, 6], 0), job(&[7], 0)]),
            [(0, 2), (1, 0), (2, 0), (0, 3), (1, 1)],
            "a long list does not keep the short ones waiting"
        );
        assert_eq!(jobs(vec![job(&[BATCH_TOKENS + 1, 1], 0), job(&[1], 0)]), [(0, 0)], "one text is always taken");
        assert_eq!(jobs(vec![job(&[3], 1), job(&[], 0)]), []);
    }
}
