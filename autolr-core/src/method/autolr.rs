mod config;
mod decision;
mod state;
mod window;

pub use config::{AllNonFinite, AutoLrConfig, GroupProbing};
pub use decision::{Decision, Probed, Verdict};

use ndarray::{Array1, Array2, ArrayView1};

use super::config::{Config, Forecast, MethodConfig};
use super::kind::KeyDefault::{Core, Required, Unless};
use super::kind::ValueKind::{Factors, Number, OneOf, Schedule, Whole};
use super::kind::{Key, Kind, Range, UNIT};
use super::registry::Entry;
use super::{
    Budget, Course, Event, Method, MethodError, MethodState, Needs, Plan, Probe, Record, Request,
    Turn,
};
use crate::clock::Unit;
use crate::drive::{DriveError, Probing, carry_on};
use crate::schedule::Schedule as _;
use crate::value::Table;
use crate::{Normalization, ProbeBackend, ProbeCost, ProbeError, StateError, TellError, Update};
use decision::fill;
use state::{AutoLrState, Window};
use window::{Candidates, Cut};

const KIND: &str = "autolr";
/// Version 2 had plain numbers.
const VERSION: u32 = 3;

pub(super) const ENTRY: Entry = Entry {
    kind: Kind::new(
        KIND,
        &[
            Key::new("lr", Number, Unless("base")).within(Range::RATE).about("the rate to begin with"),
            Key::new("factors", Factors, Required).about("what a probe scales the rate by: a list of positive numbers, or `factor_N` for N powers of two around 1"),
            Key::new(
                "normalization",
                OneOf(Normalization::NAMES), Core("z-score")).about("how the losses of a probe are made comparable"),
            Key::new("sharpness", Number, Core("1")).within(Range::NOT_NEGATIVE).about("how much a low loss counts; 0: all alike"),
            Key::new(
                "non_finite",
                OneOf(&["no-vote", "propagate"]), Core("no-vote")).about("what a loss does that is not finite"),
            Key::new("every", Whole, Core("1")).within(Range::AT_LEAST_ONE).about("a decision every so many epochs or steps"),
            UNIT,
            Key::new("min_lr", Number, Core("none")).within(Range::RATE).about("no rate and no candidate is below"),
            Key::new("max_lr", Number, Core("none")).within(Range::RATE).about("no rate and no candidate is above"),
            Key::new(
                "all_non_finite",
                OneOf(&["hold", "lower", "fail"]), Core("hold")).about("what happens if no loss of a probe is finite: `lower` wants a factor below 1"),
            Key::new("edge_probes", Whole, Core("0")).about("how often a decision probes again, around the best candidate, while that is the outermost one"),
            Key::new("base", Schedule, Core("none")).about("an open-loop schedule that the closed loop scales, instead of `lr`"),
        ],
        "the paper's scheduler",
    ),
    read: |table| AutoLrConfig::read(table).map(MethodConfig::of),
    of_state: |state| Ok(MethodConfig::of(saved(state)?.config)),
};

fn saved(state: &MethodState) -> Result<AutoLrState, StateError> {
    state.read(KIND, 2..=VERSION)
}

impl From<AutoLrConfig> for MethodConfig {
    fn from(config: AutoLrConfig) -> Self {
        Self::of(config)
    }
}

impl Config for AutoLrConfig {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn keys(&self) -> Table {
        Table::of(self)
    }

    fn build(&self) -> Box<dyn Method> {
        Box::new(AutoLr::new(self.clone()))
    }

    fn resume(&self, state: &MethodState) -> Result<Box<dyn Method>, StateError> {
        Ok(Box::new(AutoLr::with_state(self.clone(), state)?))
    }

    fn forecast(&self, plan: Plan) -> Forecast {
        let ticks = match self.cadence().unit() {
            Unit::Epoch => plan.epochs(),
            Unit::Step => plan.steps,
        };
        Forecast {
            decisions: ticks / self.cadence().every(),
            candidates: self.rule().factors().len(),
            further_probes: self.edge_probes().into(),
            ..Forecast::default()
        }
    }
}

