//! The indices of one batch as words: all that the device needs to know of it, in one upload.

use std::sync::{Mutex, PoisonError};

use cudarc::driver::{CudaEvent, result};

use crate::cuda::Gpu;
use crate::cuda::device::Device;
use crate::cuda::fault::failed;
use crate::cuda::lora::{Adapted, DeviceAdapter};
use crate::cuda::memory::{Buffer, Pinned};
use crate::cuda::units::{Aim, Units};
use crate::lora::{Routes, Routing};
use crate::{BLOCK, Heads, Indices, KernelError, Layout, Result};

/// Marks an index as absent; the same as in `common.cuh`.
const NONE: u32 = u32::MAX;
/// Words of the header, whose order is that of `Header` in `common.cuh`.
const HEADER: usize = 16;

/// Where the header says where the routing of all rows begins, and that of the rows that are drawn from.
pub(crate) const ROUTING_AT: u32 = 10;
pub(crate) const DRAWN_ROUTING_AT: u32 = 11;

/// Words that there is room for on the device: 2 MiB of them, more than any batch that fits the memory.
const ROOM: usize = 2 << 20;
/// Rows up to which a step that only decodes is recorded.
const RECORDED: usize = 256;

/// A batch whose indices are on the device.
#[derive(Clone, Debug)]
pub struct Placed {
    /// Where the indices lie.
    pub(crate) pointer: u64,
    /// Rows, padding included.
    pub(crate) rows: usize,
    /// How many rows are drawn from; all, in their order, if absent.
    pub(crate) draws: Option<usize>,
    /// Partial rows of attention that must have room.
    pub(crate) partials: usize,
    /// Rows that may have to be merged.
    pub(crate) merges: usize,
    /// Tasks of attention, or more.
    pub(crate) tasks: usize,
    /// Query and key heads that the units were made for.
    pub(crate) heads: (usize, usize),
    pub(crate) last_position: usize,
    /// The largest token.
    pub(crate) last_token: usize,
    /// The blocks that the batch names are below this.
    blocks: usize,
    /// Whether the same work, recorded once, does for every batch of so many rows.
    pub(crate) replayable: bool,
    /// What its adapters' kernels are started for.
    pub(crate) adapted: Option<Adapted>,
}

impl Placed {
    /// Refuses rows or a cache that the batch was not made for.
    pub(crate) fn check(&self, rows: usize, blocks: usize) -> Result<()> {
        if rows != self.rows {
            return Err(KernelError::Layout(format!("the batch has {} rows, but {rows} were given", self.rows)));
        }
        if self.blocks > blocks {
            return Err(KernelError::Range { what: "block", index: self.blocks - 1, count: blocks });
        }
        Ok(())
    }
}

/// The way of indices to the device. Two buffers on the host take turns, so that one can be written while the other is read.
#[derive(Debug)]
pub(crate) struct Upload {
    device: Buffer,
    host: Mutex<Host>,
}

#[derive(Debug)]
struct Host {
    buffers: [(Pinned, CudaEvent); 2],
    next: usize,
}

impl Upload {
    pub(crate) fn new(device: &Device) -> Result<Self> {
        let bytes = ROOM * size_of::<u32>();
        let buffer = || -> Result<_> {
            let event = device.context.new_event(None).map_err(failed("making an event"))?;
            Ok((Pinned::new(&device.context, bytes)?, event))
        };
        let host = Host { buffers: [buffer()?, buffer()?], next: 0 };
        Ok(Self { device: Buffer::new(&device.context, bytes)?, host: Mutex::new(host) })
    }

