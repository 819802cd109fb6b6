//! A specification in a few words, for a run that has no other name.

use crate::experiment::RunSpec;
use crate::number;

/// A specification in a few words: `reference 8, autolr, from lr 0.05, seed 0`.
pub(crate) fn headline(spec: &RunSpec) -> String {
    format!("{}, seed {}", series_headline(spec), spec.training.seed)
}

/// The same without the seed.
pub(crate) fn series_headline(spec: &RunSpec) -> String {
    let network = format!("{} {}", spec.network.kind(), spec.network.size());
    let scheduler = spec.scheduler.kind();
    format!(
        "{network}, {scheduler}, from lr {}",
        number::plain(spec.scheduler.initial_lr())
    )
}
