//! A method that asks for no rate: it searches before the first step, trains on from the best trial, and lets the rate fall
//! to zero over the rest of the run.

mod config;
mod search;
mod state;

use config::RawConfig;
pub use config::RobustConfig;
pub use state::Robust;

use super::MethodState;
use super::config::MethodConfig;
use super::kind::KeyDefault::Core;
use super::kind::ValueKind::{Number, Switch, Whole};
use super::kind::{Key, Kind, Range};
use super::registry::Entry;
use crate::error::StateError;

const KIND: &str = "robust";
const VERSION: u32 = 1;

pub(super) const ENTRY: Entry = Entry {
    kind: Kind::new(
        KIND,
        &[
            Key::new("lr", Number, Core("0.01")).within(Range::POSITIVE).about("the rate of a run that is too short for a search"),
            Key::new("search", Number, Core("by length")).within(config::SEARCH).about("share of the run that the search may take: else 20 % of 1,000 steps, 9 % of 5,000, 3 % of 50,000"),
            Key::new("rounds", Whole, Core("2")).about("rounds of the search after the first, at each decade: 0, 1 or 2"),
            Key::new("scoring_batches", Whole, Core("16")).within(Range::AT_LEAST_ONE).about("batches that a trial is scored on"),
            Key::new("tie", Number, Core("1")).within(Range::NOT_NEGATIVE).about("standard errors within which two losses are equal: then the higher rate is taken"),
            Key::new("trend", Switch, Core("true")).about("whether the choice among the last trials counts how fast each still gets better"),
            Key::new("scale", Number, Core("0.5")).within(config::SCALE).about("the highest rate of the training, as part of the best rate of the trials, which are far shorter"),
            Key::new("warm_up", Number, Core("0.02")).within(Range::SHARE).about("share of the run over which the rate rises"),
            Key::new("adopt", Switch, Core("true")).about("whether the training goes on from the end of the best trial"),
            Key::new("guard", Switch, Core("true")).about("whether the training goes back, at half the rate, from an epoch that lost half of what was reached"),
        ],
        "no rate to set: searches for it, then decays it to zero",
    ),
    read: |table| table.settings::<RawConfig, RobustConfig>().map(MethodConfig::of),
    of_state: |state| Ok(MethodConfig::of(saved(state)?.config)),
};

fn saved(state: &MethodState) -> Result<Robust, StateError> {
    let saved: Robust = state.read(KIND, VERSION..=VERSION)?;
    saved.check().map_err(StateError::Field)?;
    Ok(saved)
}

#[cfg(test)]
mod tests;
