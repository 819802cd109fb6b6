//! Optimisers: how a gradient and a rate become a step. Written once, for vectors wherever they live ([`Flat`]).
//!
//! Each moves the weights by θ ← θ − a u. Where u does not depend on the rate lr and a is lr itself, one direction serves all
//! candidates of a probe, and a trial is one operation. An optimiser that finds its own step size takes lr as a factor of it.
//!
//! A gradient, or a loss, with a NaN makes the weights NaN: a divergence is not hidden.

mod evaluation;
mod flat;
mod groups;
mod line;
mod probe;

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::method::kind::Kind;
use crate::value::read::SettingsError;

pub use evaluation::Evaluation;
pub use flat::Flat;
pub use groups::Groups;
pub use line::read_line;
pub use mechanic::MechanicBase;
pub use probe::{Objective, ScoringBatches, StepProbe, TrialLoss};

/// The modules, the settings of any optimiser, and what goes to each.
macro_rules! optimizers {
    ($($module:ident: $Rule:ident = $kind:literal,)+) => {
        $(mod $module;)+
        $(pub use $module::$Rule;)+

        /// The settings of any optimiser; the learning rate is not among them, it comes with each step. In a file, the key
        /// `kind` says which.
        #[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind")]
        #[non_exhaustive]
        pub enum OptimizerConfig {
            $(
                #[doc = concat!("`kind = \"", $kind, "\"`")]
                #[serde(rename = $kind)]
                $Rule($Rule),
            )+
        }

        impl OptimizerConfig {
            /// What the key `kind` can be, and the keys of each.
            pub const KINDS: &[Kind] = &[$($Rule::KIND),+];

            /// The names that the key `kind` can have.
            pub const NAMES: &[&str] = &[$($kind),+];

            /// What the key `kind` says.
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$Rule(_) => $kind),+ }
            }

            /// Whether all settings are within their range.
            ///
            /// # Errors
            /// [`SettingsError`] that names the key and the value.
            pub fn check(&self) -> Result<(), SettingsError> {
                match self { $(Self::$Rule(rule) => rule.check()),+ }
            }

            /// Names of the vectors of its state, each as long as the weights.
            pub fn slots(&self) -> &'static [&'static str] {
                match self { $(Self::$Rule(rule) => rule.slots()),+ }
            }

            /// λ of parameters that no group gives another.
            pub fn weight_decay(&self) -> f64 {
                match self { $(Self::$Rule(rule) => rule.weight_decay()),+ }
            }

            /// Names and lengths of the numbers of its state, where the weights are so many tensors.
            pub fn numbers(&self, tensors: usize) -> Vec<(&'static str, usize)> {
                match self { $(Self::$Rule(rule) => rule.numbers(tensors)),+ }
            }

            /// Whether a step is lr times a direction that does not depend on lr. Only such optimisers can have parameter
            /// groups, and losses of a probe that lie along one line.
            pub fn is_proportional(&self) -> bool {
                match self { $(Self::$Rule(rule) => rule.is_proportional()),+ }
            }

            /// Whether each step needs the loss that the gradient is of ([`Optimizer::step_at_loss`]).
            pub fn needs_loss(&self) -> bool {
                match self { $(Self::$Rule(rule) => rule.needs_loss()),+ }
            }

            fn direction<F: Flat>(&self, step: &mut Step<'_, F>) -> Result<Move, F::Error> {
                match self { $(Self::$Rule(rule) => rule.direction(step)),+ }
            }

            fn moved<F: Flat>(&self, weights: &F, state: &mut [F], number: u64) -> Result<(), F::Error> {
                match self { $(Self::$Rule(rule) => rule.moved(weights, state, number)),+ }
            }

            fn evaluated<F: Flat>(&self, weights: &F, state: &[F]) -> Result<Option<F>, F::Error> {
                match self { $(Self::$Rule(rule) => rule.evaluated(weights, state)),+ }
            }
        }
    };
}

// A new optimiser is a file beside this, and a line here.
optimizers! {
    sgd: Sgd = "sgd",
    adamw: AdamW = "adamw",
    signsgd: SignSgd = "signsgd",
    averaged_sgd: AveragedSgd = "averaged-sgd",
    dog: Dog = "dog",
    l_dog: LDog = "l-dog",
    prodigy: Prodigy = "prodigy",
    d_adaptation_sgd: DAdaptationSgd = "d-adaptation-sgd",
    d_adaptation_adam: DAdaptationAdam = "d-adaptation-adam",
    schedule_free_sgd: ScheduleFreeSgd = "schedule-free-sgd",
    schedule_free_adamw: ScheduleFreeAdamW = "schedule-free-adamw",
    momo: Momo = "momo",
    momo_adam: MomoAdam = "momo-adam",
    hypergradient_sgd: HypergradientSgd = "hypergradient-sgd",
    hypergradient_momentum: HypergradientMomentum = "hypergradient-momentum",
    hypergradient_adam: HypergradientAdam = "hypergradient-adam",
    multiplicative_hypergradient_sgd: MultiplicativeHypergradientSgd = "multiplicative-hypergradient-sgd",
    mechanic: Mechanic = "mechanic",
}

