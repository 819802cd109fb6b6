//! Goes through a recorded run again, without the network that made it: the recorded losses are told to a scheduler of
//! the recorded specification, and every rate and decision has to come out again, bit for bit.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use autolr_core::{
    GroupsError, ProbeBackend, ProbeCost, ProbeError, RecordedProbe, ReplayError, Tick,
};
use ndarray::{ArrayView1, ArrayView2, ArrayViewMut1};
use serde::Serialize;

use super::{DecisionRecord, EpochRecord, RunLog};
use crate::exit::BadInput;
use crate::experiment::{ProbeSpec, RunSpec};
use crate::train::scheduler;
use crate::workload::{Cost, passes};

/// A recorded run: its specification and its log.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// `spec.toml`.
    pub spec: RunSpec,
    /// `events.jsonl`.
    pub log: RunLog,
}

/// What was gone through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Replayed {
    /// Rates of epochs that came out again.
    pub rates: usize,
    /// Decisions that did.
    pub decisions: usize,
}

/// Where a replay came out otherwise than the record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("epoch {epoch}: {what}")]
pub struct Difference {
    /// Number of the epoch, from 0.
    pub epoch: u64,
    /// What differs, with both values.
    pub what: String,
}

impl Record {
    /// The logs under a path: itself if it is a file, else every `events.jsonl` in the folder and the folders in it, by
    /// name.
    ///
    /// # Errors
    /// [`BadInput`] if there is none, or a folder cannot be read.
    pub fn find(path: &Path) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        collect(path, &mut found)
            .map_err(|error| BadInput(format!("{}: {error}", path.display())))?;
        if found.is_empty() {
            let text = format!("{}: no events.jsonl in it", path.display());
            return Err(BadInput(text).into());
        }
        found.sort();
        Ok(found)
    }

    /// Reads a log, and the `spec.toml` beside it.
    ///
    /// # Errors
    /// [`BadInput`] that names the file, if one of the two is missing or cannot be read, or the log is not of that
    /// specification.
    pub fn read(log_path: &Path) -> Result<Self> {
        let log = RunLog::read(log_path)
            .map_err(|error| BadInput(format!("{error:#}")))?
            .ok_or_else(|| BadInput(format!("{}: holds no event", log_path.display())))?;
        if log.epochs.is_empty() {
            let text = format!("{}: holds no epoch", log_path.display());
            return Err(BadInput(text).into());
        }
        let spec_path = log_path.with_file_name("spec.toml");
        let in_spec =
            |error: &dyn std::fmt::Display| BadInput(format!("{}: {error}", spec_path.display()));
        let text = std::fs::read_to_string(&spec_path).map_err(|error| in_spec(&error))?;
        let table = text
            .parse()
            .map_err(|error: toml::de::Error| in_spec(&error.message()))?;
        let spec = RunSpec::from_table(table).map_err(|error| in_spec(&error))?;
        let digest = spec
            .digest()
            .with_context(|| spec_path.display().to_string())?;
        if digest != log.provenance.spec {
            return Err(in_spec(&format!(
                "its digest is {digest}, but the log beside it is of the specification {}",
                log.provenance.spec
            ))
            .into());
        }
        Ok(Self { spec, log })
    }

    /// Goes through the record again.
    ///
    /// # Errors
    /// The first [`Difference`].
    pub fn replay(&self) -> Result<Replayed, Difference> {
        let log = &self.log;
        let differs = |epoch, what| Err(Difference { epoch, what });
        let mut scheduler = match scheduler::<ReplayError>(&self.spec.scheduler, None) {
            Ok(scheduler) => scheduler,
            Err(error) => return differs(0, error.to_string()),
        };
        let mut probe = AtCost {
            recorded: RecordedProbe::new(log.decisions.iter().map(|record| &record.decision)),
            spec: &self.spec.probe,
        };
        let mut recorded = log.decisions.iter().peekable();
        let mut replayed = Replayed::default();
        for record in &log.epochs {
            let epoch = record.epoch;
            if scheduler.lr().to_bits() != record.lr.to_bits() {
                let what = format!(
                    "the rate is {:e}, recorded is {:e}",
                    scheduler.lr(),
                    record.lr
                );
                return differs(epoch, what);
            }
            replayed.rates += 1;
            if !is_finite(record) {
                // Training ended here, before any decision.
                break;
            }
            let due = recorded.next_if(|decision| decision.epoch == epoch);
            let last = epoch + 1 == log.epochs.len() as u64;
            if due.is_none() && last && log.summary.is_none() && recorded.peek().is_none() {
                // Stopped between the epoch and its decision.
                break;
            }
            let decision = match scheduler.advance(Tick::epoch(record.validation_loss), &mut probe)
            {
                Ok(decision) => decision,
                Err(ProbeError::Backend { source, .. }) => {
                    return differs(epoch, source.to_string());
                }
                Err(error) => return differs(epoch, error.to_string()),
            };
            let again = decision.map(|decision| DecisionRecord { epoch, decision });
            if let Some(what) = difference(due, again.as_ref()) {
                return differs(epoch, what);
            }
            replayed.decisions += usize::from(again.is_some());
        }
        if let Some(left) = recorded.next() {
            let what = format!("decision {} has no place", left.decision.index);
            return differs(left.epoch, what);
        }
        self.check_summary()?;
        Ok(replayed)
    }

    /// Whether the summary is that of the epochs and decisions.
    fn check_summary(&self) -> Result<(), Difference> {
        let Some(summary) = &self.log.summary else {
            return Ok(());
        };
        let epochs = &self.log.epochs;
        let finite = epochs.iter().filter(|record| is_finite(record));
        let best = finite.fold(None::<&EpochRecord>, |best, next| match best {
            Some(best) if best.validation_loss <= next.validation_loss => Some(best),
            _ => Some(next),
        });
        let of_epochs = (epochs.len() as u64, best.map(|record| record.epoch));
        let of_summary = (summary.epochs, summary.best_epoch);
        if of_epochs != of_summary {
            return Err(Difference {
                epoch: summary.epochs.saturating_sub(1),
                what: format!(
                    "epochs and best epoch are {of_epochs:?}, in the summary {of_summary:?}"
                ),
            });
        }
        let mut probes = Cost::default();
        for DecisionRecord { decision, .. } in &self.log.decisions {
            let earlier = decision.earlier.iter().map(|probe| probe.candidates.len());
            for candidates in earlier.chain([decision.candidates.len()]) {
                let own = self.spec.training.batch_size;
                probes += Cost::of_probe(&self.spec.probe, candidates, own);
            }
        }
        let of_decisions = (probes.forwards, probes.backwards);
        let of_summary = (summary.probe_forwards, summary.probe_backwards);
        if of_decisions != of_summary {
            return Err(Difference {
                epoch: summary.epochs.saturating_sub(1),
                what: format!(
                    "images forward and backward by probes are {of_decisions:?}, in the summary {of_summary:?}"
                ),
            });
        }
        Ok(())
    }
}

