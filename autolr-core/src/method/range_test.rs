use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use super::config::{Config, MethodConfig};
use super::kind::KeyDefault::Core;
use super::kind::ValueKind::{Number, OneOf, Switch, Whole};
use super::kind::{Key, Kind, Range};
use super::registry::Entry;
use super::{
    Budget, Change, Event, Keep, Method, MethodError, MethodState, Needs, Plan, Record, Request,
    Slot, Turn,
};
use crate::error::{ConfigError, StateError};
use crate::schedule::range::{checked, positive};
use crate::value::Table;
use crate::value::difference::differences;

const KIND: &str = "range-test";
const VERSION: u32 = 1;

pub(super) const ENTRY: Entry = Entry {
    kind: Kind::new(
        KIND,
        &[
            Key::new("start_lr", Number, Core("1e-7"))
                .within(Range::POSITIVE)
                .about("the rate of the first step of the test"),
            Key::new("end_lr", Number, Core("10"))
                .within(Range::POSITIVE)
                .about("where the rate would be after `num_it` steps; above `start_lr`"),
            Key::new("num_it", Whole, Core("100"))
                .within(Range::AT_LEAST_ONE)
                .about("steps of the test; at most a fifth of the run's"),
            Key::new("stop_div", Switch, Core("true"))
                .about("whether the test ends where the loss exceeds four times its lowest"),
            Key::new(
                "suggestion",
                OneOf(&["valley", "steep", "minimum"]),
                Core("valley"),
            )
            .about("how the rate is read off the losses"),
            Key::new(
                "then",
                OneOf(&["one-cycle", "cosine", "linear", "constant"]),
                Core("one-cycle"),
            )
            .about("what the rate does over the rest of the run"),
            Key::new("lr", Number, Core("1e-3"))
                .within(Range::POSITIVE)
                .about("the rate where the test suggests none"),
        ],
        "a learning-rate range test, then a schedule at the rate it suggests",
    ),
    read: |table| {
        table
            .settings::<RawConfig, RangeTestConfig>()
            .map(MethodConfig::of)
    },
    of_state: |state| Ok(MethodConfig::of(saved(state)?.config)),
};

/// How the rate is read off the losses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Suggestion {
    /// Half-way down the longest way down.
    #[default]
    Valley,
    /// Where the loss falls most.
    Steep,
    /// A tenth of the rate with the lowest loss.
    Minimum,
}

/// What the rate does after the test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Then {
    /// fastai's `fit_one_cycle`: up from 1/25 over a quarter of the steps, down to 1/100,000, both by half a cosine.
    #[default]
    OneCycle,
    /// Half a cosine to zero.
    Cosine,
    /// A straight line to zero.
    Linear,
    /// Nothing.
    Constant,
}

impl Then {
    /// What the suggested rate is multiplied by where this share of the run is over.
    fn factor(self, gone: f64) -> f64 {
        let half_cosine = |share: f64| (1.0 + libm::cos(PI * share)) / 2.0;
        let between = |from: f64, to: f64, share| to + (from - to) * half_cosine(share);
        match self {
            Self::OneCycle if gone < 0.25 => between(1.0 / 25.0, 1.0, 4.0 * gone),
            Self::OneCycle => between(1.0, 1e-5, (gone - 0.25) / 0.75),
            Self::Cosine => half_cosine(gone),
            Self::Linear => 1.0 - gone,
            Self::Constant => 1.0,
        }
    }
}

/// The settings of a [`RangeTest`], with the names and defaults of fastai. All have defaults.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawConfig")]
pub struct RangeTestConfig {
    start_lr: f64,
    end_lr: f64,
    num_it: u64,
    stop_div: bool,
    suggestion: Suggestion,
    then: Then,
    lr: f64,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawConfig {
    start_lr: Option<f64>,
    end_lr: Option<f64>,
    num_it: Option<u64>,
    stop_div: Option<bool>,
    suggestion: Suggestion,
    then: Then,
    lr: Option<f64>,
}

impl TryFrom<RawConfig> for RangeTestConfig {
    type Error = ConfigError;

