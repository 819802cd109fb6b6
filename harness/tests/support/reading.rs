//! Recorded runs as a person reads them, for snapshots of the paper's experiments.

use std::fmt::Write as _;

use autolr_core::Decision;
use harness::experiment::{ExperimentName, Protocol, RunSpec, experiment_file};
use harness::record::{EpochRecord, Evaluation, Outcome, RunLog};
use harness::report::{DescentVerdict, double_descent};
use toml::Table;

/// One run of an experiment.
pub(crate) struct Reading {
    pub(crate) name: String,
    pub(crate) label: String,
    pub(crate) log: RunLog,
}

/// Runs all series of an experiment, with `overlay` laid over each, by `run`, and reads their logs.
pub(crate) fn experiment(
    experiment: ExperimentName,
    protocol: Protocol,
    overlay: &str,
    run: impl Fn(&RunSpec) -> RunLog,
) -> Vec<Reading> {
    let overlay: Table = overlay.parse().expect("TOML");
    let file = experiment_file(experiment, protocol).expect("built in");
    let readings = file.series.iter().map(|series| Reading {
        name: series.name.clone(),
        label: series.label.clone(),
        log: run(&file.spec(series, &overlay).expect("sound")),
    });
    readings.collect()
}

/// Three significant digits: `4.10e-3`, or `0.812` between 0.1 and 1000.
pub(crate) fn number(value: f64) -> String {
    if !value.is_finite() {
        return format!("{value}");
    }
    if value == 0.0 || (0.1..1000.0).contains(&value.abs()) {
        let decimals = match value.abs() {
            size if size >= 100.0 => 0,
            size if size >= 10.0 => 1,
            size if size >= 1.0 => 2,
            _ => 3,
        };
        format!("{value:.decimals$}")
    } else {
        format!("{value:.2e}")
    }
}

/// `2`, `1`, `1/2`: the factor of a candidate.
fn factor(ratio: f64) -> String {
    let power = ratio.log2().round();
    if (ratio.log2() - power).abs() > 1e-9 {
        number(ratio)
    } else if power < 0.0 {
        format!("1/{}", (-power).exp2())
    } else {
        format!("{}", power.exp2())
    }
}

/// The factor of the candidate with the smallest loss, and whether it is the outermost; or that there is none.
pub(crate) fn best(decision: &Decision) -> String {
    let finite = decision
        .losses
        .iter()
        .filter(|loss| loss.is_finite())
        .count();
    let pairs = decision.candidates.iter().zip(&decision.losses);
    let finite_pairs = pairs.filter(|(_, loss)| loss.is_finite());
    let Some((lr, _)) = finite_pairs.min_by(|a, b| a.1.total_cmp(b.1)) else {
        return "no loss is finite".to_owned();
    };
    let (low, high) = decision
        .candidates
        .iter()
        .fold((f64::INFINITY, 0.0_f64), |(low, high), &lr| {
            (low.min(lr), high.max(lr))
        });
    let edge = if *lr == low || *lr == high {
        ", edge"
    } else {
        ""
    };
    let others = match decision.losses.len() - finite {
        0 => String::new(),
        n => format!(", {n} of {} losses not finite", decision.losses.len()),
    };
    format!("best factor {}{edge}{others}", factor(lr / decision.lr))
}

pub(crate) fn outcome(log: &RunLog) -> String {
    let summary = log.summary.as_ref().expect("the run is finished");
    match &summary.outcome {
        Outcome::Completed => format!("completed {} epochs", summary.epochs),
        Outcome::Diverged { epoch, reason } => format!("DIVERGED in epoch {epoch}: {reason}"),
    }
}

pub(crate) fn descent(epochs: &[EpochRecord]) -> String {
    let losses: Vec<f64> = epochs.iter().map(|record| record.validation_loss).collect();
    let swings = |swings: harness::report::Swings| {
        format!(
            "low in epoch {}, peak in {}, low in {}",
            swings.first_low, swings.peak, swings.second_low
        )
    };
    match double_descent(&losses) {
        DescentVerdict::TooShort { epochs } => format!("not judged ({epochs} epochs)"),
        DescentVerdict::TooNoisy { .. } => "not judged, for its noise".to_owned(),
        DescentVerdict::Absent => "none".to_owned(),
        DescentVerdict::NoNewLow(found) => format!("rises and falls again: {}", swings(found)),
        DescentVerdict::DoubleDescent(found) => format!("DOUBLE DESCENT: {}", swings(found)),
    }
}

