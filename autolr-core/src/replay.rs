//! A back end that plays back recorded losses.

use std::collections::VecDeque;

use ndarray::{Array1, ArrayView1, ArrayViewMut1};

use crate::{Decision, ProbeBackend};

/// Answers each probe with the losses of the next recorded decision, if it asks for the same rates, bit for bit.
///
/// A recorded run can so be gone through again without the network that made it.
#[derive(Debug, Clone)]
pub struct RecordedProbe {
    records: VecDeque<(u64, Array1<f64>, Array1<f64>)>,
}

/// Why a recorded run cannot go on.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
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
}

impl RecordedProbe {
    /// Plays back the decisions in their order.
    pub fn new<'a>(decisions: impl IntoIterator<Item = &'a Decision>) -> Self {
        let records = decisions.into_iter();
        Self {
            records: records
                .map(|d| (d.index, d.candidates.clone(), d.losses.clone()))
                .collect(),
        }
    }

    /// How many decisions are left.
    pub fn remaining(&self) -> usize {
        self.records.len()
    }
}

impl ProbeBackend for RecordedProbe {
    type Error = ReplayError;

    fn probe(
        &mut self,
        lrs: ArrayView1<'_, f64>,
        mut losses: ArrayViewMut1<'_, f64>,
    ) -> Result<(), ReplayError> {
        let (index, rates, recorded) = self.records.front().ok_or(ReplayError::Exhausted)?;
        let bits = |rates: ArrayView1<'_, f64>| rates.mapv(f64::to_bits);
        if bits(lrs) != bits(rates.view()) || recorded.len() != losses.len() {
            return Err(ReplayError::Rates {
                index: *index,
                asked: lrs.to_owned(),
                recorded: rates.clone(),
            });
        }
        losses.assign(recorded);
        self.records.pop_front();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AutoLr, AutoLrConfig, Factors, ScaleUpdate};
    use ndarray::array;

    #[test]
    fn a_record_gives_every_rate_again() {
        let rule = ScaleUpdate::new(Factors::powers_of_two(3).unwrap());
        let config = AutoLrConfig::new(0.3, rule).unwrap();
        let mut live = AutoLr::new(config.clone());
        let decisions: Vec<Decision> = [[1.0, 0.9, 1.1], [f64::NAN, 2.0, 1.0], [0.1, 0.2, 0.3]]
            .iter()
            .map(|losses| live.tell(ndarray::aview1(losses)).unwrap())
            .collect();
        let mut probe = RecordedProbe::new(&decisions);
        let mut again = AutoLr::new(config);
        for decision in &decisions {
            let replayed = again.step(&mut probe).unwrap();
            assert_eq!(replayed.new_lr.to_bits(), decision.new_lr.to_bits());
        }
        assert_eq!(probe.remaining(), 0);
        let error = again.step(&mut probe).unwrap_err().source;
        assert_eq!(error, ReplayError::Exhausted);
        let mut probe = RecordedProbe::new(&decisions);
        let mut losses = array![0.0, 0.0, 0.0];
        let error = probe.probe(array![1.0, 2.0, 3.0].view(), losses.view_mut());
        assert!(matches!(error, Err(ReplayError::Rates { index: 0, .. })));
    }
}
