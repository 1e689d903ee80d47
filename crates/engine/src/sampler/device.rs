//! Puts a step's draws to a device that draws tokens itself.
//!
//! A device draws as [`Sampler`](super::Sampler) does, but lists no alternatives: rows that are to report some come down
//! and are drawn on the host. Its weights are whole numbers and its exponential is its own, so that a number which falls
//! within rounding of the boundary between two tokens may give the other one.

use baton_contract::TokenLogprobs;
use baton_decoder::sample::{DrawFault, DrawSpec, Drawn, Draws, Edit};

use crate::{Draw, ExecutorError, Sample};

/// The draws of one step, packed for a device; keeps its memory from step to step.
#[derive(Debug)]
pub struct DeviceDraws {
    packed: Draws,
    edits: Vec<Edit>,
    rows: Vec<Place>,
}

/// Where a row's token is drawn.
#[derive(Debug)]
enum Place {
    Device,
    Host,
    /// Nowhere: nothing can be drawn for it.
    Failed(ExecutorError),
}

impl DeviceDraws {
    /// No draws yet, from rows of `vocabulary` logits.
    ///
    /// # Errors
    /// If the vocabulary is longer than a device can draw from.
    pub fn new(vocabulary: usize) -> Result<Self, ExecutorError> {
        let packed = Draws::new(vocabulary).map_err(|error| ExecutorError::Load(Box::new(error)))?;
        Ok(Self { packed, edits: Vec::new(), rows: Vec::new() })
    }

    /// Packs the draws of a step in place of those before, and waits for what their constraints allow.
    pub fn pack(&mut self, draws: &[Draw<'_>]) {
        self.packed.clear();
        self.rows.clear();
        for draw in draws {
            let place = self.push(draw).unwrap_or_else(Place::Failed);
            if !matches!(place, Place::Device) {
                // It takes the row's place, so that rows and draws stay in step.
                let added = self.packed.push(DrawSpec { elsewhere: true, ..DrawSpec::default() }, &[], None);
                debug_assert!(added.is_ok(), "an empty draw was refused");
            }
            self.rows.push(place);
        }
    }

    fn push(&mut self, draw: &Draw<'_>) -> Result<Place, ExecutorError> {
        if draw.request.sampling.top_logprobs.is_some_and(|count| count > 0) {
            return Ok(Place::Host);
        }
        let allowed = match draw.allowed {
            Some(allowed) if draw.forced().is_none() => Some(allowed.tokens()?.words()),
            _ => None,
        };
        edits(draw, &mut self.edits);
        self.packed.push(spec(draw), &self.edits, allowed).map_err(|error| ExecutorError::Step(Box::new(error)))?;
        Ok(Place::Device)
    }

    /// What the device is to be given.
    pub fn packed(&self) -> &Draws {
        &self.packed
    }

    /// The rows whose logits have to come down, ascending.
    pub fn host_rows(&self) -> impl Iterator<Item = usize> + '_ {
        self.rows.iter().enumerate().filter(|(_, place)| matches!(place, Place::Host)).map(|(row, _)| row)
    }

    /// The samples of the step, from what the device drew and from `host` for each of [`Self::host_rows`]. It empties the
    /// draws.
    pub fn samples(
        &mut self,
        drawn: Vec<Result<Drawn, DrawFault>>,
        mut host: impl FnMut(usize) -> Result<Sample, ExecutorError>,
    ) -> Vec<Result<Sample, ExecutorError>> {
        let drawn = drawn.into_iter().chain(std::iter::repeat(Err(DrawFault::Missing)));
        let rows = self.rows.drain(..).zip(drawn).enumerate();
        rows.map(|(row, (place, drawn))| match place {
            Place::Host => host(row),
            Place::Failed(error) => Err(error),
            Place::Device => drawn.map(sample).map_err(fault),
        })
        .collect()
    }
}

fn sample(Drawn { token, logprob }: Drawn) -> Sample {
    Sample { token, logprobs: logprob.map(|logprob| TokenLogprobs { logprob, top: Vec::new() }) }
}

fn fault(fault: DrawFault) -> ExecutorError {
    match fault {
        DrawFault::NotANumber => ExecutorError::NotANumber,
        DrawFault::NothingLeft => ExecutorError::NothingLeft,
        DrawFault::Elsewhere | DrawFault::Missing => ExecutorError::Step(Box::new(fault)),
    }
}

fn spec(draw: &Draw<'_>) -> DrawSpec {
    let sampling = &draw.request.sampling;
    DrawSpec {
        temperature: sampling.temperature,
        top_p: sampling.top_p,
        min_p: sampling.min_p,
        repetition_penalty: sampling.repetition_penalty,
        frequency_penalty: sampling.frequency_penalty,
        presence_penalty: sampling.presence_penalty,
        top_k: sampling.top_k,
        forced: draw.forced(),
        seed: sampling.seed,
        position: draw.position() as u64,
        logprob: sampling.top_logprobs.is_some(),
        elsewhere: false,
    }
}

