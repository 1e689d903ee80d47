//! The forward pass written as plainly as possible: whole sequences, no cache, no batches, no kernels.

use baton_decoder::{Architecture, RopeStyle};

use super::writer::Writer;

/// The logits after each token of one sequence, `[tokens][vocabulary]`.
pub(crate) fn logits(file: &Writer, architecture: &Architecture, tokens: &[u32]) -> Vec<Vec<f32>> {
    let model = Model { file, architecture };
    let embedding = model.tensor("token_embd.weight").unwrap();
    let width = architecture.hidden;
    let mut rows: Vec<Vec<f32>> =
        tokens.iter().map(|token| embedding[*token as usize * width..][..width].to_vec()).collect();
    for layer in 0..architecture.layers {
        model.layer(layer, &mut rows);
    }
    let head = model.tensor("output.weight").unwrap_or(embedding);
    rows.iter().map(|row| multiply(&head, &model.norm("output_norm.weight", row))).collect()
}

struct Model<'a> {
    file: &'a Writer,
    architecture: &'a Architecture,
}

impl Model<'_> {
    fn tensor(&self, name: &str) -> Option<Vec<f32>> {
        let tensor = self.file.tensors.iter().find(|tensor| tensor.name == name)?;
        assert_eq!(tensor.form, 0, "the reference reads F32 only");
        Some(tensor.bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }

    fn norm(&self, name: &str, row: &[f32]) -> Vec<f32> {
        let weight = self.tensor(name).unwrap();
        let mean = row.iter().map(|x| x * x).sum::<f32>() / row.len() as f32;
        let scale = 1.0 / (mean + self.architecture.norm_eps).sqrt();
        row.iter().zip(&weight).map(|(x, weight)| x * scale * weight).collect()
    }

    fn project(&self, name: &str, row: &[f32]) -> Vec<f32> {
        let mut out = multiply(&self.tensor(&format!("{name}.weight")).unwrap(), row);
        if let Some(bias) = self.tensor(&format!("{name}.bias")) {
            out.iter_mut().zip(&bias).for_each(|(out, bias)| *out += bias);
        }
        out
    }

    fn layer(&self, layer: usize, rows: &mut [Vec<f32>]) {
        let name = |part: &str| format!("blk.{layer}.{part}");
        let normed: Vec<_> = rows.iter().map(|row| self.norm(&name("attn_norm.weight"), row)).collect();
        let part = |part: &str| -> Vec<Vec<f32>> {
            normed.iter().enumerate().map(|(at, row)| self.heads(&name(part), row, at)).collect()
        };
        let (queries, keys) = (part("attn_q"), part("attn_k"));
        let values: Vec<_> = normed.iter().map(|row| self.project(&name("attn_v"), row)).collect();
        for (at, row) in rows.iter_mut().enumerate() {
            let mixed = self.mix(&queries[at], &keys[..=at], &values[..=at]);
            add(row, &self.project(&name("attn_output"), &mixed));
            let normed = self.norm(&name("ffn_norm.weight"), row);
            let gate = self.project(&name("ffn_gate"), &normed);
            let up = self.project(&name("ffn_up"), &normed);
            let inner: Vec<_> = gate.iter().zip(&up).map(|(gate, up)| gate / (1.0 + (-gate).exp()) * up).collect();
            add(row, &self.project(&name("ffn_down"), &inner));
        }
    }

    /// Queries or keys of one token: projected, perhaps normed, rotated.
    fn heads(&self, name: &str, row: &[f32], position: usize) -> Vec<f32> {
        let mut heads = self.project(name, row);
        for head in heads.chunks_mut(self.architecture.heads.dim) {
            let norm = format!("{name}_norm.weight");
            if self.tensor(&norm).is_some() {
                head.copy_from_slice(&self.norm(&norm, head));
            }
            self.rotate(head, position as f64);
        }
        heads
    }

    fn rotate(&self, head: &mut [f32], position: f64) {
        let rope = self.architecture.rope;
        let divisors = self.tensor("rope_freqs.weight");
        for pair in 0..rope.dim / 2 {
            let (a, b) = match rope.style {
                RopeStyle::Interleaved => (2 * pair, 2 * pair + 1),
                RopeStyle::Halves => (pair, pair + rope.dim / 2),
            };
            let divisor = divisors.as_ref().map_or(1.0, |divisors| f64::from(divisors[pair]));
            let angle = position / rope.scale / divisor / rope.base.powf(2.0 * pair as f64 / rope.dim as f64);
            let (sin, cos) = (angle.sin() as f32, angle.cos() as f32);
            (head[a], head[b]) = (head[a] * cos - head[b] * sin, head[a] * sin + head[b] * cos);
        }
    }

    fn mix(&self, query: &[f32], keys: &[Vec<f32>], values: &[Vec<f32>]) -> Vec<f32> {
        let heads = self.architecture.heads;
        let mut out = vec![];
        for (index, query) in query.chunks(heads.dim).enumerate() {
            let start = index / (heads.query / heads.kv) * heads.dim;
            let scale = self.architecture.attention_scale;
            let scores: Vec<f32> = keys.iter().map(|key| dot(query, &key[start..][..heads.dim]) * scale).collect();
            let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let weights: Vec<f32> = scores.iter().map(|score| (score - largest).exp()).collect();
            let sum: f32 = weights.iter().sum();
            for at in start..start + heads.dim {
                out.push(weights.iter().zip(values).map(|(weight, value)| weight / sum * value[at]).sum());
            }
        }
        out
    }
}

fn multiply(matrix: &[f32], row: &[f32]) -> Vec<f32> {
    matrix.chunks(row.len()).map(|weights| dot(weights, row)).collect()
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(row: &mut [f32], other: &[f32]) {
    row.iter_mut().zip(other).for_each(|(x, y)| *x += y);
}
