//! Version 2: roles, processes, products and tokens at once as well.

use serde::{Deserialize, Serialize};

use super::{List, parse};
use crate::{Cleared, Mandate, Roles};

pub(super) const VERSION: u32 = 2;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MandateTable {
    roles: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expert_for: Option<List>,
    twins: List,
    processes: List,
    products: List,
    max_in_flight: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_tokens_in_flight: Option<u64>,
    weight: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
}

impl MandateTable {
    pub(super) fn write(mandate: &Mandate) -> Self {
        let Mandate { roles, twins, processes, products, max_in_flight, max_tokens_in_flight, weight, max_tokens } =
            mandate;
        let expert_for = roles.expert_for();
        Self {
            roles: roles.held().iter().map(ToString::to_string).collect(),
            expert_for: (!expert_for.is_nothing()).then(|| List::write(expert_for)),
            twins: List::write(twins),
            processes: List::write(processes),
            products: List::write(products),
            max_in_flight: *max_in_flight,
            max_tokens_in_flight: *max_tokens_in_flight,
            weight: *weight,
            max_tokens: *max_tokens,
        }
    }

    pub(super) fn read(self) -> Result<Mandate, String> {
        let held = self.roles.iter().map(|role| parse(role)).collect::<Result<Vec<_>, _>>()?;
        let expert_for = self.expert_for.map_or(Ok(Cleared::Only(Vec::new())), List::read)?;
        Ok(Mandate {
            roles: Roles::new(held, expert_for).map_err(|error| error.to_string())?,
            twins: self.twins.read()?,
            processes: self.processes.read()?,
            products: self.products.read()?,
            max_in_flight: self.max_in_flight,
            max_tokens_in_flight: self.max_tokens_in_flight,
            weight: self.weight,
            max_tokens: self.max_tokens,
        })
    }
}
