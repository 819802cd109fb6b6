//! L-DoG: DoG for each tensor of parameters apart.

use serde::{Deserialize, Serialize};

use super::dog::KEYS;
use super::{Along, Dog, Flat, Move, Rule, Step, larger};
use crate::SettingsError;
use crate::method::kind::Kind;

/// L-DoG: [`Dog`] with a distance and a sum of squared gradients for each tensor of parameters, all else as there.
///
/// The rate that is shown is that of the tensor with the highest.
///
/// # References
/// Ivgi, Hinder and Carmon, "DoG is SGD's best friend: a parameter-free dynamic step size schedule", ICML 2023,
/// arXiv:2302.12022, section 4.4; package dog-optimizer 1.0.3.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LDog {
    /// As those of [`Dog`].
    pub dog: Dog,
}

impl Rule for LDog {
    const KIND: Kind = Kind::new("l-dog", KEYS, "DoG for each tensor apart; wants lr = 1");

    fn check(&self) -> Result<(), SettingsError> {
        self.dog.check()
    }

    fn slots(&self) -> &'static [&'static str] {
        self.dog.slots()
    }

    fn numbers(&self, tensors: usize) -> Vec<(&'static str, usize)> {
        vec![("rbar", tensors), ("squares", tensors)]
    }

    fn weight_decay(&self) -> f64 {
        self.dog.weight_decay
    }

    fn is_proportional(&self) -> bool {
        false
    }

    fn direction<F: Flat>(&self, step: &mut Step<'_, F>) -> Result<Move, F::Error> {
        step.decay()?;
        let tensors = step.tensors;
        let (distances, sums) = step.numbers.split_at_mut(tensors.len());
        let [origin, ..] = &mut *step.state else {
            return Ok(Move::at(0.0, Along::Gradient));
        };
        if step.number == 1 {
            origin.copy(step.weights)?;
            for (distance, square) in distances.iter_mut().zip(origin.squared_norms(tensors)?) {
                *distance = self.dog.first_distance(square.sqrt());
            }
            sums.fill(self.dog.eps);
        } else {
            let mut away = origin.zeros_like()?;
            away.set_sum(step.weights, -1.0, origin)?;
            for (distance, square) in distances.iter_mut().zip(away.squared_norms(tensors)?) {
                *distance = larger(*distance, square.sqrt());
            }
        }
        let squares = step.gradient.squared_norms(tensors)?;
        sums.iter_mut()
            .zip(squares)
            .for_each(|(sum, square)| *sum += square);
        let rate =
            |(&distance, &sum): (&f64, &f64)| self.dog.rate(step.lr, distance, sum, step.number);
        let mut rates: Vec<f64> = distances.iter().zip(&*sums).map(rate).collect();
        let highest = rates.iter().copied().fold(0.0, larger);
        if highest > 0.0 {
            rates.iter_mut().for_each(|rate| *rate /= highest);
            step.gradient.scale_parts(tensors, &rates)?;
        }
        Ok(Move::at(highest, Along::Gradient))
    }

    fn moved<F: Flat>(&self, weights: &F, state: &mut [F], number: u64) -> Result<(), F::Error> {
        self.dog.moved(weights, state, number)
    }

    fn evaluated<F: Flat>(&self, weights: &F, state: &[F]) -> Result<Option<F>, F::Error> {
        self.dog.evaluated(weights, state)
    }
}
