//! A back end written by hand: softmax regression, trained twice, with the closed loop and at its initial rate.
//!
//! ```text
//! cargo run --release -p autolr-core --example custom_backend
//! ```
//!
//! The guide `ADDING-A-BACKEND.md` goes through this file step by step.

use autolr_core::testkit::{Fingerprint, Subject, conformance};
use autolr_core::{AutoLr, AutoLrConfig, Factors, InPlace, ProbeBackend, ScaleUpdate, Trial};
use ndarray::{Array2, ArrayView1, ArrayViewMut1};

/// A label that is no class: broken data, and the one thing that can fail here.
#[derive(Debug, thiserror::Error)]
#[error("label {label}: there are {CLASSES} classes")]
struct UnknownLabel {
    label: usize,
}

const CLASSES: usize = 3;
const FEATURES: usize = 6;

/// Some examples: features of shape `[n, 6]`, and n labels.
#[derive(Clone)]
struct Batch {
    features: Array2<f64>,
    labels: Vec<usize>,
}

/// The model, and what its probes need.
#[derive(Clone)]
struct Softmax {
    /// Shape `[6, 3]`; all that training changes.
    weights: Array2<f64>,
    /// The batch whose gradient the trials step along.
    gradient_batch: Batch,
    /// The batch that scores them.
    scoring_batch: Batch,
    /// That gradient, once a probe has taken it.
    gradient: Array2<f64>,
}

impl Softmax {
    /// Class probabilities of a batch, shape `[n, 3]`.
    fn probabilities(&self, batch: &Batch) -> Array2<f64> {
        let mut p = batch.features.dot(&self.weights);
        for mut row in p.rows_mut() {
            let max = row.fold(f64::NEG_INFINITY, |a, &b| a.max(b));
            row.mapv_inplace(|logit| (logit - max).exp());
            row /= row.sum();
        }
        p
    }

    /// Mean cross-entropy of a batch in nats.
    fn loss(&self, batch: &Batch) -> Result<f64, UnknownLabel> {
        let p = self.probabilities(batch);
        let mut sum = 0.0;
        for (row, &label) in p.rows().into_iter().zip(&batch.labels) {
            sum -= row.get(label).ok_or(UnknownLabel { label })?.ln();
        }
        Ok(sum / batch.labels.len() as f64)
    }

    /// The gradient of that loss, shape `[6, 3]`.
    fn gradient(&self, batch: &Batch) -> Result<Array2<f64>, UnknownLabel> {
        let mut residual = self.probabilities(batch);
        for (mut row, &label) in residual.rows_mut().into_iter().zip(&batch.labels) {
            *row.get_mut(label).ok_or(UnknownLabel { label })? -= 1.0;
        }
        Ok(batch.features.t().dot(&residual) / batch.labels.len() as f64)
    }

    /// A step of gradient descent, in training and in a trial alike.
    fn step(&mut self, gradient: &Array2<f64>, lr: f64) {
        self.weights.scaled_add(-lr, gradient);
    }
}

// The back end: four methods.
impl Trial for Softmax {
    type Snapshot = Array2<f64>;
    type Error = UnknownLabel;

    fn snapshot(&mut self) -> Result<Array2<f64>, UnknownLabel> {
        Ok(self.weights.clone())
    }

    fn prepare(&mut self) -> Result<(), UnknownLabel> {
        self.gradient = self.gradient(&self.gradient_batch)?;
        Ok(())
    }

    fn trial(&mut self, lr: f64) -> Result<f64, UnknownLabel> {
        self.weights.scaled_add(-lr, &self.gradient);
        self.loss(&self.scoring_batch)
    }

    fn restore(&mut self, origin: &Array2<f64>) -> Result<(), UnknownLabel> {
        self.weights.assign(origin);
        Ok(())
    }
}

// What the conformance suite wants to know: two methods, and three more for three more checks.
impl Subject for Softmax {
    type Error = UnknownLabel;
    type Backend<'a> = InPlace<&'a mut Softmax>;

    fn backend(&mut self) -> InPlace<&mut Softmax> {
        InPlace(self)
    }

    fn fingerprint(&mut self) -> Result<Fingerprint, UnknownLabel> {
        Ok(Fingerprint::new().f64s("weights", &self.weights))
    }

    fn loss_after_step(&mut self, lr: f64) -> Result<Option<f64>, UnknownLabel> {
        let origin = self.weights.clone();
        let gradient = self.gradient(&self.gradient_batch)?;
        self.step(&gradient, lr);
        let loss = self.loss(&self.scoring_batch);
        self.weights = origin;
        loss.map(Some)
    }