impl OptimizerConfig {
    /// Plain gradient descent.
    pub const PLAIN_SGD: Self = Self::Sgd(Sgd {
        momentum: 0.0,
        nesterov: false,
        weight_decay: 0.0,
    });

    /// AdamW with PyTorch's defaults.
    pub const ADAM_W: Self = Self::AdamW(AdamW::DEFAULT);
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self::PLAIN_SGD
    }
}

/// An optimiser: its settings, and what a step is made of. One file each.
pub trait Rule: Copy + fmt::Debug + PartialEq {
    /// What the key `kind` says, and the other keys.
    const KIND: Kind;

    /// Whether all settings are within their range.
    ///
    /// # Errors
    /// [`SettingsError`] that names the key and the value.
    fn check(&self) -> Result<(), SettingsError>;

    /// Names of the vectors of its state, which are zero before the first step.
    fn slots(&self) -> &'static [&'static str];

    /// Names and lengths of the numbers of its state, where the weights are so many tensors; they are 0 before the first step.
    fn numbers(&self, tensors: usize) -> Vec<(&'static str, usize)> {
        let _ = tensors;
        Vec::new()
    }

    /// λ, where no parameter group has another; see [`Step::decay`].
    fn weight_decay(&self) -> f64;

    /// Whether a step is lr times a direction that does not depend on lr. Else each candidate of a probe has a direction of
    /// its own, no parabola can stand in for it, and there are no parameter groups.
    fn is_proportional(&self) -> bool {
        true
    }

    /// Whether it needs [`Step::loss`].
    fn needs_loss(&self) -> bool {
        false
    }

    /// Moves the state, and turns the gradient into the direction of the step.
    ///
    /// # Errors
    /// When an operation does.
    fn direction<F: Flat>(&self, step: &mut Step<'_, F>) -> Result<Move, F::Error>;

    /// What follows once the weights have moved in the step of a number (from 1): means of them, say.
    ///
    /// # Errors
    /// When an operation does.
    fn moved<F: Flat>(&self, weights: &F, state: &mut [F], number: u64) -> Result<(), F::Error> {
        let _ = (weights, state, number);
        Ok(())
    }

    /// The weights at which the model is to be evaluated; none if they are those that are trained.
    ///
    /// # Errors
    /// When an operation does.
    fn evaluated<F: Flat>(&self, weights: &F, state: &[F]) -> Result<Option<F>, F::Error> {
        let _ = (weights, state);
        Ok(None)
    }
}

/// What a step is made of; all vectors have shape `[n]`.
#[derive(Debug)]
pub struct Step<'a, F> {
    /// Its number, from 1.
    pub number: u64,
    /// The schedule's rate.
    pub lr: f64,
    /// The loss that the gradient is of; NaN where it is not known.
    pub loss: f64,
    /// θ.
    pub weights: &'a F,
    /// g: the rule's work space.
    pub gradient: &'a mut F,
    /// In the order of [`Rule::slots`].
    pub state: &'a mut [F],
    /// In the order of [`Rule::numbers`], one after another.
    pub numbers: &'a mut [f64],
    /// Where each tensor of parameters lies in the vectors.
    pub tensors: &'a [Range<usize>],
    weight_decay: f64,
    groups: Option<&'a Groups<F>>,
}

impl<F: Flat> Step<'_, F> {
    /// The same step with the first `slots` of the state, for a rule that has another's and more.
    fn with_slots(&mut self, slots: usize) -> Step<'_, F> {
        Step {
            number: self.number,
            lr: self.lr,
            loss: self.loss,
            weights: self.weights,
            gradient: &mut *self.gradient,
            state: &mut self.state[..slots],
            numbers: &mut *self.numbers,
            tensors: self.tensors,
            weight_decay: self.weight_decay,
            groups: self.groups,
        }
    }

    /// A copy of one of the vectors.
    ///
    /// # Errors
    /// When an operation does.
    fn copy_of(vector: &F) -> Result<F, F::Error> {
        let mut copy = vector.zeros_like()?;
        copy.copy(vector)?;
        Ok(copy)
    }

    /// Weight decay, whatever the gradient's vector holds by now: g ← g + λθ, with each parameter group's λ.
    ///
    /// # Errors
    /// When an operation does.
    pub fn decay(&mut self) -> Result<(), F::Error> {
        match self.groups {
            Some(groups) => self.gradient.add_product(&groups.decay, self.weights),
            None if self.weight_decay > 0.0 => {
                self.gradient.add_scaled(self.weight_decay, self.weights)
            }
            None => Ok(()),
        }
    }
}

