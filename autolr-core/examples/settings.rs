//! What the closed loop's settings are worth: a small network on noisy labels, trained with four of them from rates that
//! are far apart, and with constant rates for comparison.
//!
//! ```text
//! cargo run --release -p autolr-core --example settings
//! ```
//!
//! Every number is the accuracy on fresh points without noise, in percent, the mean over eight seeds; it takes some seconds.

use std::convert::Infallible;

use autolr_core::optimizer::{
    AdamW, Evaluation, Objective, Optimizer, OptimizerConfig, ScoringBatches, StepProbe, TrialLoss,
};
use autolr_core::schedule::CosineAnnealingLr;
use autolr_core::{AutoLr, AutoLrConfig, Factors, ProbeBackend, ScaleUpdate};
use ndarray::{Array1, Array2, ArrayView1, ArrayViewMut1, Axis, s};

const CLASSES: usize = 3;
const HIDDEN: usize = 64;
const BATCH: usize = 20;
const BATCHES: usize = 30;
const EPOCHS: u64 = 30;
const SEEDS: u64 = 8;

/// A small random stream (SplitMix64), so that points and weights are the same everywhere.
struct Stream(u64);

impl Stream {
    /// The next number in [0, 1).
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Points in the plane, shape `[n, 2]`, and their labels.
#[derive(Clone)]
struct Batch {
    points: Array2<f64>,
    labels: Vec<usize>,
}

/// Points on three spirals, a class each; a share of `noise` of the labels is drawn at random.
fn spirals(n: usize, noise: f64, stream: &mut Stream) -> Batch {
    let mut points = Array2::zeros((n, 2));
    let mut labels = Vec::with_capacity(n);
    for (i, mut point) in points.rows_mut().into_iter().enumerate() {
        let along = stream.uniform();
        let blur = 0.25 * (stream.uniform() + stream.uniform() - 1.0);
        let turn = std::f64::consts::TAU * (i % CLASSES) as f64 / CLASSES as f64;
        let angle = turn + 4.0 * along + blur;
        let radius = 0.3 + 1.7 * along;
        point.assign(&ndarray::array![radius * angle.cos(), radius * angle.sin()]);
        let random = (stream.uniform() * CLASSES as f64) as usize;
        let kept = stream.uniform() >= noise;
        labels.push(if kept { i % CLASSES } else { random });
    }
    Batch { points, labels }
}

/// A network with one hidden layer, in one vector: input weights `[2, 64]`, biases `[64]`, output weights `[64, 3]`.
struct Net {
    weights: Array1<f64>,
    gradient: Array1<f64>,
}

const FIRST: usize = 2 * HIDDEN;
const SECOND: usize = FIRST + HIDDEN;
const SIZE: usize = SECOND + HIDDEN * CLASSES;

impl Net {
    fn new(stream: &mut Stream) -> Self {
        let draw = |i: usize| {
            let bound = if i < SECOND { 1.0 } else { 0.2 };
            bound * (2.0 * stream.uniform() - 1.0)
        };
        Self {
            weights: (0..SIZE).map(draw).collect(),
            gradient: Array1::zeros(SIZE),
        }
    }

    /// What the hidden units put out, shape `[n, 64]`, and the class probabilities, `[n, 3]`.
    fn forward(&self, batch: &Batch) -> (Array2<f64>, Array2<f64>) {
        let part = |range, shape| {
            let part = self.weights.slice(s![range]).to_owned();
            part.into_shape_with_order(shape).expect("as long as that")
        };
        let hidden = batch.points.dot(&part(0..FIRST, (2, HIDDEN)));
        let hidden = (hidden + self.weights.slice(s![FIRST..SECOND])).mapv(f64::tanh);
        let mut p = hidden.dot(&part(SECOND..SIZE, (HIDDEN, CLASSES)));
        for mut row in p.rows_mut() {
            let max = row.fold(f64::NEG_INFINITY, |a, &b| a.max(b));
            row.mapv_inplace(|logit| (logit - max).exp());
            row /= row.sum();
        }
        (hidden, p)
    }

    /// Share of the points whose label is the most probable class, in percent.
    fn accuracy(&self, batch: &Batch) -> f64 {
        let (_, p) = self.forward(batch);
        let rows = p.rows().into_iter().zip(&batch.labels);
        let right = rows.filter(|(row, label)| row.iter().all(|&other| other <= row[**label]));
        100.0 * right.count() as f64 / batch.labels.len() as f64
    }
}

impl Objective for Net {
    type Vector = Array1<f64>;
    type Batch = Batch;
    type Random = ();
    type Error = Infallible;

    fn vectors(&mut self) -> (&mut Array1<f64>, &mut Array1<f64>) {
        (&mut self.weights, &mut self.gradient)
    }

    fn set_gradient(&mut self, batches: &[Batch]) -> Result<(), Infallible> {
        self.gradient.fill(0.0);
        for batch in batches {
            let (hidden, mut residual) = self.forward(batch);
            for (mut row, &label) in residual.rows_mut().into_iter().zip(&batch.labels) {
                row[label] -= 1.0;
            }
            residual /= (batch.labels.len() * batches.len()) as f64;
            let output = self.weights.slice(s![SECOND..]).to_owned();
            let output = output
                .into_shape_with_order((HIDDEN, CLASSES))
                .expect("as long as that");
            let inner = residual.dot(&output.t()) * hidden.mapv(|h| 1.0 - h * h);
            let parts = [
                batch.points.t().dot(&inner),
                inner.sum_axis(Axis(0)).insert_axis(Axis(0)),
                hidden.t().dot(&residual),
            ];
            let parts = parts.iter().flat_map(|part| part.iter());
            self.gradient
                .iter_mut()
                .zip(parts)
                .for_each(|(sum, part)| *sum += part);
        }
        Ok(())
    }

