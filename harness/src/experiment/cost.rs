//! What training and probes cost, in images and in one measure of compute.

use autolr_core::ProbeCost;
use autolr_core::optimizer::TrialLoss;
use serde::{Deserialize, Serialize};

use super::{GradientBatch, ProbeSpec, ScoringBatch};

/// Images sent through the network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Forward.
    pub forwards: u64,
    /// Backward.
    pub backwards: u64,
}

impl Cost {
    /// The images of a probe that evaluates `candidates` rates: what is scored, and what gives the gradients.
    pub(crate) fn of_probe(spec: &ProbeSpec, candidates: usize, own: usize) -> Self {
        let scored = (candidates * spec.batch_size) as u64;
        let gradient = match (spec.loss, spec.gradient, spec.batches) {
            (TrialLoss::BeforeStep, _, _) => 0,
            (TrialLoss::AfterStep, GradientBatch::Own, _) => own as u64,
            (_, GradientBatch::Scoring, ScoringBatch::Shared) => spec.batch_size as u64,
            (_, GradientBatch::Scoring, ScoringBatch::PerCandidate) => scored,
        };
        Self {
            forwards: scored + gradient,
            backwards: gradient,
        }
    }
}

impl Cost {
    /// Of training on so many images.
    pub(crate) fn of_training(images: u64) -> Self {
        Self {
            forwards: images,
            backwards: images,
        }
    }

    /// In forward passes of one image: forward costs 1, backward 2.
    pub fn compute(self) -> u64 {
        self.forwards
            .saturating_add(self.backwards.saturating_mul(2))
    }
}

impl std::ops::SubAssign for Cost {
    fn sub_assign(&mut self, other: Self) {
        self.forwards = self.forwards.saturating_sub(other.forwards);
        self.backwards = self.backwards.saturating_sub(other.backwards);
    }
}

impl std::ops::AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        // A checkpoint may say anything.
        self.forwards = self.forwards.saturating_add(other.forwards);
        self.backwards = self.backwards.saturating_add(other.backwards);
    }
}

/// The passes of a batch that a probe takes: one forward a candidate that is evaluated, and what gives the gradients.
pub(crate) fn passes(spec: &ProbeSpec, candidates: u64) -> ProbeCost {
    let gradients = match (spec.loss, spec.gradient, spec.batches) {
        (TrialLoss::BeforeStep, _, _) => 0,
        (_, GradientBatch::Scoring, ScoringBatch::PerCandidate) => candidates,
        _ => 1,
    };
    ProbeCost::new(candidates + gradients, gradients)
}
