//! Any of the schedules, as a configuration file names it.

use serde::{Deserialize, Deserializer, Serialize, de};

use super::{
    ConstantLr, CosineAnnealingLr, CosineWarmRestarts, ExponentialLr, Fixed, LinearDecay, LinearLr,
    MultiStepLr, OneCycleLr, PolynomialLr, Product, Schedule, Sequential, StepLr, WarmUp,
    WarmupStableDecay,
};
use crate::error::ConfigError;
use crate::method::Kind;
use crate::value::Table;
use crate::value::read::SettingsError;
use crate::value::within::Checked;

/// The enum, its names and its conversions from one list of the kinds.
macro_rules! kinds {
    ($($(#[$doc:meta])* $name:literal => $variant:ident($schedule:ident),)+) => {
        /// Any of the schedules, as a configuration file names it.
        ///
        /// The key `kind` says which one; the other keys are that schedule's own. Each variant
        /// holds a validated schedule, so a configuration out of range, or with a key that its
        /// schedule does not have, does not deserialise. Nor does one that is nested too deep: it
        /// is refused before it is read, so that no input overflows the stack.
        ///
        /// ```
        /// use autolr_core::schedule::{Schedule, ScheduleConfig};
        ///
        /// let json = r#"{ "kind": "warm-up", "steps": 5, "start_factor": 0,
        ///                 "schedule": { "kind": "step", "lr": 0.5, "step_size": 30 } }"#;
        /// let schedule: ScheduleConfig = serde_json::from_str(json)?;
        /// assert_eq!([0, 1, 5, 35].map(|step| schedule.lr(step)), [0.0, 0.1, 0.5, 0.05]);
        ///
        /// let wrong = serde_json::from_str::<ScheduleConfig>(r#"{ "kind": "fixed", "lr": -1 }"#);
        /// assert!(wrong.unwrap_err().to_string().starts_with("lr = -1: "));
        /// # Ok::<(), serde_json::Error>(())
        /// ```
        #[derive(Debug, Clone, PartialEq, Serialize)]
        #[serde(tag = "kind")]
        #[non_exhaustive]
        pub enum ScheduleConfig {
            $($(#[$doc])* #[serde(rename = $name)] $variant($schedule),)+
        }

        impl ScheduleConfig {
            /// What the key `kind` may say.
            pub const KINDS: &'static [&'static str] = &[$($name),+];

            /// The kinds with their keys, in the same order.
            pub(crate) const ALL: &'static [Kind] = &[$($schedule::KIND),+];

            /// What the key `kind` says.
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $name,)+
                }
            }

            /// The schedule of a kind with the keys of `table`.
            pub(crate) fn of_kind(kind: &str, table: Table) -> Result<Self, SettingsError> {
                match kind {
                    $($name => $schedule::read(table).map(Self::$variant),)+
                    _ => Err(de::Error::unknown_variant(kind, Self::KINDS)),
                }
            }
        }

        impl Schedule for ScheduleConfig {
            fn lr(&self, step: u64) -> f64 {
                match self {
                    $(Self::$variant(schedule) => schedule.lr(step),)+
                }
            }
        }

        $(impl From<$schedule> for ScheduleConfig {
            fn from(schedule: $schedule) -> Self {
                Self::$variant(schedule)
            }
        })+
    };
}

kinds! {
    /// PyTorch's `ConstantLR`: a smaller rate for the first steps.
    "constant" => Constant(ConstantLr),
    /// PyTorch's `LinearLR`: a straight line over the first steps.
    "linear" => Linear(LinearLr),
    /// PyTorch's `CosineAnnealingLR`: a cosine, without restarts.
    "cosine" => Cosine(CosineAnnealingLr),
    /// PyTorch's `StepLR`: a constant factor every few steps.
    "step" => Step(StepLr),
    /// The same rate at every step.
    "fixed" => Fixed(Fixed),
    /// A straight line down to zero.
    "linear-decay" => LinearDecay(LinearDecay),
    /// PyTorch's `MultiStepLR`: a constant factor at each of some steps.
    "multi-step" => MultiStep(MultiStepLr),
    /// PyTorch's `ExponentialLR`: a constant factor at every step.
    "exponential" => Exponential(ExponentialLr),
    /// PyTorch's `PolynomialLR`: a power of the steps that are left.
    "polynomial" => Polynomial(PolynomialLr),
    /// PyTorch's `OneCycleLR`: up to a high rate and far down again.
    "one-cycle" => OneCycle(OneCycleLr),
    /// PyTorch's `CosineAnnealingWarmRestarts`: a cosine that starts again and again.
    "cosine-warm-restarts" => CosineWarmRestarts(CosineWarmRestarts),
    /// A rise, one rate, and a fall at the end.
    "warmup-stable-decay" => WarmupStableDecay(WarmupStableDecay),
    /// A straight rise to where another schedule begins.
    "warm-up" => WarmUp(WarmUp),
    /// PyTorch's `SequentialLR`: one schedule after another.
    "sequential" => Sequential(Sequential),
    /// The product of several schedules. PyTorch's `ChainedScheduler` is that of some, see [`Product`].
    "product" => Product(Product),
}

