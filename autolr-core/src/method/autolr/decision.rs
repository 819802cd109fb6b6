//! The record of one decision of the closed loop.

use std::fmt;

use ndarray::Array1;
use serde::{Deserialize, Serialize};

use crate::same::all_same;
use crate::short::Rounded;
use crate::{ProbeCost, float_serde};

/// One decision, with everything that led to it; vectors have an entry for each rate tried.
///
/// Where a bound cuts candidates, all that lie at the same bound are tried once: they are one entry, with the loss and
/// the score of each, the sum of their weights, and the geometric mean of their factors. If two are left of three or
/// more, a third rate is tried, the last entry. It has no vote: its normalised loss is NaN, its score and weight are 0.
///
/// In JSON, values that are not finite are the strings `"nan"`, `"inf"`, `"-inf"`; nothing is lost on the way there and
/// back. `Display` is one readable line.
///
/// With several parameter groups, rates are those of `group`, or of the first where all are scaled together.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(
    feature = "schema",
    schemars(
        description = "One decision, with everything that led to it: one entry for each rate tried; candidates cut to the same bound are one, and a rate may be tried without a vote. With several parameter groups, rates are those of `group`, or of the first where all are scaled together"
    )
)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Decision {
    /// Number of the decision, from 0.
    pub index: u64,
    /// The tick (epoch or step) from which on the new rate holds.
    #[serde(default)]
    pub tick: u64,
    /// The parameter group whose rate was probed; none if all were, together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<usize>,
    /// The rate of that tick without the decision.
    #[serde(with = "float_serde")]
    #[cfg_attr(feature = "schema", schemars(with = "float_serde::Float"))]
    pub lr: f64,
    /// The rates tried in the last probe.
    #[serde(with = "float_serde::array")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<float_serde::Float>"))]
    pub candidates: Array1<f64>,
    /// Their losses.
    #[serde(with = "float_serde::array")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<float_serde::Float>"))]
    pub losses: Array1<f64>,
    /// Their normalised losses; NaN without a vote.
    #[serde(with = "float_serde::array")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<float_serde::Float>"))]
    pub normalized: Array1<f64>,
    /// Their scores.
    #[serde(with = "float_serde::array")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<float_serde::Float>"))]
    pub scores: Array1<f64>,
    /// Their weights.
    #[serde(with = "float_serde::array")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<float_serde::Float>"))]
    pub weights: Array1<f64>,
    /// The factors they voted with, on the rate that the last probe was centred on, where a bound cut a candidate:
    /// those of the rule, or that of the bound where a rate within it did better; of a rate without a vote, its own.
    /// Empty where none was cut: each then voted with its own.
    #[serde(
        default = "none",
        with = "float_serde::array",
        skip_serializing_if = "Array1::is_empty"
    )]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<float_serde::Float>"))]
    pub factors: Array1<f64>,
    /// By how much the rate is scaled: `new_lr / lr`, before a bound cuts it, but not beyond a minimum that the losses
    /// show within the bound. It is 1 where the base schedule is zero or
    /// so far below the lower bound that the factor would not lift it there: the decision then changes nothing.
    #[serde(with = "float_serde")]
    #[cfg_attr(feature = "schema", schemars(with = "float_serde::Float"))]
    pub factor: f64,
    /// The rate of that tick.
    #[serde(with = "float_serde")]
    #[cfg_attr(feature = "schema", schemars(with = "float_serde::Float"))]
    pub new_lr: f64,
    /// The outcome in a word.
    pub verdict: Verdict,
    /// What all probes of the decision cost, if the back end says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<ProbeCost>,
    /// The probes before the last one, whose best candidate was the outermost one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Probed>,
}

/// A probe that was followed by another in the same decision.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Probed {
    /// The rates tried.
    #[serde(with = "float_serde::array")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<float_serde::Float>"))]
    pub candidates: Array1<f64>,
    /// Their losses.
    #[serde(with = "float_serde::array")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<float_serde::Float>"))]
    pub losses: Array1<f64>,
}

/// A clone is equal, whatever its losses.
impl PartialEq for Decision {
    fn eq(&self, other: &Self) -> bool {
        // Taken apart, so that no field is forgotten.
        let Self {
            index,
            tick,
            group,
            lr,
            candidates,
            losses,
            normalized,
            scores,
            weights,
            factors,
            factor,
            new_lr,
            verdict,
            cost,
            earlier,
        } = self;
        (index, tick, group, verdict, cost, earlier)
            == (
                &other.index,
                &other.tick,
                &other.group,
                &other.verdict,
                &other.cost,
                &other.earlier,
            )
            && all_same(
                &[*lr, *factor, *new_lr],
                &[other.lr, other.factor, other.new_lr],
            )
            && all_same(candidates, &other.candidates)
            && all_same(losses, &other.losses)
            && all_same(normalized, &other.normalized)
            && all_same(scores, &other.scores)
            && all_same(weights, &other.weights)
            && all_same(factors, &other.factors)
    }
}