    /// Sends words; work that is started later sees them. Waits only if the words before the last ones are still on their way.
    fn send(&self, device: &Device, words: &[u32]) -> Result<()> {
        let mut host = self.host.lock().unwrap_or_else(PoisonError::into_inner);
        let next = host.next;
        host.next = 1 - next;
        let (pinned, sent) = &mut host.buffers[next];
        sent.synchronize().map_err(failed("waiting for an upload"))?;
        let to = pinned.bytes_mut();
        for (to, word) in to.as_chunks_mut().0.iter_mut().zip(words) {
            *to = word.to_le_bytes();
        }
        let from = &pinned.bytes()[..size_of_val(words)];
        device.context.bind_to_thread().map_err(failed("using the device"))?;
        // SAFETY: there is room on the device, and the host's memory is not written before the event has passed.
        unsafe { result::memcpy_htod_async(self.device.pointer(), from, device.stream.cu_stream()) }
            .map_err(failed("copying to the device"))?;
        sent.record(&device.stream).map_err(|error| {
            // Without the event nobody would know when the host's memory has been read.
            _ = device.synchronise();
            failed("recording an event")(error)
        })
    }
}

impl Gpu {
    /// Brings a batch's indices to the device.
    pub(crate) fn place_batch(&self, indices: &Indices<'_, DeviceAdapter>, heads: Heads) -> Result<Placed> {
        let Indices { tokens, layout, draws, adapters } = *indices;
        let rows = tokens.len();
        let named = layout.spans.iter().flat_map(|span| span.blocks.iter().map(|block| *block as usize));
        let slots = layout.slots.iter().map(|slot| *slot as usize / BLOCK);
        let blocks = named.chain(slots).max().map_or(0, |block| block + 1);
        layout.check(rows, blocks)?;
        if let Some(&index) = draws.iter().find(|row| **row as usize >= rows) {
            return Err(KernelError::Range { what: "draw row", index: index as usize, count: rows });
        }
        let all = draws.iter().map(|row| *row as usize).eq(0..rows);
        let single = all && layout.spans.iter().all(|span| span.rows == 1) && rows <= RECORDED;
        let replayable = single && self.replays;
        let padded = bucket(rows);
        let fixed = 64 + 4 * padded.min(RECORDED);
        let processors = self.device.info.processors;
        let aim = Aim {
            group: heads.group(),
            kv_heads: heads.kv,
            tasks: 3 * processors,
            partials: fixed,
            cascade: self.cascade,
        };
        let routes = Routes::new(adapters, layout, draws)?;
        let adapted = routes.as_ref().map(|routes| Adapted::new(routes, replayable.then_some(padded))).transpose()?;
        let tables: Vec<u64> = routes.iter().flat_map(|routes| &routes.adapters).map(|one| one.table()).collect();
        let routings = routes.as_ref().map(|routes| [&routes.all, &routes.drawn]);
        let packed = Words::pack(&Given { tokens, layout, draws, padded, routings, tables: &tables }, &aim)?;
        if packed.all.len() > ROOM {
            let text = format!("a batch of {} index words is too large for the device", packed.all.len());
            return Err(KernelError::Parameter(text));
        }
        self.upload.send(&self.device, &packed.all)?;
        let last_position = layout.positions.iter().max().map_or(0, |position| *position as usize);
        Ok(Placed {
            pointer: self.upload.device.pointer(),
            rows: padded,
            draws: if all { None } else { Some(bucket(draws.len())) },
            partials: if replayable { fixed } else { packed.partials },
            merges: if replayable { padded } else { packed.merges },
            tasks: if replayable { usize::MAX } else { packed.units * heads.kv },
            heads: (heads.query, heads.kv),
            last_position,
            last_token: tokens.iter().max().map_or(0, |token| *token as usize),
            blocks,
            replayable,
            adapted,
        })
    }
}

/// The size to which so many rows are padded: there are few sizes, because each has its own record and its own ways to
/// multiply.
fn bucket(rows: usize) -> usize {
    match rows {
        0 => 0,
        1..=4 => rows.next_power_of_two(),
        5..=64 => rows.next_multiple_of(8),
        65..=128 => rows.next_multiple_of(16),
        129..=256 => rows.next_multiple_of(32),
        257..=1024 => rows.next_multiple_of(64),
        _ => rows.next_multiple_of(256),
    }
}

/// All sizes that up to `most` rows are padded to.
pub(crate) fn bucket_sizes(most: usize) -> Vec<usize> {
    let next = |size: &usize| Some(bucket(size + 1));
    std::iter::successors(Some(1), next).take_while(|size| *size <= bucket(most)).collect()
}

