//! What a probe costs: peak memory and time, against a training step on the same batch.
//!
//! `cargo bench -p autolr-tch`; `AUTOLR_BENCH_WIDTH=64` for the paper's width (8 otherwise), `…_BATCH=32`.

use std::time::Instant;

use autolr_core::ProbeBackend;
use autolr_core::optimizer::{Evaluation, OptimizerConfig, Sgd, StepProbe, TrialLoss};
use autolr_tch::{
    Batch, Mode, Model, ModelProbe, Optimizer, ResNet18, ResNetConfig, ScoringBatches, peak_memory,
};
use ndarray::Array1;
use tch::Device;

fn variable(name: &str, default: usize) -> usize {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// Median seconds of nine repetitions after one that warms up.
fn seconds(mut action: impl FnMut()) -> f64 {
    action();
    let mut times: Vec<f64> = (0..9)
        .map(|_| {
            let start = Instant::now();
            action();
            start.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[4]
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (width, size) = (
        variable("AUTOLR_BENCH_WIDTH", 8),
        variable("AUTOLR_BENCH_BATCH", 32),
    );
    let config = ResNetConfig {
        width: width as i64,
        classes: 10,
        batch_norm: true,
    };
    let images: Vec<f32> = (0..size * 3072)
        .map(|i| (i * 7919 % 1000) as f32 / 500.0 - 1.0)
        .collect();
    let labels: Vec<i64> = (0..size as i64).map(|i| i % 10).collect();
    let batch = || Batch::new(&images, &labels, Device::Cpu);
    println!(
        "ResNet-18, width {width}, batch {size}, {} threads",
        tch::get_num_threads()
    );
    for (name, optimizer) in [
        ("SGD", OptimizerConfig::PLAIN_SGD),
        (
            "SGD, Nesterov",
            OptimizerConfig::Sgd(Sgd {
                momentum: 0.9,
                nesterov: true,
                weight_decay: 5e-4,
            }),
        ),
        ("AdamW", OptimizerConfig::ADAM_W),
    ] {
        let mut model = Model::new(ResNet18::new(config)?, 0, Device::Cpu)?;
        let mut optimizer = Optimizer::new(optimizer, model.parameters())?;
        let copy = 4 * model.parameters().flat().numel();
        let training = batch()?;
        let mut step = |model: &Model<ResNet18>| -> autolr_tch::Result<()> {
            model.gradient(&training, Mode::Train, None)?;
            optimizer.step(model.parameters(), 1e-3).map(drop)
        };
        let (outcome, step_peak) = peak_memory(|| step(&model))?;
        outcome?;
        let step_seconds = seconds(|| step(&model).unwrap_or_else(|error| panic!("{error}")));
        println!("{name}: one copy of the parameters is {copy} bytes");
        println!(
            "  training step          peak {step_peak:>11} bytes  {:8.2} ms  ×1",
            1e3 * step_seconds
        );
        for n in [7_u32, 31] {
            let lrs = Array1::from_iter((0..n).map(|i| 1e-3 / f64::from(i + 1)));
            let mut losses = Array1::zeros(n as usize);
            let mut probe = ModelProbe {
                model: &mut model,
                optimizer: &optimizer,
                probe: StepProbe {
                    gradient: None,
                    scoring: ScoringBatches::Shared(vec![batch()?]),
                    loss: TrialLoss::AfterStep,
                    evaluate: Evaluation::All,
                },
                mode: Mode::Probe,
            };
            let (outcome, peak) = peak_memory(|| probe.probe(lrs.view(), losses.view_mut()))?;
            outcome?;
            let time = seconds(|| {
                probe
                    .probe(lrs.view(), losses.view_mut())
                    .unwrap_or_else(|error| panic!("{error}"));
            });
            let extra = peak as f64 - step_peak as f64;
            println!(
                "  probe of {n:>2} candidates peak {peak:>11} bytes  {:8.2} ms  ×{:.2}  beyond the step: {extra:.0} bytes, {:.3} copies",
                1e3 * time,
                time / step_seconds,
                extra / copy as f64
            );
        }
    }
    Ok(())
}