/// What [`AutoLr::tell`] made of the losses.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// The decision is taken, and the next rate is in force.
    Decided(Box<Decision>),
    /// The best candidate was the outermost one: [`AutoLr::candidates`] has further rates to try, and the losses are
    /// to be told again. Only with [`AutoLrConfig::with_edge_probes`].
    ProbeAgain,
}

impl Told {
    /// The decision, if it is taken.
    pub fn decided(self) -> Option<Decision> {
        match self {
            Self::Decided(decision) => Some(*decision),
            Self::ProbeAgain => None,
        }
    }
}

/// The paper's scheduler: the rate is scaled, decision by decision, by the weighted geometric mean of its factors
/// (Algorithm 1).
///
/// It counts ticks: epochs, or steps. During tick t, [`AutoLr::lr`] is the rate. At the end of a tick, if a decision
/// is [due](AutoLr::is_due), `tell` takes it; else [`AutoLr::skip`] goes on. With a back end, [`AutoLr::step`] does a
/// whole decision; without one, [`AutoLr::candidates`] says what to try and [`AutoLr::tell`] takes the losses. A
/// trainer that is to work with any method uses the trait [`Method`].
///
/// ```
/// use autolr_core::{AutoLr, AutoLrConfig, Factors, ScaleUpdate};
/// use ndarray::Array1;
/// let config = AutoLrConfig::new(0.1, ScaleUpdate::new(Factors::powers_of_two(5)?))?.with_bounds(1e-3, 10.0)?;
/// let mut scheduler = AutoLr::new(config);
/// // A quadratic x²/2 from x = 1: after a step at rate η the loss is (1 − η)²/2, least at η = 1.
/// for _ in 0..20 {
///     let losses: Array1<f64> = scheduler.candidates().mapv(|lr| (1.0 - lr).powi(2) / 2.0);
///     scheduler.tell(losses.view())?;
/// }
/// assert!((0.5..1.5).contains(&scheduler.lr()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A network has noisy losses: give it bounds, as here, and also a second batch that scores and a base schedule, as in
/// the [crate's example](crate).
#[derive(Debug, Clone)]
pub struct AutoLr {
    config: AutoLrConfig,
    tick: u64,
    decisions: u64,
    scales: Vec<f64>,
    window: Option<Window>,
    /// Whether losses have been asked for, as a [`Method`].
    asked: bool,
    cut: Cut,
    /// The rates in force, one a group.
    rates: Vec<f64>,
    scratch: Scratch,
}

/// Work space, so that a decision allocates nothing.
#[derive(Debug, Clone)]
struct Scratch {
    candidates: Candidates,
    update: Update,
}

/// Equal if they go on alike.
impl PartialEq for AutoLr {
    fn eq(&self, other: &Self) -> bool {
        self.state() == other.state()
    }
}

impl AutoLr {
    /// A scheduler at its initial rate.
    pub fn new(config: AutoLrConfig) -> Self {
        let n = config.rule().factors().len();
        let mut scheduler = Self {
            tick: 0,
            decisions: 0,
            scales: vec![config.initial_scale(); config.scales()],
            window: None,
            asked: false,
            cut: Cut::Shared,
            rates: vec![0.0; config.groups().len()],
            scratch: Scratch {
                candidates: Candidates::new(n, Cut::Shared),
                update: Update::with_capacity(n),
            },
            config,
        };
        scheduler.refresh_rates();
        scheduler
    }

    /// A scheduler that goes on from a saved state, bit-identically.
    ///
    /// # Errors
    /// [`StateError`] for a state of another kind, version or configuration, with the fields that differ, or with
    /// values that no scheduler can have. A NaN rate is taken: under
    /// [`NonFinite::Propagate`](crate::NonFinite::Propagate) that is where a run can end.
    pub fn with_state(config: AutoLrConfig, state: &MethodState) -> Result<Self, StateError> {
        let state = saved(state)?;
        state.check(&config)?;
        let mut scheduler = Self::new(config);
        scheduler.tick = state.tick;
        scheduler.decisions = state.decisions;
        scheduler.scales = state.scales;
        scheduler.window = state.window;
        scheduler.asked = state.asked;
        scheduler.refresh_rates();
        // Revisions before said nothing of it.
        let was_bounded = scheduler.config.is_bounded() && state.cut.is_none();
        Ok(scheduler.cutting(if was_bounded {
            Cut::AsTried
        } else {
            state.cut.unwrap_or(Cut::Shared)
        }))
    }

