//! A small network of burn with BatchNorm that tells the arms of a spiral apart; autolr-core sets its learning rate.
//!
//! `backend.rs` is what a training needs to join; the rest is an ordinary training.

mod backend;
mod network;
mod spirals;
mod stream;
#[cfg(test)]
mod tests;
mod training;

use std::error::Error;

use autolr_core::{AutoLr, AutoLrConfig, Factors, InPlace, ScaleUpdate};

use backend::Probe;
use training::Training;

const POINTS: usize = 2000;
const EPOCHS: usize = 30;
const SEED: u64 = 0;

fn main() -> Result<(), Box<dyn Error>> {
    let rates = [0.05, 0.0005]; // one that suits, and one that is 100 times too small
    let mut table = Vec::new();
    for lr in rates {
        println!("Closed loop from lr {lr}:");
        let (closed, end) = closed_loop(lr)?;
        table.push((lr, fixed(lr), closed, end));
    }
    println!("\ntest accuracy after {EPOCHS} epochs:");
    println!("initial lr   fixed   closed loop   (lr at the end)");
    for (lr, fixed, closed, end) in table {
        let (fixed, closed) = (100.0 * fixed, 100.0 * closed);
        println!("{lr:<10} {fixed:5.1} %       {closed:5.1} %   ({end:.2e})");
    }
    Ok(())
}

/// The test accuracy and the last rate of a training whose rate autolr-core sets after every epoch.
fn closed_loop(lr: f64) -> Result<(f64, f64), Box<dyn Error>> {
    let rule = ScaleUpdate::new(Factors::powers_of_two(5)?);
    let mut scheduler = AutoLr::new(AutoLrConfig::new(lr, rule)?);
    let mut training = Training::new(POINTS, lr, SEED);
    for epoch in 1..=EPOCHS {
        let loss = training.epoch();
        let decision = scheduler.step(&mut InPlace(Probe::new(&mut training)))?;
        training.lr = scheduler.lr();
        println!("epoch {epoch:2}, loss {loss:.4}: {decision}");
    }
    Ok((training.test_accuracy(), scheduler.lr()))
}

/// The test accuracy of the same training at a fixed rate.
fn fixed(lr: f64) -> f64 {
    let mut training = Training::new(POINTS, lr, SEED);
    for _ in 1..=EPOCHS {
        training.epoch();
    }
    training.test_accuracy()
}
