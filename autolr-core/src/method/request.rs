//! What a method asks for.

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::Record;
use crate::float_serde;
use crate::same::all_same;

/// What a method wants next. A trainer carries it out and answers with an [`Event`](crate::Event).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Request {
    /// Nothing: the training goes on at the rates in force.
    Continue,
    /// Try candidate rates from the present state and leave no trace; answered with
    /// [`Event::Losses`](crate::Event::Losses).
    Probe(Probe),
    /// Losses and slopes along the direction of the step to come, on its own batch, between a gradient and its step;
    /// answered with [`Event::Line`](crate::Event::Line).
    Line(Line),
    /// Keep a copy of all that the training is; a slot that is taken is overwritten. Answered with `Done`, as the rest.
    Save {
        /// Where to.
        slot: Slot,
    },
    /// Let go of a copy.
    Drop {
        /// Which.
        slot: Slot,
    },
    /// Go back to a copy, which stays; copies from later epochs are let go of. Training goes on with other batches than the
    /// first time; what was spent since stays spent.
    Restore {
        /// Which.
        slot: Slot,
        /// Whether the optimiser goes back too.
        optimizer: Keep,
    },
    /// Train from a copy, apart from the training itself; answered with [`Event::Branched`](crate::Event::Branched).
    Branch(Branch),
    /// The training goes on from the end of a branch, whose steps become the training's own. The slot is free again.
    Adopt {
        /// Which.
        slot: Slot,
    },
}

impl Request {
    /// Name as in files: `continue`, `probe`, `line`, `save`, `drop`, `restore`, `branch`, `adopt`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Continue => "continue",
            Self::Probe(_) => "probe",
            Self::Line(_) => "line",
            Self::Save { .. } => "save",
            Self::Drop { .. } => "drop",
            Self::Restore { .. } => "restore",
            Self::Branch(_) => "branch",
            Self::Adopt { .. } => "adopt",
        }
    }
}

/// A copy of a training: weights, buffers, optimiser, the place among the batches, the number of the attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Slot(pub u32);

/// Which state the optimiser has after going back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    /// That of the copy.
    #[default]
    Saved,
    /// The present one.
    Present,
}

/// How a rate runs over the steps of a trial or branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Course {
    /// Optimiser steps, at least 1.
    #[serde(default = "one")]
    pub steps: u64,
    /// After the warm-up.
    #[serde(default)]
    pub anneal: Anneal,
    /// First steps in which the rate rises in a straight line: step k of w has it times (k + 1)/(w + 1), k from 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub warm_up: u64,
}

/// How a rate falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Anneal {
    /// Not at all.
    #[default]
    Held,
    /// In a straight line: step k of the n after the warm-up has the rate times 1 − k/n, k from 0.
    ToZero,
}

fn one() -> u64 {
    1
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Course {
    /// One step, as in the paper.
    pub const ONE_STEP: Self = Self {
        steps: 1,
        anneal: Anneal::Held,
        warm_up: 0,
    };

    /// Whether it is a single step at the full rate.
    pub fn is_one_step(self) -> bool {
        self.steps == 1 && self.warm_up == 0
    }

    /// What the rate is multiplied by in step `k`, from 0: in [0, 1].
    pub fn factor(self, k: u64) -> f64 {
        if k < self.warm_up {
            return (k as f64 + 1.0) / (self.warm_up as f64 + 1.0);
        }
        match self.anneal {
            Anneal::Held => 1.0,
            Anneal::ToZero => {
                let n = self.steps.saturating_sub(self.warm_up).max(1);
                1.0 - (k - self.warm_up).min(n) as f64 / n as f64
            }
        }
    }
}

/// Candidate rates to be tried.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// Shape `[n, g]`: in trial i, group g starts at `lrs[[i, g]]`.
    #[serde(with = "rows")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<Vec<float_serde::Float>>"))]
    pub lrs: Array2<f64>,
    /// The steps of each trial.
    pub course: Course,
}

/// A clone is equal, with a NaN rate too.
impl PartialEq for Probe {
    fn eq(&self, other: &Self) -> bool {
        self.lrs.dim() == other.lrs.dim()
            && all_same(&self.lrs, &other.lrs)
            && self.course == other.course
    }
}

/// Where to read φ(η) = f(θ − η u), f being the loss of the step's batch and u the optimiser's direction. A rate may be
/// negative. Slope and length of the direction are told in any case.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Rates at which the loss φ is wanted: a forward pass each.
    #[serde(
        default,
        with = "float_serde::vec",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<float_serde::Float>"))]
    pub lrs: Vec<f64>,
    /// Rates at which its derivative φ′ is wanted: a forward and a backward pass each.
    #[serde(
        default,
        with = "float_serde::vec",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<float_serde::Float>"))]
    pub slopes: Vec<f64>,
}

impl Line {
    /// Of losses alone.
    pub fn losses(lrs: Vec<f64>) -> Self {
        Self {
            lrs,
            slopes: Vec::new(),
        }
    }
}

/// A clone is equal, with a NaN rate too.
impl PartialEq for Line {
    fn eq(&self, other: &Self) -> bool {
        all_same(&self.lrs, &other.lrs) && all_same(&self.slopes, &other.slopes)
    }
}

