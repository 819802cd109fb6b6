//! The only loop around a method: events in, requests carried out, answers back.

use ndarray::Array1;

use crate::method::{Budget, Event, LineReading, Method, MethodError, Record, Request, Turn};
use crate::short::Short;
use crate::{GroupsError, ProbeBackend, ProbeCost, StepsError, TellError};

/// What carries out the requests of a method: a trainer.
pub trait Training {
    /// Broken machinery: a device, I/O. A loss that is not finite is data, not an error.
    type Error;

    /// Compute that is spent and left.
    fn budget(&self) -> Budget;

    /// Carries out a request, which is never [`Request::Continue`]. `method` has asked for it and waits: its state, saved
    /// now, has the request in it.
    ///
    /// # Errors
    /// When the machinery fails, or the training ends here. The method still waits: [`resume`] tries again.
    fn carry_out(&mut self, request: &Request, method: &dyn Method) -> Result<Answer, Self::Error>;

    /// Takes what a method has to say of a decision.
    ///
    /// # Errors
    /// When the machinery fails.
    fn record(&mut self, record: Record) -> Result<(), Self::Error>;
}

/// What a request came to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Answer {
    /// Of a probe: one loss a candidate.
    Losses {
        /// The losses, shape `[n]`.
        losses: Vec<f64>,
        /// What they cost.
        cost: Option<ProbeCost>,
    },
    /// Of a branch.
    Branched {
        /// Steps taken.
        steps: u64,
        /// Mean training loss over them.
        train_loss: f64,
        /// Losses on scoring batches afterwards, as many as asked for.
        scores: Vec<f64>,
    },
    /// Of a reading along the direction of a step.
    Line(LineReading),
    /// Of all others.
    Done,
}

/// A clone is equal, with NaN losses too.
impl PartialEq for Answer {
    fn eq(&self, other: &Self) -> bool {
        self.event() == other.event()
    }
}

impl Answer {
    /// The event that carries this answer to the method.
    pub fn event(&self) -> Event<'_> {
        match self {
            Self::Losses { losses, cost } => Event::Losses {
                losses,
                cost: *cost,
            },
            Self::Branched {
                steps,
                train_loss,
                scores,
            } => Event::Branched {
                steps: *steps,
                train_loss: *train_loss,
                scores,
            },
            Self::Line(reading) => Event::Line(reading),
            Self::Done => Event::Done,
        }
    }
}

/// Why a training cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum DriveError<E> {
    /// The method cannot take the event.
    #[error(transparent)]
    Method(MethodError),
    /// The training failed, or has ended.
    #[error("{0}")]
    Training(E),
}

impl<E> From<MethodError> for DriveError<E> {
    fn from(error: MethodError) -> Self {
        Self::Method(error)
    }
}

/// Tells a method what happened, and has all that it asks for carried out until the training is to go on.
///
/// # Errors
/// [`DriveError::Method`] for an event that the method cannot take, and then is as before; [`DriveError::Training`] as
/// [`Training::carry_out`].
pub fn drive<T: Training + ?Sized>(
    method: &mut dyn Method,
    event: &Event<'_>,
    training: &mut T,
) -> Result<(), DriveError<T::Error>> {
    let turn = method.next(event, &training.budget())?;
    carry_on(method, turn, training)
}

/// Carries out again what a method waits for, if it waits: after a stop, or an error.
///
/// # Errors
/// As [`drive`].
pub fn resume<T: Training + ?Sized>(
    method: &mut dyn Method,
    training: &mut T,
) -> Result<(), DriveError<T::Error>> {
    match method.pending() {
        Some(request) => carry_on(method, request.into(), training),
        None => Ok(()),
    }
}

pub(crate) fn carry_on<T: Training + ?Sized>(
    method: &mut dyn Method,
    mut turn: Turn,
    training: &mut T,
) -> Result<(), DriveError<T::Error>> {
    loop {
        if let Some(record) = turn.record.take() {
            training.record(record).map_err(DriveError::Training)?;
        }
        if turn.request == Request::Continue {
            return Ok(());
        }
        let answer = training
            .carry_out(&turn.request, method)
            .map_err(DriveError::Training)?;
        turn = method.next(&answer.event(), &training.budget())?;
    }
}

