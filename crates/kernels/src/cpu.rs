//! The CPU's kernels as the backend of a forward pass.

use candle_core::quantized::GgmlDType;
use candle_core::{DType, Device, Shape, Tensor};
use half::vec::HalfBitsVecExt;
use half::{bf16, f16};

use crate::backend::{Backend, Indices, LayerHeads, Norm, random_weight};
use crate::lora::{HostAdapter, Routes, Site};
use crate::sample::{DrawFault, Drawn, Draws, draw_plain, exp};
use crate::transfer::short;
use crate::{
    Activation, AttentionParams, BLOCK, Experts, Heads, KernelError, Kernels, KvPages, Layout, PackedMatrix, Result,
    Rope,
};

/// A batch on the CPU, where its indices already are.
#[derive(Debug)]
pub struct HostBatch<'a> {
    tokens: &'a [u32],
    layout: &'a Layout,
    /// Absent if all rows are drawn from, in their order.
    draws: Option<Tensor>,
    routes: Option<Routes<'a, HostAdapter>>,
}

impl Backend for Kernels {
    type Rows = Tensor;
    type Matrix = PackedMatrix;
    type Vector = Tensor;
    type Experts = Experts<PackedMatrix>;
    type Rope = Rope;
    type Pages = KvPages;
    type Placed<'a> = HostBatch<'a>;
    type Adapter = HostAdapter;
    type Recorded = ();
    type Staged = Vec<u8>;
    type Mark = ();

    const SLICE: usize = 8 << 20;

