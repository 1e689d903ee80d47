//! A pool for many short runs: starting one costs about a microsecond.
//!
//! Workers look for work for a short while after each run and then sleep. A run is open to every worker that is awake;
//! one that wakes late finds it closed and does nothing, so nobody ever waits for a sleeper.

use std::any::Any;
use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle, Thread};

use crate::Kernels;

/// How often a worker looks for work before it sleeps: about 50 microseconds.
const LOOKS: u32 = 1500;
/// Looks before a waiting caller lets other threads have the core.
const PATIENCE: u32 = 20_000;

/// Set in `State` while workers may enter the run.
const OPEN: u64 = 1 << 63;
/// The low bits of `State` count the workers that entered; the others, below `OPEN`, number the run.
const ENTERED: u64 = 0xffff;

type Task<'a> = dyn Fn(usize) + Sync + 'a;

struct Job {
    task: *const Task<'static>,
    tasks: usize,
}

struct Shared {
    /// `OPEN`, the run's number and how many workers entered it.
    state: AtomicU64,
    /// Written only while the run is closed and nobody is inside.
    job: UnsafeCell<Job>,
    /// The next task that nobody took.
    next: AtomicUsize,
    /// Workers that entered the run and have left it.
    left: AtomicUsize,
    sleepers: AtomicUsize,
    stop: AtomicBool,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

// SAFETY: `job` is the only field that is not `Sync` by itself. `Pool::run` writes it while the run is closed and no
// worker is inside; workers read it only after entering an open run, which happens after the write.
unsafe impl Sync for Shared {}
// SAFETY: the pointer in `job` is used only by threads inside a run, which ends before the closure it points to does.
unsafe impl Send for Shared {}

/// Threads that run tasks together with the caller.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    /// Held during a run; a second caller computes alone.
    running: Mutex<u64>,
    workers: Vec<JoinHandle<()>>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("threads", &self.threads()).finish_non_exhaustive()
    }
}

impl Pool {
    /// A pool of `threads` threads, the caller included. Threads that cannot be started are done without.
    pub(crate) fn new(threads: usize) -> Self {
        let shared = Arc::new(Shared {
            state: AtomicU64::new(0),
            job: UnsafeCell::new(Job { task: &|_| {}, tasks: 0 }),
            next: AtomicUsize::new(0),
            left: AtomicUsize::new(0),
            sleepers: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            panic: Mutex::new(None),
        });
        let workers = (1..threads.clamp(1, 1024)).map_while(|index| {
            let shared = Arc::clone(&shared);
            thread::Builder::new().name(format!("baton-kernel-{index}")).spawn(move || shared.work()).ok()
        });
        Self { workers: workers.collect(), running: Mutex::new(0), shared }
    }

    /// Threads that compute, the caller's included.
    pub(crate) fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `task` once for each of `0..tasks`, in any order and on any thread. A panic in a task ends the run early and
    /// goes on in the caller; the pool stays usable.
    pub(crate) fn run(&self, tasks: usize, task: &Task<'_>) {
        if tasks > 1
            && !self.workers.is_empty()
            && let Ok(mut run) = self.running.try_lock()
        {
            *run += 1;
            let outcome = self.shared.run(*run, tasks, task, &self.workers);
            drop(run);
            if let Err(panic) = outcome {
                resume_unwind(panic);
            }
        } else {
            (0..tasks).for_each(task);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for worker in self.workers.drain(..) {
            worker.thread().unpark();
            // A worker catches the panics of its tasks, so joining it cannot fail.
            let _ = worker.join();
        }
    }
}

impl Shared {
    fn run(
        &self,
        number: u64,
        tasks: usize,
        task: &Task<'_>,
        workers: &[JoinHandle<()>],
    ) -> Result<(), Box<dyn Any + Send>> {
        let task: *const Task<'_> = task;
        #[expect(clippy::transmute_ptr_to_ptr, reason = "a cast cannot change a lifetime")]
        // SAFETY: only the lifetime is widened. The pointer is used by workers inside this run alone, and this function
        // does not return before the last of them has left.
        let task: *const Task<'static> = unsafe { std::mem::transmute::<*const Task<'_>, *const Task<'static>>(task) };
        // SAFETY: the previous run was closed and left by everybody before it returned, and `Pool::running` is held.
        unsafe { *self.job.get() = Job { task, tasks } };
        self.next.store(0, Ordering::Relaxed);
        self.left.store(0, Ordering::Relaxed);
        // SeqCst, with the load below: either a worker that is about to sleep sees the open run, or we see the sleeper.
        self.state.store(OPEN | (number << 16 & !OPEN), Ordering::SeqCst);
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            workers.iter().map(JoinHandle::thread).for_each(Thread::unpark);
        }
        self.take_tasks();
        let entered = self.state.fetch_and(!OPEN, Ordering::AcqRel) & ENTERED;
        let mut looks = 0;
        while self.left.load(Ordering::Acquire) as u64 != entered {
            looks += 1;
            if looks < PATIENCE { std::hint::spin_loop() } else { thread::yield_now() }
        }
        match self.panic.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(panic) => Err(panic),
            None => Ok(()),
        }
    }

    /// Runs tasks until none is left. Only for threads inside the run.
    fn take_tasks(&self) {
        // SAFETY: this thread is inside the run, so the job is not written and its closure is alive.
        let (task, tasks) = unsafe { (&*(*self.job.get()).task, (*self.job.get()).tasks) };
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            loop {
                let index = self.next.fetch_add(1, Ordering::Relaxed);
                if index >= tasks {
                    break;
                }
                task(index);
            }
        }));
        if let Err(panic) = outcome {
            self.next.store(tasks, Ordering::Relaxed);
            *self.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
        }
    }

    /// A worker's life.
    fn work(&self) {
        let mut seen = 0;
        while let Some(state) = self.next_run(seen) {
            seen = state & !ENTERED;
            self.take_tasks();
            self.left.fetch_add(1, Ordering::Release);
        }
    }

    /// Enters the next run after `seen`, or says that the pool ends.
    fn next_run(&self, seen: u64) -> Option<u64> {
        loop {
            for _ in 0..LOOKS {
                if let Some(state) = self.enter(seen) {
                    return Some(state);
                }
                std::hint::spin_loop();
            }
            self.sleepers.fetch_add(1, Ordering::SeqCst);
            let entered = self.enter(seen);
            if entered.is_none() && !self.stop.load(Ordering::SeqCst) {
                thread::park();
            }
            self.sleepers.fetch_sub(1, Ordering::SeqCst);
            if entered.is_some() {
                return entered;
            }
            if self.stop.load(Ordering::SeqCst) {
                return None;
            }
        }
    }

    fn enter(&self, seen: u64) -> Option<u64> {
        let state = self.state.load(Ordering::SeqCst);
        if state & OPEN == 0 || state & !ENTERED == seen {
            return None;
        }
        self.state.compare_exchange(state, state + 1, Ordering::AcqRel, Ordering::Relaxed).ok()
    }
}