/// Why a decision, or a request of a method, failed over a [`ProbeBackend`]. The scheduler is as before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// The back end failed.
    #[error("the probe of {candidates} candidate rates around {} failed", Short(*.lr))]
    Backend {
        /// How many rates were to be tried.
        candidates: usize,
        /// The rate around which.
        lr: f64,
        /// What the back end said: its own error, which `downcast` gives back (of an `anyhow::Error`, its chain).
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The back end takes one rate for all parameters, the configuration has several groups.
    #[error(
        "the configuration has {groups} parameter groups, but the back end takes one rate for all: it has no `probe_groups`"
    )]
    Groups {
        /// How many groups are configured.
        groups: usize,
    },
    /// The back end takes one step a trial, the method wants several.
    #[error(
        "the method wants trials of {steps} steps, but the back end takes one: it has no `probe_steps`"
    )]
    Steps {
        /// How many steps are wanted.
        steps: usize,
    },
    /// The method asked for something other than a probe, and a back end can only probe.
    #[error("the method asks to {request}, but the back end can only probe")]
    Unsupported {
        /// Name of the request.
        request: &'static str,
    },
    /// The method reads losses along the direction of a step, which the back end does not tell.
    #[error(
        "the method reads losses along the direction of a step, but the back end has no `line`"
    )]
    NoLine,
    /// The back end failed along the direction of a step.
    #[error("reading losses along the direction of a step failed")]
    Line(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The losses cannot be used.
    #[error(transparent)]
    Tell(#[from] TellError),
    /// The method cannot take what it was told.
    #[error(transparent)]
    Method(#[from] MethodError),
}

/// A training that can be asked for probes alone: what a [`ProbeBackend`] gives. It keeps the records.
#[derive(Debug)]
pub struct Probing<B> {
    backend: B,
    budget: Budget,
    records: Vec<Record>,
}

impl<B: ProbeBackend> Probing<B> {
    /// Over a back end, or a mutable reference to one.
    pub fn new(backend: B) -> Self {
        Self {
            backend,
            budget: Budget::default(),
            records: Vec::new(),
        }
    }

    /// Sets the budget that methods see.
    #[must_use]
    pub fn with_budget(self, budget: Budget) -> Self {
        Self { budget, ..self }
    }

    /// What was decided, in its order.
    pub fn into_records(self) -> Vec<Record> {
        self.records
    }
}

impl<B: ProbeBackend> Training for Probing<B> {
    type Error = ProbeError;

    fn budget(&self) -> Budget {
        self.budget
    }

    fn carry_out(&mut self, request: &Request, method: &dyn Method) -> Result<Answer, ProbeError> {
        if let Request::Line(line) = request {
            let reading = self.backend.line(line);
            let reading = reading.map_err(|source: B::Error| ProbeError::Line(source.into()))?;
            return reading.map(Answer::Line).ok_or(ProbeError::NoLine);
        }
        let Request::Probe(probe) = request else {
            return Err(ProbeError::Unsupported {
                request: request.name(),
            });
        };
        let (n, groups) = probe.lrs.dim();
        let failed = |source: B::Error| ProbeError::Backend {
            candidates: n,
            lr: method.lr(),
            source: source.into(),
        };
        // NaN where a back end forgets to write: such a candidate has no vote.
        let mut losses = Array1::from_elem(n, f64::NAN);
        if probe.course.steps == 0 {
            return Err(ProbeError::Steps { steps: 0 });
        }
        let cost = if !probe.course.is_one_step() {
            let steps = probe.course.steps as usize;
            if groups > 1 {
                return Err(ProbeError::Groups { groups });
            }
            let lrs = ndarray::Array2::from_shape_fn((n, steps), |(i, k)| {
                probe.lrs[[i, 0]] * probe.course.factor(k as u64)
            });
            match self.backend.probe_steps(lrs.view(), losses.view_mut()) {
                Ok(()) => {}
                Err(StepsError::Backend(source)) => return Err(failed(source)),
                Err(_) => return Err(ProbeError::Steps { steps }),
            }
            self.backend.cost(n)
        } else if groups > 1 {
            match self
                .backend
                .probe_groups(probe.lrs.view(), losses.view_mut())
            {
                Ok(()) => {}
                Err(GroupsError::Unsupported { groups }) => {
                    return Err(ProbeError::Groups { groups });
                }
                Err(GroupsError::Backend(source)) => return Err(failed(source)),
            }
            self.backend.cost(n)
        } else {
            let lrs = probe.lrs.column(0);
            self.backend.probe(lrs, losses.view_mut()).map_err(failed)?;
            self.backend.cost_of(lrs, losses.view())
        };
        Ok(Answer::Losses {
            losses: losses.to_vec(),
            cost,
        })
    }

    fn record(&mut self, record: Record) -> Result<(), ProbeError> {
        self.records.push(record);
        Ok(())
    }
}