/// Recorded losses, at the cost that a probe of the specification has: so a recorded cost is checked like all else.
struct AtCost<'a> {
    recorded: RecordedProbe,
    spec: &'a ProbeSpec,
}

impl ProbeBackend for AtCost<'_> {
    type Error = ReplayError;

    fn probe(
        &mut self,
        lrs: ArrayView1<'_, f64>,
        losses: ArrayViewMut1<'_, f64>,
    ) -> Result<(), ReplayError> {
        self.recorded.probe(lrs, losses)
    }

    fn probe_groups(
        &mut self,
        lrs: ArrayView2<'_, f64>,
        losses: ArrayViewMut1<'_, f64>,
    ) -> Result<(), GroupsError<ReplayError>> {
        self.recorded.probe_groups(lrs, losses)
    }

    fn cost(&self, candidates: usize) -> Option<ProbeCost> {
        Some(passes(self.spec, candidates as u64))
    }
}

fn is_finite(record: &EpochRecord) -> bool {
    record.train_loss.is_finite() && record.validation_loss.is_finite()
}

fn collect(path: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if !std::fs::metadata(path)?.is_dir() {
        found.push(path.to_owned());
        return Ok(());
    }
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        // A link to a folder could lead round in a circle.
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), found)?;
        } else if entry.file_name() == "events.jsonl" {
            found.push(entry.path());
        }
    }
    Ok(())
}

/// In which key two decisions differ first, with both values; none if in none. Numbers are compared as they are
/// written, which tells all bits.
fn difference(recorded: Option<&DecisionRecord>, again: Option<&DecisionRecord>) -> Option<String> {
    let object = |record: Option<&DecisionRecord>| {
        let value = record.map(|record| serde_json::to_value(&record.decision));
        match value {
            Some(Ok(serde_json::Value::Object(object))) => object,
            _ => serde_json::Map::new(),
        }
    };
    match (recorded, again) {
        (None, None) => return None,
        (Some(_), None) => return Some("a decision is recorded, and none is due".to_owned()),
        (None, Some(_)) => return Some("a decision is due, and none is recorded".to_owned()),
        (Some(_), Some(_)) => {}
    }
    let (recorded, again) = (object(recorded), object(again));
    let null = serde_json::Value::Null;
    recorded.keys().chain(again.keys()).find_map(|key| {
        let (before, after) = (
            recorded.get(key).unwrap_or(&null),
            again.get(key).unwrap_or(&null),
        );
        // As text: as numbers, 0 and −0 would be equal.
        let (was, is) = (before.to_string(), after.to_string());
        (was != is).then(|| format!("{key} is {after}, recorded is {before}"))
    })
}