/// A clone is equal, whatever its losses.
impl PartialEq for Probed {
    fn eq(&self, other: &Self) -> bool {
        all_same(&self.candidates, &other.candidates) && all_same(&self.losses, &other.losses)
    }
}

/// The outcome of a decision in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Verdict {
    /// The new rate is above the old one.
    Raised,
    /// The new rate is below the old one.
    Lowered,
    /// The rate is as before.
    Held,
    /// No candidate's loss was finite: nobody voted, and the configuration decided.
    NoFiniteLoss,
    /// A loss that was not finite made the rate NaN, as configured.
    Propagated,
}

impl Verdict {
    pub(crate) fn of(anyone_votes: bool, lr: f64, new_lr: f64) -> Self {
        if new_lr.is_nan() {
            Self::Propagated
        } else if !anyone_votes {
            Self::NoFiniteLoss
        } else if new_lr > lr {
            Self::Raised
        } else if new_lr < lr {
            Self::Lowered
        } else {
            Self::Held
        }
    }

    /// The word, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Lowered => "lowered",
            Self::Held => "held",
            Self::NoFiniteLoss => "no-finite-loss",
            Self::Propagated => "propagated",
        }
    }
}

fn none() -> Array1<f64> {
    Array1::zeros(0)
}

/// Writes values over those of an array, without allocation if it was made for as many.
pub(super) fn fill(array: &mut Array1<f64>, values: impl Iterator<Item = f64>) {
    let (mut buffer, _) = std::mem::replace(array, none()).into_raw_vec_and_offset();
    buffer.clear();
    buffer.extend(values);
    *array = Array1::from_vec(buffer);
}

impl Decision {
    /// Buffers for `n` factors, for [`AutoLr::tell_into`](crate::AutoLr::tell_into). Rates are NaN until then.
    pub fn with_capacity(n: usize) -> Self {
        let zeros = Array1::zeros(n);
        let factors = Array1::from_vec(Vec::with_capacity(n));
        Self {
            index: 0,
            tick: 0,
            group: None,
            lr: f64::NAN,
            candidates: zeros.clone(),
            losses: zeros.clone(),
            normalized: zeros.clone(),
            scores: zeros.clone(),
            weights: zeros,
            factors,
            factor: f64::NAN,
            new_lr: f64::NAN,
            verdict: Verdict::Held,
            cost: None,
            earlier: Vec::new(),
        }
    }

    /// How many decimals tell the two rates apart, at least four.
    fn digits(&self) -> usize {
        let same = |digits: &usize| {
            let text = |lr: f64| format!("{lr:.digits$e}");
            self.lr != self.new_lr && text(self.lr) == text(self.new_lr)
        };
        4 + (4..16).take_while(same).count()
    }

    /// How many probes the decision took.
    pub fn probes(&self) -> usize {
        self.earlier.len() + 1
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(group) = self.group {
            write!(f, "group {group}: ")?;
        }
        let (lr, new_lr, digits) = (self.lr, self.new_lr, self.digits());
        write!(
            f,
            "lr {lr:.digits$e} → {new_lr:.digits$e} (×{}, {}):",
            Scaling(self.factor),
            self.verdict.name()
        )?;
        for ((lr, loss), weight) in self.candidates.iter().zip(&self.losses).zip(&self.weights) {
            let loss = Rounded(*loss);
            write!(f, " {lr:.3e}: {loss} ({:.0} %)", 100.0 * weight)?;
        }
        if !self.earlier.is_empty() {
            write!(f, "; probe {} of the decision", self.probes())?;
        }
        if let Some(cost) = self.cost {
            write!(
                f,
                "; {} forwards, {} backwards",
                cost.forwards, cost.backwards
            )?;
        }
        Ok(())
    }
}

/// A factor: three decimals where they say something. Close to 1, by how much it is off.
struct Scaling(f64);

