//! The noisy quadratic model: the smallest problem in which a learning rate that is good for the next step is bad for the
//! whole training, with its expected loss and its best schedules in closed form.
//!
//! Source: Wu, Ren, Liao and Grosse 2018, "Understanding Short-Horizon Bias in Stochastic Meta-Optimization",
//! arXiv:1803.02021.

use std::ops::Range;

use autolr_core::KeyDefault::Core;
use autolr_core::ValueKind::{Number, Numbers, Whole};
use autolr_core::{Key, Kind, Range as Limits, SettingsError};
use ndarray::{Array1, Zip};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    LayerKind, Metric, Network, Outcome, Part, Parts, Pure, PureTask, StateArray, TaskError, Visitor,
};
use crate::data::{DataSetName, Input, Stream, normal};

/// Largest derivative of the final loss with respect to ln α, relative to that loss, at which a schedule counts as best.
const TOLERANCE: f64 = 1e-9;
const SWEEPS: usize = 20_000;

/// Curvatures hᵢ of the coordinates.
#[derive(Debug, Clone, PartialEq)]
pub enum Spectrum {
    /// hᵢ = condition^(−i/(dimension − 1)), from 1 down to 1/condition.
    Geometric {
        /// Number of coordinates.
        dimension: u32,
        /// Ratio of the largest to the smallest curvature, at least 1.
        condition: f64,
    },
    /// These, each positive.
    Explicit(Vec<f64>),
}

/// `[network]` of [`Quadratic`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NoisyQuadratic {
    /// Number of coordinates.
    pub dimension: u32,
    /// Ratio of the largest to the smallest curvature.
    pub condition: f64,
    /// Curvatures, instead of a geometric spectrum; empty for that.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub curvatures: Vec<f64>,
    /// Variance of c times curvature.
    pub noise: f64,
    /// Where every coordinate starts.
    pub start: f64,
}

impl Default for NoisyQuadratic {
    fn default() -> Self {
        Self {
            dimension: 100,
            condition: 1000.0,
            curvatures: Vec::new(),
            noise: 1.0,
            start: 1.0,
        }
    }
}

impl NoisyQuadratic {
    /// The problem, with so many training and test examples.
    ///
    /// # Errors
    /// As [`Quadratic::new`].
    pub fn problem(&self, examples: (usize, usize)) -> Result<Quadratic, TaskError> {
        let count = |examples: usize| u32::try_from(examples).unwrap_or(u32::MAX);
        Quadratic::new(QuadraticSettings {
            spectrum: if self.curvatures.is_empty() {
                Spectrum::Geometric {
                    dimension: self.dimension,
                    condition: self.condition,
                }
            } else {
                Spectrum::Explicit(self.curvatures.clone())
            },
            noise: self.noise,
            start: self.start,
            train: count(examples.0),
            test: count(examples.1),
        })
    }
}

impl Network for NoisyQuadratic {
    const KIND: Kind = Kind::new(
        "quadratic",
        &[
            Key::new("dimension", Whole, Core("100"))
                .within(Limits::new(1.0, 100_000.0, "must be from 1 to 100000"))
                .about("number of coordinates"),
            Key::new("condition", Number, Core("1000"))
                .within(Limits::new(1.0, 1e12, "must be from 1 to 1e12"))
                .about("ratio of the largest curvature, 1, to the smallest; those between are geometric"),
            Key::new("curvatures", Numbers, Core("none"))
                .within(Limits::POSITIVE)
                .about("these, instead of `dimension` and `condition`"),
            Key::new("noise", Number, Core("1"))
                .within(Limits::NOT_NEGATIVE)
                .about("variance of an example's minimum, times curvature"),
            Key::new("start", Number, Core("1"))
                .within(Limits::FINITE)
                .about("where every coordinate starts"),
        ],
        "noisy quadratic, in pure Rust; its expected loss and best schedules are in closed form",
    );
    const TAKES: Input = Input::Noise;
    const METRIC: Metric = Metric::Loss;