    /// The same, deciding as earlier revisions did where a bound cuts candidates: each of them is a trial of its own, and
    /// votes with the factor that was tried. Their records have no [`Decision::factors`], and are replayed so; a state of
    /// theirs goes on so by itself.
    #[must_use]
    pub fn with_cut_candidates_as_tried(self) -> Self {
        self.cutting(Cut::AsTried)
    }

    fn cutting(mut self, cut: Cut) -> Self {
        let n = self.config.rule().factors().len();
        self.cut = cut;
        self.scratch.candidates = Candidates::new(n, cut);
        self
    }

    /// The state to be saved. At any moment, also between two probes of one decision.
    pub fn state(&self) -> MethodState {
        let state = AutoLrState {
            config: self.config.clone(),
            tick: self.tick,
            decisions: self.decisions,
            scales: self.scales.clone(),
            window: self.window.clone(),
            asked: self.asked,
            cut: self.config.is_bounded().then_some(self.cut),
        };
        MethodState::new(KIND, VERSION, &state)
    }

    /// The learning rate in force; with several parameter groups, that of the first.
    pub fn lr(&self) -> f64 {
        self.rates[0]
    }

    /// The rates in force, one a parameter group.
    pub fn lrs(&self) -> &[f64] {
        &self.rates
    }

    /// The settings.
    pub fn config(&self) -> &AutoLrConfig {
        &self.config
    }

    /// How many ticks (epochs or steps) have ended.
    pub fn tick(&self) -> u64 {
        self.tick
    }

    /// Whether a decision is due at the end of the present tick.
    pub fn is_due(&self) -> bool {
        self.config.cadence().is_due(self.tick)
    }

    /// The parameter group that the next decision is about; none if it is about all.
    pub fn next_group(&self) -> Option<usize> {
        let groups = self.config.groups().len();
        (self.config.group_probing() == GroupProbing::InTurn && groups > 1)
            .then(|| (self.decisions % groups as u64) as usize)
    }

    /// The rates to try at the end of the present tick: the factors times the rate of the next tick, cut to the bounds.
    /// One a factor, shape `[n]`; where a bound cuts, all that lie at the same bound are one, and there are fewer. If two
    /// are left of three or more, a third comes last: as far from the other as that is from the bound.
    ///
    /// With several parameter groups they are rates of [`AutoLr::next_group`], or of the first group where all are
    /// scaled together; [`AutoLr::candidates_by_group`] has those of all.
    pub fn candidates(&self) -> Array1<f64> {
        let multiplier = self.multiplier(self.leading_group());
        let placed = self.placed();
        let rates = placed.trials().iter();
        rates.map(|lr| within_range(lr * multiplier)).collect()
    }

    /// The rates to try, shape `[n, g]`: row i holds the rates of all parameter groups in trial i.
    pub fn candidates_by_group(&self) -> Array2<f64> {
        let (placed, next) = (self.placed(), self.next_group());
        let trials = placed.trials();
        Array2::from_shape_fn((trials.len(), self.rates.len()), |(i, group)| {
            let tried = next.is_none_or(|next| next == group);
            let lr = if tried {
                trials[i]
            } else {
                self.upcoming(self.scale_of(group))
            };
            within_range(lr * self.multiplier(group))
        })
    }

    fn placed(&self) -> Candidates {
        let n = self.config.rule().factors().len();
        let mut candidates = Candidates::new(n, self.cut);
        candidates.place(&self.config, self.centre());
        candidates
    }