impl fmt::Display for Scaling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let off = self.0 - 1.0;
        if off != 0.0 && off.abs() < 5e-4 {
            let sign = if off < 0.0 { '−' } else { '+' };
            write!(f, "(1 {sign} {:.1e})", off.abs())
        } else if (0.1..1e5).contains(&self.0) {
            write!(f, "{:.3}", self.0)
        } else {
            write!(f, "{:.3e}", self.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AutoLr, AutoLrConfig, Factors, ScaleUpdate};
    use ndarray::array;

    #[test]
    fn reads_as_one_line_and_survives_json() {
        let rule = ScaleUpdate::new(Factors::powers_of_two(3).unwrap());
        let mut scheduler = AutoLr::new(AutoLrConfig::new(0.005, rule).unwrap());
        let losses = array![f64::INFINITY, 1.0, 1.5];
        let mut decision = scheduler.tell(losses.view()).unwrap().decided().unwrap();
        assert_eq!(
            decision.to_string(),
            "lr 5.0000e-3 → 4.3661e-3 (×0.873, lowered): \
             1.000e-2: inf (0 %) 5.000e-3: 1.0000 (80 %) 2.500e-3: 1.5000 (20 %)"
        );
        let text = serde_json::to_string(&decision).unwrap();
        let back: Decision = serde_json::from_str(&text).unwrap();
        assert_eq!(back.losses, losses);
        assert_eq!(serde_json::to_string(&back).unwrap(), text);

        decision.group = Some(1);
        decision.cost = Some(ProbeCost {
            forwards: 8,
            backwards: 2,
        });
        decision.earlier.push(Probed {
            candidates: array![0.1],
            losses: array![f64::NAN],
        });
        let line = decision.to_string();
        assert!(line.starts_with("group 1: lr 5.0000e-3"), "{line}");
        let end = "; probe 2 of the decision; 8 forwards, 2 backwards";
        assert!(line.ends_with(end), "{line}");
        let text = serde_json::to_string(&decision).unwrap();
        let back: Decision = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&back).unwrap(), text);
    }

    #[test]
    fn no_number_of_any_size_is_long_or_lost() {
        let mut decision = Decision::with_capacity(6);
        decision.candidates.fill(0.5);
        decision.losses = array![1e-5, 1e30, 5e-324, f64::NAN, -0.25, 0.0];
        (decision.lr, decision.new_lr) = (1e-300, 1e300);
        for (factor, shown) in [(1e-9, "1.000e-9"), (1e300, "1.000e300"), (0.25, "0.250")] {
            decision.factor = factor;
            assert_eq!(
                decision.to_string(),
                format!(
                    "lr 1.0000e-300 → 1.0000e300 (×{shown}, held): 5.000e-1: 1.000e-5 (0 %) \
                     5.000e-1: 1.000e30 (0 %) 5.000e-1: 4.941e-324 (0 %) 5.000e-1: NaN (0 %) \
                     5.000e-1: -0.2500 (0 %) 5.000e-1: 0.0000 (0 %)"
                )
            );
        }
    }

    /// Two rates that differ are never shown as one, nor is what moved them shown as nothing.
    #[test]
    fn what_moved_by_little_is_shown_to_have_moved() {
        let mut decision = Decision::with_capacity(0);
        for (new_lr, factor, shown) in [
            (0.3, 1.0, "lr 3.0000e-1 → 3.0000e-1 (×1.000, held):"),
            (0.3, 1.31, "lr 3.0000e-1 → 3.0000e-1 (×1.310, held):"),
            (
                0.3 * (1.0 - f64::EPSILON),
                1.0 - f64::EPSILON,
                "lr 3.000000000000000e-1 → 2.999999999999999e-1 (×(1 − 2.2e-16), lowered):",
            ),
            (
                0.30003,
                1.0001,
                "lr 3.0000e-1 → 3.0003e-1 (×(1 + 1.0e-4), raised):",
            ),
            (
                0.300_001,
                1.2,
                "lr 3.00000e-1 → 3.00001e-1 (×1.200, raised):",
            ),
        ] {
            decision.lr = 0.3;
            (decision.new_lr, decision.factor) = (new_lr, factor);
            decision.verdict = Verdict::of(true, decision.lr, new_lr);
            assert_eq!(decision.to_string(), shown);
        }
    }

    #[test]
    fn equal_if_no_field_differs() {
        let mut decision = Decision::with_capacity(2);
        decision.losses = array![f64::NAN, f64::INFINITY];
        decision.earlier.push(Probed {
            candidates: array![0.1],
            losses: array![f64::NAN],
        });
        assert_eq!(decision, decision.clone());
        let changes: [fn(&mut Decision); 16] = [
            |d| d.index = 1,
            |d| d.tick = 1,
            |d| d.group = Some(0),
            |d| d.lr = 1.0,
            |d| d.candidates[1] = 1.0,
            |d| d.losses[0] = 1.0,
            |d| d.normalized[1] = 1.0,
            |d| d.scores[1] = 1.0,
            |d| d.weights[1] = 1.0,
            |d| d.factors = array![1.0, 1.0],
            |d| d.factor = 1.0,
            |d| d.new_lr = 1.0,
            |d| d.verdict = Verdict::Raised,
            |d| d.cost = Some(ProbeCost::new(1, 0)),
            |d| d.earlier[0].losses[0] = 1.0,
            |d| d.earlier[0].candidates[0] = 1.0,
        ];
        for (i, change) in changes.into_iter().enumerate() {
            let mut other = decision.clone();
            change(&mut other);
            assert_ne!(decision, other, "{i}");
        }
    }

    #[test]
    fn verdicts_by_hand() {
        for (votes, new_lr, verdict) in [
            (true, 2.0, Verdict::Raised),
            (true, 0.5, Verdict::Lowered),
            (true, 1.0, Verdict::Held),
            (false, 0.5, Verdict::NoFiniteLoss),
            (false, f64::NAN, Verdict::Propagated),
        ] {
            assert_eq!(Verdict::of(votes, 1.0, new_lr), verdict);
            let json = serde_json::to_string(&verdict).unwrap();
            assert_eq!(json, format!("{:?}", verdict.name()));
        }
    }
}
