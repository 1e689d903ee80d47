//! Tokens drawn on the device.

use std::sync::{Mutex, PoisonError};

use candle_core::DType;
use cudarc::driver::result;

use crate::cuda::device::{Argument, Device, Shape};
use crate::cuda::fault::failed;
use crate::cuda::memory::{Buffer, Pinned};
use crate::cuda::rows::word;
use crate::cuda::{DeviceRows, Gpu};
use crate::sample::{DrawFault, Drawn, Draws, read_drawn};
use crate::{KernelError, Result};

/// Tokens that a block of the scan reads, and bytes that it leaves; the same as in `sample.cuh`.
const SEGMENT: usize = 4096;
const SEGMENT_BYTES: usize = 24;

/// What goes up and down for the draws of a step; made when it is first needed, and larger when it must be.
#[derive(Debug, Default)]
pub(crate) struct Drawing(Mutex<Option<Room>>);

#[derive(Debug)]
struct Room {
    /// Draws on the host, and on the device, which writes into them.
    draws: Pinned,
    placed: Buffer,
    tokens: Pinned,
}

impl Room {
    fn new(device: &Device, draws: usize, tokens: usize) -> Result<Self> {
        let (context, draws) = (&device.context, draws.next_power_of_two());
        let tokens = Pinned::new(context, tokens.next_power_of_two())?;
        Ok(Self { draws: Pinned::new(context, draws)?, placed: Buffer::new(context, draws)?, tokens })
    }

    fn holds(&self, draws: usize, tokens: usize) -> bool {
        self.draws.bytes().len() >= draws && self.tokens.bytes().len() >= tokens
    }
}

impl Gpu {
    /// Draws a token from each of the first rows of `logits`, f32 [rows or more, vocabulary]: one upload, one download, and the
    /// host waits once, for the tokens. Rows that are drawn here are written over by their edits and masks.
    ///
    /// # Errors
    /// If there are fewer rows than draws, the vocabularies differ, or the device fails.
    pub(crate) fn draw_rows(&self, logits: &DeviceRows, draws: &Draws) -> Result<Vec<Result<Drawn, DrawFault>>> {
        let (rows, vocabulary) = (draws.rows(), draws.vocabulary());
        if logits.dtype != DType::F32 || logits.width != vocabulary || logits.rows < rows {
            let expected = format!("[{rows} or more, {vocabulary}] in f32");
            return Err(KernelError::Shape { what: "logits", found: vec![logits.rows, logits.width], expected });
        }
        if rows == 0 {
            return Ok(Vec::new());
        }
        let (bytes, token_bytes) = (draws.bytes(), rows * Draws::DRAWN_BYTES);
        let mut room = self.drawing.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = match &mut *room {
            Some(room) if room.holds(bytes, token_bytes) => room,
            small => small.insert(Room::new(&self.device, bytes, token_bytes)?),
        };
        let tokens = self.draw_in(room, logits, draws);
        if tokens.is_err() {
            // What was started before it failed may still read the room, which the next draws write.
            _ = self.device.synchronise();
        }
        tokens
    }

    fn draw_in(&self, room: &mut Room, logits: &DeviceRows, draws: &Draws) -> Result<Vec<Result<Drawn, DrawFault>>> {
        let (rows, vocabulary) = (draws.rows(), draws.vocabulary());
        let (bytes, token_bytes) = (draws.bytes(), rows * Draws::DRAWN_BYTES);
        draws.write(&mut room.draws.bytes_mut()[..bytes])?;
        let tokens = self.device.scratch(token_bytes)?;
        let segments = vocabulary.div_ceil(SEGMENT);
        let found = self.device.scratch(rows * segments * SEGMENT_BYTES)?;
        let stream = self.device.stream.cu_stream();
        self.device.context.bind_to_thread().map_err(failed("using the device"))?;
        // SAFETY: there is as much memory on the device, and the host's is not written before the stream was waited for.
        unsafe { result::memcpy_htod_async(room.placed.pointer(), &room.draws.bytes()[..bytes], stream) }
            .map_err(failed("copying to the device"))?;
        let scan: [&dyn Argument; 4] = [&logits.pointer(), &room.placed.pointer(), &found.pointer(), &word(vocabulary)];
        let shape = Shape { grid: (segments, rows), block: 256, shared: 0 };
        // SAFETY: `Draws` has checked every index against the vocabulary, and there is a segment for each block.
        unsafe { self.device.launch("sample_scan_f32", shape, &scan) }?;
        let draw: [&dyn Argument; 6] = [
            &logits.pointer(),
            &room.placed.pointer(),
            &found.pointer(),
            &word(segments),
            &tokens.pointer(),
            &word(vocabulary),
        ];
        // SAFETY: as above, and there is room for a result of each row.
        unsafe { self.device.launch("sample_draw_f32", Shape { grid: (rows, 1), block: 1024, shared: 0 }, &draw) }?;
        let back = &mut room.tokens.bytes_mut()[..token_bytes];
        // SAFETY: there is as much memory on both sides, and the stream is waited for before it is read.
        unsafe { result::memcpy_dtoh_async(back, tokens.pointer(), stream) }
            .map_err(failed("copying from the device"))?;
        self.device.synchronise()?;
        Ok(read_drawn(back).collect())
    }
}