    fn check(&self) -> Result<(), SettingsError> {
        let usual = Self::default();
        let rule = "not beside `curvatures`";
        if self.curvatures.is_empty() {
            Ok(())
        } else if self.dimension != usual.dimension {
            Err(SettingsError::value("dimension", self.dimension, rule))
        } else if self.condition.to_bits() != usual.condition.to_bits() {
            Err(SettingsError::value("condition", self.condition, rule))
        } else {
            // σ² = noise / h has to be a number.
            let tiny = |h: &f64| !(self.noise / h).is_finite();
            match self.curvatures.iter().position(tiny) {
                Some(index) => {
                    let (key, h) = (format!("curvatures[{index}]"), self.curvatures[index]);
                    let rule = format!("too small beside noise = {}", self.noise);
                    Err(SettingsError::value(&key, h, rule))
                }
                None => Ok(()),
            }
        }
    }

    fn layer_kinds(&self) -> &'static [LayerKind] {
        &[LayerKind::Weights]
    }

    fn size(&self) -> String {
        match self.curvatures.len() {
            0 => self.dimension.to_string(),
            n => n.to_string(),
        }
    }

    fn parameters(&self, _: DataSetName) -> u64 {
        match self.curvatures.len() {
            0 => u64::from(self.dimension),
            n => n as u64,
        }
    }

    fn open<V: Visitor>(&self, parts: &Parts<'_>, visitor: V) -> anyhow::Result<V::Output> {
        visitor.visit(Pure::new(self.problem(parts.drawn)?, parts.seed))
    }
}

/// What makes a noisy quadratic.
#[derive(Debug, Clone, PartialEq)]
pub struct QuadraticSettings {
    /// Curvatures.
    pub spectrum: Spectrum,
    /// Variance of c times curvature: σᵢ² = noise / hᵢ. The gradient of an example then has covariance noise · H; noise = 1
    /// is the case in which it equals the Hessian, as a Fisher matrix does.
    pub noise: f64,
    /// Where every coordinate starts.
    pub start: f64,
    /// Training examples that an epoch counts; each is drawn anew whenever it is looked at.
    pub train: u32,
    /// Test examples, likewise.
    pub test: u32,
}

/// L(θ; c) = ½ Σ hᵢ (θᵢ − cᵢ)², with c ~ N(0, σᵢ²) drawn for every example of every batch.
///
/// The loss of a batch of drawn examples contains ½ Σ hᵢ σᵢ² on average, which no θ removes. Without a random stream, c = 0
/// and the loss is ½ Σ hᵢ θᵢ²: the expected loss without that part. [`Quadratic::expected_loss`] and the schedules are
/// about the latter.
#[derive(Debug, Clone, PartialEq)]
pub struct Quadratic {
    curvatures: Array1<f64>,
    variances: Array1<f64>,
    settings: QuadraticSettings,
}

/// Examples of a noisy quadratic, as far as their mean loss depends on them.
#[derive(Debug, Clone, PartialEq)]
pub struct QuadraticBatch {
    /// Mean of c, shape `[dimension]`.
    mean: Array1<f64>,
    /// ½ Σ hᵢ times the variance of cᵢ within the batch: the part of the loss without θ.
    spread: f64,
}

/// E θ², E θv and E v² of a coordinate.
#[derive(Debug, Clone, Copy)]
struct Moments {
    position: f64,
    both: f64,
    velocity: f64,
}

