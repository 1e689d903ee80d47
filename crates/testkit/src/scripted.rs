//! An executor that needs no model.

use std::collections::{HashMap, HashSet};

use baton_contract::{BLOCK_SIZE, TokenId, TokenLogprobs};
use baton_engine::{Allowed, Draw, Executor, ExecutorError, Sample};
use baton_scheduler::{BlockId, Span, StepPlan};

use crate::{Control, Fault, Script, Turn};

/// Keeps the tokens of every block as a real cache keeps keys and values, and draws by a script from what it finds in
/// a sequence's blocks: a plan with wrong blocks gives wrong tokens or an error.
///
/// It honours forced and masked tokens, constraints and `top_logprobs`; the drawn token's log-probability is the
/// script's, those of the alternatives are made up. It disregards the rest of `Sampling`.
#[derive(Debug)]
pub struct ScriptedExecutor {
    script: Script,
    control: Control,
    blocks: HashMap<BlockId, [Option<TokenId>; BLOCK_SIZE]>,
}

impl ScriptedExecutor {
    /// An executor with an empty cache.
    pub fn new(script: Script, control: Control) -> Self {
        Self { script, control, blocks: HashMap::new() }
    }

    fn copy(&mut self, plan: &StepPlan) {
        for copy in &plan.copies {
            let content = self.blocks.get(&copy.from).copied().unwrap_or_default();
            self.blocks.insert(copy.to, content);
        }
    }

    fn write(&mut self, plan: &StepPlan) -> Result<(), ExecutorError> {
        let mut written = HashSet::new();
        for span in &plan.spans {
            for (position, token) in (span.start..).zip(&span.tokens) {
                let (block, offset) = slot(span, position)?;
                if !written.insert((block, offset)) {
                    return Err(fault(format!("two tokens are written to slot {offset} of block {block}")));
                }
                self.blocks.entry(block).or_default()[offset] = Some(*token);
            }
        }
        Ok(())
    }

    fn history(&self, span: &Span) -> Result<Vec<TokenId>, ExecutorError> {
        (0..span.end())
            .map(|position| {
                let (block, offset) = slot(span, position)?;
                let token = self.blocks.get(&block).and_then(|tokens| tokens[offset]);
                token.ok_or_else(|| fault(format!("position {position} of {:?} was never written", span.owner)))
            })
            .collect()
    }

    fn sample(&self, span: &Span, draw: &Draw<'_>) -> Result<Sample, ExecutorError> {
        let history = self.history(span)?;
        let turn = Turn { request: draw.request, history: &history, position: draw.position() };
        let vocabulary = TokenId::try_from(self.script.vocabulary()).unwrap_or(TokenId::MAX);
        let token = if let Some(token) = draw.forced() {
            token
        } else {
            let masked: HashSet<_> = draw.masked().collect();
            let allowed = draw.allowed.map(Allowed::tokens).transpose()?;
            let open = |token: &TokenId| !masked.contains(token) && allowed.is_none_or(|set| set.contains(*token));
            let first = self.script.next(&turn);
            let token = (first..vocabulary).chain(0..first).find(open);
            token.ok_or(ExecutorError::NothingLeft)?
        };
        let logprobs = draw.request.sampling.top_logprobs.map(|count| TokenLogprobs {
            logprob: self.script.logprob(&turn, token),
            top: (0..count).map(|i| ((token + TokenId::from(i)) % vocabulary, -0.5 - f32::from(i))).collect(),
        });
        Ok(Sample { token, logprobs })
    }
}

