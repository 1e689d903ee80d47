//! Attention over the paged cache, and the write into it.

use std::sync::Arc;

use candle_core::DType;

use crate::cuda::device::{Argument, Shape};
use crate::cuda::memory::Buffer;
use crate::cuda::place::Placed;
use crate::cuda::rows::{DeviceVector, vector_of, word};
use crate::cuda::{DeviceRows, Gpu};
use crate::{AttentionParams, BLOCK, Heads, KernelError, Result, Rope, RopeStyle};

/// Threads of one block; the same as in `attend.cu`.
const THREADS: usize = 128;
/// Rows of queries, and keys of a tile, that a block keeps in shared memory.
const WIDE: usize = 64;
const TILE: usize = 64;
/// Heads that there are kernels for.
pub(crate) const DIMS: [usize; 5] = [64, 80, 96, 128, 256];

/// Keys and values of one layer, each [blocks, kv heads, [`BLOCK`], head dim].
#[derive(Debug)]
pub struct DevicePages {
    pub(crate) key: Buffer,
    pub(crate) value: Buffer,
    pub(crate) heads: Heads,
    pub(crate) blocks: usize,
}

impl DevicePages {
    /// Refuses a layer of other heads.
    pub(crate) fn check(&self, heads: Heads) -> Result<()> {
        if heads == self.heads {
            return Ok(());
        }
        let found = vec![self.blocks, BLOCK, self.heads.kv, self.heads.dim];
        let expected = format!("[blocks, {BLOCK}, {}, {}]", heads.kv, heads.dim);
        Err(KernelError::Shape { what: "pages", found, expected })
    }

    /// Bytes of one block of keys, or of values.
    pub(crate) fn block_bytes(&self) -> usize {
        BLOCK * self.heads.kv * self.heads.dim * DType::F16.size_in_bytes()
    }
}

/// Cosines and sines on the device, [positions, pairs].
#[derive(Clone, Debug)]
pub struct DeviceRope {
    table: Arc<Buffer>,
    pairs: usize,
    positions: usize,
    style: RopeStyle,
}

/// `Attend` of `attend.cu`.
#[repr(C)]
struct Attend {
    query: u64,
    key: u64,
    value: u64,
    out: u64,
    values: u64,
    tops: u64,
    place: u64,
    heads: u32,
    kv_heads: u32,
    scale: f32,
    softcap: f32,
    window: u32,
    dim: u32,
}

// SAFETY: plain numbers and device addresses in C's layout.
unsafe impl Argument for Attend {}

/// `Rope` of `rope.cu`.
#[repr(C)]
struct Turn {
    qkv: u64,
    query: u64,
    key: u64,
    value: u64,
    query_norm: u64,
    key_norm: u64,
    table: u64,
    place: u64,
    heads: u32,
    kv_heads: u32,
    dim: u32,
    pairs: u32,
    halves: u32,
    eps: f32,
}

// SAFETY: as above.
unsafe impl Argument for Turn {}

impl Gpu {
    /// Refuses heads that there is no kernel for.
    pub(crate) fn check_heads(&self, heads: Heads) -> Result<()> {
        heads.check()?;
        if !DIMS.contains(&heads.dim) || heads.group() > 64 {
            return Err(KernelError::Parameter(format!(
                "{} query heads over {} key heads of {} elements cannot be attended to on the device; heads of {DIMS:?} can",
                heads.query, heads.kv, heads.dim
            )));
        }
        let (needed, most) = (shared_bytes(heads.dim), self.device.most_shared()?);
        if needed > most {
            return Err(KernelError::Parameter(format!(
                "heads of {} elements need {needed} bytes of shared memory, but a block has at most {most} on this device",
                heads.dim
            )));
        }
        Ok(())
    }

    /// Lets the kernels have the shared memory that they need.
    pub(crate) fn allow_attention(&self) -> Result<()> {
        let most = self.device.most_shared()?;
        for dim in DIMS.into_iter().filter(|dim| shared_bytes(*dim) <= most) {
            self.device.allow_shared(self.attention_name(dim), shared_bytes(dim))?;
        }
        Ok(())
    }

