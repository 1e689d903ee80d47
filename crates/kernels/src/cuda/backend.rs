//! A GPU as the backend of a forward pass.

use std::sync::Arc;

use candle_core::DType;
use candle_core::quantized::GgmlDType;
use cudarc::driver::CudaEvent;

use crate::backend::{Backend, Indices, LayerHeads, Norm};
use crate::cuda::attend::{DevicePages, DeviceRope};
use crate::cuda::experts::DeviceExperts;
use crate::cuda::fault::failed;
use crate::cuda::lora::DeviceAdapter;
use crate::cuda::memory::Buffer;
use crate::cuda::place::bucket_sizes;
use crate::cuda::record::Recorded;
use crate::cuda::rows::{DeviceRows, DeviceVector};
use crate::cuda::{DeviceInfo, DeviceMatrix, Gpu, Placed, Staged};
use crate::lora::Site;
use crate::sample::{DrawFault, Drawn, Draws};
use crate::{Activation, AttentionParams, Experts, Heads, KernelError, Result, Rope};

impl Backend for Gpu {
    type Rows = DeviceRows;
    type Matrix = DeviceMatrix;
    type Vector = DeviceVector;
    type Experts = DeviceExperts;
    type Rope = DeviceRope;
    type Pages = DevicePages;
    type Placed<'a> = Placed;
    type Adapter = DeviceAdapter;
    type Recorded = Recorded;
    type Staged = Staged;
    type Mark = CudaEvent;

    const SLICE: usize = 64 << 20;

