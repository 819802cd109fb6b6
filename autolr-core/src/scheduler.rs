//! The closed loop: candidates out, losses in, the next learning rate.

use ndarray::{Array1, ArrayView1};
use serde::{Deserialize, Serialize};

use crate::{
    ConfigError, Decision, ExponentialScore, Factors, LengthError, NonFinite, Normalization,
    ProbeBackend, ScaleUpdate, StateError, Update, Verdict,
};

/// The validated settings of an [`AutoLr`].
///
/// In files: `lr` (initial rate), `factors` (a list, or `"factor_5"`), `normalization` (default `"z-score"`),
/// `sharpness` (default 1), `non_finite` (`"no-vote"`, the default, or `"propagate"`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawConfig", into = "RawConfig")]
pub struct AutoLrConfig {
    lr: f64,
    rule: ScaleUpdate,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    lr: f64,
    factors: Factors,
    #[serde(default)]
    normalization: Normalization,
    #[serde(default = "default_sharpness")]
    sharpness: f64,
    #[serde(default)]
    non_finite: NonFinite,
}

fn default_sharpness() -> f64 {
    ExponentialScore::default().sharpness()
}

impl TryFrom<RawConfig> for AutoLrConfig {
    type Error = ConfigError;
    fn try_from(raw: RawConfig) -> Result<Self, ConfigError> {
        let rule = ScaleUpdate::new(raw.factors)
            .with_normalization(raw.normalization)
            .with_score(ExponentialScore::new(raw.sharpness)?)
            .with_non_finite(raw.non_finite);
        Self::new(raw.lr, rule)
    }
}

impl From<AutoLrConfig> for RawConfig {
    fn from(config: AutoLrConfig) -> Self {
        Self {
            lr: config.lr,
            factors: config.rule.factors().clone(),
            normalization: config.rule.normalization(),
            sharpness: config.rule.score().sharpness(),
            non_finite: config.rule.non_finite(),
        }
    }
}

impl AutoLrConfig {
    /// Start at `lr` and update by `rule`.
    ///
    /// # Errors
    /// [`ConfigError::Value`] if `lr` is NaN, zero, negative or infinite.
    pub fn new(lr: f64, rule: ScaleUpdate) -> Result<Self, ConfigError> {
        if !(lr > 0.0 && lr.is_finite()) {
            return Err(ConfigError::Value {
                key: "lr",
                value: lr,
                rule: "a learning rate must be positive and finite",
            });
        }
        Ok(Self { lr, rule })
    }

    /// The initial learning rate.
    pub fn lr(&self) -> f64 {
        self.lr
    }

    /// The update rule.
    pub fn rule(&self) -> &ScaleUpdate {
        &self.rule
    }
}

/// What a scheduler needs to go on where it stopped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchedulerState {
    /// Version of this format.
    pub version: u32,
    /// The present learning rate.
    #[serde(with = "crate::float_serde")]
    pub lr: f64,
    /// How many decisions were taken.
    pub decisions: u64,
}

impl SchedulerState {
    /// The version that this build writes and reads.
    pub const VERSION: u32 = 1;
}

/// A probe that failed; the scheduler is as before.
#[derive(Debug, thiserror::Error)]
#[error("the probe of {candidates} candidate rates around {lr} failed")]
pub struct ProbeError<E: std::error::Error + 'static> {
    /// How many rates were to be tried.
    pub candidates: usize,
    /// The rate around which.
    pub lr: f64,
    /// What the back end said.
    pub source: E,
}

/// The paper's scheduler: the rate is scaled, decision by decision, by the weighted geometric mean of its factors
/// (Algorithm 1).
///
/// With a back end, [`AutoLr::step`] does a whole decision; without one, [`AutoLr::candidates`] says what to try and
/// [`AutoLr::tell`] takes the losses.
///
/// ```
/// use autolr_core::{AutoLr, AutoLrConfig, Factors, ScaleUpdate};
/// use ndarray::Array1;
/// let config = AutoLrConfig::new(0.1, ScaleUpdate::new(Factors::powers_of_two(5)?))?;
/// let mut scheduler = AutoLr::new(config);
/// // A quadratic x²/2 from x = 1: after a step at rate η the loss is (1 − η)²/2, least at η = 1.
/// for _ in 0..20 {
///     let losses: Array1<f64> = scheduler.candidates().mapv(|lr| (1.0 - lr).powi(2) / 2.0);
///     scheduler.tell(losses.view())?;
/// }
/// assert!((0.5..1.5).contains(&scheduler.lr()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct AutoLr {
    config: AutoLrConfig,
    lr: f64,
    decisions: u64,
    scratch: Update,
}