/// Everything that a person would look at, to three digits.
pub(crate) fn in_full(readings: &[Reading]) -> String {
    let mut text = String::new();
    for Reading { name, label, log } in readings {
        let summary = log.summary.as_ref().expect("the run is finished");
        let tested = |tested: Option<Evaluation>| match tested {
            Some(tested) => format!(
                "{:.1} % of {}, loss {}",
                100.0 * tested.accuracy.unwrap_or(f64::NAN),
                tested.images,
                number(tested.loss)
            ),
            None => "not finite".to_owned(),
        };
        let lines = |pick: fn(&EpochRecord) -> f64| -> String {
            let numbers: Vec<String> = log
                .epochs
                .iter()
                .map(|record| number(pick(record)))
                .collect();
            numbers.join(" ")
        };
        let best_epoch = match summary.best_epoch {
            Some(epoch) => format!("epoch {epoch}"),
            None => "none".to_owned(),
        };
        let _ = write!(
            text,
            "## {name}: {label}\n{}; the protocol reports {}\n\
            tested, best validation ({best_epoch}): {}\ntested, last: {}\n\
            validation loss: {}\ndouble descent: {}\n",
            outcome(log),
            summary.reported,
            tested(summary.best),
            tested(summary.last),
            lines(|record| record.validation_loss),
            descent(&log.epochs),
        );
        if log.decisions.is_empty() {
            let _ = writeln!(text, "rates: {}", lines(|record| record.lr));
        } else {
            let first = log.epochs.first().expect("an epoch");
            let _ = writeln!(text, "epoch 0: lr {}", number(first.lr));
        }
        for record in &log.decisions {
            let decision = &record.decision;
            let _ = writeln!(
                text,
                "epoch {}: ×{} → lr {}, {}",
                record.epoch + 1,
                number(decision.factor),
                number(decision.new_lr),
                best(decision)
            );
        }
        text.push('\n');
    }
    text
}

/// Whether a run diverged.
pub(crate) fn diverged(reading: &Reading) -> bool {
    let summary = reading.log.summary.as_ref().expect("the run is finished");
    matches!(summary.outcome, Outcome::Diverged { .. })
}

/// A snapshot an experiment and protocol, of runs by `$run` with `$overlay` laid over.
#[allow(unused_macros, reason = "each test file uses a part")]
macro_rules! reproductions {
    ($overlay:expr, $run:expr) => {
        $crate::support::reading::reproductions! { $overlay, $run,
            table1_published: Table1, Published;
            table1_released: Table1, Released;
            fig2_published: Fig2, Published;
            fig2_released: Fig2, Released;
            fig3_published: Fig3, Published;
            fig3_released: Fig3, Released;
            divergence_published: Divergence, Published;
            divergence_released: Divergence, Released;
        }
    };
    ($overlay:expr, $run:expr, $($name:ident: $experiment:ident, $protocol:ident;)*) => {$(
        #[test]
        fn $name() {
            use harness::experiment::{ExperimentName, Protocol};
            use $crate::support::reading::{diverged, experiment, in_full};

            let readings = experiment(
                ExperimentName::$experiment,
                Protocol::$protocol,
                $overlay,
                $run,
            );
            assert!(readings.len() >= 2);
            if ExperimentName::$experiment == ExperimentName::Divergence {
                // From a rate of 1, without BatchNorm: the paper's one case of divergence.
                assert!(readings.iter().any(diverged), "nothing diverged");
            }
            insta::assert_snapshot!(stringify!($name), in_full(&readings));
        }
    )*};
}
#[allow(unused_imports, reason = "each test file uses a part")]
pub(crate) use reproductions;
