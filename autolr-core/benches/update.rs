//! Speed of the update and of the schedules, each beside a baseline of the same run, as a ratio.
//!
//! `cargo bench -p autolr-core` (or `cargo xtask bench core`). At 7 candidates the baseline is a plain loop over arrays that
//! computes the same; at a million it is the calls of `exp` alone; in between, the time per candidate shows whether the
//! cost is linear. Subject and baseline take turns in short rounds, and each figure is the best of them: what other
//! processes take away from a round is no cost of either.

use std::hint::black_box;
use std::time::{Duration, Instant};

use autolr_core::schedule::{Schedule, ScheduleConfig};
use autolr_core::{AutoLr, AutoLrConfig, Decision, Factors, ScaleUpdate, Update};
use ndarray::Array1;

/// How long a comparison goes on.
const ROUNDS: Duration = Duration::from_millis(1_500);

/// Nanoseconds a call of each of two functions, the best of many rounds in turn.
fn race(calls: usize, mut subject: impl FnMut(), mut baseline: impl FnMut()) -> (f64, f64) {
    let time = |work: &mut dyn FnMut(usize)| {
        let start = Instant::now();
        work(calls);
        start.elapsed().as_nanos() as f64 / calls as f64
    };
    let (mut ours, mut theirs) = (f64::INFINITY, f64::INFINITY);
    let start = Instant::now();
    while start.elapsed() < ROUNDS {
        ours = ours.min(time(&mut |calls| (0..calls).for_each(|_| subject())));
        theirs = theirs.min(time(&mut |calls| (0..calls).for_each(|_| baseline())));
    }
    (ours, theirs)
}

fn losses(n: usize) -> Vec<f64> {
    // Spread without order, all different.
    (0..n)
        .map(|i| 1.0 + ((i * 7919) % 104_729) as f64 / 104_729.0)
        .collect()
}

fn factors(n: usize) -> Vec<f64> {
    (0..n)
        .map(|i| libm::exp2(3.0 - 6.0 * i as f64 / (n.max(2) - 1) as f64))
        .collect()
}

/// An update by hand: the same result as [`ScaleUpdate::update_into`], z-score and sharpness 1, with losses
/// that are not finite left out, in plain loops over arrays.
#[allow(
    clippy::needless_range_loop,
    reason = "the plain loops that it is to be"
)]
#[inline(never)]
fn by_hand(factors: &[f64], logs: &[f64], losses: &[f64], out: &mut Hand) {
    let (mut min, mut max, mut n) = (f64::INFINITY, f64::NEG_INFINITY, 0.0);
    for &loss in losses {
        if loss.is_finite() {
            min = min.min(loss);
            max = max.max(loss);
            n += 1.0;
        }
    }
    let (_, exponent) = libm::frexp(max - min);
    let scale = libm::ldexp(1.0, (-exponent).clamp(-1022, 1023));
    let mut mean = 0.0;
    for i in 0..losses.len() {
        out.normalized[i] = f64::NAN;
        if losses[i].is_finite() {
            out.normalized[i] = (losses[i] - min) * scale;
            mean += out.normalized[i];
        }
    }
    mean /= n;
    let mut squares = 0.0;
    for z in &mut out.normalized {
        if !z.is_nan() {
            *z -= mean;
            squares += *z * *z;
        }
    }
    let deviation = (squares / (n - 1.0)).sqrt();
    let mut best = f64::INFINITY;
    for z in &mut out.normalized {
        if !z.is_nan() {
            *z = if deviation > 0.0 { *z / deviation } else { 0.0 };
            best = best.min(*z);
        }
    }
    let (peak, mut total) = (libm::exp(-best), 0.0);
    for i in 0..losses.len() {
        let z = out.normalized[i];
        if z.is_nan() {
            (out.scores[i], out.weights[i]) = (0.0, 0.0);
        } else {
            out.weights[i] = libm::exp(-(z - best));
            out.scores[i] = peak * out.weights[i];
            total += out.weights[i];
        }
    }
    let (mut log, mut low, mut high) = (0.0, f64::INFINITY, 0.0_f64);
    for i in 0..losses.len() {
        out.weights[i] /= total;
        if out.weights[i] > 0.0 {
            log += out.weights[i] * logs[i];
            low = low.min(factors[i]);
            high = high.max(factors[i]);
        }
    }
    out.factor = libm::exp(log).clamp(low, high);
}

struct Hand {
    normalized: Vec<f64>,
    scores: Vec<f64>,
    weights: Vec<f64>,
    factor: f64,
}