impl Quadratic {
    /// The problem of these settings.
    ///
    /// # Errors
    /// [`TaskError`] if there is no coordinate, a curvature is not positive and finite, the condition is below 1, the noise
    /// negative, or a number not finite.
    pub fn new(settings: QuadraticSettings) -> Result<Self, TaskError> {
        let range = |holds: bool, what, value, range| {
            let error = TaskError::Range { what, value, range };
            if holds { Ok(()) } else { Err(error) }
        };
        // Written so that NaN fails too.
        let curvatures: Array1<f64> = match &settings.spectrum {
            Spectrum::Geometric {
                dimension,
                condition,
            } => {
                let holds = *condition >= 1.0 && condition.is_finite();
                range(holds, "condition", *condition, "at least 1 and finite")?;
                let last = f64::from(*dimension) - 1.0;
                let exponent = |i| if i == 0 { 0.0 } else { -f64::from(i) / last };
                (0..*dimension)
                    .map(|i| libm::pow(*condition, exponent(i)))
                    .collect()
            }
            Spectrum::Explicit(curvatures) => curvatures.iter().copied().collect(),
        };
        if curvatures.is_empty() {
            return Err(TaskError::Zero("dimension"));
        }
        for &h in &curvatures {
            range(
                h > 0.0 && h.is_finite(),
                "curvature",
                h,
                "positive and finite",
            )?;
        }
        let QuadraticSettings { noise, start, .. } = settings;
        range(
            noise >= 0.0 && noise.is_finite(),
            "noise",
            noise,
            "at least 0 and finite",
        )?;
        range(start.is_finite(), "start", start, "finite")?;
        Ok(Self {
            variances: curvatures.mapv(|h| noise / h),
            curvatures,
            settings,
        })
    }

    /// Curvatures, shape `[dimension]`.
    pub fn curvatures(&self) -> &Array1<f64> {
        &self.curvatures
    }

    /// Expected loss ½ Σ hᵢ E θᵢ² before each step and after the last, shape `[steps + 1]`, of SGD with these learning
    /// rates, shape `[steps]`, on batches of `batch` examples: v ← μ v + g, θ ← θ − α v, v = 0 at first.
    ///
    /// With a batch of 0 the noise has no finite variance: infinities or NaN come back.
    ///
    /// Exact: with ξ the batch's mean of c, which has variance q = σ²/batch, g = h (θ − ξ), so that for each coordinate
    /// E v'² = μ² E v² + 2 μ h E θv + h² (E θ² + q), E θv' = μ E θv + h E θ², E θ'² = E θ² − 2 α E θv' + α² E v'² and
    /// E θ'v' = E θv' − α E v'².
    pub fn expected_loss(&self, rates: &[f64], momentum: f64, batch: usize) -> Vec<f64> {
        let mut moments = vec![
            Moments {
                position: self.settings.start * self.settings.start,
                both: 0.0,
                velocity: 0.0,
            };
            self.curvatures.len()
        ];
        let loss = |moments: &[Moments]| {
            let terms = self.curvatures.iter().zip(moments);
            0.5 * terms.fold(0.0, |sum, (h, m)| sum + h * m.position)
        };
        let mut losses = vec![loss(&moments)];
        for &lr in rates {
            for ((m, &h), variance) in moments
                .iter_mut()
                .zip(&self.curvatures)
                .zip(&self.variances)
            {
                let noise = variance / batch as f64;
                let velocity = momentum * momentum * m.velocity
                    + 2.0 * momentum * h * m.both
                    + h * h * (m.position + noise);
                let both = momentum * m.both + h * m.position;
                *m = Moments {
                    position: m.position - 2.0 * lr * both + lr * lr * velocity,
                    both: both - lr * velocity,
                    velocity,
                };
            }
            losses.push(loss(&moments));
        }
        losses
    }

    /// The greedy schedule, shape `[steps]`: each rate minimises the expected loss after its step, without momentum:
    /// α = Σ hᵢ² E θᵢ² / Σ hᵢ³ (E θᵢ² + σᵢ²/batch), 0 where all is at the optimum.
    pub fn best_rates(&self, steps: usize, batch: usize) -> Vec<f64> {
        let mut position = self.start_squares();
        let mut rates = Vec::with_capacity(steps);
        for _ in 0..steps {
            let lr = self.best_rate(&self.curvatures, &position, batch);
            self.advance(&mut position, lr, batch);
            rates.push(lr);
        }
        rates
    }

