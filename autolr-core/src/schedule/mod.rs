//! Open-loop schedules: pure functions from the step to the learning rate, blind to the losses.
//!
//! The first four are the baselines that the paper compares its scheduler with (section 3.1, table
//! 1): PyTorch's `ConstantLR`, `LinearLR`, `CosineAnnealingLR` and `StepLR` "with PyTorch's default
//! value except for learning rate". Where PyTorch computes each rate from the one before it, these
//! are closed forms, so any step may be asked for in any order; the two agree to within PyTorch's
//! accumulated rounding.
//!
//! A step is whatever the training counts, an optimiser's step or an epoch; steps count from 0. A
//! rate is a learning rate (a factor on the gradient, in the units of weight per gradient). Every
//! step from 0 to [`u64::MAX`] has a rate that is finite and not negative; none panics, allocates,
//! or takes longer the later it is. `exp`, `pow` and `cos` come from `libm`: the bits are the same
//! on every platform.
//!
//! | kind | type | PyTorch | parameters with a default |
//! |---|---|---|---|
//! | `constant` | [`ConstantLr`] | `ConstantLR` | `factor` 1/3, `total_iters` 5 |
//! | `linear` | [`LinearLr`] | `LinearLR` | `start_factor` 1/3, `end_factor` 1, `total_iters` 5 |
//! | `cosine` | [`CosineAnnealingLr`] | `CosineAnnealingLR` | `eta_min` 0 |
//! | `step` | [`StepLr`] | `StepLR` | `gamma` 0.1 |
//! | `fixed` | [`Fixed`] | no scheduler | |
//! | `linear-decay` | [`LinearDecay`] | `PolynomialLR` with `power` 1 | |
//! | `multi-step` | [`MultiStepLr`] | `MultiStepLR` | `gamma` 0.1 |
//! | `exponential` | [`ExponentialLr`] | `ExponentialLR` | |
//! | `polynomial` | [`PolynomialLr`] | `PolynomialLR` | `total_iters` 5, `power` 1 |
//! | `one-cycle` | [`OneCycleLr`] | `OneCycleLR` | `pct_start` 0.3, `anneal_strategy` cos, `three_phase` false, `div_factor` 25, `final_div_factor` 1e4 |
//! | `cosine-warm-restarts` | [`CosineWarmRestarts`] | `CosineAnnealingWarmRestarts` | `t_mult` 1, `eta_min` 0 |
//! | `warmup-stable-decay` | [`WarmupStableDecay`] | transformers' `get_wsd_schedule` | `warmup_ratio` 0.05, `decay_ratio` 0.2, `decay_type` cosine, `min_lr_ratio` 0 |
//! | `warm-up` | [`WarmUp`] | `SequentialLR` after a `LinearLR` | `start_factor` 1/3 |
//! | `sequential` | [`Sequential`] | `SequentialLR` | |
//! | `product` | [`Product`] | `ChainedScheduler` where each schedule multiplies the rate; see there | |
//!
//! The last three are made of other schedules, at most [`ScheduleConfig::MAX_NESTING`] levels deep.
//! A rate that follows a metric is that of [`ReduceOnPlateau`](crate::ReduceOnPlateau), one that
//! follows the losses of probes that of [`AutoLr`](crate::AutoLr).

mod config;
mod constant;
mod cosine;
mod curve;
mod exponential;
mod linear;
mod multi_step;
mod one_cycle;
mod polynomial;
mod product;
pub(crate) mod range;
mod sequential;
mod step;
mod warm_restarts;
mod warm_up;
mod warmup_stable_decay;

pub use config::ScheduleConfig;
pub use constant::{ConstantLr, Fixed};
pub use cosine::CosineAnnealingLr;
pub use exponential::ExponentialLr;
pub use linear::{LinearDecay, LinearLr};
pub use multi_step::MultiStepLr;
pub use one_cycle::{AnnealStrategy, OneCycleLr};
pub use polynomial::PolynomialLr;
pub use product::Product;
pub use sequential::Sequential;
pub use step::StepLr;
pub use warm_restarts::CosineWarmRestarts;
pub use warm_up::WarmUp;
pub use warmup_stable_decay::{DecayType, WarmupStableDecay};

/// A learning rate that depends on the step alone.
pub trait Schedule {
    /// The learning rate of `step`, counted from 0: finite and non-negative for every step.
    fn lr(&self, step: u64) -> f64;
}

impl<S: Schedule + ?Sized> Schedule for &S {
    fn lr(&self, step: u64) -> f64 {
        (**self).lr(step)
    }
}

impl<S: Schedule + ?Sized> Schedule for Box<S> {
    fn lr(&self, step: u64) -> f64 {
        (**self).lr(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ConfigError;

    #[test]
    fn references_and_boxes_are_schedules() -> Result<(), ConfigError> {
        fn first<S: Schedule>(schedule: S) -> f64 {
            schedule.lr(0)
        }
        let fixed = Fixed::new(0.1)?;
        let boxed: Box<dyn Schedule> = Box::new(fixed);
        assert_eq!(first::<&dyn Schedule>(&fixed), 0.1);
        assert_eq!(first(boxed), 0.1);
        Ok(())
    }
}