    fn loss(&mut self, batch: &Batch) -> Result<f64, Infallible> {
        let (_, p) = self.forward(batch);
        let rows = p.rows().into_iter().zip(&batch.labels);
        Ok(-rows.map(|(row, &label)| row[label].ln()).sum::<f64>() / batch.labels.len() as f64)
    }

    fn random(&self) -> Result<(), Infallible> {
        Ok(())
    }

    fn set_random(&mut self, (): &()) -> Result<(), Infallible> {
        Ok(())
    }
}

/// What a probe borrows.
struct Probe<'a> {
    net: &'a mut Net,
    optimizer: &'a Optimizer<Array1<f64>>,
    looks_at: StepProbe<Batch>,
}

impl ProbeBackend for Probe<'_> {
    type Error = Infallible;

    fn probe(
        &mut self,
        lrs: ArrayView1<'_, f64>,
        mut losses: ArrayViewMut1<'_, f64>,
    ) -> Result<(), Infallible> {
        let mut found = vec![f64::NAN; lrs.len()];
        self.looks_at
            .run(self.net, self.optimizer, &lrs.to_vec(), &mut found)?;
        losses.assign(&Array1::from_vec(found));
        Ok(())
    }
}

/// The accuracy that a training ends with; probes are scored on another batch than that of the gradient if `independent`.
fn train(
    mut scheduler: AutoLr,
    probes: Option<bool>,
    seed: u64,
) -> Result<f64, Box<dyn std::error::Error>> {
    let mut stream = Stream(seed);
    let batches: Vec<Batch> = (0..BATCHES)
        .map(|_| spirals(BATCH, 0.3, &mut stream))
        .collect();
    let mut net = Net::new(&mut stream);
    let mut optimizer = Optimizer::new(OptimizerConfig::AdamW(AdamW::DEFAULT), &net.weights)?;
    for _epoch in 0..EPOCHS {
        for batch in &batches {
            net.set_gradient(std::slice::from_ref(batch))?;
            let (weights, gradient) = net.vectors();
            optimizer.step(weights, gradient, scheduler.lr())?;
        }
        let mut drawn = || batches[(stream.uniform() * BATCHES as f64) as usize].clone();
        match probes {
            Some(independent) => {
                let looks_at = StepProbe {
                    gradient: independent.then(&mut drawn),
                    scoring: ScoringBatches::Shared(vec![drawn()]),
                    loss: TrialLoss::AfterStep,
                    evaluate: Evaluation::All,
                };
                let (net, optimizer) = (&mut net, &optimizer);
                scheduler.step(&mut Probe {
                    net,
                    optimizer,
                    looks_at,
                })?;
            }
            None => scheduler.skip(),
        }
    }
    Ok(net.accuracy(&spirals(2000, 0.0, &mut Stream(1000 + seed))))
}

/// The mean over the seeds.
fn mean(config: &AutoLrConfig, probes: Option<bool>) -> Result<f64, Box<dyn std::error::Error>> {
    let mut sum = 0.0;
    for seed in 0..SEEDS {
        sum += train(AutoLr::new(config.clone()), probes, seed)?;
    }
    Ok(sum / SEEDS as f64)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let rule = || Ok::<_, autolr_core::ConfigError>(ScaleUpdate::new(Factors::powers_of_two(5)?));
    let plain = |lr: f64| AutoLrConfig::new(lr, rule()?);
    let bounded = |lr: f64| plain(lr.clamp(1e-4, 0.3))?.with_bounds(1e-4, 0.3);
    let based = |lr: f64| {
        let base = CosineAnnealingLr::new(lr, EPOCHS, 0.0)?;
        AutoLrConfig::over(base, rule()?).with_bounds(1e-4, 0.3)
    };
    println!(
        "{:<48}{:>8}{:>8}{:>8}{:>8}",
        "from the rate", 1e-4, 0.005, 0.1, 50
    );
    type Make<'a> = &'a dyn Fn(f64) -> Result<AutoLrConfig, autolr_core::ConfigError>;
    let settings: [(&str, Make<'_>, bool); 4] = [
        ("the paper's: one batch, no bounds", &plain, false),
        ("with bounds", &bounded, false),
        ("with bounds and an independent batch", &bounded, true),
        ("the same over a cosine", &based, true),
    ];
    for (name, config, independent) in settings {
        print!("{name:<48}");
        for lr in [1e-4, 0.005, 0.1, 50.0] {
            print!("{:>8.1}", mean(&config(lr)?, Some(independent))?);
        }
        println!();
    }
    // What the best of many rates comes to without the closed loop.
    let cosine = |lr: f64| {
        Ok(AutoLrConfig::over(
            CosineAnnealingLr::new(lr, EPOCHS, 0.0)?,
            rule()?,
        ))
    };
    let schedules: [(&str, Make<'_>); 2] = [("constant", &plain), ("cosine", &cosine)];
    for (name, config) in schedules {
        let mut best = (0.0, 0.0);
        for lr in [1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3] {
            let accuracy = mean(&config(lr)?, None)?;
            if accuracy > best.1 {
                best = (lr, accuracy);
            }
        }
        let name = format!("{name}, the best of eight rates ({})", best.0);
        println!("{name:<48}{:>8.1}", best.1);
    }
    Ok(())
}
