//! `baton rules`: check an installation's own rules, and show those that stand.

use anyhow::Result;
use baton_rules::{Layer, Rule};

use crate::args::RulesCommand;
use crate::{Outcome, house, output};

/// Runs one of the rule commands.
pub(crate) fn run(command: &RulesCommand) -> Result<Outcome> {
    match command {
        RulesCommand::Check { folder } => {
            let rules = house::load(Some(folder))?;
            let own = rules.rules().filter(|rule| rule.layer == Layer::House).count();
            if own == 0 {
                output::note(format!(
                    "There are no rules in {}: no file ends with `.cedar`, or all are empty.",
                    folder.display()
                ));
            }
            output::line(format!("{own} rules are good; with the shipped ones the digest is {}", rules.digest()))?;
        }
        RulesCommand::Show { folder, texts } => {
            let rules = house::load(folder.as_deref())?;
            output::line(format!("digest {}", rules.digest()))?;
            for rule in rules.rules() {
                output::line(describe(rule))?;
                if *texts {
                    output::line(format!("\n{}\n", rule.text.trim()))?;
                }
            }
        }
    }
    Ok(Outcome::Good)
}

/// One line about a rule.
fn describe(rule: &Rule) -> String {
    let Rule { id, layer, kind, effect, reason, ask, .. } = rule;
    format!("{id}  {layer}, {kind}, {effect}  {reason} Ask: {ask}.")
}