/// A clone is equal, with a NaN rate too.
impl PartialEq for Branch {
    fn eq(&self, other: &Self) -> bool {
        (self.from, self.into, self.course, self.scores)
            == (other.from, other.into, other.course, other.scores)
            && all_same(&self.lrs, &other.lrs)
    }
}

/// A training apart from the training.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Branch {
    /// Where it begins; it stays.
    pub from: Slot,
    /// Where its end is kept; a slot that is taken is overwritten.
    pub into: Slot,
    /// The rates of its first step, one a parameter group.
    #[serde(with = "float_serde::vec")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<float_serde::Float>"))]
    pub lrs: Vec<f64>,
    /// Its steps. It ends with the epoch at the latest.
    pub course: Course,
    /// On how many batches its end is scored that it was not trained on. Branches that end at the same step are scored on
    /// the same ones.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub scores: u64,
}

/// What a method answers to an event.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Turn {
    /// What it wants next.
    pub request: Request,
    /// What it decided, for the log.
    pub record: Option<Record>,
}

impl Turn {
    /// The training goes on, and there is nothing to record.
    pub const CONTINUE: Self = Self {
        request: Request::Continue,
        record: None,
    };

    /// A decision, with which the training goes on.
    pub fn recorded(record: Record) -> Self {
        Self {
            request: Request::Continue,
            record: Some(record),
        }
    }

    /// The same with another request.
    #[must_use]
    pub fn with_request(self, request: Request) -> Self {
        Self { request, ..self }
    }
}

impl From<Request> for Turn {
    fn from(request: Request) -> Self {
        Self {
            request,
            record: None,
        }
    }
}

/// A matrix as a list of its rows.
mod rows {
    use ndarray::Array2;
    use serde::{Deserialize, Deserializer, Serializer, de};

    use crate::float_serde::Float;

    pub(super) fn serialize<S: Serializer>(
        matrix: &Array2<f64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let row = |row: ndarray::ArrayView1<'_, f64>| -> Vec<Float> {
            row.iter().copied().map(Float).collect()
        };
        serializer.collect_seq(matrix.rows().into_iter().map(row))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Array2<f64>, D::Error> {
        let rows = Vec::<Vec<Float>>::deserialize(deserializer)?;
        let columns = rows.first().map_or(0, Vec::len);
        if rows.iter().any(|row| row.len() != columns) {
            return Err(de::Error::custom("rows of different lengths"));
        }
        let shape = (rows.len(), columns);
        let values = rows.into_iter().flatten().map(|Float(value)| value);
        Array2::from_shape_vec(shape, values.collect()).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn a_course_is_held_or_falls_to_zero() {
        let factors = |anneal| {
            let course = Course {
                steps: 4,
                anneal,
                warm_up: 0,
            };
            [0, 1, 3, 4, 9].map(|k| course.factor(k))
        };
        assert_eq!(factors(Anneal::Held), [1.0; 5]);
        assert_eq!(factors(Anneal::ToZero), [1.0, 0.75, 0.25, 0.0, 0.0]);
        let course = Course {
            steps: 5,
            anneal: Anneal::ToZero,
            warm_up: 1,
        };
        let factors = [0, 1, 2, 4, 5].map(|k| course.factor(k));
        assert_eq!(factors, [0.5, 1.0, 0.75, 0.25, 0.0]);
    }

    #[test]
    fn a_clone_is_equal_with_rates_that_are_none() {
        let probe = |lr: f64| Probe {
            lrs: array![[lr]],
            course: Course::ONE_STEP,
        };
        assert_eq!(probe(f64::NAN), probe(f64::NAN));
        assert_ne!(probe(f64::NAN), probe(0.1));
    }

    #[test]
    fn every_request_survives_json() {
        let branch = Branch {
            from: Slot(0),
            into: Slot(1),
            lrs: vec![0.1, f64::INFINITY],
            course: Course {
                steps: 3,
                anneal: Anneal::ToZero,
                warm_up: 1,
            },
            scores: 4,
        };
        let probe = Probe {
            lrs: array![[0.1, 0.2], [0.3, 0.4]],
            course: Course::ONE_STEP,
        };
        for request in [
            Request::Continue,
            Request::Probe(probe),
            Request::Line(Line {
                lrs: vec![-0.1, 0.1],
                slopes: vec![0.5],
            }),
            Request::Line(Line::default()),
            Request::Save { slot: Slot(3) },
            Request::Drop { slot: Slot(3) },
            Request::Restore {
                slot: Slot(3),
                optimizer: Keep::Present,
            },
            Request::Branch(branch),
            Request::Adopt { slot: Slot(1) },
        ] {
            let json = serde_json::to_value(&request).unwrap();
            assert_eq!(json["kind"], request.name());
            let text = json.to_string();
            assert_eq!(serde_json::from_str::<Request>(&text).unwrap(), request);
        }
        let ragged = r#"{"kind": "probe", "lrs": [[1], [1, 2]], "course": {}}"#;
        let error = serde_json::from_str::<Request>(ragged).unwrap_err();
        assert!(error.to_string().contains("rows of different lengths"));
    }
}
