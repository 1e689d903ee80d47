//! A key's roles and mandate, as flags and as words.

use anyhow::Result;
use baton_authority::{Cleared, Mandate, Roles};
use baton_contract::{Role, TwinId};
use clap::Args;

/// What a key is to be cleared for.
#[derive(Args, Clone, Debug)]
pub(crate) struct MandateArgs {
    /// What its holder is here, separated by commas: conductor, expert, architect, auditor, operator [default: conductor, or expert if --expert-for is given]
    #[arg(long = "role", value_name = "ROLE,…", value_delimiter = ',')]
    roles: Vec<Role>,
    /// Twins that an expert reviews and approves for, separated by commas, or `all`
    #[arg(long, value_name = "ID,…", value_delimiter = ',')]
    expert_for: Vec<String>,
    /// Twins that may be cued, separated by commas [default: all, and the bare model]
    #[arg(long, value_name = "ID,…", value_delimiter = ',')]
    twins: Option<Vec<TwinId>>,
    /// Processes that may be cued for, separated by commas; each cue has to name one [default: all]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    processes: Option<Vec<String>>,
    /// Products that may be cued for, separated by commas; each cue has to name one [default: all]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    products: Option<Vec<String>>,
    /// Answers that may be in progress at once
    #[arg(long, value_name = "N", default_value_t = 64)]
    max_in_flight: u32,
    /// Tokens, read and written, that the answers in progress may come to [default: no limit]
    #[arg(long, value_name = "N")]
    max_tokens_in_flight: Option<u64>,
    /// Share of the machine relative to other conductors
    #[arg(long, value_name = "N", default_value_t = 1)]
    weight: u32,
    /// Most tokens of one answer [default: what the model's context allows]
    #[arg(long, value_name = "N")]
    max_tokens: Option<u32>,
}

impl MandateArgs {
    /// The mandate that the flags describe.
    pub(crate) fn mandate(self) -> Result<Mandate> {
        let expert_for = match self.expert_for.as_slice() {
            [all] if all == "all" => Cleared::All,
            twins => Cleared::Only(twins.iter().map(|twin| twin.parse()).collect::<Result<_, _>>()?),
        };
        let held = match (self.roles.is_empty(), expert_for.is_nothing()) {
            (true, true) => vec![Role::Conductor],
            (true, false) => vec![Role::Expert],
            (false, _) => self.roles,
        };
        Ok(Mandate {
            roles: Roles::new(held, expert_for)?,
            twins: self.twins.map_or(Cleared::All, Cleared::Only),
            processes: self.processes.map_or(Cleared::All, Cleared::Only),
            products: self.products.map_or(Cleared::All, Cleared::Only),
            max_in_flight: self.max_in_flight,
            max_tokens_in_flight: self.max_tokens_in_flight,
            weight: self.weight,
            max_tokens: self.max_tokens,
        })
    }
}

/// A mandate in one line, each field with its name.
pub(crate) fn describe(mandate: &Mandate) -> String {
    let Mandate { roles, twins, processes, products, max_in_flight, max_tokens_in_flight, weight, max_tokens } =
        mandate;
    let held = roles.held().iter().map(|role| match role {
        Role::Expert => format!("expert({})", list(roles.expert_for())),
        other => other.to_string(),
    });
    let bound = |limit: Option<u64>| limit.map_or("-".to_owned(), |limit| limit.to_string());
    format!(
        "roles={} twins={} processes={} products={} max-in-flight={max_in_flight} max-tokens-in-flight={} \
         weight={weight} max-tokens={}",
        held.collect::<Vec<_>>().join(","),
        list(twins),
        list(processes),
        list(products),
        bound(*max_tokens_in_flight),
        bound(max_tokens.map(u64::from)),
    )
}

fn list<T: ToString>(cleared: &Cleared<T>) -> String {
    match cleared {
        Cleared::All => "all".to_owned(),
        Cleared::Only(names) => names.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
    }
}