impl Executor for ScriptedExecutor {
    fn step(
        &mut self,
        plan: &StepPlan,
        draws: &[Draw<'_>],
    ) -> Result<Vec<Result<Sample, ExecutorError>>, ExecutorError> {
        let disturbance = self.control.enter(plan);
        self.copy(plan);
        if let Some(Fault::Adapter(adapter)) = disturbance {
            return Err(ExecutorError::Adapter { adapter, source: "scripted want of memory".into() });
        }
        self.write(plan)?;
        match disturbance {
            Some(Fault::Panic) => panic!("scripted panic in step {}", plan.step),
            Some(Fault::Error) => return Err(fault("scripted error".to_owned())),
            Some(Fault::Lost) => return Err(ExecutorError::Lost("scripted loss".into())),
            Some(Fault::Draw(_) | Fault::Slow(_) | Fault::Adapter(_)) | None => {}
        }
        let drawing = plan.spans.iter().filter(|span| span.draws);
        drawing
            .zip(draws)
            .map(|(span, draw)| match disturbance {
                Some(Fault::Draw(sequence)) if sequence == draw.sequence => Ok(Err(ExecutorError::NotANumber)),
                _ => match self.sample(span, draw) {
                    Err(error @ (ExecutorError::NothingLeft | ExecutorError::Constraint(_))) => Ok(Err(error)),
                    sample => sample.map(Ok),
                },
            })
            .collect()
    }
}

fn slot(span: &Span, position: usize) -> Result<(BlockId, usize), ExecutorError> {
    let block = span.blocks.get(position / BLOCK_SIZE);
    let block = block.ok_or_else(|| fault(format!("no block for position {position} of {:?}", span.owner)))?;
    Ok((*block, position % BLOCK_SIZE))
}

fn fault(text: String) -> ExecutorError {
    ExecutorError::Step(text.into())
}

#[cfg(test)]
mod tests {
    use baton_contract::SequenceId;
    use baton_scheduler::{BlockCopy, Owner};

    use super::*;
    use crate::request;

    /// Draws after one span of sequence 1.
    fn step(
        executor: &mut ScriptedExecutor,
        copies: &[BlockCopy],
        tokens: &[TokenId],
        start: usize,
        blocks: &[BlockId],
    ) -> Result<TokenId, String> {
        let owner = Owner::Sequence(SequenceId(1));
        let (tokens, blocks) = (tokens.to_vec(), blocks.to_vec());
        let span = Span { owner, tokens, start, blocks, shared_blocks: 0, adapter: None, draws: true };
        let plan =
            StepPlan { step: 1, restores: Vec::new(), copies: copies.to_vec(), spans: vec![span], stores: Vec::new() };
        let draw = Draw { sequence: SequenceId(1), request: &request(&[1]), output: &[], allowed: None };
        let mut samples = executor.step(&plan, &[draw]).map_err(|error| format!("{error:?}"))?;
        Ok(samples.remove(0).unwrap().token)
    }

    #[test]
    fn the_true_history_decides_and_wrong_blocks_show() {
        let mut executor = ScriptedExecutor::new(Script::hashed(1000), Control::default());
        let first = step(&mut executor, &[], &[1; 32], 0, &[0]);
        assert_eq!(step(&mut executor, &[], &[1; 32], 0, &[1]), first, "which block holds it does not matter");
        step(&mut executor, &[], &[2; 32], 0, &[2]).unwrap();
        let second = step(&mut executor, &[], &[3], 32, &[0, 4]).unwrap();
        let wrong = step(&mut executor, &[], &[3], 32, &[2, 4]).unwrap();
        assert_ne!(wrong, second, "another history");
        let copies = [BlockCopy { from: 0, to: 2 }];
        assert_eq!(step(&mut executor, &copies, &[3], 32, &[2, 5]), Ok(second), "a copy is as good");
        let missing = step(&mut executor, &[], &[3], 32, &[7, 4]).unwrap_err();
        assert!(missing.contains("position 0 of Sequence(SequenceId(1)) was never written"), "{missing}");
        let short = step(&mut executor, &[], &[3], 32, &[0]).unwrap_err();
        assert!(short.contains("no block for position 32"), "{short}");
        let twice = step(&mut executor, &[], &[3; 33], 0, &[0, 0]).unwrap_err();
        assert!(twice.contains("two tokens are written to slot 0 of block 0"), "{twice}");
    }
}