    fn try_from(raw: RawConfig) -> Result<Self, ConfigError> {
        let start_lr = positive("start_lr", raw.start_lr.unwrap_or(1e-7))?;
        let end_lr = positive("end_lr", raw.end_lr.unwrap_or(10.0))?;
        checked("end_lr", end_lr, end_lr > start_lr, "must exceed start_lr")?;
        let num_it = raw.num_it.unwrap_or(100);
        Range::AT_LEAST_ONE.check("num_it", num_it as f64)?;
        Ok(Self {
            start_lr,
            end_lr,
            num_it,
            stop_div: raw.stop_div.unwrap_or(true),
            suggestion: raw.suggestion,
            then: raw.then,
            lr: positive("lr", raw.lr.unwrap_or(1e-3))?,
        })
    }
}

impl RangeTestConfig {
    /// The rate of step `k` of a test of `n` steps.
    fn rate(&self, k: u64, n: u64) -> f64 {
        let share = k as f64 / n.max(1) as f64;
        self.start_lr * libm::pow(self.end_lr / self.start_lr, share)
    }

    /// What the smoothed losses of a test of `n` steps suggest, if anything.
    fn suggest(&self, losses: &[f64], n: u64) -> Option<f64> {
        // As in fastai: without the first tenth and the last five, and what follows a NaN.
        let first = (n / 10) as usize;
        let losses = losses.get(first..losses.len().saturating_sub(5))?;
        let end = losses.iter().position(|loss| loss.is_nan());
        let losses = &losses[..end.unwrap_or(losses.len())];
        let rate = |index: usize| self.rate((first + index) as u64, n);
        match self.suggestion {
            Suggestion::Valley => valley(losses).map(rate),
            Suggestion::Steep => {
                // The logarithms of the rates are evenly spaced.
                let falls: Vec<f64> = losses.windows(2).map(|pair| pair[1] - pair[0]).collect();
                lowest(&falls).map(rate)
            }
            Suggestion::Minimum => lowest(losses).map(|index| rate(index) / 10.0),
        }
    }
}

/// Where the lowest number is, the first of equal ones.
fn lowest(numbers: &[f64]) -> Option<usize> {
    (0..numbers.len()).min_by(|&i, &k| numbers[i].total_cmp(&numbers[k]))
}

/// fastai's `valley`: half-way down the longest falling subsequence.
fn valley(losses: &[f64]) -> Option<usize> {
    if losses.is_empty() {
        return None;
    }
    let mut lengths = vec![1_usize; losses.len()];
    // The end of the longest so far, and where it would have begun without gaps: one less in fastai.
    let (mut end, mut start) = (0, 0_isize);
    for i in 1..losses.len() {
        for j in 0..i {
            if losses[i] < losses[j] && lengths[i] < lengths[j] + 1 {
                lengths[i] = lengths[j] + 1;
            }
            if lengths[end] < lengths[i] {
                end = i;
                start = end as isize - lengths[end] as isize;
            }
        }
    }
    let third = (end as isize - start) as f64 / 3.0;
    let index = start + third as isize + (third / 2.0) as isize;
    // Where fastai would count from the end: a fall of two or three losses, from the first on.
    Some(index.max(0) as usize)
}

impl Config for RangeTestConfig {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn keys(&self) -> Table {
        Table::of(self)
    }

    fn build(&self) -> Box<dyn Method> {
        Box::new(RangeTest::new(*self))
    }

    fn resume(&self, state: &MethodState) -> Result<Box<dyn Method>, StateError> {
        let saved = saved(state)?;
        let differences = differences("", &saved.config, self);
        if !differences.is_empty() {
            return Err(StateError::Config { differences });
        }
        Ok(Box::new(saved))
    }
}

fn saved(state: &MethodState) -> Result<RangeTest, StateError> {
    state.read(KIND, VERSION..=VERSION)
}

/// The beginning of the training, to which it goes back after the test.
const ORIGIN: Slot = Slot(0);
/// How much of the smoothed loss is kept from step to step.
const BETA: f64 = 0.98;

/// A learning-rate range test, then a schedule with the suggested rate as its highest.
///
/// The rate of step k of the n steps of the test is `start_lr · (end_lr / start_lr)^(k/n)`; the losses are those of the
/// batches, smoothed by a moving average. The test ends after n steps, at a loss that is not finite, or with `stop_div`
/// where the smoothed loss exceeds four times its lowest; then the training goes back to its beginning. What the test cost
/// stays spent: under a budget, the schedule is over what is left.
///
/// What the sources leave open: a test takes at most a fifth of the run; where none suggests a rate (it needs more than
/// five steps after its first tenth) the rate is `lr`.
///
/// # References
/// L. N. Smith: Cyclical Learning Rates for Training Neural Networks, WACV 2017, arXiv:1506.01186, section 3.3. Details,
/// suggestions and `fit_one_cycle` are those of fastai 2.8, `callback/schedule.py`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RangeTest {
    config: RangeTestConfig,
    plan: Plan,
    stage: Stage,
    /// The smoothed losses of the test.
    #[serde(with = "crate::float_serde::vec")]
    losses: Vec<f64>,
    /// Their moving average, from zero.
    #[serde(with = "crate::float_serde")]
    average: f64,
    #[serde(with = "crate::float_serde")]
    lowest: f64,
    #[serde(with = "crate::float_serde")]
    peak: f64,
    #[serde(with = "crate::float_serde")]
    lr: f64,
    /// Steps of the training, without those of the test.
    steps: u64,
    /// Compute before the training began.
    spent: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Stage {
    Fresh,
    Saving,
    Testing,
    GoingBack,
    Dropping,
    Training,
}

/// What the test came to, for the log.
#[derive(Serialize)]
struct Found<'a> {
    reason: &'a str,
    steps: u64,
    #[serde(with = "crate::float_serde")]
    lowest: f64,
}