/// `f(Update)` of `n` candidates.
fn subject(n: usize) -> impl FnMut() {
    let rule = ScaleUpdate::new(Factors::new(factors(n)).expect("positive factors"));
    let losses = Array1::from_vec(losses(n));
    let mut update = Update::with_capacity(n);
    move || {
        let told = rule.update_into(black_box(losses.view()), &mut update);
        told.expect("as many losses as factors");
        black_box(&update);
    }
}

fn seven() {
    let (f, l) = (factors(7), losses(7));
    let logs: Vec<f64> = f.iter().map(|&factor| libm::log(factor)).collect();
    let mut out = Hand {
        normalized: vec![0.0; 7],
        scores: vec![0.0; 7],
        weights: vec![0.0; 7],
        factor: 1.0,
    };
    by_hand(&f, &logs, &l, &mut out);
    let ours = ScaleUpdate::new(Factors::new(f.clone()).expect("positive factors"))
        .update(ndarray::aview1(&l))
        .expect("as many losses as factors");
    assert_eq!(out.factor, ours.factor, "the baseline computes the same");
    let (ours, by_hand) = race(500, subject(7), || {
        by_hand(black_box(&f), black_box(&logs), black_box(&l), &mut out);
        black_box(&out);
    });
    println!(
        "update, 7 candidates: {ours:.1} ns; a plain loop over arrays {by_hand:.1} ns; ratio {:.3}",
        ours / by_hand
    );
}

fn linear() {
    let mut seven = subject(7);
    for n in [3, 31, 1_000, 1_000_000] {
        let calls = (2_000 / n).clamp(1, 500);
        let (ours, base) = race(calls, subject(n), &mut seven);
        println!(
            "update, {n} candidates: {:.2} ns a candidate; with 7: {:.2} ns",
            ours / n as f64,
            base / 7.0
        );
    }
}

/// `n` candidates beside the calls of exp that their update makes.
fn beside_exp(n: usize) {
    // What the update takes the exponential of: one value a candidate, for its score and its weight.
    let mut update = Update::with_capacity(n);
    let rule = ScaleUpdate::new(Factors::new(factors(n)).expect("positive factors"));
    let told = rule.update_into(ndarray::aview1(&losses(n)), &mut update);
    told.expect("as many losses as factors");
    let z: Vec<f64> = update.normalized.to_vec();
    let best = z.iter().copied().fold(f64::INFINITY, f64::min);
    let mut shares = vec![0.0; n];
    let (ours, exp) = race((2_000 / n).max(1), subject(n), || {
        for (&z, share) in z.iter().zip(&mut shares) {
            *share = libm::exp(best - z);
        }
        black_box(&shares);
    });
    println!(
        "update, {n} candidates: {:.4} ms; its calls of exp alone {:.4} ms; ratio {:.3}",
        ours / 1e6,
        exp / 1e6,
        ours / exp
    );
}

fn decision() {
    let rule = ScaleUpdate::new(Factors::powers_of_two(7).expect("a named set"));
    let mut scheduler = AutoLr::new(AutoLrConfig::new(0.1, rule).expect("a positive rate"));
    let losses = Array1::from_vec(losses(7));
    let mut record = Decision::with_capacity(7);
    let (whole, update) = race(
        500,
        || {
            let told = scheduler.tell_into(black_box(losses.view()), None, &mut record);
            told.expect("as many losses as factors");
            black_box(&record);
        },
        subject(7),
    );
    println!(
        "a whole decision, 7 candidates: {whole:.1} ns; its update alone {update:.1} ns; ratio {:.3}",
        whole / update
    );
}

fn schedules() {
    let recorded: serde_json::Value =
        serde_json::from_str(include_str!("../../fixtures/pytorch-schedules/values.json"))
            .expect("recorded schedules");
    let mut seen = Vec::new();
    for case in recorded["cases"].as_array().into_iter().flatten() {
        let Ok(schedule) = serde_json::from_value::<ScheduleConfig>(case["config"].clone()) else {
            continue;
        };
        let kind = case["config"]["kind"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        if seen.contains(&kind) {
            continue;
        }
        let (mut step, mut other) = (0_u64, 0_u64);
        let (ours, exp) = race(
            500,
            || {
                step = (step + 1) % 1_000;
                black_box(schedule.lr(black_box(step)));
            },
            || {
                other = (other + 1) % 1_000;
                black_box(libm::cos(black_box(other as f64 / 300.0)));
            },
        );
        println!(
            "schedule {kind}: {ours:.1} ns a rate; one cosine {exp:.1} ns; ratio {:.2}",
            ours / exp
        );
        seen.push(kind);
    }
}

fn main() {
    // `cargo test --benches` passes --test: then one look that it runs is enough.
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    seven();
    linear();
    beside_exp(1_000);
    beside_exp(1_000_000);
    decision();
    schedules();
}
