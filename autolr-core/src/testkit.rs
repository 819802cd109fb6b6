//! For authors of back ends: an analytic problem, and a conformance suite that says in words what is wrong.

pub mod strategies;

use ndarray::{Array1, ArrayView1, ArrayViewMut1};

use crate::ProbeBackend;

/// What the conformance suite needs beside the probe itself.
pub trait Subject: ProbeBackend {
    /// Every byte that a probe must leave alone: weights, optimiser state, buffers, random state.
    ///
    /// # Errors
    /// When the machinery fails.
    fn fingerprint(&mut self) -> Result<Vec<u8>, Self::Error>;

    /// The loss, on the batch by which the probe scores, after a real optimiser step at `lr`, the state being put
    /// back afterwards; `None` if the probe is not meant to agree with a step (several scoring batches, say).
    ///
    /// # Errors
    /// When the machinery fails.
    fn loss_after_step(&mut self, lr: f64) -> Result<Option<f64>, Self::Error>;

    /// Peak extra memory in bytes during a probe of these rates, if it can be measured.
    ///
    /// # Errors
    /// When the machinery fails.
    fn peak_memory(&mut self, lrs: ArrayView1<'_, f64>) -> Result<Option<u64>, Self::Error> {
        let _ = lrs;
        Ok(None)
    }
}

/// Checks a back end around the rate `lr`, where the loss is finite and depends on the rate.
///
/// Returns what is wrong, a sentence each; nothing if the back end conforms. `tolerance` is the relative difference
/// allowed between `probe([lr])` and the loss after the real step (0 asks for the same bits).
///
/// # Errors
/// When the back end's machinery fails.
pub fn conformance<S: Subject>(
    subject: &mut S,
    lr: f64,
    tolerance: f64,
) -> Result<Vec<String>, S::Error> {
    let mut wrong = Vec::new();
    let lrs = Array1::from_vec(vec![4.0 * lr, 2.0 * lr, lr, 0.5 * lr, 0.25 * lr]);
    let before = subject.fingerprint()?;
    let losses = probe(subject, lrs.view())?;
    let after = subject.fingerprint()?;
    if before != after {
        let count = before.iter().zip(&after).filter(|(a, b)| a != b).count()
            + before.len().abs_diff(after.len());
        wrong.push(format!(
            "a probe changes the state it must leave alone ({count} of {} bytes differ)",
            before.len()
        ));
    }
    if let Some(i) = losses.iter().position(|loss| !loss.is_finite()) {
        wrong.push(format!(
            "the loss at rate {} is {}, not finite",
            lrs[i], losses[i]
        ));
        return Ok(wrong);
    }
    if !same(losses.view(), probe(subject, lrs.view())?.view()) {
        wrong.push("the same probe twice gives different losses: state or batches move".into());
        return Ok(wrong);
    }
    if losses.iter().all(|&loss| loss == losses[0]) {
        wrong.push(
            "all rates give the same loss: the rate is ignored, or the loss is taken before the step".into(),
        );
    }
    let reversed = Array1::from_iter(lrs.iter().rev().copied());
    let permuted = Array1::from_iter(probe(subject, reversed.view())?.iter().rev().copied());
    if !same(losses.view(), permuted.view()) {
        wrong.push("the losses depend on the order of the candidates".into());
    }
    let equal = probe(subject, Array1::from_elem(3, lr).view())?;
    if equal
        .iter()
        .any(|loss| loss.to_bits() != equal[0].to_bits())
    {
        wrong.push("equal rates give different losses: another batch a candidate, or state that leaks from trial to trial".into());
    }
    let alone = probe(subject, Array1::from_elem(1, lr).view())?[0];
    if alone.to_bits() != losses[2].to_bits() {
        wrong.push(format!(
            "a rate alone gives {alone}, among others {}",
            losses[2]
        ));
    }
    if let Some(stepped) = subject.loss_after_step(lr)? {
        let agrees = (stepped - alone).abs() <= tolerance * stepped.abs(); // false for NaN
        if !agrees {
            wrong.push(format!(
                "a trial at rate {lr} gives {alone}, the optimiser's own step {stepped}"
            ));
        }
    }
    let many = Array1::from_iter((0..31).map(|i| lr * (1.0 + f64::from(i) / 31.0)));
    let few = subject.peak_memory(many.slice(ndarray::s![..7]))?;
    if let (Some(few), Some(many)) = (few, subject.peak_memory(many.view())?)
        && many > few
    {
        wrong.push(format!(
            "memory grows with the candidates: {few} bytes for 7, {many} for 31"
        ));
    }
    if before != subject.fingerprint()? && before == after {
        wrong.push("repeated probes change the state they must leave alone".into());
    }
    Ok(wrong)
}

fn probe<S: Subject>(subject: &mut S, lrs: ArrayView1<'_, f64>) -> Result<Array1<f64>, S::Error> {
    let mut losses = Array1::from_elem(lrs.len(), f64::NAN);
    subject.probe(lrs, losses.view_mut())?;
    Ok(losses)
}

fn same(a: ArrayView1<'_, f64>, b: ArrayView1<'_, f64>) -> bool {
    a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}

/// The quadratic `Σ hᵢ xᵢ² / 2` under gradient descent: the smallest honest back end.
///
/// A step at rate η takes xᵢ to (1 − η hᵢ) xᵢ; it diverges for η > 2 / max h.
#[derive(Debug, Clone)]
pub struct Quadratic {
    /// Curvatures, shape `[d]`.
    pub curvature: Array1<f64>,
    /// Weights, shape `[d]`.
    pub x: Array1<f64>,
}

impl Quadratic {
    /// Curvatures spread from 1 down to 1/d, weights 1.
    pub fn new(d: usize) -> Self {
        Self {
            curvature: Array1::from_iter((1..=d).map(|i| 1.0 / i as f64)),
            x: Array1::ones(d),
        }
    }

    /// The loss at the present weights.
    pub fn loss(&self) -> f64 {
        (&self.curvature * &self.x * &self.x).sum() / 2.0
    }

    /// One step of gradient descent.
    pub fn step(&mut self, lr: f64) {
        let gradient = &self.curvature * &self.x;
        self.x.scaled_add(-lr, &gradient);
    }
}

impl ProbeBackend for Quadratic {
    type Error = std::convert::Infallible;

    fn probe(
        &mut self,
        lrs: ArrayView1<'_, f64>,
        mut losses: ArrayViewMut1<'_, f64>,
    ) -> Result<(), Self::Error> {
        for (&lr, loss) in lrs.iter().zip(&mut losses) {
            let mut trial = self.clone();
            trial.step(lr);
            *loss = trial.loss();
        }
        Ok(())
    }
}

impl Subject for Quadratic {
    fn fingerprint(&mut self) -> Result<Vec<u8>, Self::Error> {
        Ok(self.x.iter().flat_map(|x| x.to_le_bytes()).collect())
    }

    fn loss_after_step(&mut self, lr: f64) -> Result<Option<f64>, Self::Error> {
        let mut stepped = self.clone();
        stepped.step(lr);
        Ok(Some(stepped.loss()))
    }
}