impl AutoLr {
    /// A scheduler at its initial rate.
    pub fn new(config: AutoLrConfig) -> Self {
        Self {
            lr: config.lr,
            decisions: 0,
            scratch: Update::with_capacity(config.rule.factors().len()),
            config,
        }
    }

    /// A scheduler that goes on from a saved state, bit-identically.
    ///
    /// # Errors
    /// [`StateError`] for a state of another version, or with a rate that is zero or negative. A NaN rate is taken:
    /// under [`NonFinite::Propagate`] that is where a run can end.
    pub fn with_state(config: AutoLrConfig, state: &SchedulerState) -> Result<Self, StateError> {
        if state.version != SchedulerState::VERSION {
            return Err(StateError::Version {
                found: state.version,
                expected: SchedulerState::VERSION,
            });
        }
        if state.lr <= 0.0 || state.lr == f64::INFINITY {
            return Err(StateError::Rate { value: state.lr });
        }
        let mut scheduler = Self::new(config);
        scheduler.lr = state.lr;
        scheduler.decisions = state.decisions;
        Ok(scheduler)
    }

    /// The present learning rate.
    pub fn lr(&self) -> f64 {
        self.lr
    }

    /// The settings.
    pub fn config(&self) -> &AutoLrConfig {
        &self.config
    }

    /// The state to be saved.
    pub fn state(&self) -> SchedulerState {
        SchedulerState {
            version: SchedulerState::VERSION,
            lr: self.lr,
            decisions: self.decisions,
        }
    }

    /// The candidate rates `fᵢ · lr`, shape `[n]`, cut at the largest finite number.
    pub fn candidates(&self) -> Array1<f64> {
        let lr = self.lr;
        self.config
            .rule
            .factors()
            .values()
            .mapv(|factor| within_range(factor * lr))
    }

    /// Takes the losses of the candidates, shape `[n]`, and moves to the next rate `factor · lr`.
    ///
    /// The rate is cut to the positive finite numbers; it becomes NaN only under [`NonFinite::Propagate`].
    ///
    /// # Errors
    /// [`LengthError`] if there is not one loss a candidate; the scheduler is then as before.
    pub fn tell(&mut self, losses: ArrayView1<'_, f64>) -> Result<Decision, LengthError> {
        let candidates = self.candidates();
        self.config.rule.update_into(losses, &mut self.scratch)?;
        let lr = self.lr;
        let new_lr = within_range(self.scratch.factor * lr);
        let decision = Decision {
            index: self.decisions,
            lr,
            candidates,
            losses: losses.to_owned(),
            normalized: self.scratch.normalized.clone(),
            scores: self.scratch.scores.clone(),
            weights: self.scratch.weights.clone(),
            factor: self.scratch.factor,
            new_lr,
            verdict: Verdict::of(losses, self.scratch.factor),
        };
        self.lr = new_lr;
        self.decisions += 1;
        Ok(decision)
    }

    /// One whole decision: probe the candidates with `backend`, then [`AutoLr::tell`].
    ///
    /// # Errors
    /// [`ProbeError`] with the back end's error; the scheduler is then as before.
    pub fn step<B: ProbeBackend + ?Sized>(
        &mut self,
        backend: &mut B,
    ) -> Result<Decision, ProbeError<B::Error>> {
        let candidates = self.candidates();
        // NaN where a back end forgets to write: such a candidate has no vote.
        let mut losses = Array1::from_elem(candidates.len(), f64::NAN);
        backend
            .probe(candidates.view(), losses.view_mut())
            .map_err(|source| ProbeError {
                candidates: candidates.len(),
                lr: self.lr,
                source,
            })?;
        match self.tell(losses.view()) {
            Ok(decision) => Ok(decision),
            Err(_) => unreachable!("as many losses as candidates"),
        }
    }
}