impl ScheduleConfig {
    /// How many levels deep schedules may be nested; one without others in it is one level.
    pub const MAX_NESTING: usize = 32;

    /// Reads the keys of a schedule, as [`Deserialize`] does, with the key of an error apart.
    ///
    /// # Errors
    /// The first key that is wrong.
    pub fn read<'de>(from: impl Deserializer<'de>) -> Result<Self, SettingsError> {
        let table = Table::read(from, WHAT).map_err(<SettingsError as de::Error>::custom)?;
        Self::of_table(table)
    }

    /// The schedule of a table with the key `kind`.
    fn of_table(mut table: Table) -> Result<Self, SettingsError> {
        let kind = table.take_text("kind")?;
        Self::of_kind(&kind, table)
    }

    /// How many levels there are, at most [`MAX_NESTING`](Self::MAX_NESTING).
    fn nesting(&self) -> usize {
        let inner = match self {
            Self::WarmUp(warm_up) => std::slice::from_ref(warm_up.schedule()),
            Self::Sequential(sequential) => sequential.schedules(),
            Self::Product(product) => product.schedules(),
            _ => &[],
        };
        1 + inner.iter().map(Self::nesting).max().unwrap_or(0)
    }
}

/// What is read, in the words of an error.
const WHAT: &str = "a schedule: a table with the key `kind`";

impl Checked for ScheduleConfig {
    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Result<Self, SettingsError>, D::Error> {
        match Self::of_table(Table::read(from, WHAT)?) {
            // Of no key: the reader around it knows best where it is.
            Err(error) if error.path().is_empty() => Err(de::Error::custom(error)),
            read => Ok(read),
        }
    }
}

/// Checks that a schedule may be made of these.
pub(super) fn composable(schedules: &[ScheduleConfig]) -> Result<(), ConfigError> {
    let Some(inner) = schedules.iter().map(ScheduleConfig::nesting).max() else {
        return Err(ConfigError::Length {
            key: "schedules",
            length: 0,
            rule: "at least one is needed",
        });
    };
    if inner < ScheduleConfig::MAX_NESTING {
        Ok(())
    } else {
        Err(ConfigError::Nesting {
            depth: inner + 1,
            limit: ScheduleConfig::MAX_NESTING,
        })
    }
}