impl RangeTest {
    /// At its beginning.
    pub fn new(config: RangeTestConfig) -> Self {
        Self {
            config,
            plan: Plan {
                steps: 0,
                steps_per_epoch: 0,
            },
            stage: Stage::Fresh,
            losses: Vec::new(),
            average: 0.0,
            lowest: f64::INFINITY,
            peak: config.lr,
            lr: config.start_lr,
            steps: 0,
            spent: 0,
        }
    }

    /// Steps of the test.
    fn length(&self) -> u64 {
        self.config.num_it.min(self.plan.steps / 5)
    }

    /// Takes the loss of a step of the test; whether that was the last.
    fn observe(&mut self, loss: f64) -> bool {
        self.average = BETA * self.average + (1.0 - BETA) * loss;
        let count = self.losses.len() as f64 + 1.0;
        let smoothed = self.average / (1.0 - libm::pow(BETA, count));
        self.losses.push(smoothed);
        self.lowest = self.lowest.min(smoothed);
        let diverged = self.config.stop_div && smoothed > 4.0 * self.lowest;
        self.lr = self.config.rate(self.losses.len() as u64, self.length());
        !smoothed.is_finite() || diverged || self.losses.len() as u64 >= self.length()
    }

    /// The end of the test: what it suggests is the rate from now on.
    fn end_test(&mut self) -> Record {
        let suggested = self.config.suggest(&self.losses, self.length());
        self.peak = suggested.unwrap_or(self.config.lr);
        self.stage = Stage::GoingBack;
        let found = Found {
            reason: match suggested {
                Some(_) => "range test",
                None => "the range test suggests no rate",
            },
            steps: self.losses.len() as u64,
            lowest: self.lowest,
        };
        Record::Change(Change::new(self.lr, self.peak, &found))
    }

    fn begin_training(&mut self, budget: &Budget) {
        self.stage = Stage::Training;
        self.losses.clear();
        self.spent = budget.spent;
        self.schedule(budget);
    }

    /// The rate of the step to come.
    fn schedule(&mut self, budget: &Budget) {
        let gone = self.plan.gone((0, self.spent), self.steps, budget);
        self.lr = self.peak * self.config.then.factor(gone);
    }
}

impl Method for RangeTest {
    fn lrs(&self) -> &[f64] {
        std::slice::from_ref(&self.lr)
    }

    fn needs(&self) -> Needs {
        Needs {
            loss: true,
            slots: 1,
            divergence: true,
            ..Needs::default()
        }
    }