/// What a batch is, on its way to the device.
pub(crate) struct Words {
    pub(crate) all: Vec<u32>,
    /// Partial rows of attention.
    pub(crate) partials: usize,
    /// Rows whose partial results are merged.
    pub(crate) merges: usize,
    /// Units of attention.
    pub(crate) units: usize,
}

/// The batch as its owner gives it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Given<'a> {
    /// [rows]
    pub(crate) tokens: &'a [u32],
    pub(crate) layout: &'a Layout,
    /// [draws] Rows whose logits are wanted.
    pub(crate) draws: &'a [u32],
    /// Rows to pretend there are, at least as many as tokens; what is added has no slot and attends to nothing.
    pub(crate) padded: usize,
    /// The rows' adapters, and those of the rows that are drawn from.
    pub(crate) routings: Option<[&'a Routing; 2]>,
    /// [adapters] Where the tables of their matrices lie.
    pub(crate) tables: &'a [u64],
}

impl Words {
    /// Packs a checked batch.
    ///
    /// # Errors
    /// A number does not fit a word.
    pub(crate) fn pack(given: &Given<'_>, aim: &Aim) -> Result<Self> {
        let Given { tokens, layout, draws, padded, routings, tables } = *given;
        let units = Units::new(layout, aim);
        let mut words = vec![0; HEADER];
        let padding = padded - tokens.len();
        let rows = |words: &mut Vec<u32>, values: &[u32], filler: u32| {
            let at = words.len();
            words.extend_from_slice(values);
            words.extend(std::iter::repeat_n(filler, padding));
            at
        };
        let tokens_at = rows(&mut words, tokens, 0);
        let positions_at = rows(&mut words, &layout.positions, 0);
        let slots_at = rows(&mut words, &layout.slots, NONE);
        let draws_at = words.len();
        words.extend_from_slice(draws);
        words.extend(std::iter::repeat_n(0, bucket(draws.len()) - draws.len()));
        let blocks_at = words.len();
        let mut first_block = Vec::with_capacity(layout.spans.len());
        for span in &layout.spans {
            first_block.push(words.len() - blocks_at);
            words.extend_from_slice(&span.blocks[..span.context.div_ceil(BLOCK)]);
        }
        // Entries are read as pairs.
        words.resize(words.len().next_multiple_of(4), 0);
        let entries_at = words.len();
        for entry in &units.entries {
            words.extend([word(entry.row)?, entry.partial.map_or(Ok(NONE), word)?]);
        }
        words.resize(words.len().next_multiple_of(4), 0);
        let units_at = words.len();
        for unit in &units.all {
            let (first, blocks) = (word(unit.entries.start)?, word(first_block[unit.span])?);
            let (start, end) = (word(unit.keys.start)?, word(unit.keys.end)?);
            words.extend([first, word(unit.entries.len())?, blocks, start, end, 0, 0, 0]);
        }
        let merges_at = words.len();
        for merge in &units.merges {
            words.extend([word(merge.row)?, word(merge.partials.start)?, word(merge.partials.len())?, 0]);
        }
        let mut routing_at = [0, 0];
        for (at, routing) in routing_at.iter_mut().zip(routings.into_iter().flatten()) {
            *at = push_routing(&mut words, routing, tables)?;
        }
        let header = [
            tokens_at,
            positions_at,
            slots_at,
            draws_at,
            units_at,
            units.all.len(),
            entries_at,
            blocks_at,
            merges_at,
            units.merges.len(),
            routing_at[0],
            routing_at[1],
        ];
        for (to, value) in words.iter_mut().zip(header) {
            *to = word(value)?;
        }
        Ok(Self { all: words, partials: units.partials, merges: units.merges.len(), units: units.all.len() })
    }
}

