//! What is handed over, written out for each conductor.

use std::collections::BTreeSet;

use baton_contract::{BlastRadius, ConductorId, Mark, Touch, TwinId};
use jiff::civil::Date;

use crate::space::HELD_BACK;
use crate::{Cleared, DecisionSpace, Facts, SpaceId};

/// One cell of the table: what one conductor may decide freely.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreeGround {
    /// Who.
    pub conductor: ConductorId,
    /// With which twin.
    pub twin: TwinId,
    /// By which space.
    pub space: SpaceId,
    /// In which process; `None` is in any, and where none is named.
    pub process: Option<String>,
    /// For which product; `None` is for any, and where none is named.
    pub product: Option<String>,
    /// Up to which radius, fact by fact.
    pub largest: BlastRadius,
    /// Touching at most this.
    pub touches: BTreeSet<Touch>,
    /// The last day.
    pub until: Date,
}

/// The cells of every space for every conductor, those of past spaces left out: by conductor, then in the order of the
/// spaces, then by process and product as they are listed.
pub fn free_ground(spaces: &[DecisionSpace], conductors: &[ConductorId], today: Date) -> Vec<FreeGround> {
    let mut cells = Vec::new();
    for conductor in conductors {
        for space in spaces {
            let draft = space.draft();
            if today > draft.until || !draft.conductors.allows(conductor) {
                continue;
            }
            for process in each(&draft.processes) {
                for product in each(&draft.products) {
                    cells.push(FreeGround {
                        conductor: conductor.clone(),
                        twin: draft.twin.clone(),
                        space: space.id().clone(),
                        process: process.clone(),
                        product,
                        largest: draft.largest,
                        touches: draft.touches.clone(),
                        until: draft.until,
                    });
                }
            }
        }
    }
    cells
}

/// The space by which a conductor decides freely, read off the table: the first of which, for every product that the
/// decision is about, a cell holds.
pub fn read_off<'a>(cells: &'a [FreeGround], facts: &Facts, today: Date) -> Option<&'a SpaceId> {
    let stated = facts.caller.radius.or(facts.pack.radius).is_some();
    if !stated || HELD_BACK.iter().any(|mark: &Mark| facts.marks.contains(mark)) {
        return None;
    }
    let products = facts.ground.products();
    let holds = |cell: &FreeGround, product: Option<&String>| {
        let radius = facts.radius();
        cell.conductor == facts.conductor
            && facts.target.twin() == Some(&cell.twin)
            && (cell.process.is_none() || cell.process == facts.ground.process)
            && (cell.product.is_none() || cell.product.as_ref() == product)
            && radius.join(cell.largest) == cell.largest
            && facts.touches().difference(&cell.touches).next().is_none()
            && today <= cell.until
    };
    let any = |space: &SpaceId, product| cells.iter().any(|cell| cell.space == *space && holds(cell, product));
    let mut spaces = cells.iter().map(|cell| &cell.space);
    spaces.find(|space| {
        if products.is_empty() { any(space, None) } else { products.iter().all(|product| any(space, Some(product))) }
    })
}

/// Each name that is listed, or once none for all.
fn each(cleared: &Cleared<String>) -> Vec<Option<String>> {
    match cleared {
        Cleared::All => vec![None],
        Cleared::Only(list) => list.iter().cloned().map(Some).collect(),
    }
}
