//! One setting, measured on all sides in turns.

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::options::{Operation, Rule};
use super::progress::Progress;
use super::statistics::{Spread, speedups};
use super::way::{Programs, Way};
use super::worker::{Worker, count, number};

/// At least so many calls a turn, unless they take longer than [`LONGEST`].
const CALLS: u64 = 3;
/// No further call after so many seconds: long calls vary little.
const LONGEST: f64 = 4.0;
/// The same numbers come out on all sides, up to rounding and what a few steps make of it.
const TOLERANCE: f64 = 2e-3;
/// Guesses for the time that is left: a core's multiply-adds a second, and the seconds that compiling takes.
const SPEED: f64 = 2e10;
const COMPILING: f64 = 30.0;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) operation: Operation,
    pub(crate) width: usize,
    pub(crate) batch: usize,
    pub(crate) threads: usize,
    pub(crate) candidates: usize,
    pub(crate) optimizer: Rule,
}

/// How long, and how often.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) turns: usize,
    pub(crate) seconds: f64,
}

/// What one way made of a setting.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Column {
    pub(crate) way: Way,
    pub(crate) outcome: Result<Measured, String>,
}

/// Samples, one a turn.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Measured {
    pub(crate) parameters: u64,
    /// Making the network and the first call, compilation included.
    pub(crate) first_seconds: f64,
    /// The number that the first call gave.
    pub(crate) value: f64,
    pub(crate) calls: Vec<u64>,
    /// Seconds a call.
    pub(crate) seconds: Vec<f64>,
}

/// The processes of the ways to compare, with the same number of threads.
#[derive(Debug)]
pub(crate) struct Contest<'a> {
    programs: &'a Programs,
    threads: usize,
    ways: &'a [Way],
    /// `None` is one that ended, and is started again when there is something to do.
    workers: Vec<Option<Worker>>,
}

impl Setting {
    /// The request that prepares a worker for it.
    pub(crate) fn request(&self) -> Value {
        json!({
            "do": "prepare", "operation": self.operation.name(), "width": self.width, "batch": self.batch,
            "candidates": self.candidates, "optimizer": self.optimizer.name(),
        })
    }

    /// Images that a call looks at; in a probe each once for every candidate.
    pub(crate) fn images(&self) -> f64 {
        let times = match self.operation {
            Operation::Probe => self.candidates,
            _ => 1,
        };
        (self.batch * times) as f64
    }

    /// What it is, for a person.
    pub(crate) fn shown(&self) -> String {
        let of = match self.operation {
            Operation::Probe => format!(" of {} candidates", self.candidates),
            _ => String::new(),
        };
        let (operation, threads) = (self.operation.name(), self.threads);
        let (width, batch) = (self.width, self.batch);
        format!("{operation}{of}, width {width}, batch {batch}, threads {threads}")
    }

    /// A guess at the seconds of a call.
    fn call(&self) -> f64 {
        let passes = match self.operation {
            Operation::Forward => 1.0,
            Operation::Step => 3.0,
            Operation::Probe => 4.0 * self.candidates as f64,
        };
        // 556 million multiply-adds an image at width 64.
        let image = 556e6 * (self.width as f64 / 64.0).powi(2);
        passes * image * self.batch as f64 / (SPEED * self.threads as f64)
    }

    fn turn(&self, seconds: f64) -> f64 {
        let call = self.call();
        seconds.max((CALLS as f64 * call).min(LONGEST.max(call)))
    }

    /// A guess at the seconds that a contest of these ways takes.
    pub(crate) fn work(&self, ways: &[Way], pace: Pace) -> f64 {
        ways.iter().map(|way| self.preparation(*way)).sum::<f64>()
            + (ways.len() * pace.turns) as f64 * self.turn(pace.seconds)
    }

    fn preparation(&self, way: Way) -> f64 {
        let compiling = if way.is_compiled() { COMPILING } else { 0.3 };
        2.0 * self.call() + compiling
    }
}

impl Column {
    fn measured(&self) -> Option<&Measured> {
        self.outcome.as_ref().ok()
    }

    /// Median seconds a call.
    pub(crate) fn median(&self) -> Option<f64> {
        Some(Spread::of(&self.measured()?.seconds)?.median)
    }

    /// Everything that is known, with the images that a call looks at.
    pub(crate) fn json(&self, images: f64) -> Value {
        let mut value = match &self.outcome {
            Ok(measured) => json!({
                "parameters": measured.parameters,
                "first_seconds": measured.first_seconds,
                "value": measured.value,
                "calls": measured.calls,
                "seconds_per_call": measured.seconds,
                "median_seconds": self.median(),
                "images_per_second": self.median().map(|seconds| images / seconds),
            }),
            Err(reason) => json!({"unavailable": reason}),
        };
        value["way"] = self.way.name().into();
        value
    }
}

/// How many times as fast ours is as the best of PyTorch, turn by turn.
pub(crate) fn ratios(columns: &[Column]) -> Vec<f64> {
    let seconds = |column: &Column| column.measured().map(|measured| measured.seconds.clone());
    let (ours, others): (Vec<_>, Vec<_>) =
        columns.iter().partition(|column| column.way == Way::Ours);
    let others: Vec<Vec<f64>> = others.into_iter().filter_map(seconds).collect();
    let others: Vec<&[f64]> = others.iter().map(Vec::as_slice).collect();
    let ours = ours.first().and_then(|column| seconds(column));
    ours.map_or_else(Vec::new, |ours| speedups(&ours, &others))
}

/// Which way has its turn when: each turn begins with another one.
fn order(turn: usize, ways: usize) -> impl Iterator<Item = usize> {
    (0..ways).map(move |place| (turn + place) % ways)
}