/// Adds a routing as `Routing` in `lora.cu`; says where it begins.
fn push_routing(words: &mut Vec<u32>, routing: &Routing, tables: &[u64]) -> Result<usize> {
    words.resize(words.len().next_multiple_of(4), 0);
    let at = words.len();
    let units = routing.units();
    words.extend([word(units.len())?, word(at + 4 * (units.len() + 1))?, 0, 0]);
    for unit in units {
        let table = tables.get(unit.adapter as usize).copied().unwrap_or(0);
        #[expect(clippy::cast_possible_truncation, reason = "an address in two words")]
        words.extend([unit.first, unit.rows, table as u32, (table >> 32) as u32]);
    }
    words.extend_from_slice(routing.rows());
    Ok(at)
}

fn word(number: usize) -> Result<u32> {
    u32::try_from(number)
        .map_err(|_| KernelError::Parameter(format!("{number} is too large for a batch on the device")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SpanLayout;

    #[test]
    fn batches_are_padded_to_few_sizes() {
        let sizes: std::collections::BTreeSet<_> = (1..=RECORDED).map(bucket).collect();
        assert_eq!(sizes.len(), 3 + 8 + 4 + 4);
        assert_eq!(bucket_sizes(RECORDED), sizes.into_iter().collect::<Vec<_>>());
        assert_eq!(bucket_sizes(5), [1, 2, 4, 8]);
        assert!((1..=RECORDED).all(|rows| bucket(rows) >= rows && bucket(rows) <= RECORDED));
        assert!((0..9000).all(|rows| bucket(rows) >= rows && bucket(bucket(rows)) == bucket(rows)));
    }

    #[test]
    fn what_is_packed_stands_where_the_header_says() {
        let spans = vec![
            SpanLayout { first_row: 0, rows: 2, context: 40, blocks: vec![7, 9, 11], shared_blocks: 0 },
            SpanLayout { first_row: 2, rows: 1, context: 3, blocks: vec![4], shared_blocks: 0 },
        ];
        let layout = Layout { positions: vec![38, 39, 2], slots: vec![9 * 32 + 6, 9 * 32 + 7, 130], spans };
        let routings = [Routing::new(&[Some(1), Some(1), Some(0)]), Routing::new(&[Some(1), Some(0)])];
        let given = Given {
            tokens: &[5, 6, 7],
            layout: &layout,
            draws: &[1, 2],
            padded: 4,
            routings: Some([&routings[0], &routings[1]]),
            tables: &[3, (9 << 32) + 4],
        };
        let aim = Aim { group: 1, kv_heads: 1, tasks: 1, partials: 8, cascade: true };
        let packed = Words::pack(&given, &aim).unwrap();
        let [tokens, positions, slots, draws, units, count, entries, blocks, _, merges] =
            *packed.all.first_chunk().unwrap();
        let at = |start: u32, len: usize| &packed.all[start as usize..][..len];
        assert_eq!(at(tokens, 4), [5, 6, 7, 0]);
        assert_eq!(at(positions, 4), [38, 39, 2, 0]);
        assert_eq!(at(slots, 4), [294, 295, 130, NONE]);
        assert_eq!(at(draws, 2), [1, 2]);
        assert_eq!(at(blocks, 3), [7, 9, 4], "blocks beyond the context stay behind");
        assert_eq!((count, merges, packed.merges), (2, 0, 0));
        assert_eq!(at(entries, 6), [0, NONE, 1, NONE, 2, NONE]);
        assert_eq!(at(units, 16), [0, 2, 0, 0, 40, 0, 0, 0, 2, 1, 2, 0, 3, 0, 0, 0]);
        assert!(entries % 2 == 0 && units % 4 == 0);
        let [all, wanted] = [packed.all[10], packed.all[11]];
        assert_eq!(at(all, 12), [2, all + 12, 0, 0, 0, 1, 3, 0, 1, 2, 4, 9]);
        assert_eq!(at(all + 12, 3), [2, 0, 1]);
        assert_eq!(at(wanted, 14), [2, wanted + 12, 0, 0, 0, 1, 3, 0, 1, 1, 4, 9, 1, 0]);
        assert!(all % 4 == 0 && wanted % 4 == 0);
        let plain = Words::pack(&Given { routings: None, tables: &[], ..given }, &aim).unwrap();
        assert_eq!(plain.all[10..12], [0, 0]);
        assert!(plain.all.len() <= all as usize, "without adapters nothing is sent of them");
    }
}