    /// The schedule of the smallest expected loss after the last step, shape `[steps]`, without momentum.
    ///
    /// The final loss is a quadratic function of each rate, given the others: with λᵢ its derivative with respect to E θᵢ²
    /// after a step, found from the last step to the first (λ ← λ (1 − α h)²), the rate of that step is best at
    /// Σ λᵢ hᵢ E θᵢ² / Σ λᵢ hᵢ² (E θᵢ² + σᵢ²/batch). A sweep from the last step to the first sets each rate there, so that
    /// the loss never rises; sweeps go on until no derivative with respect to ln α exceeds 10⁻⁹ of the loss, at most
    /// 20,000. It is done from the greedy schedule and from a decaying one, and the better is taken: the final loss is not
    /// convex in the rates, so that a still better one is not excluded.
    ///
    /// Early rates may exceed 2/h of the steepest coordinate, and with them the loss for a while: later ones repair it.
    pub fn best_schedule(&self, steps: usize, batch: usize) -> Vec<f64> {
        let flattest = self.curvatures.fold(f64::INFINITY, |a, &h| a.min(h));
        let steepest = self.curvatures.fold(0.0_f64, |a, &h| a.max(h));
        // Down to half of the rate that is stable and shrinks the outermost coordinates alike.
        let decaying = (0..steps).map(|t| {
            let part = (t + 1) as f64 / steps as f64;
            2.0 / (steepest + flattest) / (1.0 + part)
        });
        let (mut best, _) = self.descend(self.best_rates(steps, batch), batch);
        let (other, _) = self.descend(decaying.collect(), batch);
        let last = |rates: &[f64]| self.expected_loss(rates, 0.0, batch)[steps];
        if last(&other) < last(&best) {
            best = other;
        }
        best
    }

    /// Sweeps of [`Quadratic::best_schedule`] from `rates`, and how many there were.
    fn descend(&self, mut rates: Vec<f64>, batch: usize) -> (Vec<f64>, usize) {
        for sweep in 1..=SWEEPS {
            let mut positions = vec![self.start_squares()];
            for &lr in &rates {
                let mut next = positions[positions.len() - 1].clone();
                self.advance(&mut next, lr, batch);
                positions.push(next);
            }
            let last = &positions[rates.len()];
            let loss = 0.5 * weighted(&self.curvatures, last);
            let mut adjoint = 0.5 * &self.curvatures;
            let mut largest = 0.0_f64;
            for (lr, position) in rates.iter_mut().zip(&positions).rev() {
                let best = self.best_rate(&adjoint, position, batch);
                // Along α the loss is s (α − best)² / 2 + a constant.
                let s = 2.0 * self.curved(&adjoint, position, batch);
                largest = largest.max((*lr * s * (*lr - best)).abs());
                *lr = best;
                Zip::from(&mut adjoint)
                    .and(&self.curvatures)
                    .for_each(|a, h| *a *= (1.0 - best * h) * (1.0 - best * h));
            }
            if largest <= TOLERANCE * loss || !loss.is_finite() {
                return (rates, sweep);
            }
        }
        (rates, SWEEPS)
    }

    fn start_squares(&self) -> Array1<f64> {
        let start = self.settings.start;
        Array1::from_elem(self.curvatures.len(), start * start)
    }

    /// E θ² after a step: (1 − α h)² E θ² + α² h² σ²/batch.
    fn advance(&self, position: &mut Array1<f64>, lr: f64, batch: usize) {
        Zip::from(position)
            .and(&self.curvatures)
            .and(&self.variances)
            .for_each(|p, h, variance| {
                let (kept, step) = (1.0 - lr * h, lr * h);
                *p = kept * kept * *p + step * step * variance / batch as f64;
            });
    }

