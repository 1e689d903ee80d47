//! Steps that are recorded once and then started as a whole.

use std::collections::HashMap;
use std::sync::Arc;

use cudarc::driver::{CudaGraph, CudaStream, sys};

use crate::cuda::fault::failed;
use crate::cuda::lora::Class;
use crate::cuda::rows::DeviceRows;
use crate::cuda::{Gpu, Placed};
use crate::{KernelError, Result};

/// Recorded steps, by whose they are, by their number of rows, and by what their adapters need. Of a kind that could not
/// be recorded or started there is none, and each is computed as it comes.
#[derive(Default)]
pub struct Recorded {
    steps: HashMap<Kind, Option<Step>>,
}

type Kind = (u64, usize, Option<Class>);

impl std::fmt::Debug for Recorded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.steps.keys()).finish()
    }
}

struct Step {
    graph: CudaGraph,
    /// What it writes; kept, so that its memory stays its own.
    out: DeviceRows,
}

// SAFETY: a graph is launched by whoever has the only reference to it; nothing of it is bound to a thread.
unsafe impl Send for Step {}

/// What is given to a stream while this lives is recorded and not done.
struct Recording<'a>(Option<&'a Arc<CudaStream>>);

impl<'a> Recording<'a> {
    fn begin(stream: &'a Arc<CudaStream>) -> Result<Self> {
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED;
        stream.begin_capture(mode).map_err(failed("recording a step"))?;
        Ok(Self(Some(stream)))
    }

    /// What was recorded, ready to be started; nothing if that is nothing.
    fn end(mut self) -> Result<Option<CudaGraph>> {
        self.stop()
    }

    fn stop(&mut self) -> Result<Option<CudaGraph>> {
        let Some(stream) = self.0.take() else { return Ok(None) };
        // An error that was left by something else would keep the stream recording.
        _ = stream.context().check_err();
        stream.end_capture(sys::CUgraphInstantiate_flags(0)).map_err(failed("ending a record"))
    }
}

impl Drop for Recording<'_> {
    /// Also where the work panics: a stream that records computes nothing any more.
    fn drop(&mut self) {
        _ = self.stop();
    }
}

impl Gpu {
    /// The first batch of its kind is computed as it comes, which loads kernels and finds memory; then the same work is
    /// recorded as a graph, and later batches of that kind start the graph alone.
    pub(crate) fn replay_rows<E: From<KernelError>>(
        &self,
        recorded: &mut Recorded,
        whose: u64,
        placed: &Placed,
        mut work: impl FnMut() -> Result<DeviceRows, E>,
    ) -> Result<DeviceRows, E> {
        if !placed.replayable {
            return work();
        }
        let kind = (whose, placed.rows, placed.adapted.as_ref().map(|adapted| adapted.class.clone()));
        match recorded.steps.get(&kind) {
            Some(Some(step)) => match step.graph.launch().map_err(failed("starting a recorded step")) {
                Ok(()) => return Ok(step.out.clone()),
                Err(error) if error.is_lost() => return Err(error.into()),
                // Nothing of it was started. For want of memory, for example; without the record there is more.
                Err(_) => _ = recorded.steps.insert(kind, None),
            },
            Some(None) => {}
            None => {
                let computed = work()?;
                // What came of the recording says nothing about the step, which is computed.
                recorded.steps.insert(kind, self.record(&mut work).ok().flatten());
                return Ok(computed);
            }
        }
        work()
    }

    /// Records work that was done once already.
    fn record<E: From<KernelError>>(
        &self,
        work: &mut impl FnMut() -> Result<DeviceRows, E>,
    ) -> Result<Option<Step>, E> {
        let recording = Recording::begin(&self.device.stream)?;
        let out = work()?;
        let graph = recording.end()?;
        graph
            .map(|graph| {
                graph.upload().map_err(failed("preparing a recorded step"))?;
                Ok(Step { graph, out })
            })
            .transpose()
    }
}
