//! Optimisers: how a gradient and a rate become a step. Written once, for vectors wherever they live ([`Flat`]).
//!
//! Each moves the weights by θ ← θ − lr u, where the direction u does not depend on lr: one gradient serves all candidates
//! of a probe, and a trial is one operation.

mod evaluation;
mod flat;
mod groups;
mod line;
mod probe;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::method::kind::Kind;
use crate::value::read::SettingsError;

pub use evaluation::Evaluation;
pub use flat::Flat;
pub use groups::Groups;
pub use line::read_line;
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

            fn direction<F: Flat>(&self, step: &mut Step<'_, F>) -> Result<Along, F::Error> {
                match self { $(Self::$Rule(rule) => rule.direction(step)),+ }
            }

            fn rate(&self, lr: f64, number: u64) -> f64 {
                match self { $(Self::$Rule(rule) => rule.rate(lr, number)),+ }
            }

            fn moved<F: Flat>(&self, weights: &F, state: &mut [F], number: u64) -> Result<(), F::Error> {
                match self { $(Self::$Rule(rule) => rule.moved(weights, state, number)),+ }
            }

            fn evaluated_at(&self) -> Option<usize> {
                match self { $(Self::$Rule(rule) => rule.evaluated_at()),+ }
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

    /// λ, where no parameter group has another; see [`Step::decay`].
    fn weight_decay(&self) -> f64;

    /// Moves the state, and turns the gradient into the direction of the step.
    ///
    /// # Errors
    /// When an operation does.
    fn direction<F: Flat>(&self, step: &mut Step<'_, F>) -> Result<Along, F::Error>;

    /// The rate that is really taken in the step of a number (from 1) where the schedule's is `lr`.
    fn rate(&self, lr: f64, number: u64) -> f64 {
        let _ = number;
        lr
    }

    /// What follows once the weights have moved in the step of a number (from 1): means of them, say.
    ///
    /// # Errors
    /// When an operation does.
    fn moved<F: Flat>(&self, weights: &F, state: &mut [F], number: u64) -> Result<(), F::Error> {
        let _ = (weights, state, number);
        Ok(())
    }

    /// Which vector of the state holds the weights at which the model is to be evaluated; none if they are those that are
    /// trained.
    fn evaluated_at(&self) -> Option<usize> {
        None
    }
}

/// What a step is made of; all vectors have shape `[n]`.
#[derive(Debug)]
pub struct Step<'a, F> {
    /// Its number, from 1.
    pub number: u64,
    /// θ.
    pub weights: &'a F,
    /// g: the rule's work space.
    pub gradient: &'a mut F,
    /// In the order of [`Rule::slots`].
    pub state: &'a mut [F],
    weight_decay: f64,
    groups: Option<&'a Groups<F>>,
}

impl<F: Flat> Step<'_, F> {
    /// The same step with the first `slots` of the state, for a rule that has another's and more.
    fn with_slots(&mut self, slots: usize) -> Step<'_, F> {
        Step {
            number: self.number,
            weights: self.weights,
            gradient: &mut *self.gradient,
            state: &mut self.state[..slots],
            weight_decay: self.weight_decay,
            groups: self.groups,
        }
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
    steps: u64,
    state: Vec<F>,
}

impl<F: Flat> Optimizer<F> {
    /// One that has not stepped yet, for weights as long as `like`. The settings have been checked
    /// ([`OptimizerConfig::check`]).
    ///
    /// # Errors
    /// When an operation does.
    pub fn new(config: OptimizerConfig, like: &F) -> Result<Self, F::Error> {
        let zeros = config.slots().iter().map(|_| like.zeros_like());
        Ok(Self {
            config,
            groups: None,
            steps: 0,
            state: zeros.collect::<Result<_, _>>()?,
        })
    }

    /// The same, with a rate and weight decay for each parameter group.
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

    /// One step: θ ← θ − lr u, where u comes from the gradient g, which is used up. Returns the rate that was really taken.
    ///
    /// # Errors
    /// When an operation does.
    ///
    /// # Panics
    /// Where the vectors do, if their lengths differ: arrays panic, tensors say so by an error.
    pub fn step(&mut self, weights: &mut F, gradient: &mut F, lr: f64) -> Result<f64, F::Error> {
        let mut step = Step {
            number: self.steps + 1,
            weights,
            gradient,
            state: &mut self.state,
            weight_decay: self.config.weight_decay(),
            groups: self.groups.as_ref(),
        };
        let along = self.config.direction(&mut step)?;
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
        let lr = self.rate(lr);
        weights.add_scaled(-lr, along)?;
        self.steps += 1;
        self.config.moved(weights, &mut self.state, self.steps)?;
        Ok(lr)
    }

    /// Turns the gradient into the direction u of [`Optimizer::step`], by the same arithmetic, bit for bit. Neither weights
    /// nor state change; it takes as much memory as the state, until it returns.
    ///
    /// # Errors
    /// When an operation does.
    pub fn direction(&self, weights: &F, gradient: &mut F) -> Result<(), F::Error> {
        let mut state = Vec::with_capacity(self.state.len());
        for vector in &self.state {
            let mut copy = vector.zeros_like()?;
            copy.copy(vector)?;
            state.push(copy);
        }
        let mut step = Step {
            number: self.steps + 1,
            weights,
            gradient,
            state: &mut state,
            weight_decay: self.config.weight_decay(),
            groups: self.groups.as_ref(),
        };
        if let Along::Slot(slot) = self.config.direction(&mut step)? {
            gradient.copy(&state[slot])?;
        }
        match &self.groups {
            Some(groups) => gradient.multiply(&groups.multiplier),
            None => Ok(()),
        }
    }

    /// The weights at which the model is to be evaluated, shape `[n]`; none if they are those that are trained, as they
    /// always are before the first step.
    pub fn evaluated_at(&self) -> Option<&F> {
        let slot = self.config.evaluated_at()?;
        self.state.get(slot).filter(|_| self.steps > 0)
    }

    /// The rate that the next step really takes where the schedule's is `lr`.
    pub fn rate(&self, lr: f64) -> f64 {
        self.config.rate(lr, self.steps + 1)
    }
}

#[cfg(test)]
mod tests;