    /// The rate that minimises Σ λ E θ² after a step.
    fn best_rate(&self, adjoint: &Array1<f64>, position: &Array1<f64>, batch: usize) -> f64 {
        let pull = Zip::from(adjoint)
            .and(&self.curvatures)
            .and(position)
            .fold(0.0, |sum, l, h, p| sum + l * h * p);
        let curved = self.curved(adjoint, position, batch);
        if curved > 0.0 { pull / curved } else { 0.0 }
    }

    /// Σ λ h² (E θ² + σ²/batch).
    fn curved(&self, adjoint: &Array1<f64>, position: &Array1<f64>, batch: usize) -> f64 {
        Zip::from(adjoint)
            .and(&self.curvatures)
            .and(position)
            .and(&self.variances)
            .fold(0.0, |sum, l, h, p, variance| {
                sum + l * h * h * (p + variance / batch as f64)
            })
    }
}

fn weighted(weights: &Array1<f64>, values: &Array1<f64>) -> f64 {
    weights
        .iter()
        .zip(values)
        .fold(0.0, |sum, (w, v)| sum + w * v)
}

impl super::PureExamples for Quadratic {
    type Batch = QuadraticBatch;

    fn name(&self) -> String {
        "noisy quadratic".into()
    }

    /// Of curvatures and variances, then start (float64, little-endian).
    fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for value in self.curvatures.iter().chain(&self.variances) {
            hash.update(value.to_le_bytes());
        }
        hash.update(self.settings.start.to_le_bytes());
        hex::encode(hash.finalize())
    }

    fn count(&self, part: Part) -> usize {
        match part {
            Part::Train => self.settings.train as usize,
            Part::Test => self.settings.test as usize,
        }
    }

    /// As many examples as there are indices; which they are does not matter. Without `random`, c = 0.
    fn batch(&self, _: Part, indices: &[u32], random: Option<&mut Stream>) -> QuadraticBatch {
        let n = indices.len() as f64;
        let mut sum = Array1::<f64>::zeros(self.curvatures.len());
        let mut squares = sum.clone();
        if let Some(rng) = random {
            let deviations = self.variances.mapv(f64::sqrt);
            for _ in indices {
                Zip::from(&mut sum)
                    .and(&mut squares)
                    .and(&deviations)
                    .for_each(|sum, squares, deviation| {
                        let c = deviation * normal::normal(rng);
                        *sum += c;
                        *squares += c * c;
                    });
            }
        }
        let mean = sum / n;
        let within = squares / n - &mean * &mean;
        QuadraticBatch {
            spread: 0.5 * weighted(&self.curvatures, &within),
            mean,
        }
    }

    /// `….mean`, shape `[dimension]`, and `….spread`, shape `[1]`.
    fn arrays(&self, name: &str, batch: &QuadraticBatch) -> Vec<StateArray> {
        vec![
            StateArray::vector(format!("{name}.mean"), batch.mean.to_vec()),
            StateArray::vector(format!("{name}.spread"), vec![batch.spread]),
        ]
    }
}

impl PureTask for Quadratic {
    type Examples = Self;

    fn examples(&self) -> &Self {
        self
    }

    /// Every coordinate at the settings' start, whatever the seed.
    fn start(&self, _: u64) -> Array1<f64> {
        Array1::from_elem(self.curvatures.len(), self.settings.start)
    }

    fn layers(&self) -> Vec<(LayerKind, Range<usize>)> {
        vec![(LayerKind::Weights, 0..self.curvatures.len())]
    }

    fn evaluate(
        &self,
        weights: &Array1<f64>,
        batch: &QuadraticBatch,
        gradient: Option<&mut Array1<f64>>,
    ) -> Outcome {
        let away = weights - &batch.mean;
        if let Some(gradient) = gradient {
            gradient.assign(&(&self.curvatures * &away));
        }
        let squares = &away * &away;
        Outcome {
            loss: 0.5 * weighted(&self.curvatures, &squares) + batch.spread,
            correct: None,
        }
    }
}

#[cfg(test)]
mod tests;