/// Whether all sides have the same network and the same numbers.
fn agree(columns: &[Column]) -> anyhow::Result<()> {
    let mut measured = columns
        .iter()
        .filter_map(|column| Some((column.way.name(), column.measured()?)));
    let Some((first_name, first)) = measured.next() else {
        return Ok(());
    };
    for (name, other) in measured {
        let (a, b) = (first.parameters, other.parameters);
        ensure!(
            a == b,
            "not the same network: {first_name} has {a} parameters, {name} {b}"
        );
        let (a, b) = (first.value, other.value);
        ensure!(
            (a - b).abs() <= TOLERANCE * a.abs().max(1.0),
            "not the same work: the first call gives {a} in {first_name}, {b} in {name}"
        );
    }
    Ok(())
}

impl<'a> Contest<'a> {
    pub(crate) fn new(programs: &'a Programs, threads: usize, ways: &'a [Way]) -> Self {
        Self {
            programs,
            threads,
            ways,
            workers: ways.iter().map(|_| None).collect(),
        }
    }

    /// Prepares all sides, then measures them in turns.
    pub(crate) fn measure(
        &mut self,
        setting: &Setting,
        pace: Pace,
        progress: &mut Progress,
    ) -> anyhow::Result<Vec<Column>> {
        let shown = setting.shown();
        let mut columns = Vec::new();
        for (index, &way) in self.ways.iter().enumerate() {
            progress.say(&format!("{shown}: {} is prepared", way.name()));
            let outcome = match self.prepare(index, setting) {
                Err(error) if way.is_compiled() => {
                    // Whatever state it is in.
                    self.workers[index] = None;
                    Err(format!("{error:#}"))
                }
                prepared => Ok(prepared.with_context(|| shown.clone())?),
            };
            columns.push(Column { way, outcome });
            progress.advance(setting.preparation(way));
        }
        agree(&columns).with_context(|| shown.clone())?;
        let request =
            json!({"do": "measure", "seconds": pace.seconds, "calls": CALLS, "longest": LONGEST});
        for turn in 0..pace.turns {
            progress.say(&format!("{shown}: turn {} of {}", turn + 1, pace.turns));
            for index in order(turn, columns.len()) {
                let pair = (&mut self.workers[index], &mut columns[index].outcome);
                if let (Some(worker), Ok(measured)) = pair {
                    let answer = worker.ask(&request).with_context(|| shown.clone())?;
                    let calls = count(&answer, "calls")?;
                    measured.calls.push(calls);
                    let seconds = number(&answer, "seconds")?;
                    measured.seconds.push(seconds / calls as f64);
                }
                progress.advance(setting.turn(pace.seconds));
            }
        }
        Ok(columns)
    }

    fn prepare(&mut self, index: usize, setting: &Setting) -> anyhow::Result<Measured> {
        let worker = match &mut self.workers[index] {
            Some(worker) => worker,
            ended => ended.insert(self.programs.start(self.ways[index], self.threads)?.0),
        };
        let answer = worker.ask(&setting.request())?;
        Ok(Measured {
            parameters: count(&answer, "parameters")?,
            first_seconds: number(&answer, "first_seconds")?,
            value: number(&answer, "value")?,
            calls: Vec::new(),
            seconds: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(way: Way, value: f64, seconds: &[f64]) -> Column {
        let outcome = Ok(Measured {
            parameters: 10,
            first_seconds: 1.0,
            value,
            calls: vec![3; seconds.len()],
            seconds: seconds.to_vec(),
        });
        Column { way, outcome }
    }

    #[test]
    fn each_turn_begins_with_another_way() {
        let turns: Vec<Vec<usize>> = (0..4).map(|turn| order(turn, 3).collect()).collect();
        assert_eq!(turns, [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 1, 2]]);
    }

    #[test]
    fn a_way_that_is_unavailable_is_left_out_of_the_ratio() {
        let columns = [
            column(Way::Ours, 2.0, &[1.0, 2.0]),
            column(Way::Eager, 2.0, &[3.0, 3.0]),
            Column {
                way: Way::Compiled,
                outcome: Err("no compiler".to_owned()),
            },
        ];
        assert_eq!(ratios(&columns), [3.0, 1.5]);
        assert!(ratios(&columns[1..]).is_empty());
    }

    #[test]
    fn other_numbers_or_another_network_are_an_error() {
        let ours = column(Way::Ours, 2.0, &[]);
        let near = column(Way::Eager, 2.001, &[]);
        assert!(agree(&[ours.clone(), near]).is_ok());
        let far = column(Way::Eager, 2.01, &[]);
        assert_eq!(
            agree(&[ours.clone(), far]).unwrap_err().to_string(),
            "not the same work: the first call gives 2 in ours, 2.01 in eager"
        );
        let nan = column(Way::Eager, f64::NAN, &[]);
        assert!(agree(&[ours.clone(), nan]).is_err());
        let mut larger = column(Way::Eager, 2.0, &[]);
        larger.outcome.as_mut().unwrap().parameters = 11;
        assert_eq!(
            agree(&[ours, larger]).unwrap_err().to_string(),
            "not the same network: ours has 10 parameters, eager 11"
        );
    }

    #[test]
    fn long_calls_are_made_once() {
        let setting = |width| Setting {
            operation: Operation::Probe,
            width,
            batch: 128,
            threads: 1,
            candidates: 7,
            optimizer: Rule::Sgd,
        };
        let long = setting(64);
        assert!(long.call() > LONGEST);
        assert_eq!(long.turn(0.4), long.call());
        assert_eq!(setting(1).turn(0.4), 0.4);
    }
}
