//! A back end that plays back recorded losses.

use std::collections::VecDeque;

use ndarray::{Array1, ArrayView1, ArrayView2, ArrayViewMut1};

use crate::same::{all_same, same_in_debug};
use crate::{Decision, GroupsError, ProbeBackend, ProbeCost};

/// Answers each probe with the losses of the next recorded one, if it asks for the same rates, bit for bit.
///
/// A recorded run can so be gone through again without the network that made it: a scheduler of the same configuration
/// makes every recorded decision again. Of several parameter groups, the rates of the recorded group are compared.
#[derive(Debug, Clone)]
pub struct RecordedProbe {
    records: VecDeque<Recorded>,
    cost: Option<ProbeCost>,
}

#[derive(Debug, Clone)]
struct Recorded {
    index: u64,
    group: usize,
    rates: Array1<f64>,
    losses: Array1<f64>,
    /// What the decision cost, all told, with its last probe.
    cost: Option<ProbeCost>,
}

/// Why a recorded run cannot go on.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// More probes than were recorded.
    #[error("the record has no further decision")]
    Exhausted,
    /// The scheduler asks for other rates than the recorded one did.
    #[error(
        "decision {index}: the scheduler asks for the rates {asked}, the record has {recorded}"
    )]
    Rates {
        /// Number of the decision.
        index: u64,
        /// Rates asked for.
        asked: Array1<f64>,
        /// Rates recorded.
        recorded: Array1<f64>,
    },
    /// A record that no probe has made.
    #[error("decision {index}: the record has {losses} losses for {candidates} candidates")]
    Lengths {
        /// Number of the decision.
        index: u64,
        /// How many rates are recorded.
        candidates: usize,
        /// How many losses are.
        losses: usize,
    },
}

/// A clone is equal, with a NaN rate too.
impl PartialEq for ReplayError {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Rates {
                    index,
                    asked,
                    recorded,
                },
                Self::Rates {
                    index: i,
                    asked: a,
                    recorded: r,
                },
            ) => index == i && all_same(asked, a) && all_same(recorded, r),
            _ => same_in_debug(self, other),
        }
    }
}

impl RecordedProbe {
    /// Plays back the decisions in their order.
    pub fn new<'a>(decisions: impl IntoIterator<Item = &'a Decision>) -> Self {
        let mut records = VecDeque::new();
        for decision in decisions {
            let earlier = decision.earlier.iter();
            let probes = earlier
                .map(|probed| (&probed.candidates, &probed.losses))
                .chain([(&decision.candidates, &decision.losses)]);
            records.extend(probes.enumerate().map(|(probe, (rates, losses))| Recorded {
                index: decision.index,
                group: decision.group.unwrap_or(0),
                rates: rates.clone(),
                losses: losses.clone(),
                // The first probe is charged with the whole decision, the others with nothing: the sum is right.
                cost: decision.cost.map(|cost| {
                    if probe == 0 {
                        cost
                    } else {
                        ProbeCost::default()
                    }
                }),
            }));
        }
        Self {
            records,
            cost: None,
        }
    }

    /// How many probes are left.
    pub fn remaining(&self) -> usize {
        self.records.len()
    }

    fn answer(
        &mut self,
        rates_of: impl Fn(usize) -> Option<Array1<f64>>,
        mut losses: ArrayViewMut1<'_, f64>,
    ) -> Result<(), ReplayError> {
        let record = self.records.front().ok_or(ReplayError::Exhausted)?;
        let (candidates, recorded) = (record.rates.len(), record.losses.len());
        if candidates != recorded {
            return Err(ReplayError::Lengths {
                index: record.index,
                candidates,
                losses: recorded,
            });
        }
        let asked = rates_of(record.group).unwrap_or_default();
        let bits = |rates: &Array1<f64>| rates.mapv(f64::to_bits);
        if bits(&asked) != bits(&record.rates) || losses.len() != asked.len() {
            return Err(ReplayError::Rates {
                index: record.index,
                asked,
                recorded: record.rates.clone(),
            });
        }
        losses.assign(&record.losses);
        self.cost = record.cost;
        self.records.pop_front();
        Ok(())
    }
}

impl ProbeBackend for RecordedProbe {
    type Error = ReplayError;

    fn probe(
        &mut self,
        lrs: ArrayView1<'_, f64>,
        losses: ArrayViewMut1<'_, f64>,
    ) -> Result<(), ReplayError> {
        self.answer(|_| Some(lrs.to_owned()), losses)
    }

