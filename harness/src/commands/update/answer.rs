//! What `autolr update` answers.

use autolr_core::float_serde::{self, Float};
use autolr_core::{
    AutoLr, AutoLrConfig, Change, Decision, Event, ExponentialScore, LineReading, Method,
    MethodConfig, MethodState, Needs, Plan, Record, Request, ScaleUpdate, StateError, TellError,
};
use ndarray::Array1;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::{Value, json};

use super::input::{Happened, Line, Object, Question, State, Tell, Told};
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
    Began(Began),
    Turned(Turned),
    Updated(Updated),
}

/// To `start` and `skip`: where the scheduler stands.
#[derive(Debug, Serialize, JsonSchema)]
// The name that the published schema has for it.
#[schemars(rename = "Standing", deny_unknown_fields)]
pub(super) struct Status {
    /// What the next line and the host's checkpoint take.
    #[schemars(with = "State")]
    state: MethodState,
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

/// To `method`: any scheduler at its beginning.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Began {
    #[serde(flatten)]
    stands: Stands,
    /// What it has to be told, and able to ask for.
    needs: Needs,
}

/// To `event` and `resume`: what the scheduler wants next.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Turned {
    #[serde(flatten)]
    stands: Stands,
    /// What is to be carried out; `continue` for the training to go on.
    request: Request,
    /// What was decided, by the closed loop.
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<Box<Decision>>,
    /// What was decided, by any other scheduler.
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<Change>,
}

/// Where any scheduler stands.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Stands {
    /// What the next line and the host's checkpoint take.
    #[schemars(with = "State")]
    state: MethodState,
    /// The rate in force; with several parameter groups, that of the first.
    #[serde(with = "float_serde")]
    #[schemars(with = "Float")]
    lr: f64,
    /// The rates in force, one a parameter group.
    #[serde(with = "float_serde::vec")]
    #[schemars(with = "Vec<Float>")]
    lrs: Vec<f64>,
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
            Line::Method(line) => {
                let method = line.method.build();
                Ok(Self::Began(Began {
                    stands: Stands::of(method.as_ref()),
                    needs: method.needs(),
                }))
            }
            Line::Event(line) => happened(line).map(Self::Turned),
            Line::Resume(line) => {
                let method = any("resume", &line.resume)?;
                Ok(Self::Turned(Turned {
                    request: method.pending().unwrap_or(Request::Continue),
                    stands: Stands::of(method.as_ref()),
                    decision: None,
                    change: None,
                }))
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

impl Stands {
    fn of(method: &dyn Method) -> Self {
        Self {
            state: method.state(),
            lr: method.lr(),
            lrs: method.lrs().to_vec(),
        }
    }
}

/// Any scheduler that stands at the state under `key`.
fn any(key: &str, State(state): &State) -> Result<Box<dyn Method>, String> {
    let method = MethodConfig::of_state(state).and_then(|config| config.resume(state));
    method.map_err(|error| format!("{key}: {error}"))
}

fn happened(line: Happened) -> Result<Turned, String> {
    let mut method = any("state", &line.state)?;
    let unwrap = |Float(number): Float| number;
    let losses: Vec<f64> = match &line.event {
        Told::Losses { losses, .. } | Told::Branched { scores: losses, .. } => {
            losses.iter().map(|Float(loss)| *loss).collect()
        }
        _ => Vec::new(),
    };
    let mut reading = LineReading::default();
    let event = match line.event {
        Told::Line {
            losses,
            slopes,
            slope,
            squared_norm,
        } => {
            reading.losses = losses.into_iter().map(unwrap).collect();
            reading.slopes = slopes.into_iter().map(unwrap).collect();
            (reading.slope, reading.squared_norm) = (unwrap(slope), unwrap(squared_norm));
            Event::Line(&reading)
        }
        Told::Start {
            steps,
            steps_per_epoch,
        } => Event::Start(Plan {
            steps,
            steps_per_epoch,
        }),
        Told::Gradient { loss, squared_norm } => Event::Gradient {
            loss: unwrap(loss),
            squared_norm: unwrap(squared_norm),
        },
        Told::Step { loss } => Event::Step {
            loss: loss.map(unwrap),
        },
        Told::Epoch {
            train_loss,
            validation_loss,
        } => Event::Epoch {
            train_loss: unwrap(train_loss),
            validation_loss: validation_loss.map(unwrap),
        },
        Told::Losses { cost, .. } => Event::Losses {
            losses: &losses,
            cost,
        },
        Told::Branched {
            steps, train_loss, ..
        } => Event::Branched {
            steps,
            train_loss: unwrap(train_loss),
            scores: &losses,
        },
        Told::Done => Event::Done,
    };
    let turn = method
        .next(&event, &line.budget)
        .map_err(|error| format!("event: {error}"))?;
    let (decision, change) = match turn.record {
        Some(Record::Decision(decision)) => (Some(decision), None),
        Some(Record::Change(change)) => (None, Some(change)),
        _ => (None, None),
    };
    Ok(Turned {
        stands: Stands::of(method.as_ref()),
        request: turn.request,
        decision,
        change,
    })
}

/// The closed loop that stands at the state under `key`.
fn resumed(
    key: &str,
    State(state): State,
    config: Option<Object<AutoLrConfig>>,
) -> Result<AutoLr, String> {
    let named = |error: StateError| match error {
        StateError::Config { .. } => format!("config: {error}"),
        error => format!("{key}: {error}"),
    };
    let config = match config {
        Some(Object(config)) => config,
        None => {
            let config = MethodConfig::of_state(&state).map_err(named)?;
            let config = config.downcast::<AutoLrConfig>().cloned();
            config.ok_or_else(|| format!("{key}: not the state of the closed loop"))?
        }
    };
    AutoLr::with_state(config, &state).map_err(named)
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
    let update = config
        .rule()
        .update(losses.view())
        .map_err(|error| about_losses(&line.losses, &error.into()))?;
    Ok(Updated {
        lr: (update.factor * config.lr()).clamp(f64::MIN_POSITIVE, f64::MAX),
        factor: update.factor,
        normalized: update.normalized,
        scores: update.scores,
        weights: update.weights,
    })
}

fn about_losses(losses: &[Float], error: &TellError) -> String {
    // Not exactly as it was written (1 is 1.0), but as it was understood.
    let losses: Value = json!(losses);
    format!("losses = {}: {error}", shown(&losses))
}