    /// Takes the losses, one for each of [`AutoLr::candidates`] in their order, and moves to the next tick and its rate.
    ///
    /// Where no rate tried has a lower loss than the bound, a candidate that it cuts votes with its own factor, and the
    /// rate goes no farther than to the minimum of the parabola in ln lr through the losses of the bound and of the two
    /// rates nearest to it. Where one has, such a candidate votes with the factor that was tried.
    ///
    /// The rate stays within the bounds; it becomes NaN only under
    /// [`NonFinite::Propagate`](crate::NonFinite::Propagate).
    ///
    /// # Errors
    /// [`TellError::Length`] if there is not one loss a candidate, [`TellError::NoFiniteLoss`] if none is finite and
    /// the configuration says to fail then. The scheduler is as before.
    pub fn tell<'a>(
        &mut self,
        losses: impl Into<ArrayView1<'a, f64>>,
    ) -> Result<Told, TellError> {
        let losses = losses.into();
        let mut decision = Decision::with_capacity(losses.len());
        let decided = self.tell_into(losses, None, &mut decision)?;
        Ok(if decided {
            Told::Decided(Box::new(decision))
        } else {
            Told::ProbeAgain
        })
    }

    /// As [`AutoLr::tell`], with what the probe cost, and into a record made for as many factors: allocates nothing
    /// unless the decision goes on. Whether it is taken; if not, the record is untouched.
    ///
    /// # Errors
    /// As [`AutoLr::tell`].
    pub fn tell_into<'a>(
        &mut self,
        losses: impl Into<ArrayView1<'a, f64>>,
        cost: Option<ProbeCost>,
        decision: &mut Decision,
    ) -> Result<bool, TellError> {
        let losses = losses.into();
        let (slot, centre) = (self.slot(), self.centre());
        let lr = self.upcoming(self.scales[slot]);
        let Scratch { candidates, update } = &mut self.scratch;
        candidates.place(&self.config, centre);
        candidates.check(losses)?;
        let anyone_votes = candidates.anyone_votes(losses);
        let lower = !anyone_votes && self.config.all_non_finite() == AllNonFinite::Lower;
        if !anyone_votes && self.config.all_non_finite() == AllNonFinite::Fail {
            return Err(candidates.no_finite_loss());
        }
        candidates.vote(&self.config, losses, update);
        let probes = self.window.as_ref().map_or(0, |window| window.probes.len());
        if probes < self.config.edge_probes() as usize && !update.factor.is_nan() {
            if let Some(beyond) = candidates.beyond(&self.config, losses, lower) {
                self.recentre(beyond, losses, cost);
                return Ok(false);
            }
        }
        let Scratch { candidates, update } = &self.scratch;
        // The rate before bounds, and what scales the rate of the next tick to it.
        let (wanted, factor) = if lower {
            (candidates.lowest(), candidates.lowest() / lr)
        } else if !anyone_votes && !update.factor.is_nan() {
            (lr, 1.0)
        } else {
            let factor = update.factor;
            let moved = if self.window.is_some() {
                centre / lr
            } else {
                1.0
            };
            (factor * centre, moved * factor)
        };
        let new_lr = self.config.within_bounds(wanted);
        let by = if new_lr == wanted || factor.is_nan() {
            factor
        } else {
            new_lr / lr
        };
        let new_scale = self.next_scale(self.scales[slot], by, new_lr);
        let factor = if new_scale.is_some() { factor } else { 1.0 };
        let multiplier = self.multiplier(self.leading_group());
        decision.index = self.decisions;
        decision.tick = self.tick.saturating_add(1);
        decision.group = self.next_group();
        decision.lr = within_range(lr * multiplier);
        decision.factor = factor;
        let scaled = |lr: f64| within_range(lr * multiplier);
        fill(
            &mut decision.candidates,
            candidates.trials().iter().map(|&lr| scaled(lr)),
        );
        candidates.record(losses, update, decision);
        decision.cost = cost;
        decision.earlier.clear();
        if let Some(window) = self.window.take() {
            decision.cost = total(window.cost, cost);
            decision.earlier = window.probes;
        }
        self.asked = false;
        self.scales[slot] = new_scale.unwrap_or(self.scales[slot]);
        self.decisions = self.decisions.saturating_add(1);
        self.tick = decision.tick;
        self.refresh_rates();
        decision.new_lr = self.rates[decision.group.unwrap_or(0)];
        decision.verdict = Verdict::of(anyone_votes, decision.lr, decision.new_lr);
        Ok(true)
    }

    /// The present tick ends without a decision.
    pub fn skip(&mut self) {
        self.tick = self.tick.saturating_add(1);
        self.window = None;
        self.asked = false;
        self.refresh_rates();
    }

    /// The present tick ends with a whole decision, due or not: probe the candidates with `backend`, then
    /// [`AutoLr::tell`], until the decision is taken.
    ///
    /// Each call is a decision, whatever the [cadence](AutoLrConfig::with_cadence). Under a cadence call it where
    /// [`AutoLr::is_due`] says so, and [`AutoLr::skip`] where not; [`drive`](crate::drive) does that by itself:
    ///
    /// ```
    /// # use autolr_core::{AutoLr, AutoLrConfig, Cadence, Factors, ProbeBackend, ScaleUpdate, Unit};
    /// # use autolr_core::ndarray::{ArrayView1, ArrayViewMut1};
    /// # struct Model;
    /// # impl ProbeBackend for Model {
    /// #     type Error = std::convert::Infallible;
    /// #     fn probe(&mut self, lrs: ArrayView1<f64>, mut losses: ArrayViewMut1<f64>) -> Result<(), Self::Error> {
    /// #         losses.assign(&lrs);
    /// #         Ok(())
    /// #     }
    /// # }
    /// # let mut model = Model;
    /// let config = AutoLrConfig::new(0.1, ScaleUpdate::new(Factors::powers_of_two(5)?))?
    ///     .with_cadence(Cadence::new(5, Unit::Step)?);
    /// let mut scheduler = AutoLr::new(config);
    /// let mut decisions = 0;
    /// for _step in 0..10 {
    ///     // ... a step of training at scheduler.lr() ...
    ///     if scheduler.is_due() {
    ///         scheduler.step(&mut model)?;
    ///         decisions += 1;
    ///     } else {
    ///         scheduler.skip();
    ///     }
    /// }
    /// assert_eq!(decisions, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ProbeError`] with the back end's error, or why the losses cannot be used; the scheduler is then as before.
    pub fn step<B: ProbeBackend + ?Sized>(
        &mut self,
        backend: &mut B,
    ) -> Result<Decision, ProbeError> {
        let before = (self.window.clone(), self.asked);
        let mut probing = Probing::new(backend);
        let turn = self.ask();
        if let Err(error) = carry_on(self, turn, &mut probing) {
            (self.window, self.asked) = before;
            return Err(match error {
                DriveError::Training(error) => error,
                DriveError::Method(MethodError::Tell(error)) => error.into(),
                DriveError::Method(error) => ProbeError::Method(error),
            });
        }
        let decision = probing.into_records().pop().and_then(Record::decision);
        decision.ok_or(ProbeError::Method(MethodError::Other(
            "a probe came to no decision".to_owned(),
        )))
    }

    /// Asks for the losses of the candidates.
    fn ask(&mut self) -> Turn {
        self.asked = true;
        self.probe().into()
    }

    fn probe(&self) -> Request {
        Request::Probe(Probe {
            lrs: self.candidates_by_group(),
            course: Course::ONE_STEP,
        })
    }

    /// The scale from which on the next tick's rate is `new_lr`, `by` times what it was; none where a bound holds the
    /// rate whatever this decision says, which is then no news about the scale.
    fn next_scale(&self, scale: f64, by: f64, new_lr: f64) -> Option<f64> {
        let Some(base) = self.config.base() else {
            return Some(new_lr);
        };
        let base = base.lr(self.tick.saturating_add(1));
        let (min, max) = self.config.bounds();
        // From where a bound holds the rate: else the scale would run away behind it.
        let scaled = if base * scale > max {
            max / base * by
        } else if base * scale < min && !by.is_nan() {
            if base * scale * by <= min {
                // Lifted to the bound, it would grow without limit under a base that ends near zero.
                return None;
            }
            min / base * by
        } else {
            scale * by
        };
        Some(within_range(scaled))
    }

    /// Goes on with the decision, centred on `centre`.
    fn recentre(&mut self, centre: f64, losses: ArrayView1<'_, f64>, cost: Option<ProbeCost>) {
        let probed = Probed {
            candidates: self.candidates(),
            losses: losses.to_owned(),
        };
        let window = self.window.get_or_insert_with(|| Window {
            centre,
            probes: Vec::new(),
            cost: None,
        });
        window.cost = if window.probes.is_empty() {
            cost
        } else {
            total(window.cost, cost)
        };
        window.centre = centre;
        window.probes.push(probed);
    }

    /// The scale that the next decision is about.
    fn slot(&self) -> usize {
        self.next_group().unwrap_or(0)
    }

    /// The group whose rates a decision records.
    fn leading_group(&self) -> usize {
        self.next_group().unwrap_or(0)
    }

    fn multiplier(&self, group: usize) -> f64 {
        self.config.groups()[group]
    }

    fn scale_of(&self, group: usize) -> f64 {
        // One scale for all groups, or one each.
        self.scales[group.min(self.scales.len() - 1)]
    }

    /// The rate of the next tick at this scale, before a group's multiplier.
    fn upcoming(&self, scale: f64) -> f64 {
        self.config.rate(self.tick.saturating_add(1), scale)
    }

    /// The rate that the next probe is centred on, before a group's multiplier.
    fn centre(&self) -> f64 {
        match &self.window {
            Some(window) => window.centre,
            None => self.upcoming(self.scales[self.slot()]),
        }
    }

    fn refresh_rates(&mut self) {
        for group in 0..self.rates.len() {
            let lr = self.config.rate(self.tick, self.scale_of(group));
            self.rates[group] = within_range(lr * self.multiplier(group));
        }
    }
}