/// Where a rule leaves the direction of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Along {
    /// In the gradient's vector.
    Gradient,
    /// In the state's vector of this place, which saves a copy.
    Slot(usize),
}

/// How the weights move: θ ← θ − a u.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Move {
    /// Where u is.
    pub along: Along,
    /// a.
    pub factor: f64,
    /// The rate that is really taken, as logs show it; a itself, unless a part of the rate is in u.
    pub lr: f64,
}

impl Move {
    /// At a rate, along a direction that has no part of it.
    pub fn at(lr: f64, along: Along) -> Self {
        Self {
            along,
            factor: lr,
            lr,
        }
    }

    /// Along the gradient's vector, which is the whole displacement at a rate.
    pub fn whole(lr: f64) -> Self {
        Self {
            along: Along::Gradient,
            factor: 1.0,
            lr,
        }
    }
}

/// The larger of two numbers; NaN if one of them is.
fn larger(a: f64, b: f64) -> f64 {
    if a >= b || a.is_nan() { a } else { b }
}

/// The smaller of two numbers; NaN if one of them is.
fn smaller(a: f64, b: f64) -> f64 {
    if a <= b || a.is_nan() { a } else { b }
}

/// Whether a number is in the range of a rule's key.
///
/// # Errors
/// If it is not: the key, the value and the range.
fn in_range<R: Rule>(key: &'static str, value: f64) -> Result<(), SettingsError> {
    match R::KIND.key(key) {
        Some(key) if !key.range.has(value) => {
            Err(SettingsError::value(key.name, value, key.range.rule()))
        }
        _ => Ok(()),
    }
}

/// Whether `growth_rate` is 0 or at least 1.
///
/// # Errors
/// If it is not.
fn growth_in_range<R: Rule>(value: f64) -> Result<(), SettingsError> {
    if value > 0.0 && value < 1.0 {
        return Err(SettingsError::value(
            "growth_rate",
            value,
            "must be 0 or at least 1",
        ));
    }
    in_range::<R>("growth_rate", value)
}

/// An optimiser with its state.
///
/// ```
/// use autolr_core::ndarray::array;
/// use autolr_core::optimizer::{Optimizer, OptimizerConfig, Sgd};
///
/// let mut weights = array![1.0_f64, -2.0];
/// let config = OptimizerConfig::Sgd(Sgd { momentum: 0.5, ..Sgd::default() });
/// let mut optimizer = Optimizer::new(config, &weights)?;
/// for _step in 0..2 {
///     let mut gradient = weights.clone(); // of ‖w‖²/2
///     optimizer.step(&mut weights, &mut gradient, 0.1)?;
/// }
/// assert!((weights[0] - 0.76).abs() < 1e-15);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Optimizer<F> {
    config: OptimizerConfig,
    groups: Option<Groups<F>>,
    tensors: Vec<Range<usize>>,
    steps: u64,
    state: Vec<F>,
    numbers: Vec<f64>,
}

impl<F: Flat> Optimizer<F> {
    /// One that has not stepped yet, for weights as long as `like`. The settings have been checked
    /// ([`OptimizerConfig::check`]).
    ///
    /// # Errors
    /// When an operation does.
    pub fn new(config: OptimizerConfig, like: &F) -> Result<Self, F::Error> {
        let zeros = config.slots().iter().map(|_| like.zeros_like());
        let all = 0..like.entries();
        let optimizer = Self {
            config,
            groups: None,
            tensors: Vec::new(),
            steps: 0,
            state: zeros.collect::<Result<_, _>>()?,
            numbers: Vec::new(),
        };
        Ok(optimizer.with_tensors(vec![all]))
    }

    /// The same, of weights that are several tensors: where each lies in the vectors. Without, they are one.
    #[must_use]
    pub fn with_tensors(self, tensors: Vec<Range<usize>>) -> Self {
        let numbers = self.config.numbers(tensors.len());
        Self {
            numbers: vec![0.0; numbers.iter().map(|(_, len)| len).sum()],
            tensors,
            ..self
        }
    }

    /// The same, with a rate and weight decay for each parameter group; for an optimiser whose steps are proportional to the
    /// rate ([`OptimizerConfig::is_proportional`]).
    #[must_use]
    pub fn with_groups(self, groups: Option<Groups<F>>) -> Self {
        Self { groups, ..self }
    }

