//! An executor that needs no model.

use std::collections::{HashMap, HashSet};

use baton_contract::{BLOCK_SIZE, TokenId, TokenLogprobs};
use baton_engine::{Draw, Executor, ExecutorError, Sample};
use baton_scheduler::{BlockId, Span, StepPlan};

use crate::{Control, Fault, Script, Turn};

/// Keeps the tokens of every block as a real cache keeps keys and values, and draws by a script from what it finds in
/// a sequence's blocks: a plan with wrong blocks gives wrong tokens or an error.
///
/// It honours masked tokens and `top_logprobs`, whose values it makes up, and disregards the rest of `Sampling`.
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

    fn write(&mut self, plan: &StepPlan) -> Result<(), ExecutorError> {
        for copy in &plan.copies {
            let content = self.blocks.get(&copy.from).copied().unwrap_or_default();
            self.blocks.insert(copy.to, content);
        }
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
        let masked: HashSet<_> = draw.masked().collect();
        let first = self.script.next(&turn);
        let token = (first..vocabulary).chain(0..first).find(|token| !masked.contains(token));
        let token = token.ok_or(ExecutorError::NothingLeft)?;
        let logprobs = draw.request.sampling.top_logprobs.map(|count| TokenLogprobs {
            logprob: -0.5,
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
        self.write(plan)?;
        match disturbance {
            Some(Fault::Panic) => panic!("scripted panic in step {}", plan.step),
            Some(Fault::Error) => return Err(fault("scripted error".to_owned())),
            Some(Fault::Draw(_) | Fault::Slow(_)) | None => {}
        }
        let drawing = plan.spans.iter().filter(|span| span.draws);
        drawing
            .zip(draws)
            .map(|(span, draw)| match disturbance {
                Some(Fault::Draw(sequence)) if sequence == draw.sequence => Ok(Err(ExecutorError::NotANumber)),
                _ => match self.sample(span, draw) {
                    Err(ExecutorError::NothingLeft) => Ok(Err(ExecutorError::NothingLeft)),
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
