//! What a device's faults come to. No real one has them on order: these run on the emulated one alone.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use baton_contract::{Generate, Refusal};
use baton_engine::{EngineHandle, EngineState, Executor, ExecutorError, ScoreError};
use baton_kernels::{KernelError, device_memory, with_gpu};
use baton_testkit::{block_on, collect, limits, request};

use crate::device::has_device;
use crate::{Kept, SMALL, Start, assert_near, engine, given, gpu, pack, tokens};

/// Orders faults of the emulated GPU of this process.
struct Orders(PathBuf);

impl Orders {
    fn of(test: &str) -> Option<Self> {
        if !has_device(test) {
            return None;
        }
        let folder = std::env::var_os("BATON_EMULATED_FAULTS");
        if folder.is_none() {
            eprintln!("skipped {test}: no real GPU fails on order");
        }
        folder.map(|folder| Self(PathBuf::from(folder).join(std::process::id().to_string())))
    }

    /// Such as `launch 3 once 701`: the third launch from now on fails with this error of CUDA's.
    fn order(&self, fault: &str) {
        let written = self.0.with_extension("new");
        fs::write(&written, fault).unwrap();
        fs::rename(written, &self.0).unwrap();
    }

    /// Whether what was ordered has happened.
    fn struck(&self) -> bool {
        !self.0.exists()
    }

    fn none(&self) {
        self.order("any 0 once 0");
    }
}

/// Bytes of the device's memory that somebody has.
fn used() -> u64 {
    device_memory().unwrap().used
}

/// A few given answers of twins with and without adapters, and of the model itself.
fn few() -> Vec<Generate> {
    given().into_iter().step_by(3).collect()
}

fn scores(engine: &EngineHandle) -> Result<Vec<f64>, ScoreError> {
    Ok(block_on(engine.score(few(), 4))?.into_iter().map(|score| score.logprob).collect())
}

/// Has a call of each of these kinds fail once, an early one and later ones, and sees that the engine goes on as if
/// nothing had been.
fn goes_on_after(orders: &Orders, sites: &[&str], error: u32, kept: Kept<'_>) {
    let expected = scores(&engine(false, limits(), None)).unwrap();
    let before = used();
    let engine = engine(true, SMALL, kept);
    assert_near(&scores(&engine).unwrap(), &expected, "before any fault");
    for site in sites {
        for number in [1, 30] {
            let what = format!("{site} {number} once {error}");
            orders.order(&what);
            match scores(&engine) {
                Ok(found) => assert_near(&found, &expected, &what),
                Err(ScoreError::Failed(text)) => {
                    assert!(text.contains("send it again"), "{what}: {text}");
                    assert!(orders.struck(), "{what} was ordered, and something else failed: {text}");
                }
                Err(refused) => panic!("{what}: {refused}"),
            }
            let struck = orders.struck();
            orders.none();
            assert_near(&scores(&engine).unwrap(), &expected, &what);
            let status = engine.status();
            assert!(status.is_ready() && status.in_flight == 0 && status.counters.broken_invariants == 0, "{what}");
            if !struck {
                break;
            }
        }
    }
    block_on(engine.drain(Duration::ZERO));
    let blocks = engine.status().scheduler.blocks;
    assert_eq!(blocks.free + blocks.pinned + blocks.reusable, blocks.total, "{blocks:?}");
    drop(engine);
    assert_eq!(used(), before, "device memory");
}

#[test]
fn a_kernel_that_is_refused_once_fails_its_step_and_no_more() {
    let Some(orders) = Orders::of("a_kernel_that_is_refused_once_fails_its_step_and_no_more") else { return };
    goes_on_after(&orders, &["launch", "product"], 701, None);
}

#[test]
fn a_step_that_cannot_be_recorded_is_computed_as_it_comes() {
    let Some(orders) = Orders::of("a_step_that_cannot_be_recorded_is_computed_as_it_comes") else { return };
    goes_on_after(&orders, &["record", "replay"], 901, None);
}

#[test]
fn copies_and_events_that_fail_once_cost_a_step_or_a_move() {
    let Some(orders) = Orders::of("copies_and_events_that_fail_once_cost_a_step_or_a_move") else { return };
    let folder = tempfile::tempdir().unwrap();
    goes_on_after(&orders, &["copy", "event", "destroy"], 1, Some((folder.path(), 64 << 20)));
}

#[test]
fn want_of_memory_costs_a_step_or_a_move() {
    let Some(orders) = Orders::of("want_of_memory_costs_a_step_or_a_move") else { return };
    let folder = tempfile::tempdir().unwrap();
    goes_on_after(&orders, &["allocate", "pin"], 2, Some((folder.path(), 100 << 10)));
}