/// Cuts overflow and underflow of a positive product; NaN stays NaN.
fn within_range(lr: f64) -> f64 {
    lr.clamp(f64::MIN_POSITIVE, f64::MAX)
}

/// The sum where both are known.
fn total(a: Option<ProbeCost>, b: Option<ProbeCost>) -> Option<ProbeCost> {
    let (mut total, b) = (a?, b?);
    total += b;
    Some(total)
}

impl Method for AutoLr {
    fn lrs(&self) -> &[f64] {
        Self::lrs(self)
    }

    fn needs(&self) -> Needs {
        Needs {
            probe: true,
            trial_steps: 1,
            groups: self.rates.len(),
            records_losses: true,
            ..Needs::default()
        }
    }

    fn next(&mut self, event: &Event<'_>, _: &Budget) -> Result<Turn, MethodError> {
        let unit = match event {
            Event::Losses { losses, cost } if self.asked => {
                let mut decision = Box::new(Decision::with_capacity(losses.len()));
                return Ok(if self.tell_into(*losses, *cost, &mut decision)? {
                    Turn::recorded(Record::Decision(decision))
                } else {
                    self.probe().into()
                });
            }
            Event::Start(_) | Event::Gradient { .. } => None,
            Event::Step { .. } => Some(Unit::Step),
            Event::Epoch { .. } => Some(Unit::Epoch),
            _ => return Err(MethodError::unasked(event)),
        };
        if self.asked {
            return Err(MethodError::Waiting {
                event: event.name(),
                request: "probe",
            });
        }
        if unit != Some(self.config.cadence().unit()) {
            return Ok(Turn::CONTINUE);
        }
        if self.is_due() {
            return Ok(self.ask());
        }
        self.skip();
        Ok(Turn::CONTINUE)
    }

    fn pending(&self) -> Option<Request> {
        self.asked.then(|| self.probe())
    }

    fn state(&self) -> MethodState {
        Self::state(self)
    }
}

#[cfg(test)]
mod tests;
