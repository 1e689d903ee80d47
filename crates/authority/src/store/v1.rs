//! Version 1, read only: twins, places and weight.

use serde::Deserialize;

use super::List;
use crate::Mandate;

pub(super) const VERSION: u32 = 1;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MandateTable {
    twins: List,
    max_in_flight: u32,
    weight: u32,
    #[serde(default)]
    max_tokens: Option<u32>,
}

impl MandateTable {
    pub(super) fn read(self) -> Result<Mandate, String> {
        let Self { twins, max_in_flight, weight, max_tokens } = self;
        Ok(Mandate { twins: twins.read()?, max_in_flight, weight, max_tokens, ..Mandate::default() })
    }
}