#[test]
fn an_adapter_without_room_fails_its_own_requests_or_another_gives_way() {
    let Some(orders) = Orders::of("an_adapter_without_room_fails_its_own_requests_or_another_gives_way") else {
        return;
    };
    let engine = engine(true, limits(), None);
    let cue = |number: u8| {
        let (prefix, adapter) = pack(number);
        let mut cue = Generate { prefix: Some(prefix), adapter, ..request(&tokens(7, 20)) };
        cue.stop.max_tokens = 4;
        cue
    };
    // What the first steps need is found.
    assert!(collect(engine.submit(cue(0)).unwrap()).end.is_ok());
    orders.order("allocate 1 once 2");
    let streams = engine.submit_all([0, 1, 2, 1].map(cue).into()).unwrap();
    let ends: Vec<_> = streams.into_iter().map(|stream| collect(stream).end).collect();
    assert!(orders.struck());
    assert_eq!(ends.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true, false], "{ends:?}");
    assert!(ends[1].as_ref().is_err_and(|text| text.contains("adapter could not be loaded")), "{ends:?}");
    assert!(collect(engine.submit(cue(1)).unwrap()).end.is_ok(), "there is room again");
    orders.order("allocate 1 once 2");
    assert!(collect(engine.submit(cue(3)).unwrap()).end.is_ok(), "the other adapter gives way");
    assert!(orders.struck());
    let status = engine.status();
    assert_eq!((status.counters.failed, status.counters.failed_steps, status.counters.broken_invariants), (2, 0, 0));
}

#[test]
fn a_lost_device_ends_the_engine_and_answers_everybody() {
    let Some(orders) = Orders::of("a_lost_device_ends_the_engine_and_answers_everybody") else { return };
    for (fault, said) in [
        ("launch 40 ever 700", "CUDA_ERROR_ILLEGAL_ADDRESS"),
        ("launch 40 later 700", "CUDA_ERROR_ILLEGAL_ADDRESS"),
        ("product 1 later 719", "CUDA_ERROR_LAUNCH_FAILED"),
        ("product 1 ever 719", "CUDA_ERROR_LAUNCH_FAILED"),
        ("copy 3 later 214", "CUDA_ERROR_ECC_UNCORRECTABLE"),
        ("replay 2 later 700", "CUDA_ERROR_ILLEGAL_ADDRESS"),
        ("record 1 ever 700", "CUDA_ERROR_ILLEGAL_ADDRESS"),
        ("event 2 ever 100", "CUDA_ERROR_NO_DEVICE"),
        ("wait 3 ever 214", "CUDA_ERROR_ECC_UNCORRECTABLE"),
        ("allocate 1 ever 214", "CUDA_ERROR_ECC_UNCORRECTABLE"),
    ] {
        orders.none();
        let folder = tempfile::tempdir().unwrap();
        let engine = engine(true, SMALL, Some((folder.path(), 64 << 20)));
        let streams = engine.submit_all(few()).unwrap();
        orders.order(fault);
        let ends: Vec<_> = streams.into_iter().map(|stream| collect(stream).end).collect();
        assert!(ends.iter().any(Result::is_err), "{fault}: {ends:?}");
        let reason = block_on(engine.lost());
        assert!(reason.contains("the device is lost: ") && reason.contains(said), "{fault}: {reason}");
        assert_eq!(engine.submit(request(&[1])).unwrap_err(), Refusal::Lost);
        block_on(engine.drain(Duration::ZERO));
        let status = engine.status();
        assert_eq!((status.state, status.in_flight, status.is_ready()), (EngineState::Lost, 0, false), "{fault}");
        assert_eq!(status.unhealthy, Some(reason), "{fault}");
    }
}

#[test]
fn a_start_without_memory_says_so_and_gives_back_what_it_had() {
    let Some(orders) = Orders::of("a_start_without_memory_says_so_and_gives_back_what_it_had") else { return };
    let start = || -> Result<Box<dyn Executor>, ExecutorError> {
        let start = Start { scheduler: SMALL, store: None };
        with_gpu(&gpu(), start).unwrap_or_else(|error| Err(ExecutorError::Load(Box::new(error))))
    };
    let before = used();
    drop(start().unwrap());
    assert_eq!(used(), before);
    // What is needed to open the device, for weights, for the cache, for the first steps.
    let mut failed = 0;
    for number in (1..).step_by(3) {
        orders.order(&format!("allocate {number} once 2"));
        // Without memory to try out products in, they are not, and that is all.
        if let Some(error) = start().err() {
            failed += 1;
            assert!(of_kernels(&error).is_some_and(KernelError::is_want_of_memory), "allocation {number}: {error:?}");
        }
        if !orders.struck() {
            break;
        }
        assert_eq!(used(), before, "after allocation {number}");
    }
    assert!(failed > 8, "{failed}");
    orders.order("pin 1 once 2");
    let text = start().err().map(|error| of_kernels(&error).unwrap().to_string()).unwrap();
    assert!(text.starts_with("pinning host memory failed on the GPU: CUDA_ERROR_OUT_OF_MEMORY"), "{text}");
    orders.order("open 2 once 46");
    assert!(start().err().is_some_and(|error| of_kernels(&error).unwrap().is_lost()));
    assert_eq!(used(), before);
}

fn of_kernels(error: &ExecutorError) -> Option<&KernelError> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}