impl<'de> Deserialize<'de> for ScheduleConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = Table::read(deserializer, WHAT)?;
        Self::of_table(table).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::{AnnealStrategy, DecayType};

    fn one_of_each() -> Result<Vec<ScheduleConfig>, ConfigError> {
        let flat: Vec<ScheduleConfig> = vec![
            ConstantLr::with_defaults(0.005)?.into(),
            LinearLr::with_defaults(0.005)?.into(),
            CosineAnnealingLr::new(0.005, 100, 1e-5)?.into(),
            StepLr::new(0.005, 30, 0.5)?.into(),
            Fixed::new(0.005)?.into(),
            LinearDecay::new(0.005, 100)?.into(),
            MultiStepLr::new(0.005, vec![30, 60], 0.5)?.into(),
            ExponentialLr::new(0.005, 0.9)?.into(),
            PolynomialLr::new(0.005, 100, 0.9)?.into(),
            OneCycleLr::new(0.005, 100)?.into(),
            CosineWarmRestarts::new(0.005, 10, 2, 1e-5)?.into(),
            WarmupStableDecay::new(0.005, 100)?.into(),
        ];
        let mut all = flat.clone();
        all.push(WarmUp::new(5, 0.0, flat[2].clone())?.into());
        all.push(Sequential::new(flat.clone(), (1..12).collect())?.into());
        all.push(Product::new(all.clone())?.into());
        Ok(all)
    }

    #[test]
    fn a_configuration_of_each_kind_survives_the_round_trip()
    -> Result<(), Box<dyn std::error::Error>> {
        let all = one_of_each()?;
        let kinds: Vec<&str> = all.iter().map(ScheduleConfig::kind).collect();
        assert_eq!(kinds, ScheduleConfig::KINDS);
        for schedule in all {
            let json = serde_json::to_value(&schedule)?;
            assert_eq!(json["kind"], schedule.kind());
            assert_eq!(serde_json::from_value::<ScheduleConfig>(json)?, schedule);
            let text = serde_json::to_string(&schedule)?;
            assert_eq!(serde_json::from_str::<ScheduleConfig>(&text)?, schedule);
        }
        Ok(())
    }

    #[test]
    fn what_is_absent_is_a_default() -> Result<(), Box<dyn std::error::Error>> {
        for (json, expected) in [
            (
                r#"{"kind": "multi-step", "lr": 0.1, "milestones": [2]}"#,
                MultiStepLr::new(0.1, vec![2], 0.1)?.into(),
            ),
            (
                r#"{"kind": "polynomial", "lr": 0.1}"#,
                PolynomialLr::new(0.1, 5, 1.0)?.into(),
            ),
            (
                r#"{"kind": "one-cycle", "max_lr": 0.1, "total_steps": 9}"#,
                OneCycleLr::new(0.1, 9)?
                    .with_pct_start(0.3)?
                    .with_div_factors(25.0, 1e4)?
                    .into(),
            ),
            (
                r#"{"kind": "warmup-stable-decay", "lr": 0.1, "total_steps": 9}"#,
                WarmupStableDecay::new(0.1, 9)?
                    .with_ratios(0.05, 0.2)?
                    .into(),
            ),
            (
                r#"{"kind": "cosine-warm-restarts", "lr": 0.1, "t_0": 9}"#,
                CosineWarmRestarts::new(0.1, 9, 1, 0.0)?.into(),
            ),
            (
                r#"{"schedule": {"lr": 0.1, "kind": "fixed"}, "steps": 9, "kind": "warm-up"}"#,
                ScheduleConfig::from(WarmUp::new(9, 1.0 / 3.0, Fixed::new(0.1)?)?),
            ),
        ] {
            assert_eq!(serde_json::from_str::<ScheduleConfig>(json)?, expected);
        }
        Ok(())
    }

    #[test]
    fn a_configuration_that_is_wrong_says_where() {
        for (json, expected) in [
            (r#"{"kind": "cosin", "lr": 0.1}"#, "unknown variant `cosin`"),
            (r#"{"lr": 0.1}"#, "missing field `kind`"),
            (
                r#"{"kind": 3, "lr": 0.1}"#,
                "kind: invalid type: integer `3`",
            ),
            (
                r#"{"kind": "fixed", "kind": "fixed", "lr": 0.1}"#,
                "unknown field `kind`",
            ),
            (
                r#""cosine""#,
                "invalid type: string \"cosine\", expected a schedule",
            ),
            (
                r#"{"kind": "step", "lr": 0.1}"#,
                "missing field `step_size`",
            ),
            (r#"{"kind": "cosine", "lr": 0.1}"#, "missing field `t_max`"),
            (
                r#"{"kind": "step", "lr": 0.1, "step_size": 3, "gama": 0.1}"#,
                "unknown field `gama`",
            ),
            (
                r#"{"kind": "fixed", "lr": 0.1, "lr": 0.2}"#,
                "duplicate field `lr`",
            ),
            (
                r#"{"kind": "fixed", "lr": 0.1, "gamma": 0.1}"#,
                "unknown field `gamma`",
            ),
            (
                r#"{"kind": "fixed", "lr": null}"#,
                "lr: invalid type: unit value, expected f64",
            ),
            (
                r#"{"kind": "constant", "lr": 0.1, "factor": 1.5}"#,
                "factor = 1.5: must lie in [0, 1]",
            ),
            (
                r#"{"kind": "linear", "lr": 0.1, "total_iters": 0}"#,
                "total_iters = 0: must be at least 1",
            ),
            (
                r#"{"kind": "linear", "lr": 0.1, "total_iters": 2.5}"#,
                "total_iters: invalid type: floating point `2.5`, expected u64",
            ),
            (
                r#"{"kind": "multi-step", "lr": 0.1, "milestones": [1, -1]}"#,
                "milestones[1]: invalid value: integer `-1`, expected u64",
            ),
            (
                r#"{"kind": "one-cycle", "max_lr": 1, "total_steps": 9, "anneal_strategy": "sin"}"#,
                "anneal_strategy: unknown variant `sin`, expected `cos` or `linear`",
            ),
            (
                r#"{"kind": "warm-up", "steps": 5, "schedule": {"kind": "fixed", "lr": 0}}"#,
                "schedule.lr = 0: must be positive and finite",
            ),
            (
                r#"{"kind": "product", "schedules": [{"kind": "fixed", "lr": 1},
                    {"kind": "warm-up", "steps": 5, "schedule": {"kind": "fixed", "lr": "x"}}]}"#,
                "schedules[1].schedule.lr: invalid type: string \"x\", expected f64",
            ),
            (
                r#"{"kind": "product", "schedules": [{"kind": "fixed", "lr": 1}, 5]}"#,
                "schedules[1]: invalid type: integer `5`, expected a schedule",
            ),
            (
                r#"{"kind": "sequential", "schedules": [], "milestones": []}"#,
                "schedules of length 0: at least one is needed",
            ),
        ] {
            let error = serde_json::from_str::<ScheduleConfig>(json)
                .unwrap_err()
                .to_string();
            assert!(error.starts_with(expected), "{json}: {error}");
        }
    }

    /// `levels` schedules, each within the one before.
    fn nested(levels: usize, open: &str, close: &str) -> String {
        let inner = r#"{"kind": "multi-step", "lr": 0.1, "milestones": [1]}"#;
        [&open.repeat(levels - 1), inner, &close.repeat(levels - 1)].concat()
    }

    #[test]
    fn nesting_is_bounded() -> Result<(), Box<dyn std::error::Error>> {
        let max = ScheduleConfig::MAX_NESTING;
        for (open, close) in [
            (r#"{"kind": "warm-up", "steps": 1, "schedule": "#, "}"),
            (r#"{"kind": "product", "schedules": ["#, "]}"),
            (
                r#"{"kind": "sequential", "milestones": [], "schedules": ["#,
                "]}",
            ),
        ] {
            let deepest: ScheduleConfig = serde_json::from_str(&nested(max, open, close))?;
            assert!(deepest.lr(u64::MAX) > 0.0);
            assert_eq!(deepest.nesting(), max);
            assert_eq!(
                Product::new(vec![deepest.clone()]),
                Err(ConfigError::Nesting {
                    depth: 33,
                    limit: 32
                })
            );
            assert!(WarmUp::new(1, 0.0, deepest.clone()).is_err());
            assert!(Sequential::new(vec![deepest], vec![]).is_err());
            for levels in [max + 1, max + 20] {
                let text = nested(levels, open, close);
                let error = serde_json::from_str::<ScheduleConfig>(&text).unwrap_err();
                let message = error.to_string();
                assert!(message.contains("nested"), "{levels}: {message}");
            }
        }
        // A list in a list is held to the same bound, though no schedule is made of it.
        let list = |depth: usize| {
            let (open, close) = ("[".repeat(depth), "]".repeat(depth));
            let text = format!(r#"{{"kind": "fixed", "lr": {open}1{close}}}"#);
            let error = serde_json::from_str::<ScheduleConfig>(&text);
            error.unwrap_err().to_string()
        };
        // The innermost schedule lies in 2 · 31 containers, is one itself, and holds one.
        assert!(
            !list(2 * max + 1).contains("nested"),
            "{}",
            list(2 * max + 1)
        );
        assert!(
            list(2 * max + 2).contains("nested"),
            "{}",
            list(2 * max + 2)
        );
        Ok(())
    }

    #[test]
    fn the_deepest_fits_a_small_stack() -> Result<(), Box<dyn std::error::Error>> {
        let max = ScheduleConfig::MAX_NESTING;
        let text = nested(max, r#"{"kind": "product", "schedules": ["#, "]}");
        // A quarter of the 2 MiB that threads have.
        let small = std::thread::Builder::new().stack_size(512 * 1024);
        let done = small.spawn(move || {
            let schedule: ScheduleConfig = serde_json::from_str(&text)?;
            let copy = schedule.clone();
            assert!(schedule == copy && format!("{copy:?}").len() > max);
            assert_eq!(schedule.lr(0), 0.1);
            serde_json::to_string(&schedule)
        })?;
        let written = done.join().map_err(|_| "the thread panicked")??;
        assert_eq!(written.matches("product").count(), max - 1);
        Ok(())
    }

    #[test]
    fn a_schedule_says_what_it_was_given() -> Result<(), ConfigError> {
        let it = ConstantLr::new(0.1, 0.2, 3)?;
        assert_eq!((it.base_lr(), it.factor(), it.total_iters()), (0.1, 0.2, 3));
        let it = LinearLr::new(0.1, 0.2, 0.3, 4)?;
        assert_eq!((it.base_lr(), it.start_factor()), (0.1, 0.2));
        assert_eq!((it.end_factor(), it.total_iters()), (0.3, 4));
        let it = CosineAnnealingLr::new(0.1, 2, 0.03)?;
        assert_eq!((it.base_lr(), it.t_max(), it.eta_min()), (0.1, 2, 0.03));
        let it = StepLr::new(0.1, 2, 0.3)?;
        assert_eq!((it.base_lr(), it.step_size(), it.gamma()), (0.1, 2, 0.3));
        assert_eq!(Fixed::new(0.1)?.base_lr(), 0.1);
        let it = LinearDecay::new(0.1, 2)?;
        assert_eq!((it.base_lr(), it.total_iters()), (0.1, 2));
        let it = MultiStepLr::new(0.1, vec![2, 3], 0.4)?;
        assert_eq!((it.base_lr(), it.gamma()), (0.1, 0.4));
        assert_eq!(it.milestones(), [2, 3]);
        let it = ExponentialLr::new(0.1, 0.2)?;
        assert_eq!((it.base_lr(), it.gamma()), (0.1, 0.2));
        let it = PolynomialLr::new(0.1, 2, 0.3)?;
        assert_eq!((it.base_lr(), it.total_iters(), it.power()), (0.1, 2, 0.3));
        let it = OneCycleLr::new(0.8, 2)?
            .with_pct_start(0.3)?
            .with_div_factors(4.0, 2.0)?
            .with_anneal_strategy(AnnealStrategy::Linear)
            .with_three_phases(true);
        assert_eq!(
            (it.max_lr(), it.initial_lr(), it.final_lr()),
            (0.8, 0.2, 0.1)
        );
        assert_eq!((it.total_steps(), it.pct_start()), (2, 0.3));
        assert_eq!((it.div_factor(), it.final_div_factor()), (4.0, 2.0));
        assert_eq!(it.anneal_strategy(), AnnealStrategy::Linear);
        assert!(it.three_phase());
        let it = CosineWarmRestarts::new(0.1, 2, 3, 0.04)?;
        assert_eq!((it.base_lr(), it.eta_min()), (0.1, 0.04));
        assert_eq!((it.t_0(), it.t_mult()), (2, 3));
        let it = WarmupStableDecay::new(0.1, 20)?
            .with_ratios(0.25, 0.5)?
            .with_min_lr_ratio(0.3)?;
        assert_eq!((it.base_lr(), it.total_steps()), (0.1, 20));
        assert_eq!((it.warmup_steps(), it.decay_steps()), (5, 10));
        assert_eq!(
            (it.decay_type(), it.min_lr_ratio()),
            (DecayType::Cosine, 0.3)
        );
        let inner = ScheduleConfig::from(Fixed::new(0.1)?);
        let it = WarmUp::new(2, 0.3, inner.clone())?;
        assert_eq!((it.steps(), it.start_factor()), (2, 0.3));
        assert_eq!(it.schedule(), &inner);
        let both = vec![inner.clone(), it.into()];
        let it = Sequential::new(both.clone(), vec![2])?;
        assert_eq!((it.schedules(), it.milestones()), (&both[..], &[2][..]));
        assert_eq!(Product::new(both.clone())?.schedules(), both);
        Ok(())
    }
}
