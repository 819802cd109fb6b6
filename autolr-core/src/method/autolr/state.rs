//! What the closed loop saves, and what of it no scheduler comes to.

use serde::{Deserialize, Serialize};

use super::decision::Probed;
use super::window::Cut;
use crate::short::{List, Short};
use crate::{AutoLrConfig, NonFinite, ProbeCost, StateError, float_serde};

/// The state of an [`AutoLr`](crate::AutoLr): its configuration, where it stands, and an unfinished decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AutoLrState {
    pub(crate) config: AutoLrConfig,
    /// Ticks so far.
    pub(crate) tick: u64,
    /// Decisions so far.
    pub(crate) decisions: u64,
    /// What the base is multiplied by; one, or one a group.
    #[serde(with = "float_serde::vec")]
    pub(crate) scales: Vec<f64>,
    /// The decision that is not taken yet, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) window: Option<Window>,
    /// Whether losses have been asked for that have not come yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) asked: bool,
    /// What becomes of candidates that a bound cuts, if there are bounds; none in states of earlier revisions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cut: Option<Cut>,
}

/// Where a decision that probes several times stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Window {
    /// The rate that the next probe is centred on, before a group's multiplier.
    #[serde(with = "float_serde")]
    pub(crate) centre: f64,
    /// The probes so far, at least one.
    pub(crate) probes: Vec<Probed>,
    /// What they cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cost: Option<ProbeCost>,
}

impl AutoLrState {
    /// Checks that a scheduler of `config` can go on from here.
    pub(crate) fn check(&self, config: &AutoLrConfig) -> Result<(), StateError> {
        let differences = config.differences(&self.config);
        if !differences.is_empty() {
            return Err(StateError::Config { differences });
        }
        if self.scales.len() != config.scales() {
            return Err(StateError::Value {
                field: "scales",
                value: format!("[{}]", List(&self.scales)),
                rule: "must be one, or one a parameter group probed in turn",
            });
        }
        for &scale in &self.scales {
            if let Some(rule) = broken_by_scale(config, scale) {
                return Err(StateError::Value {
                    field: "scales",
                    value: Short(scale).to_string(),
                    rule,
                });
            }
        }
        if self.decisions > self.tick {
            return Err(StateError::Value {
                field: "decisions",
                value: self.decisions.to_string(),
                rule: "must not exceed tick, since each decision ends one",
            });
        }
        match &self.window {
            Some(window) => window.check(config),
            None => Ok(()),
        }
    }
}

/// What a scale breaks, if no scheduler of this configuration comes to it.
fn broken_by_scale(config: &AutoLrConfig, scale: f64) -> Option<&'static str> {
    let propagates = config.rule().non_finite() == NonFinite::Propagate;
    if scale.is_nan() {
        // Where a run can end.
        return (!propagates).then_some("can be NaN only under non_finite = \"propagate\"");
    }
    if !(scale > 0.0 && scale.is_finite()) {
        return Some("must be positive and finite");
    }
    // Without a base the scale is the rate.
    let reached = config.base().is_some() || config.within_bounds(scale) == scale;
    (!reached && scale != config.initial_scale()).then_some("must lie between min_lr and max_lr")
}