    /// The settings.
    pub fn config(&self) -> &OptimizerConfig {
        &self.config
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The vectors of its state, with their names.
    pub fn state(&self) -> impl Iterator<Item = (&'static str, &F)> {
        self.config.slots().iter().copied().zip(&self.state)
    }

    /// The same, to be written to, and the number of steps: going back to a saved state.
    pub fn state_mut(&mut self) -> (&mut u64, impl Iterator<Item = (&'static str, &mut F)>) {
        let names = self.config.slots().iter().copied();
        (&mut self.steps, names.zip(&mut self.state))
    }

    /// The numbers of its state, with their names.
    pub fn numbers(&self) -> Vec<(&'static str, &[f64])> {
        let mut rest = self.numbers.as_slice();
        let named = self.config.numbers(self.tensors.len());
        let part = named.into_iter().map(|(name, len)| {
            let (part, after) = rest.split_at(len);
            rest = after;
            (name, part)
        });
        part.collect()
    }

    /// The same, one after another, to be written to.
    pub fn numbers_mut(&mut self) -> &mut [f64] {
        &mut self.numbers
    }

    /// [`Optimizer::step_at_loss`] for an optimiser that needs no loss ([`OptimizerConfig::needs_loss`]); another goes to
    /// NaN.
    ///
    /// # Errors
    /// When an operation does.
    ///
    /// # Panics
    /// As [`Optimizer::step_at_loss`].
    pub fn step(&mut self, weights: &mut F, gradient: &mut F, lr: f64) -> Result<f64, F::Error> {
        self.step_at_loss(weights, gradient, lr, f64::NAN)
    }

    /// One step: θ ← θ − a u, where a and u come from lr, from the gradient g, which is used up, and from the loss that it is
    /// the gradient of. Returns the rate that was really taken.
    ///
    /// # Errors
    /// When an operation does.
    ///
    /// # Panics
    /// Where the vectors do, if their lengths differ: arrays panic, tensors say so by an error.
    pub fn step_at_loss(
        &mut self,
        weights: &mut F,
        gradient: &mut F,
        lr: f64,
        loss: f64,
    ) -> Result<f64, F::Error> {
        let mut step = Step {
            number: self.steps + 1,
            lr,
            loss,
            weights,
            gradient,
            state: &mut self.state,
            numbers: &mut self.numbers,
            tensors: &self.tensors,
            weight_decay: self.config.weight_decay(),
            groups: self.groups.as_ref(),
        };
        let Move { along, factor, lr } = self.config.direction(&mut step)?;
        let along = match (&self.groups, along) {
            (None, Along::Slot(slot)) => &self.state[slot],
            (None, Along::Gradient) => &*gradient,
            (Some(groups), along) => {
                if let Along::Slot(slot) = along {
                    gradient.copy(&self.state[slot])?;
                }
                gradient.multiply(&groups.multiplier)?;
                &*gradient
            }
        };
        weights.add_scaled(-factor, along)?;
        self.steps += 1;
        self.config.moved(weights, &mut self.state, self.steps)?;
        Ok(lr)
    }

    /// Turns the gradient into the direction u of [`Optimizer::step`] at lr, by the same arithmetic, bit for bit, and returns
    /// a. Neither weights nor state change; it takes as much memory as the state, until it returns.
    ///
    /// # Errors
    /// When an operation does.
    pub fn direction(&self, weights: &F, gradient: &mut F, lr: f64) -> Result<f64, F::Error> {
        let copies = self.state.iter().map(Step::copy_of);
        let mut state = copies.collect::<Result<Vec<_>, _>>()?;
        let mut step = Step {
            number: self.steps + 1,
            lr,
            loss: f64::NAN,
            weights,
            gradient,
            state: &mut state,
            numbers: &mut self.numbers.clone(),
            tensors: &self.tensors,
            weight_decay: self.config.weight_decay(),
            groups: self.groups.as_ref(),
        };
        let moved = self.config.direction(&mut step)?;
        if let Along::Slot(slot) = moved.along {
            gradient.copy(&state[slot])?;
        }
        if let Some(groups) = &self.groups {
            gradient.multiply(&groups.multiplier)?;
        }
        Ok(moved.factor)
    }

    /// The weights at which the model is to be evaluated, shape `[n]`; none if they are those that are trained, as they
    /// always are before the first step.
    ///
    /// # Errors
    /// When an operation does.
    pub fn evaluated(&self, weights: &F) -> Result<Option<F>, F::Error> {
        if self.steps == 0 {
            return Ok(None);
        }
        self.config.evaluated(weights, &self.state)
    }
}

#[cfg(test)]
mod tests;