    fn next(&mut self, event: &Event<'_>, budget: &Budget) -> Result<Turn, MethodError> {
        let mut record = None;
        match (*event, self.stage) {
            (Event::Start(plan), Stage::Fresh) => {
                self.plan = plan;
                if self.length() > 0 {
                    self.stage = Stage::Saving;
                } else {
                    self.begin_training(budget);
                }
            }
            (Event::Done, Stage::Saving) => self.stage = Stage::Testing,
            (Event::Step { loss }, Stage::Testing) => {
                if self.observe(loss.ok_or(MethodError::NoMetric)?) {
                    record = Some(self.end_test());
                }
            }
            // Where losses of steps are not what is looked at for divergence.
            (Event::Epoch { train_loss, .. }, Stage::Testing) if !train_loss.is_finite() => {
                record = Some(self.end_test());
            }
            (Event::Done, Stage::GoingBack) => self.stage = Stage::Dropping,
            (Event::Done, Stage::Dropping) => self.begin_training(budget),
            (Event::Step { .. }, Stage::Training) => {
                self.steps = self.steps.saturating_add(1);
                self.schedule(budget);
            }
            (Event::Epoch { .. }, Stage::Testing | Stage::Training) => {}
            _ => return Err(MethodError::unasked(event)),
        }
        let mut turn = Turn::from(self.pending().unwrap_or(Request::Continue));
        turn.record = record;
        Ok(turn)
    }

    fn pending(&self) -> Option<Request> {
        match self.stage {
            Stage::Fresh | Stage::Testing | Stage::Training => None,
            Stage::Saving => Some(Request::Save { slot: ORIGIN }),
            Stage::GoingBack => Some(Request::Restore {
                slot: ORIGIN,
                optimizer: Keep::Saved,
            }),
            Stage::Dropping => Some(Request::Drop { slot: ORIGIN }),
        }
    }