    fn failing_probe(
        &mut self,
        trial: usize,
        lrs: ArrayView1<'_, f64>,
        losses: ArrayViewMut1<'_, f64>,
    ) -> Option<Result<(), UnknownLabel>> {
        if trial > 0 {
            return None; // with a wrong label every trial fails, from the first
        }
        let right = std::mem::replace(&mut self.scoring_batch.labels[0], CLASSES);
        let outcome = InPlace(&mut *self).probe(lrs, losses);
        self.scoring_batch.labels[0] = right;
        Some(outcome)
    }

    fn training(
        &mut self,
        before_step: &mut dyn FnMut(&mut Self) -> Result<(), UnknownLabel>,
    ) -> Result<Option<Vec<f64>>, UnknownLabel> {
        let mut copy = self.clone();
        for _ in 0..3 {
            before_step(&mut copy)?;
            let gradient = copy.gradient(&copy.gradient_batch)?;
            copy.step(&gradient, 0.1);
        }
        Ok(Some(vec![copy.loss(&copy.scoring_batch)?]))
    }
}

/// A small random stream (SplitMix64), so that the points are the same everywhere.
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

/// Points on three rings around the origin, a class each, a little blurred; features 1, x, y, x², xy, y².
fn rings(n: usize, stream: &mut Stream) -> Batch {
    let labels: Vec<usize> = (0..n).map(|i| i % CLASSES).collect();
    let mut features = Array2::zeros((n, FEATURES));
    for (mut row, &label) in features.rows_mut().into_iter().zip(&labels) {
        let blur = 0.8 * (stream.uniform() + stream.uniform() - 1.0);
        let radius = 0.6 + 0.6 * label as f64 + blur;
        let angle = std::f64::consts::TAU * stream.uniform();
        let (x, y) = (radius * angle.cos(), radius * angle.sin());
        row.assign(&ndarray::array![1.0, x, y, x * x, x * y, y * y]);
    }
    Batch { features, labels }
}

/// Share of the examples whose right class is the most probable, in percent.
fn accuracy(model: &Softmax, batch: &Batch) -> f64 {
    let p = model.probabilities(batch);
    let rows = p.rows().into_iter().zip(&batch.labels);
    let right = rows.filter(|(row, label)| row.iter().all(|&other| other <= row[**label]));
    100.0 * right.count() as f64 / batch.labels.len() as f64
}

/// Trains for 40 epochs of 30 batches at the scheduler's rate, which a probe moves after each epoch if `adapt`.
fn train(mut scheduler: AutoLr, adapt: bool) -> Result<Softmax, Box<dyn std::error::Error>> {
    let mut stream = Stream(1);
    let batches: Vec<Batch> = (0..30).map(|_| rings(60, &mut stream)).collect();
    let mut model = Softmax {
        weights: Array2::zeros((FEATURES, CLASSES)),
        gradient_batch: batches[0].clone(),
        scoring_batch: batches[1].clone(),
        gradient: Array2::zeros((FEATURES, CLASSES)),
    };
    for epoch in 0..40 {
        for batch in &batches {
            let gradient = model.gradient(batch)?;
            model.step(&gradient, scheduler.lr());
        }
        if adapt {
            // One batch for the gradient and another for the score, two others every time.
            model.gradient_batch = batches[epoch % 30].clone();
            model.scoring_batch = batches[(epoch + 1) % 30].clone();
            println!("{}", scheduler.step(&mut InPlace(&mut model))?);
        }
    }
    Ok(model)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let rule = ScaleUpdate::new(Factors::powers_of_two(5)?);
    let config = AutoLrConfig::new(0.002, rule)?.with_bounds(1e-4, 10.0)?;
    let fresh = rings(3000, &mut Stream(2));
    let adapted = train(AutoLr::new(config.clone()), true)?;
    let fixed = train(AutoLr::new(config), false)?;
    for (name, model) in [("closed loop", &adapted), ("fixed rate", &fixed)] {
        let (loss, accuracy) = (model.loss(&fresh)?, accuracy(model, &fresh));
        println!("{name}: {accuracy:.1} % of 3000 fresh points right, loss {loss:.3}");
    }

    let mut subject = fixed;
    let report = conformance(&mut subject, 0.5, 0.0)?;
    println!("{report}");
    if report.conforms() {
        Ok(())
    } else {
        Err("the back end does not conform".into())
    }
}