    fn pages_order(&self) -> &'static str {
        // Products differ in their last bits from one generation of devices to the next.
        match self.device.info.capability.0 {
            8 => "keys and values [kv heads, block, head dim], CUDA 8",
            9 => "keys and values [kv heads, block, head dim], CUDA 9",
            10 => "keys and values [kv heads, block, head dim], CUDA 10",
            _ => "keys and values [kv heads, block, head dim], CUDA",
        }
    }

    fn threads(&self) -> usize {
        self.threads
    }

    fn pages_dtype(&self, _asked: DType) -> DType {
        self.dtype
    }

    fn pack(&self, form: GgmlDType, rows: usize, cols: usize, bytes: &[u8]) -> Result<DeviceMatrix> {
        self.pack_matrix(form, rows, cols, bytes)
    }

    fn random(&self, rows: usize, cols: usize, seed: u32) -> Result<DeviceMatrix> {
        self.random_matrix(rows, cols, seed)
    }

    fn copy_speed(&self, bytes: usize) -> Result<Option<f64>> {
        self.measure_copies(bytes).map(Some)
    }

    fn describe(&self) -> String {
        let DeviceInfo { name, capability: (major, minor), processors, .. } = self.info();
        format!("{name} (compute capability {major}.{minor}, {processors} multiprocessors)")
    }

    fn wait(&self) -> Result<()> {
        self.synchronise()
    }

    fn stack(&self, parts: Vec<DeviceMatrix>) -> Result<DeviceMatrix> {
        self.stack_matrices(parts)
    }

    fn vector(&self, values: &[f32]) -> Result<DeviceVector> {
        self.upload_vector(values)
    }

    fn bundle(&self, experts: Experts<DeviceMatrix>) -> Result<DeviceExperts> {
        self.bundle_experts(experts)
    }

    fn adapter(&self, sites: &[Site]) -> Result<DeviceAdapter> {
        self.upload_adapter(sites)
    }

    fn adapter_bytes(adapter: &DeviceAdapter) -> usize {
        adapter.bytes()
    }

    fn rope(&self, rope: Rope) -> Result<DeviceRope> {
        self.upload_rope(&rope)
    }

    fn pages(&self, blocks: usize, heads: Heads, dtype: DType) -> Result<DevicePages> {
        self.check_heads(heads)?;
        if dtype != self.dtype {
            return Err(KernelError::DType { what: "pages", found: dtype, expected: "the device's own type" });
        }
        let bytes = blocks * crate::BLOCK * heads.kv * heads.dim * dtype.size_in_bytes();
        let pages = || Buffer::zeros(&self.device.context, bytes);
        Ok(DevicePages { key: pages()?, value: pages()?, heads, blocks })
    }

    fn copy_block(&self, pages: &DevicePages, from: u32, to: u32) -> Result<()> {
        self.copy_pages(pages, from, to)
    }

    fn follow_steps(&self) -> Result<()> {
        self.device.copies.join(&self.device.stream).map_err(failed("ordering copies"))
    }

    fn begin_export(&self, pages: &DevicePages, blocks: &[u32], to: &mut Staged, at: usize) -> Result<()> {
        self.export_pages(pages, blocks, to, at)
    }

    fn begin_import(&self, pages: &DevicePages, blocks: &[u32], from: &Staged, at: usize) -> Result<()> {
        self.import_pages(pages, blocks, from, at)
    }

    fn blank(&self, pages: &DevicePages, tokens: usize, block: &mut [u8]) {
        pages.blank(tokens, block);
    }

    fn mark(&self) -> Result<CudaEvent> {
        self.device.copies.record_event(None).map_err(failed("recording an event"))
    }

    fn is_over(&self, mark: &CudaEvent, wait: bool) -> Result<bool> {
        if wait {
            mark.synchronize().map_err(failed("waiting for copies"))?;
        }
        mark.try_is_complete().map_err(failed("asking for copies"))
    }

    fn stager(&self) -> Box<dyn Fn(usize) -> Result<Staged> + Send> {
        let (context, copies) = (Arc::clone(&self.device.context), Arc::clone(&self.device.copies));
        Box::new(move |bytes| Staged::new(&context, &copies, bytes))
    }

    fn place(&self, indices: Indices<'_, DeviceAdapter>, heads: Heads) -> Result<Placed> {
        self.place_batch(&indices, heads)
    }

    fn embed(&self, table: &DeviceMatrix, scale: f32, placed: &Placed) -> Result<DeviceRows> {
        if placed.last_token >= table.outputs {
            let (index, count) = (placed.last_token, table.outputs);
            return Err(KernelError::Range { what: "token", index, count });
        }
        let rows = self.embed_rows(table, placed)?;
        // Exact equality: one means that nothing is to be done.
        #[expect(clippy::float_cmp, reason = "it is a marker, not a result")]
        if scale != 1.0 {
            self.scale_rows(&rows, scale, false)?;
        }
        Ok(rows)
    }

    fn norm(&self, x: &DeviceRows, norm: &Norm<DeviceVector>) -> Result<DeviceRows> {
        self.norm_rows(x, None, norm)
    }

    fn add_norm(
        &self,
        residual: DeviceRows,
        x: &DeviceRows,
        norm: &Norm<DeviceVector>,
    ) -> Result<(DeviceRows, DeviceRows)> {
        let normed = self.norm_rows(&residual, Some(x), norm)?;
        Ok((residual, normed))
    }

    fn add(&self, residual: DeviceRows, x: &DeviceRows) -> Result<DeviceRows> {
        self.add_rows(&residual, x)?;
        Ok(residual)
    }

    fn norm_update(&self, x: &DeviceRows, norm: &Norm<DeviceVector>) -> Result<DeviceRows> {
        self.norm_update_rows(x, norm)
    }

    fn linear(&self, x: &DeviceRows, weight: &DeviceMatrix, bias: Option<&DeviceVector>) -> Result<DeviceRows> {
        let product = self.product(x, weight, false)?;
        if let Some(bias) = bias {
            self.bias_rows(&product, bias)?;
        }
        Ok(product)
    }

    fn add_low_rank(
        &self,
        y: DeviceRows,
        x: &DeviceRows,
        site: usize,
        drawn: bool,
        placed: &Placed,
    ) -> Result<DeviceRows> {
        self.add_low_rank_rows(&y, x, site, drawn, placed)?;
        Ok(y)
    }

    fn logits(&self, x: &DeviceRows, head: &DeviceMatrix, bias: Option<&DeviceVector>) -> Result<DeviceRows> {
        let product = self.product(x, head, true)?;
        if let Some(bias) = bias {
            self.bias_rows(&product, bias)?;
        }
        Ok(product)
    }

    fn cap(&self, logits: DeviceRows, cap: f32) -> Result<DeviceRows> {
        if !(cap.is_finite() && cap > 0.0) {
            return Err(KernelError::Parameter(format!("a cap of {cap}")));
        }
        self.scale_rows(&logits, cap, true)?;
        Ok(logits)
    }

    fn turn_and_write(
        &self,
        qkv: &DeviceRows,
        layer: LayerHeads<'_, DeviceVector>,
        rope: &DeviceRope,
        pages: &DevicePages,
        placed: &Placed,
    ) -> Result<DeviceRows> {
        pages.check(layer.heads)?;
        self.rope_write_rows(qkv, layer.norms.map(|norms| (norms, layer.eps)), rope, pages, placed)
    }

    fn attention(
        &self,
        query: &DeviceRows,
        heads: Heads,
        pages: &DevicePages,
        placed: &Placed,
        params: &AttentionParams,
    ) -> Result<DeviceRows> {
        pages.check(heads)?;
        self.attend_rows(query, pages, placed, params)
    }

    fn gate(&self, gate_up: &DeviceRows, activation: Activation) -> Result<DeviceRows> {
        self.gate_rows(gate_up, activation)
    }

    fn activate(&self, x: DeviceRows, activation: Activation) -> Result<DeviceRows> {
        self.activate_rows(&x, activation)?;
        Ok(x)
    }

    fn experts(
        &self,
        x: &DeviceRows,
        scores: &DeviceRows,
        experts: &DeviceExperts,
        activation: Activation,
    ) -> Result<DeviceRows> {
        self.mixed_rows(x, scores, experts, activation)
    }

    fn drawn(&self, rows: DeviceRows, placed: &Placed) -> Result<DeviceRows> {
        self.drawn_rows(rows, placed)
    }

    fn replay<E: From<KernelError>>(
        &self,
        recorded: &mut Recorded,
        whose: u64,
        placed: &Placed,
        work: impl FnMut() -> Result<DeviceRows, E>,
    ) -> Result<DeviceRows, E> {
        self.replay_rows(recorded, whose, placed, work)
    }

    fn read(&self, rows: &DeviceRows) -> Result<Vec<f32>> {
        self.download(rows)
    }

    fn read_row(&self, rows: &DeviceRows, row: usize) -> Result<Vec<f32>> {
        self.download_row(rows, row)
    }

    fn sizes(&self, most: usize) -> Vec<usize> {
        bucket_sizes(most)
    }

    fn draws(&self) -> bool {
        true
    }

    fn draw(&self, logits: &DeviceRows, draws: &Draws) -> Result<Vec<Result<Drawn, DrawFault>>> {
        self.draw_rows(logits, draws)
    }
}