    fn pages_order(&self) -> &'static str {
        KvPages::ORDER
    }

    fn threads(&self) -> usize {
        Self::threads(self)
    }

    fn pages_dtype(&self, asked: DType) -> DType {
        asked
    }

    fn pack(&self, form: GgmlDType, rows: usize, cols: usize, bytes: &[u8]) -> Result<PackedMatrix> {
        PackedMatrix::pack(form, rows, cols, bytes)
    }

    fn random(&self, rows: usize, cols: usize, seed: u32) -> Result<PackedMatrix> {
        let count = u32::try_from(rows * cols)
            .map_err(|_| KernelError::Parameter(format!("{rows} x {cols} random weights are too many")))?;
        let weight = |index| f16::from_f32(random_weight(seed, index, cols)).to_le_bytes();
        let bytes: Vec<u8> = (0..count).flat_map(weight).collect();
        PackedMatrix::pack(GgmlDType::F16, rows, cols, &bytes)
    }

    fn copy_speed(&self, _bytes: usize) -> Result<Option<f64>> {
        Ok(None)
    }

    fn describe(&self) -> String {
        format!("CPU ({:?}, {} threads)", self.isa(), Self::threads(self))
    }

    fn wait(&self) -> Result<()> {
        Ok(())
    }

    fn stack(&self, parts: Vec<PackedMatrix>) -> Result<PackedMatrix> {
        PackedMatrix::stack(parts)
    }

    fn vector(&self, values: &[f32]) -> Result<Tensor> {
        Ok(Tensor::new(values, &Device::Cpu)?)
    }

    fn bundle(&self, experts: Experts<PackedMatrix>) -> Result<Experts<PackedMatrix>> {
        Ok(experts)
    }

    fn adapter(&self, sites: &[Site]) -> Result<HostAdapter> {
        HostAdapter::new(sites)
    }

    fn adapter_bytes(adapter: &HostAdapter) -> usize {
        adapter.bytes()
    }

    fn rope(&self, rope: Rope) -> Result<Rope> {
        Ok(rope)
    }

    /// The memory is promised at once, but taken as blocks are first written.
    fn pages(&self, blocks: usize, heads: Heads, dtype: DType) -> Result<KvPages> {
        let shape = Shape::from((blocks, BLOCK, heads.kv, heads.dim));
        Ok(KvPages { key: zeros(&shape, dtype)?, value: zeros(&shape, dtype)? })
    }

    fn copy_block(&self, pages: &KvPages, from: u32, to: u32) -> Result<()> {
        Self::copy_block(self, pages, from, to)
    }

    fn follow_steps(&self) -> Result<()> {
        Ok(())
    }

    /// It is over when this returns.
    fn begin_export(&self, pages: &KvPages, blocks: &[u32], to: &mut Vec<u8>, at: usize) -> Result<()> {
        let size = pages.block_bytes()?;
        let to = to.get_mut(at..at.saturating_add(size * blocks.len()));
        let to = to.ok_or_else(|| short(size * blocks.len()))?;
        blocks
            .iter()
            .zip(to.chunks_exact_mut(size))
            .try_for_each(|(block, to)| self.export_block(pages, *block, BLOCK, to))
    }

    /// As above.
    fn begin_import(&self, pages: &KvPages, blocks: &[u32], from: &Vec<u8>, at: usize) -> Result<()> {
        let size = pages.block_bytes()?;
        let from = from.get(at..at.saturating_add(size * blocks.len()));
        let from = from.ok_or_else(|| short(size * blocks.len()))?;
        blocks.iter().zip(from.chunks_exact(size)).try_for_each(|(block, from)| self.import_block(pages, *block, from))
    }

    fn blank(&self, pages: &KvPages, tokens: usize, block: &mut [u8]) {
        pages.blank(tokens, block);
    }

    fn mark(&self) -> Result<()> {
        Ok(())
    }

    fn is_over(&self, (): &(), _wait: bool) -> Result<bool> {
        Ok(true)
    }

    fn stager(&self) -> Box<dyn Fn(usize) -> Result<Vec<u8>> + Send> {
        Box::new(|bytes| Ok(vec![0; bytes]))
    }

    fn place<'a>(&self, indices: Indices<'a, HostAdapter>, _heads: Heads) -> Result<HostBatch<'a>> {
        let Indices { tokens, layout, draws, adapters } = indices;
        let rows = 0..u32::try_from(tokens.len()).unwrap_or(u32::MAX);
        if let Some(row) = draws.iter().find(|row| !rows.contains(row)) {
            return Err(KernelError::Range { what: "draw row", index: *row as usize, count: tokens.len() });
        }
        let routes = Routes::new(adapters, layout, draws)?;
        let all = draws.iter().copied().eq(rows);
        let draws = if all { None } else { Some(Tensor::new(draws, &Device::Cpu)?) };
        Ok(HostBatch { tokens, layout, draws, routes })
    }

    fn embed(&self, table: &PackedMatrix, scale: f32, placed: &HostBatch<'_>) -> Result<Tensor> {
        let rows = self.gather_rows(table, placed.tokens)?;
        // Exact equality: one means that nothing is to be done.
        #[expect(clippy::float_cmp, reason = "it is a marker, not a result")]
        if scale == 1.0 { Ok(rows) } else { Ok((rows * f64::from(scale))?) }
    }

    fn norm(&self, x: &Tensor, norm: &Norm<Tensor>) -> Result<Tensor> {
        match norm {
            Norm::Rms { weight, eps } => self.rms_norm(x, weight, *eps),
            Norm::Layer { weight, bias, eps } => self.layer_norm(x, weight, bias, *eps),
        }
    }

    fn add_norm(&self, residual: Tensor, x: &Tensor, norm: &Norm<Tensor>) -> Result<(Tensor, Tensor)> {
        match norm {
            Norm::Rms { weight, eps } => self.add_rms_norm(&residual, x, weight, *eps),
            Norm::Layer { weight, bias, eps } => {
                let sum = self.add(residual, x)?;
                let normed = self.layer_norm(&sum, weight, bias, *eps)?;
                Ok((sum, normed))
            }
        }
    }

    fn add(&self, residual: Tensor, x: &Tensor) -> Result<Tensor> {
        Ok((residual + x)?)
    }

    fn norm_update(&self, x: &Tensor, norm: &Norm<Tensor>) -> Result<Tensor> {
        self.norm(x, norm)
    }

    fn linear(&self, x: &Tensor, weight: &PackedMatrix, bias: Option<&Tensor>) -> Result<Tensor> {
        let product = self.matmul(x, weight)?;
        match bias {
            Some(bias) => Ok(product.broadcast_add(bias)?),
            None => Ok(product),
        }
    }

    fn add_low_rank(&self, y: Tensor, x: &Tensor, site: usize, drawn: bool, placed: &HostBatch<'_>) -> Result<Tensor> {
        match &placed.routes {
            Some(routes) => self.add_routed(&y, x, site, &routes.adapters, routes.of(drawn)),
            None => Ok(y),
        }
    }

    fn logits(&self, x: &Tensor, head: &PackedMatrix, bias: Option<&Tensor>) -> Result<Tensor> {
        self.linear(x, head, bias)
    }

    fn cap(&self, logits: Tensor, cap: f32) -> Result<Tensor> {
        self.capped(&logits, cap)
    }

    fn turn_and_write(
        &self,
        qkv: &Tensor,
        layer: LayerHeads<'_, Tensor>,
        rope: &Rope,
        pages: &KvPages,
        placed: &HostBatch<'_>,
    ) -> Result<Tensor> {
        let normed = layer.norms.map(|norms| self.norm_heads(qkv, &layer, norms)).transpose()?;
        self.rope_write(normed.as_ref().unwrap_or(qkv), layer.heads, rope, pages, placed.layout)
    }

    fn attention(
        &self,
        query: &Tensor,
        heads: Heads,
        pages: &KvPages,
        placed: &HostBatch<'_>,
        params: &AttentionParams,
    ) -> Result<Tensor> {
        self.attend(query, heads, pages, placed.layout, params)
    }

    fn gate(&self, gate_up: &Tensor, activation: Activation) -> Result<Tensor> {
        self.gated(gate_up, activation)
    }

    fn activate(&self, x: Tensor, activation: Activation) -> Result<Tensor> {
        self.activated(&x, activation)
    }

    fn experts(
        &self,
        x: &Tensor,
        scores: &Tensor,
        experts: &Experts<PackedMatrix>,
        activation: Activation,
    ) -> Result<Tensor> {
        self.mixed(x, scores, experts, activation)
    }

    fn drawn(&self, rows: Tensor, placed: &HostBatch<'_>) -> Result<Tensor> {
        match &placed.draws {
            Some(index) => Ok(rows.index_select(index, 0)?),
            None => Ok(rows),
        }
    }

    fn replay<E: From<KernelError>>(
        &self,
        (): &mut (),
        _whose: u64,
        _placed: &HostBatch<'_>,
        mut work: impl FnMut() -> Result<Tensor, E>,
    ) -> Result<Tensor, E> {
        work()
    }

    fn read(&self, rows: &Tensor) -> Result<Vec<f32>> {
        Ok(rows.flatten_all()?.to_vec1()?)
    }

    fn read_row(&self, rows: &Tensor, row: usize) -> Result<Vec<f32>> {
        Ok(rows.get(row)?.to_vec1()?)
    }

    /// The logits are on the host already.
    fn sizes(&self, _most: usize) -> Vec<usize> {
        Vec::new()
    }

    fn draws(&self) -> bool {
        false
    }

    fn draw(&self, logits: &Tensor, draws: &Draws) -> Result<Vec<Result<Drawn, DrawFault>>> {
        let (rows, vocabulary) = (draws.rows(), draws.vocabulary());
        if logits.dims().len() != 2 || logits.dims()[0] < rows || logits.dims()[1] != vocabulary {
            let (found, expected) = (logits.dims().to_vec(), format!("[{rows} or more, {vocabulary}]"));
            return Err(KernelError::Shape { what: "logits", found, expected });
        }
        let logits = self.read(logits)?;
        let rows = logits.chunks_exact(vocabulary).take(rows).enumerate();
        Ok(rows.map(|(row, logits)| draw_plain(logits, draws, row, exp)).collect())
    }
}

