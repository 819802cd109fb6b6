//! What `autolr update` answers.

use autolr_core::float_serde::{self, Float};
use autolr_core::{
    AutoLr, AutoLrConfig, Decision, ExponentialScore, ScaleUpdate, SchedulerState, StateError,
    TellError,
};
use ndarray::Array1;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::{Value, json};

use super::input::{Line, Object, Question, State, Tell};
use super::read::shown;

/// A line of output.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "Output")]
pub(super) enum Answer {
    Status(Status),
    Asked(Asked),
    Decided(Decided),
    ProbeAgain(ProbeAgain),
    Updated(Updated),
}

/// To `start` and `skip`: where the scheduler stands.
#[derive(Debug, Serialize, JsonSchema)]
// The name that the published schema has for it.
#[schemars(rename = "Standing", deny_unknown_fields)]
pub(super) struct Status {
    /// What the next line and the host's checkpoint take.
    #[schemars(with = "State")]
    state: SchedulerState,
    /// The rate in force; with several parameter groups, that of the first.
    #[serde(with = "float_serde")]
    #[schemars(with = "Float")]
    lr: f64,
    /// The rates in force, one a parameter group.
    #[serde(with = "float_serde::vec")]
    #[schemars(with = "Vec<Float>")]
    lrs: Vec<f64>,
    /// Whether a decision is due at the end of the present epoch or step.
    due: bool,
}

/// To `ask`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Asked {
    #[serde(flatten)]
    status: Status,
    #[serde(flatten)]
    trials: Trials,
}

/// To `tell`, when the decision is taken.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Decided {
    #[serde(flatten)]
    status: Status,
    /// What was decided, with all that led to it.
    decision: Box<Decision>,
}

/// To `tell`, when the best candidate was the outermost one and further rates are to be tried.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct ProbeAgain {
    #[serde(flatten)]
    status: Status,
    #[schemars(extend("const" = true))]
    probe_again: bool,
    #[serde(flatten)]
    trials: Trials,
}

/// What is to be tried.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Trials {
    /// The rates to try: of `group`, or of the first group where all are scaled together.
    #[serde(with = "float_serde::array")]
    #[schemars(with = "Vec<Float>")]
    candidates: Array1<f64>,
    /// The parameter group that the decision is about; null if it is about all.
    #[schemars(schema_with = "index_or_null")]
    group: Option<usize>,
    /// With several parameter groups: a row a trial, in it a rate a group.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<Vec<Float>>>")]
    candidates_by_group: Option<Vec<Vec<Float>>>,
}

/// `schemars(required)` would take the null away.
fn index_or_null(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": ["integer", "null"], "minimum": 0 })
}

/// To a question without a state.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Updated {
    /// The next rate.
    #[serde(with = "float_serde")]
    #[schemars(with = "Float")]
    lr: f64,
    /// What the present one was scaled by.
    #[serde(with = "float_serde")]
    #[schemars(with = "Float")]
    factor: f64,
    /// The normalised losses.
    #[serde(with = "float_serde::array")]
    #[schemars(with = "Vec<Float>")]
    normalized: Array1<f64>,
    /// The scores.
    #[serde(with = "float_serde::array")]
    #[schemars(with = "Vec<Float>")]
    scores: Array1<f64>,
    /// The weights.
    #[serde(with = "float_serde::array")]
    #[schemars(with = "Vec<Float>")]
    weights: Array1<f64>,
}

impl Answer {
    /// # Errors
    /// What is wrong with the line, with key and value.
    pub(super) fn to(line: Line) -> Result<Self, String> {
        match line {
            Line::Start(line) => {
                let Object(config) = line.start;
                Ok(Self::Status(Status::of(&AutoLr::new(config))))
            }
            Line::Ask(line) => {
                let scheduler = resumed("ask", line.ask, line.config)?;
                Ok(Self::Asked(Asked {
                    status: Status::of(&scheduler),
                    trials: Trials::of(&scheduler),
                }))
            }
            Line::Tell(line) => tell(line),
            Line::Skip(line) => {
                let mut scheduler = resumed("skip", line.skip, line.config)?;
                scheduler.skip();
                Ok(Self::Status(Status::of(&scheduler)))
            }
            Line::Question(line) => update(line).map(Self::Updated),
        }
    }
}

impl Status {
    fn of(scheduler: &AutoLr) -> Self {
        Self {
            state: scheduler.state(),
            lr: scheduler.lr(),
            lrs: scheduler.lrs().to_vec(),
            due: scheduler.is_due(),
        }
    }
}

impl Trials {
    fn of(scheduler: &AutoLr) -> Self {
        let rows = || {
            let lrs = scheduler.candidates_by_group();
            let row = |row: ndarray::ArrayView1<'_, f64>| row.iter().copied().map(Float).collect();
            lrs.rows().into_iter().map(row).collect()
        };
        Self {
            candidates: scheduler.candidates(),
            group: scheduler.next_group(),
            candidates_by_group: (scheduler.lrs().len() > 1).then(rows),
        }
    }
}

/// The scheduler that stands at the state under `key`.
fn resumed(
    key: &str,
    State(state): State,
    config: Option<Object<AutoLrConfig>>,
) -> Result<AutoLr, String> {
    let config = config.map_or_else(|| state.config().clone(), |Object(config)| config);
    AutoLr::with_state(config, &SchedulerState::AutoLr(Box::new(state))).map_err(
        |error| match error {
            StateError::Config { .. } => format!("config: {error}"),
            error => format!("{key}: {error}"),
        },
    )
}

fn tell(line: Tell) -> Result<Answer, String> {
    let mut scheduler = resumed("tell", line.tell, line.config)?;
    let losses: Array1<f64> = line.losses.iter().map(|Float(loss)| *loss).collect();
    let cost = line.cost.map(|Object(cost)| cost);
    let mut decision = Box::new(Decision::with_capacity(losses.len()));
    let decided = scheduler
        .tell_into(losses.view(), cost, &mut decision)
        .map_err(|error| about_losses(&line.losses, &error))?;
    let status = Status::of(&scheduler);
    Ok(if decided {
        Answer::Decided(Decided { status, decision })
    } else {
        Answer::ProbeAgain(ProbeAgain {
            status,
            probe_again: true,
            trials: Trials::of(&scheduler),
        })
    })
}

fn update(line: Question) -> Result<Updated, String> {
    let score = ExponentialScore::new(line.sharpness).map_err(|error| error.to_string())?;
    let rule = ScaleUpdate::new(line.factors)
        .with_normalization(line.normalization)
        .with_score(score)
        .with_non_finite(line.non_finite);
    let config = AutoLrConfig::new(line.lr, rule).map_err(|error| error.to_string())?;
    let losses: Array1<f64> = line.losses.iter().map(|Float(loss)| *loss).collect();
    let mut decision = Decision::with_capacity(losses.len());
    AutoLr::new(config)
        .tell_into(losses.view(), None, &mut decision)
        .map_err(|error| about_losses(&line.losses, &error))?;
    Ok(Updated {
        lr: decision.new_lr,
        factor: decision.factor,
        normalized: decision.normalized,
        scores: decision.scores,
        weights: decision.weights,
    })
}

fn about_losses(losses: &[Float], error: &TellError) -> String {
    // Not exactly as it was written (1 is 1.0), but as it was understood.
    let losses: Value = json!(losses);
    format!("losses = {}: {error}", shown(&losses))
}