impl Kernels {
    /// Calls `tile(first, rows)` for tiles that cover `rows` rows of `width` elements, on several threads if it is worth it.
    pub(crate) fn rows(&self, rows: usize, width: usize, tile: &(dyn Fn(usize, usize) + Sync)) {
        /// Elements below which waking another thread costs more than it saves.
        const GRAIN: usize = 16 * 1024;
        let size = (GRAIN / width.max(1)).max(1);
        self.pool.run(rows.div_ceil(size), &|task| tile(task * size, size.min(rows - task * size)));
    }
}

/// A slice whose disjoint parts are written by different tasks.
pub(crate) struct Parts<'a, T> {
    start: *mut T,
    len: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: a `Parts` is an exclusive slice that is handed out in disjoint parts, see `Parts::part`.
unsafe impl<T: Send> Sync for Parts<'_, T> {}

impl<'a, T> Parts<'a, T> {
    /// Borrows the slice until the last part is gone.
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), slice: PhantomData }
    }

    /// `len` elements from `start`; panics past the end.
    ///
    /// # Safety
    /// No other part that is alive overlaps this one.
    #[expect(clippy::mut_from_ref, reason = "parts of one slice go to several tasks; the caller keeps them disjoint")]
    pub(crate) unsafe fn part(&self, start: usize, len: usize) -> &mut [T] {
        assert!(start <= self.len && len <= self.len - start, "part {start}+{len} of {}", self.len);
        // SAFETY: in bounds by the assertion, exclusive by this function's contract and that of `new`.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once_whatever_the_threads() {
        for threads in [1, 2, 3, 8] {
            let pool = Pool::new(threads);
            for tasks in [0, 1, 2, 7, 100, 1000] {
                let mut counts = vec![0u32; tasks];
                let parts = Parts::new(&mut counts);
                // SAFETY: each task takes the one element of its own index.
                pool.run(tasks, &|task| unsafe { parts.part(task, 1)[0] += 1 });
                assert_eq!(counts, vec![1; tasks], "{threads} threads");
            }
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_leaves_the_pool_usable() {
        let pool = Pool::new(3);
        for round in 0..50 {
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                pool.run(20, &|task| assert!(task != round % 20, "task {task} fails"));
            }));
            let message = *outcome.unwrap_err().downcast::<String>().unwrap();
            assert_eq!(message, format!("task {} fails", round % 20));
            let done = AtomicUsize::new(0);
            pool.run(20, &|_| {
                done.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(done.into_inner(), 20);
        }
    }

    #[test]
    fn several_callers_and_nested_runs_share_a_pool() {
        let pool = Pool::new(2);
        let done = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        pool.run(4, &|_| {
                            pool.run(2, &|_| {
                                done.fetch_add(1, Ordering::Relaxed);
                            });
                        });
                    }
                });
            }
        });
        assert_eq!(done.into_inner(), 4 * 100 * 4 * 2);
    }
}