    fn probe_groups(
        &mut self,
        lrs: ArrayView2<'_, f64>,
        losses: ArrayViewMut1<'_, f64>,
    ) -> Result<(), GroupsError<ReplayError>> {
        let column = |group| (group < lrs.ncols()).then(|| lrs.column(group).to_owned());
        Ok(self.answer(column, losses)?)
    }

    /// What the probe just played back is recorded to have cost.
    fn cost(&self, _candidates: usize) -> Option<ProbeCost> {
        self.cost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AutoLr, AutoLrConfig, Factors, GroupProbing, ProbeError, ScaleUpdate, Told};
    use ndarray::array;

    fn config() -> AutoLrConfig {
        let rule = ScaleUpdate::new(Factors::powers_of_two(3).unwrap());
        AutoLrConfig::new(0.3, rule).unwrap()
    }

    /// Tells the losses, as often as it takes, and returns the decisions.
    fn record(config: &AutoLrConfig, losses: &[[f64; 3]]) -> Vec<Decision> {
        let cost = Some(ProbeCost {
            forwards: 4,
            backwards: 1,
        });
        let mut live = AutoLr::new(config.clone());
        let mut decisions = Vec::new();
        for losses in losses {
            let mut decision = Decision::with_capacity(3);
            if live
                .tell_into(ndarray::aview1(losses), cost, &mut decision)
                .unwrap()
            {
                decisions.push(decision);
            }
        }
        decisions
    }

    const LOSSES: [[f64; 3]; 4] = [
        [1.0, 0.9, 1.1],
        [f64::NAN, 2.0, 1.0],
        [0.1, 0.2, 0.3],
        [3.0, 2.0, 1.0],
    ];

    #[test]
    fn a_record_gives_every_decision_again() {
        let in_turn = config()
            .with_groups(vec![1.0, 0.1], GroupProbing::InTurn)
            .unwrap();
        for config in [
            config(),
            config().with_edge_probes(1),
            in_turn.clone(),
            in_turn.with_edge_probes(2),
        ] {
            let decisions = record(&config, &LOSSES);
            assert!(decisions.len() > 1);
            let mut probe = RecordedProbe::new(&decisions);
            let mut again = AutoLr::new(config);
            for decision in &decisions {
                let replayed = again.step(&mut probe).unwrap();
                let text = |decision| serde_json::to_string(decision).unwrap();
                assert_eq!(text(&replayed), text(decision));
            }
            assert_eq!(probe.remaining(), 0);
        }
    }

    #[test]
    fn a_group_that_is_not_there_is_refused() {
        let in_turn = config().with_groups(vec![1.0, 0.1], GroupProbing::InTurn);
        let decisions = record(&in_turn.unwrap(), &LOSSES);
        assert_eq!(decisions[1].group, Some(1));
        let mut probe = RecordedProbe::new(&decisions[1..]);
        let one_group = array![[0.6], [0.3], [0.15]];
        let mut losses = array![0.0, 0.0, 0.0];
        assert!(
            probe
                .probe_groups(one_group.view(), losses.view_mut())
                .is_err()
        );
    }

    #[test]
    fn what_was_not_recorded_is_refused() {
        let decisions = record(&config(), &LOSSES);
        let mut probe = RecordedProbe::new(&decisions);
        let mut losses = array![0.0, 0.0, 0.0];
        let error = probe.probe(array![1.0, 2.0, 3.0].view(), losses.view_mut());
        assert!(matches!(error, Err(ReplayError::Rates { index: 0, .. })));
        assert_eq!(probe.remaining(), 4);
        let mut short = decisions[0].clone();
        short.losses = array![1.0, 2.0];
        let error = AutoLr::new(config()).step(&mut RecordedProbe::new([&short]));
        let ProbeError::Backend { source, .. } = error.unwrap_err() else {
            panic!("the record's fault")
        };
        assert_eq!(
            source.to_string(),
            "decision 0: the record has 2 losses for 3 candidates"
        );
        let mut again = AutoLr::new(config());
        let error = again.step(&mut RecordedProbe::new([])).unwrap_err();
        let ProbeError::Backend { source, .. } = error else {
            panic!("{error}")
        };
        assert_eq!(source.downcast_ref(), Some(&ReplayError::Exhausted));
        // Edge probes are played back one by one.
        let edgy = config().with_edge_probes(1);
        assert_eq!(
            AutoLr::new(edgy.clone()).tell(array![1.0, 2.0, 3.0].view()),
            Ok(Told::ProbeAgain)
        );
        assert_eq!(
            RecordedProbe::new(&record(&edgy, &LOSSES[2..])).remaining(),
            2
        );
    }
}
