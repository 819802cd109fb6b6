//! Our side of `cargo xtask bench training` and `cargo xtask bench probe`, which say how it compares with PyTorch.
//!
//! Reads requests and writes answers, one JSON object a line; `xtask/src/bench/worker.rs` has the protocol.
//! `xtask/src/bench/pytorch.py` is the other side: what one measures, the other does.

use std::error::Error;
use std::io::{self, BufRead, Write};
use std::time::Instant;
use std::{env, fs};

use autolr_core::ProbeBackend;
use autolr_core::optimizer::{Evaluation, OptimizerConfig, StepProbe, TrialLoss};
use autolr_tch::{
    Batch, Mode, Model, ModelProbe, Optimizer, ResNet18, ResNetConfig, ScoringBatches,
    cpu_capability, keep_freed_memory, libtorch_version, peak_memory,
};
use ndarray::Array1;
use serde::Deserialize;
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};

const LR: f64 = 1e-4;
const CLASSES: i64 = 10;

type Outcome<T> = Result<T, Box<dyn Error>>;

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
enum Request {
    Prepare(Setting),
    Measure(Pace),
    Memory,
}

#[derive(Deserialize)]
struct Setting {
    operation: Operation,
    width: i64,
    batch: i64,
    candidates: u32,
    optimizer: Rule,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Operation {
    Step,
    Forward,
    Probe,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Rule {
    Sgd,
    AdamW,
}

#[derive(Deserialize)]
struct Pace {
    seconds: f64,
    calls: u64,
    longest: f64,
}

/// A network, its optimiser and a batch, and the operations that are measured. Each returns one number to compare.
struct Training {
    model: Model<ResNet18>,
    optimizer: Optimizer,
    batch: Batch,
    /// `None` while a probe is at work.
    probe: Option<StepProbe<Batch>>,
    rates: Array1<f64>,
    losses: Array1<f64>,
    operation: Operation,
}

impl Training {
    fn new(setting: &Setting) -> Outcome<Self> {
        let config = ResNetConfig {
            width: setting.width,
            classes: CLASSES,
            batch_norm: true,
        };
        let model = Model::new(ResNet18::new(config)?, 0, Device::Cpu)?;
        let rule = match setting.optimizer {
            Rule::Sgd => OptimizerConfig::PLAIN_SGD,
            Rule::AdamW => OptimizerConfig::ADAM_W,
        };
        // The numbers that PyTorch has after the same seed.
        tch::manual_seed(1);
        let shape = [setting.batch, 3, 32, 32];
        let images = Tensor::f_randn(shape, (Kind::Float, Device::Cpu))?.f_flatten(0, -1)?;
        let images = Vec::<f32>::try_from(images)?;
        let labels: Vec<i64> = (0..setting.batch).map(|i| i % CLASSES).collect();
        let batch = || Batch::new(&images, &labels, Device::Cpu);
        Ok(Self {
            optimizer: Optimizer::new(rule, model.parameters())?,
            model,
            batch: batch()?,
            probe: Some(StepProbe {
                gradient: None,
                scoring: ScoringBatches::Shared(vec![batch()?]),
                loss: TrialLoss::AfterStep,
                evaluate: Evaluation::All,
            }),
            rates: (0..setting.candidates)
                .map(|index| 1e-3 / f64::from(index + 1))
                .collect(),
            losses: Array1::zeros(setting.candidates as usize),
            operation: setting.operation,
        })
    }

    fn call(&mut self) -> Outcome<Tensor> {
        match self.operation {
            Operation::Step => self.step(),
            Operation::Forward => self.forward(),
            Operation::Probe => self.probe(),
        }
    }

    fn step(&mut self) -> Outcome<Tensor> {
        let loss = self
            .model
            .loss_and_gradient(&self.batch, Mode::Train, None)?;
        self.optimizer.step(self.model.parameters(), LR)?;
        Ok(loss)
    }

    fn forward(&mut self) -> Outcome<Tensor> {
        let _guard = tch::no_grad_guard();
        Ok(self.model.forward(&self.batch.images, Mode::Eval)?)
    }

    fn probe(&mut self) -> Outcome<Tensor> {
        let mut probe = ModelProbe {
            model: &mut self.model,
            optimizer: &self.optimizer,
            probe: self.probe.take().ok_or("a probe that failed")?,
            mode: Mode::Probe,
        };
        probe.probe(self.rates.view(), self.losses.view_mut())?;
        self.probe = Some(probe.probe);
        Ok(Tensor::from(self.losses[self.losses.len() - 1]))
    }

    /// Calls until so much time and so many calls are over, or the longest time is.
    fn measure(&mut self, pace: &Pace) -> Outcome<Value> {
        let (mut calls, begin) = (0_u64, Instant::now());
        loop {
            let _ = self.call()?;
            calls += 1;
            let seconds = begin.elapsed().as_secs_f64();
            let enough = seconds >= pace.seconds && calls >= pace.calls;
            if enough || seconds >= pace.longest {
                return Ok(json!({"calls": calls, "seconds": seconds}));
            }
        }
    }

    /// Peaks of a step and of a probe, and what the probe's tensors take beyond the step's, in copies of the weights.
    fn memory(&mut self) -> Outcome<Value> {
        let step = peak(|| self.step())?;
        let probe = peak(|| self.probe())?;
        let (outcome, of_step) = peak_memory(|| self.step())?;
        let _ = outcome?;
        let (outcome, of_probe) = peak_memory(|| self.probe())?;
        let _ = outcome?;
        let copy = 4 * self.model.parameters().flat().numel();
        let copies = (of_probe as f64 - of_step as f64) / copy as f64;
        Ok(json!({"step": step, "probe": probe, "tensor_copies": copies}))
    }
}

/// A new training, and the first call of its operation.
fn prepare(setting: &Setting) -> Outcome<(Training, Value)> {
    let begin = Instant::now();
    let mut training = Training::new(setting)?;
    if matches!(setting.operation, Operation::Probe) {
        // So that the optimiser has its state, and the weights are not the initial ones.
        let _ = training.step()?;
    }
    let value = training.call()?.f_flatten(0, -1)?.f_double_value(&[0])?;
    let first = begin.elapsed().as_secs_f64();
    let count = training.model.parameters().count();
    training.measure(&Pace {
        seconds: 0.2,
        calls: 1,
        longest: 0.2,
    })?;
    let answer = json!({"parameters": count, "value": value, "first_seconds": first});
    Ok((training, answer))
}

/// The largest resident size of this process, in bytes, during two calls of an action.
fn peak(mut action: impl FnMut() -> Outcome<Tensor>) -> Outcome<u64> {
    fs::write("/proc/self/clear_refs", "5")?;
    let _ = action()?;
    let _ = action()?;
    let status = fs::read_to_string("/proc/self/status")?;
    let kilobytes: u64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB"))
        .ok_or("/proc/self/status has no VmHWM")?
        .trim()
        .parse()?;
    Ok(1024 * kilobytes)
}

fn answer(training: &mut Option<Training>, line: &str) -> Outcome<Value> {
    const UNPREPARED: &str = "nothing is prepared";
    match serde_json::from_str(line)? {
        Request::Prepare(setting) => {
            // Before there is another.
            *training = None;
            let (prepared, answer) = prepare(&setting)?;
            *training = Some(prepared);
            Ok(answer)
        }
        Request::Measure(pace) => training.as_mut().ok_or(UNPREPARED)?.measure(&pace),
        Request::Memory => training.as_mut().ok_or(UNPREPARED)?.memory(),
    }
}

fn main() -> io::Result<()> {
    // Cargo starts this as well, with other arguments.
    if !env::args().any(|argument| argument == "--worker") {
        println!(
            "half of a comparison; for both: cargo xtask bench training, cargo xtask bench probe"
        );
        return Ok(());
    }
    // As the program `autolr` does.
    keep_freed_memory();
    let mut out = io::stdout().lock();
    let about = json!({
        "libtorch": libtorch_version(),
        "kernels": cpu_capability(),
        "threads": tch::get_num_threads(),
    });
    writeln!(out, "{about}")?;
    out.flush()?;
    let mut training = None;
    for line in io::stdin().lock().lines() {
        let answer = answer(&mut training, &line?)
            .unwrap_or_else(|error| json!({"error": error.to_string()}));
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}