    fn state(&self) -> MethodState {
        MethodState::new(KIND, VERSION, self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;

    fn config(text: &str) -> RangeTestConfig {
        serde_json::from_str(text).unwrap()
    }

    const PLAN: Plan = Plan {
        steps: 1000,
        steps_per_epoch: 40,
    };

    fn tell(method: &mut RangeTest, event: Event<'_>) -> Turn {
        method.next(&event, &Budget::default()).unwrap()
    }

    /// The loss over ln(rate) is a valley with its bottom at 1e-2: the test, then where the training goes on.
    fn tested(mut method: RangeTest, plan: Plan) -> (Vec<f64>, RangeTest) {
        let request = tell(&mut method, Event::Start(plan)).request;
        assert_eq!(request, Request::Save { slot: ORIGIN });
        tell(&mut method, Event::Done);
        let mut rates = Vec::new();
        loop {
            rates.push(method.lr());
            let loss = 1.0 + (method.lr().log10() + 2.0).powi(2);
            let turn = tell(&mut method, Event::Step { loss: Some(loss) });
            if turn.request != Request::Continue {
                assert!(turn.record.is_some());
                break;
            }
        }
        tell(&mut method, Event::Done);
        let turn = tell(&mut method, Event::Done);
        assert_eq!(turn, Turn::CONTINUE);
        (rates, method)
    }

    #[test]
    fn the_rates_of_the_test_are_a_geometric_series() {
        let config = config(r#"{"start_lr": 1e-6, "end_lr": 1, "num_it": 60, "then": "constant"}"#);
        let (rates, method) = tested(RangeTest::new(config), PLAN);
        assert_eq!(rates.len(), 60);
        for (k, rate) in rates.iter().enumerate() {
            let expected = 10_f64.powf(-6.0 + k as f64 / 10.0);
            assert_relative_eq!(*rate, expected, max_relative = 1e-12);
        }
        // The smoothed loss falls to the end: half-way down from step 6 to step 54, less one.
        assert_eq!(method.lr(), rates[29]);
    }

    #[test]
    fn a_test_is_at_most_a_fifth_of_the_run_and_ends_where_it_diverges() {
        let short = Plan { steps: 30, ..PLAN };
        let (rates, method) = tested(RangeTest::new(config("{}")), short);
        assert_eq!(rates.len(), 6);
        // Six less five: one point, after the first tenth of none.
        assert_relative_eq!(method.peak, 1e-7, max_relative = 1e-12);
        for loss in [f64::NAN, f64::INFINITY, 1e9] {
            let mut method = RangeTest::new(config("{}"));
            tell(&mut method, Event::Start(PLAN));
            tell(&mut method, Event::Done);
            tell(&mut method, Event::Step { loss: Some(1.0) });
            let turn = tell(&mut method, Event::Step { loss: Some(loss) });
            assert_eq!(turn.request.name(), "restore", "{loss}");
            // Nothing to read a rate off.
            assert_eq!(method.peak, 1e-3);
        }
        let mut tiny = RangeTest::new(config("{}"));
        let turn = tell(&mut tiny, Event::Start(Plan { steps: 4, ..PLAN }));
        assert_eq!(turn, Turn::CONTINUE);
        assert_relative_eq!(tiny.lr(), 1e-3 / 25.0, max_relative = 1e-12);
    }

    /// fastai's own functions: `fixtures/reference/fastai/`.
    #[test]
    fn suggestions_are_those_of_fastai() {
        #[derive(Deserialize)]
        struct Recorded {
            cases: Vec<Case>,
        }
        #[derive(Deserialize)]
        struct Case {
            num_it: u64,
            losses: Vec<f64>,
            suggested: std::collections::BTreeMap<String, f64>,
        }
        let text = include_str!("../../../fixtures/reference/fastai/values.json");
        let recorded: Recorded = serde_json::from_str(text).unwrap();
        for case in recorded.cases {
            assert_eq!(case.suggested.len(), 3);
            for (name, expected) in case.suggested {
                let config = config(&format!(r#"{{"suggestion": "{name}"}}"#));
                let found = config.suggest(&case.losses, case.num_it).unwrap();
                assert_relative_eq!(found, expected, max_relative = 1e-12);
            }
        }
    }

    #[test]
    fn suggestions_by_hand() {
        let losses = [5.0, 4.0, 4.5, 3.0, 2.0, 1.0, 1.5, 3.0];
        // 5, 4, 3, 2, 1: of length 5, ending at 5, "beginning" at 0; thirds of 5/3: 0 + 1 + 0.
        assert_eq!(valley(&losses), Some(1));
        assert_eq!(lowest(&losses), Some(5));
        assert_eq!(
            (valley(&[]), valley(&[1.0]), valley(&[2.0, 1.0])),
            (None, Some(0), Some(0))
        );
        let with = |name: &str| {
            let text =
                format!(r#"{{"start_lr": 1, "end_lr": 256, "num_it": 8, "suggestion": "{name}"}}"#);
            let mut all = losses.to_vec();
            all.extend([9.0; 5]);
            config(&text).suggest(&all, 8).unwrap()
        };
        // Rates 1, 2, 4, …
        assert_eq!(with("valley"), 2.0);
        assert_eq!(with("steep"), 4.0);
        assert_eq!(with("minimum"), 3.2);
    }

    #[test]
    fn what_follows_a_nan_is_left_out() {
        let config =
            config(r#"{"start_lr": 1, "end_lr": 256, "num_it": 8, "suggestion": "minimum"}"#);
        let losses = [3.0, 2.0, f64::NAN, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0];
        assert_eq!(config.suggest(&losses, 8), Some(0.2));
        assert_eq!(config.suggest(&[f64::NAN; 9], 8), None);
    }

    #[test]
    fn the_schedules_have_their_corners() {
        for (then, corners) in [
            (Then::OneCycle, [0.04, 1.0, 1e-5]),
            (Then::Cosine, [1.0, 0.8535533905932737, 0.0]),
            (Then::Linear, [1.0, 0.75, 0.0]),
            (Then::Constant, [1.0; 3]),
        ] {
            let factors = [0.0, 0.25, 1.0].map(|gone| then.factor(gone));
            for (factor, corner) in factors.into_iter().zip(corners) {
                assert_relative_eq!(factor, corner, epsilon = 1e-15);
            }
        }
    }

    #[test]
    fn under_a_budget_the_schedule_is_over_what_the_test_left() {
        let config = config(r#"{"num_it": 10, "then": "linear"}"#);
        let (_, mut method) = tested(RangeTest::new(config), PLAN);
        method.spent = 200;
        let budget = |spent| Budget {
            spent,
            limit: Some(1000),
        };
        for (spent, share) in [(200, 1.0), (600, 0.5), (1000, 0.0)] {
            let event = Event::Step { loss: Some(1.0) };
            method.next(&event, &budget(spent)).unwrap();
            assert_eq!(method.lr(), share * method.peak);
        }
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        for (text, expected) in [
            (
                r#"{"kind": "range-test", "end_lr": 1e-7}"#,
                "end_lr = 1e-7: must exceed start_lr",
            ),
            (r#"{"kind": "range-test", "num_it": 0}"#, "num_it = 0: "),
            (
                r#"{"kind": "range-test", "then": "step"}"#,
                "then: unknown variant `step`",
            ),
        ] {
            let error = serde_json::from_str::<MethodConfig>(text).unwrap_err();
            assert!(error.to_string().starts_with(expected), "{error}");
        }
    }
}
