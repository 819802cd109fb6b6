//! The candidate rates of one probe: where they lie, and whether the best of them is the outermost one.

use ndarray::ArrayView1;

use crate::update::Basis;
use crate::{AutoLrConfig, TellError};

/// Candidate rates around a centre, cut to the bounds, in buffers that are reused.
#[derive(Debug, Clone)]
pub(crate) struct Candidates {
    values: Vec<f64>,
    centre: f64,
    /// Whether a bound cut one of the rates. Then the factors are not those of the rule but these.
    is_cut: bool,
    factors: Vec<f64>,
    logs: Vec<f64>,
}

impl Candidates {
    pub(crate) fn with_capacity(n: usize) -> Self {
        Self {
            values: Vec::with_capacity(n),
            centre: f64::NAN,
            is_cut: false,
            factors: Vec::with_capacity(n),
            logs: Vec::with_capacity(n),
        }
    }

    /// Places the candidates `factor · centre`.
    pub(crate) fn place(&mut self, config: &AutoLrConfig, centre: f64) {
        self.centre = centre;
        self.is_cut = false;
        self.values.clear();
        for &factor in config.rule().factors().slice() {
            let wanted = factor * centre;
            let value = config.within_bounds(wanted);
            self.is_cut |= value != wanted && !wanted.is_nan();
            self.values.push(value);
        }
        if self.is_cut {
            self.factors.clear();
            self.logs.clear();
            for value in &self.values {
                let factor = value / centre;
                self.factors.push(factor);
                self.logs.push(libm::log(factor));
            }
        }
    }

    /// The rates, before a group's multiplier.
    pub(crate) fn values(&self) -> &[f64] {
        &self.values
    }

    /// What the mean of the factors on the centre is taken over: the rates as they are tried, cut by the bounds or not.
    pub(crate) fn basis<'a>(&'a self, config: &'a AutoLrConfig) -> Basis<'a> {
        if !self.is_cut {
            return config.rule().factors().basis();
        }
        Basis {
            factors: &self.factors,
            logs: &self.logs,
        }
    }

    pub(crate) fn lowest(&self) -> f64 {
        self.values.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub(crate) fn highest(&self) -> f64 {
        self.values.iter().copied().fold(0.0, f64::max)
    }

    /// The rate to centre the next probe on, if the losses point beyond the outermost candidate: the best loss is that
    /// of the highest or the lowest rate alone, or (`lower`) no loss is finite. None where the window would not move,
    /// or stands at a bound.
    pub(crate) fn beyond(
        &self,
        config: &AutoLrConfig,
        losses: ArrayView1<'_, f64>,
        lower: bool,
    ) -> Option<f64> {
        let (lowest, highest) = (self.lowest(), self.highest());
        let best = losses
            .iter()
            .filter(|loss| loss.is_finite())
            .fold(f64::INFINITY, |best, &loss| best.min(loss));
        let only = |rate: f64| {
            let mut pairs = self.values.iter().zip(losses);
            best.is_finite() && pairs.all(|(&value, &loss)| loss != best || value == rate)
        };
        if lowest == highest {
            return None;
        }
        let (min, max) = config.bounds();
        if only(highest) && highest > self.centre && highest < max {
            Some(highest)
        } else if (lower || only(lowest)) && lowest < self.centre && lowest > min {
            Some(lowest)
        } else {
            None
        }
    }

    pub(crate) fn no_finite_loss(&self) -> TellError {
        TellError::NoFiniteLoss {
            candidates: self.values.len(),
            lowest: self.lowest(),
            highest: self.highest(),
        }
    }
}