/// Cuts overflow and underflow of a positive product; NaN stays NaN.
fn within_range(lr: f64) -> f64 {
    lr.clamp(f64::MIN_POSITIVE, f64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn scheduler(lr: f64, non_finite: NonFinite) -> AutoLr {
        let rule = ScaleUpdate::new(Factors::powers_of_two(3).unwrap()).with_non_finite(non_finite);
        AutoLr::new(AutoLrConfig::new(lr, rule).unwrap())
    }

    #[test]
    fn a_saved_state_goes_on_bit_identically() {
        let losses = array![0.3, 0.2, 0.7];
        let mut whole = scheduler(0.005, NonFinite::NoVote);
        let mut parts = whole.clone();
        for _ in 0..10 {
            whole.tell(losses.view()).unwrap();
            parts.tell(losses.view()).unwrap();
            let text = serde_json::to_string(&parts.state()).unwrap();
            let state = serde_json::from_str(&text).unwrap();
            parts = AutoLr::with_state(parts.config().clone(), &state).unwrap();
        }
        assert_eq!(whole.lr().to_bits(), parts.lr().to_bits());
        assert_eq!(whole.state(), parts.state());
    }

    #[test]
    fn states_that_cannot_be_continued_are_refused() {
        let fresh = scheduler(0.1, NonFinite::NoVote);
        let mut state = fresh.state();
        state.version = 2;
        let error = AutoLr::with_state(fresh.config().clone(), &state).unwrap_err();
        assert!(matches!(error, StateError::Version { found: 2, .. }));
        state = fresh.state();
        state.lr = 0.0;
        assert!(AutoLr::with_state(fresh.config().clone(), &state).is_err());
    }

    #[test]
    fn the_rate_stays_a_rate() {
        let mut high = scheduler(f64::MAX, NonFinite::NoVote);
        high.tell(array![0.0, 1.0, 2.0].view()).unwrap();
        assert_eq!(high.lr(), f64::MAX);
        assert!(high.candidates().iter().all(|lr| lr.is_finite()));
        let mut low = scheduler(f64::MIN_POSITIVE, NonFinite::NoVote);
        low.tell(array![2.0, 1.0, 0.0].view()).unwrap();
        assert_eq!(low.lr(), f64::MIN_POSITIVE);
    }

    #[test]
    fn all_non_finite_holds_or_propagates() {
        let losses = array![f64::NAN, f64::INFINITY, f64::NAN];
        let mut holds = scheduler(1.0, NonFinite::NoVote);
        let decision = holds.tell(losses.view()).unwrap();
        assert_eq!((holds.lr(), decision.verdict), (1.0, Verdict::NoFiniteLoss));
        let mut propagates = scheduler(1.0, NonFinite::Propagate);
        let decision = propagates.tell(losses.view()).unwrap();
        assert!(propagates.lr().is_nan());
        assert_eq!(decision.verdict, Verdict::Propagated);
        let again = AutoLr::with_state(propagates.config().clone(), &propagates.state());
        assert!(again.unwrap().lr().is_nan());
    }

    #[test]
    fn configurations_are_validated_when_read() {
        let read = |text: &str| serde_json::from_str::<AutoLrConfig>(text);
        assert!(read(r#"{"lr": 0.005, "factors": "factor_5"}"#).is_ok());
        for (text, key) in [
            (r#"{"lr": 0, "factors": "factor_5"}"#, "lr = 0"),
            (r#"{"lr": -1, "factors": "factor_5"}"#, "lr = -1"),
            (r#"{"lr": 1, "factors": []}"#, "factors = []"),
            (
                r#"{"lr": 1, "factors": [1], "sharpness": -2}"#,
                "sharpness = -2",
            ),
            (r#"{"lr": 1, "factors": [1], "sharpnes": 2}"#, "sharpnes"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }

    #[test]
    fn a_failed_probe_changes_nothing() {
        #[derive(Debug, thiserror::Error)]
        #[error("device lost")]
        struct Lost;
        struct Broken;
        impl ProbeBackend for Broken {
            type Error = Lost;
            fn probe(
                &mut self,
                _: ArrayView1<'_, f64>,
                _: ndarray::ArrayViewMut1<'_, f64>,
            ) -> Result<(), Lost> {
                Err(Lost)
            }
        }
        let mut scheduler = scheduler(0.1, NonFinite::NoVote);
        let before = scheduler.clone();
        let error = scheduler.step(&mut Broken).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the probe of 3 candidate rates around 0.1 failed"
        );
        assert_eq!(scheduler, before);
    }
}