/// Sets `edits` to what bias, penalties and mask change, one for each token, ascending.
fn edits(draw: &Draw<'_>, edits: &mut Vec<Edit>) {
    let sampling = &draw.request.sampling;
    edits.clear();
    edits.extend(sampling.logit_bias.iter().map(|(token, bias)| Edit { bias: *bias, ..Edit::of(*token) }));
    #[expect(clippy::float_cmp, reason = "1 is off, and exactly 1")]
    let repeated = sampling.repetition_penalty != 1.0;
    if repeated {
        edits.extend(draw.input().map(|token| Edit { seen: true, ..Edit::of(token) }));
    }
    if repeated || sampling.frequency_penalty != 0.0 || sampling.presence_penalty != 0.0 {
        edits.extend(draw.output.iter().map(|token| Edit { seen: true, occurrences: 1, ..Edit::of(*token) }));
    }
    edits.extend(draw.masked().map(|token| Edit { masked: true, ..Edit::of(token) }));
    edits.sort_unstable_by_key(|edit| edit.token);
    edits.dedup_by(|next, first| {
        let same = next.token == first.token;
        if same {
            first.join(next);
        }
        same
    });
}

#[cfg(test)]
mod tests {
    use baton_contract::{ConstraintError, Generate, Sampling, SequenceId, StopRules};
    use baton_decoder::sample::draw_plain;
    use baton_testkit::request;
    use proptest::prelude::*;

    use super::*;
    use crate::{Allowed, Sampler};

    fn draw(request: &Generate) -> Draw<'_> {
        Draw { sequence: SequenceId(1), request, output: &[], allowed: None }
    }

    #[test]
    fn each_row_gets_its_sample_from_where_it_was_drawn() {
        let alternatives = Sampling { top_logprobs: Some(2), ..Sampling::greedy() };
        let own = Sampling { top_logprobs: Some(0), ..Sampling::greedy() };
        let requests = [
            request(&[1]),
            Generate { sampling: alternatives, ..request(&[1]) },
            Generate { sampling: own, ..request(&[1]) },
            Generate { forced: vec![99], ..request(&[1]) },
            request(&[1]),
            request(&[1]),
            request(&[1]),
        ];
        let mut draws: Vec<Draw<'_>> = requests.iter().map(draw).collect();
        let lost = Allowed::known(Err(ConstraintError("lost".to_owned())));
        draws[4].allowed = Some(&lost);
        let mut device = DeviceDraws::new(10).unwrap();
        device.pack(&draws);
        assert_eq!(device.packed().rows(), 7);
        assert_eq!(device.host_rows().collect::<Vec<_>>(), [1]);
        let elsewhere = Err(DrawFault::Elsewhere);
        let found = vec![
            Ok(Drawn { token: 5, logprob: None }),
            elsewhere,
            Ok(Drawn { token: 6, logprob: Some(-0.5) }),
            elsewhere,
            elsewhere,
            Err(DrawFault::NothingLeft),
        ];
        let host = |row: usize| Ok(Sample { token: u32::try_from(row).unwrap(), logprobs: None });
        let samples = device.samples(found, host);
        let texts: Vec<String> = samples
            .into_iter()
            .map(|sample| match sample {
                Ok(Sample { token, logprobs }) => format!("{token} {:?}", logprobs.map(|one| one.logprob)),
                Err(error) => error.to_string(),
            })
            .collect();
        let expected = [
            "5 None",
            "1 None",
            "6 Some(-0.5)",
            "the step could not be computed",
            "the answer could not be held to its form: lost",
            "no token is left to draw; ease logit_bias or lower min_tokens",
            "the step could not be computed",
        ];
        assert_eq!(texts, expected);
    }

    #[test]
    fn edits_join_and_ascend_and_the_input_counts_only_where_repetition_does() {
        let sampling = Sampling { presence_penalty: 1.0, logit_bias: vec![(2, 0.5), (7, -1.0)], ..Sampling::greedy() };
        let stop = StopRules { min_tokens: 9, end_tokens: vec![7], ..request(&[0]).stop };
        let mut request = Generate { sampling, stop, ..request(&[3, 3, 4]) };
        let output = [4, 2, 4];
        let mut found = Vec::new();
        edits(&Draw { output: &output, ..draw(&request) }, &mut found);
        let two = Edit { bias: 0.5, occurrences: 1, seen: true, ..Edit::of(2) };
        let four = Edit { occurrences: 2, seen: true, ..Edit::of(4) };
        let seven = Edit { bias: -1.0, masked: true, ..Edit::of(7) };
        assert_eq!(found, [two, four, seven]);
        request.sampling.repetition_penalty = 1.1;
        edits(&Draw { output: &output, ..draw(&request) }, &mut found);
        assert_eq!(found, [two, Edit { seen: true, ..Edit::of(3) }, four, seven]);
        request.sampling = Sampling::greedy();
        edits(&Draw { output: &output, ..draw(&request) }, &mut found);
        assert_eq!(found, [Edit { masked: true, ..Edit::of(7) }]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        /// Long rows, on which the nucleus ends inside a bucket of many.
        #[test]
        fn long_rows_are_drawn_as_on_the_host(
            (row, spread) in (1.0_f32..12.0).prop_flat_map(|spread| {
                (proptest::collection::vec(-1.0_f32..1.0, 4000..9000), Just(spread))
            }),
            temperature in 0.1_f32..2.0,
            top_p in prop_oneof![Just(1.0_f32), 0.01_f32..1.0],
            top_k in prop_oneof![Just(0_u32), 1_u32..4000],
            seed: u64,
        ) {
            let row: Vec<f32> = row.iter().map(|x| x * spread).collect();
            let sampling = Sampling { temperature, top_p, top_k, seed, ..Sampling::default() };
            let request = Generate { sampling, ..request(&[0]) };
            let mut device = DeviceDraws::new(row.len()).unwrap();
            device.pack(&[draw(&request)]);
            let token = draw_plain(&row, device.packed(), 0, f32::exp).unwrap().token;
            prop_assert_eq!(token, Sampler::new().draw(&row, &draw(&request)).unwrap().token);
        }
    }
}