    fn attention_name(&self, dim: usize) -> &'static str {
        self.named(match dim {
            64 => ["attend_64_f16", "attend_64_bf16"],
            80 => ["attend_80_f16", "attend_80_bf16"],
            96 => ["attend_96_f16", "attend_96_bf16"],
            128 => ["attend_128_f16", "attend_128_bf16"],
            _ => ["attend_256_f16", "attend_256_bf16"],
        })
    }

    /// The tables of a rotation, on the device.
    pub(crate) fn upload_rope(&self, rope: &Rope) -> Result<DeviceRope> {
        let bytes: Vec<u8> = rope.turns().flat_map(|(cos, sin)| [cos, sin]).flat_map(f32::to_le_bytes).collect();
        let table = Arc::new(Buffer::from_bytes(&self.device.context, &bytes)?);
        Ok(DeviceRope { table, pairs: rope.pairs(), positions: rope.positions(), style: rope.style() })
    }

    /// Norms heads if the model does, turns queries and keys, writes keys and values to their slots, and gives the
    /// queries [rows, query heads * dim].
    pub(crate) fn rope_write_rows(
        &self,
        qkv: &DeviceRows,
        norms: Option<(&[DeviceVector; 2], f32)>,
        rope: &DeviceRope,
        pages: &DevicePages,
        placed: &Placed,
    ) -> Result<DeviceRows> {
        let heads = pages.heads;
        qkv.expect(self.dtype, heads.qkv_width(), "qkv")?;
        placed.check(qkv.rows, pages.blocks)?;
        if placed.last_position >= rope.positions {
            let (index, count) = (placed.last_position, rope.positions);
            return Err(KernelError::Range { what: "position", index, count });
        }
        if 2 * rope.pairs > heads.dim {
            let text = format!("{} elements are to be rotated, but a head has {}", 2 * rope.pairs, heads.dim);
            return Err(KernelError::Parameter(text));
        }
        if let Some(([query, key], _)) = norms {
            vector_of(query, heads.dim, "query norm")?;
            vector_of(key, heads.dim, "key norm")?;
        }
        let query = self.rows(qkv.rows, heads.query * heads.dim, self.dtype)?;
        let turn = Turn {
            qkv: qkv.pointer(),
            query: query.pointer(),
            key: pages.key.pointer(),
            value: pages.value.pointer(),
            query_norm: norms.map_or(0, |([norm, _], _)| norm.pointer()),
            key_norm: norms.map_or(0, |([_, norm], _)| norm.pointer()),
            table: rope.table.pointer(),
            place: placed.pointer,
            heads: word(heads.query),
            kv_heads: word(heads.kv),
            dim: word(heads.dim),
            pairs: word(rope.pairs),
            halves: u32::from(rope.style == RopeStyle::Halves),
            eps: norms.map_or(0.0, |(_, eps)| eps),
        };
        let shape = Shape { grid: (qkv.rows, (heads.query + 2 * heads.kv).div_ceil(8)), block: 8 * 32, shared: 0 };
        // SAFETY: the batch was checked against blocks and positions, and the widths against the heads.
        unsafe { self.device.launch(self.named(["rope_write_f16", "rope_write_bf16"]), shape, &[&turn]) }?;
        Ok(query)
    }

    /// Attention of each row to its sequence, [rows, query heads * dim].
    pub(crate) fn attend_rows(
        &self,
        query: &DeviceRows,
        pages: &DevicePages,
        placed: &Placed,
        params: &AttentionParams,
    ) -> Result<DeviceRows> {
        let heads = pages.heads;
        params.check()?;
        if params.scale <= 0.0 {
            return Err(KernelError::Parameter("attention on the device needs a scale above 0".into()));
        }
        query.expect(self.dtype, heads.query * heads.dim, "query")?;
        placed.check(query.rows, pages.blocks)?;
        if placed.heads != (heads.query, heads.kv) {
            return Err(KernelError::Parameter("the batch was placed for other heads than the layer has".into()));
        }
        let out = self.rows(query.rows, query.width, self.dtype)?;
        let values = self.rows(placed.partials, heads.query * heads.dim, DType::F32)?;
        let tops = self.rows(placed.partials, heads.query * 2, DType::F32)?;
        let attend = Attend {
            query: query.pointer(),
            key: pages.key.pointer(),
            value: pages.value.pointer(),
            out: out.pointer(),
            values: values.pointer(),
            tops: tops.pointer(),
            place: placed.pointer,
            heads: word(heads.query),
            kv_heads: word(heads.kv),
            scale: params.scale,
            softcap: params.softcap.unwrap_or(0.0),
            window: word(params.window.unwrap_or(0)),
            dim: word(heads.dim),
        };
        let blocks = placed.tasks.min(2 * self.device.info.processors);
        let shape = Shape { grid: (blocks, 1), block: THREADS, shared: shared_bytes(heads.dim) };
        // SAFETY: the units name rows, blocks and partial rows that were checked when the batch was placed.
        unsafe { self.device.launch(self.attention_name(heads.dim), shape, &[&attend]) }?;
        // Some heads to a block: a block for each would be too little work.
        let (threads, together) = (heads.dim / 2, 4);
        let shape =
            Shape { grid: (placed.merges, heads.query.div_ceil(together)), block: threads * together, shared: 0 };
        // SAFETY: as above.
        unsafe { self.device.launch(self.named(["merge_f16", "merge_bf16"]), shape, &[&attend]) }?;
        Ok(out)
    }
}

/// What a block keeps in shared memory: queries, and one tile or two of keys and values.
fn shared_bytes(dim: usize) -> usize {
    let stages = if dim > 128 { 1 } else { 2 };
    (WIDE + stages * 2 * TILE) * dim.next_multiple_of(64) * DType::F16.size_in_bytes()
}