impl Kernels {
    /// Norms every head of queries and keys by itself; `qkv` [tokens, (query + 2 * kv) * dim].
    fn norm_heads(
        &self,
        qkv: &Tensor,
        layer: &LayerHeads<'_, Tensor>,
        [query_norm, key_norm]: &[Tensor; 2],
    ) -> Result<Tensor> {
        let heads = layer.heads;
        let tokens = qkv.dim(0)?;
        let part = |start: usize, count: usize| qkv.narrow(1, start * heads.dim, count * heads.dim);
        let normed = |part: Tensor, norm: &Tensor| {
            let rows = part.contiguous()?.reshape(((), heads.dim))?;
            Ok::<_, KernelError>(self.rms_norm(&rows, norm, layer.eps)?.reshape((tokens, ()))?)
        };
        let query = normed(part(0, heads.query)?, query_norm)?;
        let key = normed(part(heads.query, heads.kv)?, key_norm)?;
        Ok(Tensor::cat(&[query, key, part(heads.query + heads.kv, heads.kv)?], 1)?)
    }
}

/// Zeros that the operating system gives out page by page as they are touched.
///
/// The library's own zeros write 16-bit values one by one, so a cache of gigabytes would be resident, and the start
/// would wait for it, before anything is in it.
fn zeros(shape: &Shape, dtype: DType) -> candle_core::Result<Tensor> {
    let bits = || vec![0u16; shape.elem_count()];
    match dtype {
        DType::F16 => Tensor::from_vec(bits().reinterpret_into::<f16>(), shape, &Device::Cpu),
        DType::BF16 => Tensor::from_vec(bits().reinterpret_into::<bf16>(), shape, &Device::Cpu),
        _ => Tensor::zeros(shape, dtype, &Device::Cpu),
    }
}