impl Window {
    fn check(&self, config: &AutoLrConfig) -> Result<(), StateError> {
        let (min, max) = config.bounds();
        if !(min..=max).contains(&self.centre) {
            return Err(StateError::Value {
                field: "window.centre",
                value: Short(self.centre).to_string(),
                rule: "must lie between min_lr and max_lr, the positive normal numbers where they are absent",
            });
        }
        let probes = self.probes.len();
        if probes == 0 || probes > config.edge_probes() as usize {
            return Err(StateError::Value {
                field: "window.probes",
                value: format!("a list of {probes}"),
                rule: "must be from one to edge_probes",
            });
        }
        let n = config.rule().factors().len();
        // Fewer than factors where a bound cut some.
        let fits = |probe: &Probed| {
            let candidates = probe.candidates.len();
            (1..=n).contains(&candidates) && probe.losses.len() == candidates
        };
        if !self.probes.iter().all(fits) {
            return Err(StateError::Value {
                field: "window.probes",
                value: "a probe of another length".to_owned(),
                rule: "must have at most one candidate a factor, and one loss a candidate",
            });
        }
        let mut candidates = self.probes.iter().flat_map(|probe| &probe.candidates);
        if let Some(lr) = candidates.find(|lr| !(**lr > 0.0 && lr.is_finite())) {
            return Err(StateError::Value {
                field: "window.probes.candidates",
                value: Short(*lr).to_string(),
                rule: "must be positive and finite",
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AutoLr, Factors, MethodState, ScaleUpdate, Told};
    use ndarray::array;

    fn config(non_finite: NonFinite) -> AutoLrConfig {
        let rule = ScaleUpdate::new(Factors::powers_of_two(3).unwrap()).with_non_finite(non_finite);
        let config = AutoLrConfig::new(0.5, rule).unwrap();
        config.with_bounds(0.125, 1.0).unwrap().with_edge_probes(1)
    }

    /// The state between two probes of the second decision, as `change` leaves it.
    fn resumed(
        config: &AutoLrConfig,
        change: impl FnOnce(&mut AutoLrState, &mut Window),
    ) -> Result<AutoLr, String> {
        let mut scheduler = AutoLr::new(config.clone());
        scheduler.tell(array![2.0, 1.0, 2.0].view()).unwrap();
        let told = scheduler.tell(array![3.0, 2.0, 1.0].view()).unwrap();
        assert_eq!(told, Told::ProbeAgain);
        let mut state: AutoLrState = scheduler.state().read("autolr", 3..=3).unwrap();
        let mut window = state.window.take().unwrap();
        change(&mut state, &mut window);
        state.window = Some(window);
        AutoLr::with_state(config.clone(), &MethodState::new("autolr", 3, &state))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn what_no_scheduler_comes_to_is_refused_with_its_field() {
        type Change = fn(&mut AutoLrState, &mut Window);
        let config = config(NonFinite::NoVote);
        assert!(resumed(&config, |_, _| ()).is_ok());
        let cases: [(Change, &str); 10] = [
            (
                |state, _| state.scales[0] = f64::NAN,
                "scales = NaN: can be NaN only under",
            ),
            (
                |state, _| state.scales[0] = 1e30,
                "scales = 1e30: must lie between",
            ),
            (
                |state, _| state.scales[0] = 0.1,
                "scales = 0.1: must lie between",
            ),
            (
                |state, _| state.scales[0] = 0.0,
                "scales = 0: must be positive",
            ),
            (
                |state, _| (state.tick, state.decisions) = (0, 7),
                "decisions = 7: must not exceed tick",
            ),
            (
                |_, window| window.centre = 1.1,
                "window.centre = 1.1: must lie between",
            ),
            (
                |_, window| window.centre = f64::NAN,
                "window.centre = NaN: ",
            ),
            (
                |_, window| window.probes[0].candidates[1] = f64::NAN,
                "window.probes.candidates = NaN: ",
            ),
            (
                |_, window| window.probes[0].candidates[2] = 0.0,
                "window.probes.candidates = 0: ",
            ),
            (
                |_, window| window.probes.clear(),
                "window.probes = a list of 0: ",
            ),
        ];
        for (change, expected) in cases {
            let error = resumed(&config, change).unwrap_err();
            let expected = format!("scheduler state {expected}");
            assert!(error.starts_with(&expected), "{error}");
        }
    }

    #[test]
    fn what_a_scheduler_comes_to_is_taken() {
        type Change = fn(&mut AutoLrState, &mut Window);
        let cases: [(NonFinite, Change); 4] = [
            (NonFinite::Propagate, |state, _| state.scales[0] = f64::NAN),
            (NonFinite::NoVote, |state, _| state.scales[0] = 0.125),
            (NonFinite::NoVote, |state, _| {
                (state.tick, state.decisions) = (7, 7)
            }),
            (NonFinite::NoVote, |_, window| window.centre = 1.0),
        ];
        for (non_finite, change) in cases {
            assert!(resumed(&config(non_finite), change).is_ok());
        }
        // The least rate that there is.
        let rule = ScaleUpdate::new(Factors::powers_of_two(3).unwrap());
        let fresh = AutoLr::new(AutoLrConfig::new(f64::MIN_POSITIVE, rule).unwrap());
        assert!(AutoLr::with_state(fresh.config().clone(), &fresh.state()).is_ok());
    }

    #[test]
    fn what_differs_is_named_and_no_more() {
        let config = config(NonFinite::NoVote);
        let state = AutoLr::new(config.clone()).state();
        let refused = |config: AutoLrConfig| {
            let error = AutoLr::with_state(config, &state).unwrap_err().to_string();
            error.replace("scheduler state of another configuration: ", "")
        };
        let unbounded = AutoLrConfig::new(0.5, config.rule().clone()).unwrap();
        assert_eq!(
            refused(unbounded.with_edge_probes(1)),
            "min_lr was 0.125 and is absent; max_lr was 1 and is absent"
        );
        let base: crate::schedule::ScheduleConfig =
            serde_json::from_str(r#"{"kind": "cosine", "lr": 0.5, "t_max": 9}"#).unwrap();
        let over = AutoLrConfig::over(base, config.rule().clone());
        assert_eq!(
            refused(over.with_bounds(0.125, 1.0).unwrap().with_edge_probes(1)),
            "lr was 0.5 and is absent; base was absent and is cosine"
        );
        let other = ScaleUpdate::new(Factors::powers_of_two(1).unwrap());
        let other = AutoLrConfig::new(0.5, other).unwrap();
        assert_eq!(
            refused(other.with_bounds(0.125, 1.0).unwrap().with_edge_probes(1)),
            "factors was [2, 1, 0.5] and is [1]"
        );
        // Of long lists the first entry that differs, or the lengths.
        let many = |n: usize, last: f64| {
            let mut factors = vec![1.5; n];
            factors[n - 1] = last;
            let rule = ScaleUpdate::new(Factors::new(factors).unwrap());
            AutoLr::new(AutoLrConfig::new(0.5, rule).unwrap())
        };
        for (other, expected) in [
            (many(1_000, 3.0), "factors[999] was 2 and is 3"),
            (
                many(999, 2.0),
                "factors was a list of 1000 and is a list of 999",
            ),
        ] {
            let error = AutoLr::with_state(other.config().clone(), &many(1_000, 2.0).state());
            let error = error.unwrap_err().to_string();
            assert!(error.ends_with(expected), "{error}");
        }
    }
}
