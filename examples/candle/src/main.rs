//! A multilayer perceptron of candle that reads noisy digits; autolr-core sets its learning rate.
//!
//! `backend.rs` is what a training needs to join; the rest is an ordinary training.

mod backend;
mod digits;
mod network;
mod stream;
#[cfg(test)]
mod tests;
mod training;

use std::error::Error;

use autolr_core::{AutoLr, AutoLrConfig, Factors, InPlace, ScaleUpdate};
use candle_nn::Optimizer;

use backend::Probe;
use training::Training;

const IMAGES: usize = 2000;
const EPOCHS: usize = 30;
const SEED: u64 = 0;

fn main() -> Result<(), Box<dyn Error>> {
    let mut table = Vec::new();
    // A rate that suits, and one that is 100 times too small.
    for lr in [0.1, 0.001] {
        println!("Closed loop from lr {lr}:");
        let mut closed = Training::new(IMAGES, lr, SEED)?;
        closed_loop(&mut closed, EPOCHS)?;
        let mut fixed = Training::new(IMAGES, lr, SEED)?;
        for _ in 0..EPOCHS {
            fixed.epoch()?;
        }
        let end = closed.sgd.learning_rate();
        table.push((lr, fixed.test_accuracy()?, closed.test_accuracy()?, end));
    }
    println!("Test accuracy after {EPOCHS} epochs:");
    println!("initial lr   fixed lr   closed loop   (its last lr)");
    for (lr, fixed, closed, end) in table {
        let (fixed, closed) = (100.0 * fixed, 100.0 * closed);
        println!("{lr:<10}    {fixed:5.1} %       {closed:5.1} %   ({end:.2e})");
    }
    Ok(())
}

/// Trains from the training's present rate, which autolr-core moves after every epoch; returns the epochs' losses.
///
/// This is the paper's setting, to be compared with a fixed rate. A training of your own should also have bounds and a
/// base schedule: `AutoLrConfig::over(base, rule).with_bounds(min, max)`.
fn closed_loop(training: &mut Training, epochs: usize) -> Result<Vec<f64>, Box<dyn Error>> {
    let rule = ScaleUpdate::new(Factors::powers_of_two(5)?);
    let mut scheduler = AutoLr::new(AutoLrConfig::new(training.sgd.learning_rate(), rule)?);
    let mut losses = Vec::new();
    for epoch in 1..=epochs {
        let loss = training.epoch()?;
        let decision = scheduler.step(&mut InPlace(Probe::new(training)))?;
        training.sgd.set_learning_rate(scheduler.lr());
        println!("epoch {epoch:2}, loss {loss:.4}: {decision}");
        losses.push(loss);
    }
    Ok(losses)
}
