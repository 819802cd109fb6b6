//! A probe leaves no trace, costs one copy of the weights, and conforms.

use std::sync::{Mutex, MutexGuard, PoisonError};

use autolr_core::ProbeBackend;
use autolr_core::optimizer::{Evaluation, Objective, OptimizerConfig, Sgd, StepProbe, TrialLoss};
use autolr_core::testkit::{Fingerprint, Subject, conformance};
use autolr_tch::{
    Batch, Error, InMode, Mode, Model, ModelProbe, Optimizer, ResNet18, ResNetConfig,
    ScoringBatches, peak_memory, rng_state,
};
use ndarray::{Array1, ArrayView1, ArrayViewMut1};
use tch::{Device, Tensor};

type Result<T> = std::result::Result<T, Error>;

/// One setup at a time: libtorch uses all cores for each, and two at once have hung.
static ALONE: Mutex<()> = Mutex::new(());

struct Setup {
    _alone: MutexGuard<'static, ()>,
    model: Model<ResNet18>,
    optimizer: Optimizer,
    mode: Mode,
    loss: TrialLoss,
}

/// A batch of noise, the same for the same seed.
fn batch(seed: u64, n: usize) -> Batch {
    let mut state = seed;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let images: Vec<f32> = (0..n * 3072).map(|_| next()).collect();
    let labels: Vec<i64> = (0..n as i64).map(|i| i % 10).collect();
    Batch::new(&images, &labels, Device::Cpu).unwrap()
}

fn setup(config: OptimizerConfig, batch_norm: bool) -> Setup {
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let network = ResNetConfig {
        width: 4,
        classes: 10,
        batch_norm,
    };
    let model = Model::new(ResNet18::new(network).unwrap(), 1, Device::Cpu).unwrap();
    let optimizer = Optimizer::new(config, model.parameters()).unwrap();
    let mut setup = Setup {
        _alone: alone,
        model,
        optimizer,
        mode: Mode::Probe,
        loss: TrialLoss::AfterStep,
    };
    for step in 0..3 {
        let gradient = setup.model.gradient(&batch(step, 16), Mode::Train, None);
        gradient.unwrap();
        setup
            .optimizer
            .step(setup.model.parameters(), 0.01)
            .unwrap();
    }
    setup
}

fn floats(tensor: &Tensor) -> Vec<f32> {
    Vec::try_from(tensor.detach().flatten(0, -1).contiguous()).unwrap()
}

fn bytes(tensor: &Tensor) -> Vec<u8> {
    Vec::try_from(tensor.detach().flatten(0, -1).contiguous()).unwrap()
}

impl Setup {
    fn probe_with(&mut self, scoring: ScoringBatches) -> ModelProbe<'_, ResNet18> {
        ModelProbe {
            model: &mut self.model,
            optimizer: &self.optimizer,
            probe: StepProbe {
                gradient: None,
                scoring,
                loss: self.loss,
                evaluate: Evaluation::All,
            },
            mode: self.mode,
        }
    }
}

impl ProbeBackend for Setup {
    type Error = Error;
    fn probe(&mut self, lrs: ArrayView1<'_, f64>, losses: ArrayViewMut1<'_, f64>) -> Result<()> {
        self.probe_with(ScoringBatches::Shared(vec![batch(99, 16)]))
            .probe(lrs, losses)
    }
}

impl Subject for Setup {
    type Error = Error;
    type Backend<'a> = &'a mut Self;

    fn backend(&mut self) -> &mut Self {
        self
    }

    fn fingerprint(&mut self) -> Result<Fingerprint> {
        let mut all = Fingerprint::new()
            .f32s("weights", floats(self.model.parameters().flat()))
            .f32s("running statistics", floats(self.model.buffers()))
            .bytes("steps", self.optimizer.steps().to_le_bytes())
            .f64s("optimiser numbers", self.optimizer.numbers())
            .bytes("random state", bytes(&rng_state(Device::Cpu)?));
        for tensor in self.optimizer.state() {
            all = all.f32s("optimiser state", floats(tensor));
        }
        Ok(all)
    }

    fn loss_after_step(&mut self, lr: f64) -> Result<Option<f64>> {
        let (model, state) = (
            self.model.export()?,
            self.optimizer.export(self.model.parameters())?,
        );
        let (steps, numbers) = (self.optimizer.steps(), self.optimizer.numbers());
        // Whole buffers too: between the parameters lies padding, which a rate without limits makes NaN.
        let buffers = |setup: &Self| -> Vec<Tensor> {
            let flat = setup.model.parameters().flat().shallow_clone();
            let state = setup.optimizer.state().map(Tensor::shallow_clone);
            std::iter::once(flat).chain(state).collect()
        };
        let origins: Vec<Tensor> = buffers(self).iter().map(Tensor::copy).collect();
        let batch = batch(99, 16);
        self.model.gradient(&batch, self.mode, None)?;
        self.optimizer.step(self.model.parameters(), lr)?;
        let loss = self.model.loss(&batch, self.mode)?;
        self.model.import(&model)?;
        self.optimizer
            .import(self.model.parameters(), &state, &numbers, steps)?;
        tch::no_grad(|| {
            for (mut buffer, origin) in buffers(self).into_iter().zip(&origins) {
                buffer.copy_(origin);
            }
        });
        Ok(Some(loss))
    }

    fn peak_memory(&mut self, lrs: ArrayView1<'_, f64>) -> Result<Option<u64>> {
        let mut losses = Array1::zeros(lrs.len());
        let (outcome, peak) = peak_memory(|| self.probe(lrs, losses.view_mut()))?;
        outcome.map(|()| Some(peak))
    }
}

fn configs() -> [OptimizerConfig; 4] {
    let sgd = |momentum, nesterov, weight_decay| {
        OptimizerConfig::Sgd(Sgd {
            momentum,
            nesterov,
            weight_decay,
        })
    };
    [
        OptimizerConfig::PLAIN_SGD,
        sgd(0.9, false, 5e-4),
        sgd(0.9, true, 5e-4),
        OptimizerConfig::ADAM_W,
    ]
}

#[test]
fn every_optimiser_conforms_to_the_bit() {
    for config in configs() {
        for (batch_norm, mode) in [
            (true, Mode::Probe),
            (true, Mode::Eval),
            (false, Mode::Probe),
        ] {
            let mut setup = setup(config, batch_norm);
            setup.mode = mode;
            let report = conformance(&mut setup, 0.01, 0.0).unwrap();
            assert!(report.conforms(), "{config:?} {mode:?}: {report}");
        }
    }
}

#[test]
fn rates_that_blow_up_leave_no_trace_either() {
    for config in configs() {
        let mut setup = setup(config, true);
        let before = setup.fingerprint().unwrap();
        let lrs = Array1::from_vec(vec![1e300, f64::INFINITY, f64::NAN, 1e30, 1.0]);
        let mut losses = Array1::zeros(5);
        setup.probe(lrs.view(), losses.view_mut()).unwrap();
        assert!(
            losses.iter().take(3).all(|loss| !loss.is_finite()),
            "{losses}"
        );
        assert!(losses[4].is_finite(), "{losses}");
        assert!(before == setup.fingerprint().unwrap(), "{config:?}");
    }
}

#[test]
fn the_released_codes_probe_scores_before_the_step_on_a_batch_a_candidate() {
    let mut setup = setup(OptimizerConfig::ADAM_W, true);
    setup.loss = TrialLoss::BeforeStep;
    let before = setup.fingerprint().unwrap();
    let lrs = Array1::from_vec(vec![1e9, 1.0, 1e-9]);
    let mut losses = Array1::zeros(3);
    let batches = vec![batch(1, 8), batch(2, 8), batch(1, 8)];
    setup
        .probe_with(ScoringBatches::PerCandidate(batches))
        .probe(lrs.view(), losses.view_mut())
        .unwrap();
    assert_eq!(losses[0].to_bits(), losses[2].to_bits());
    assert_ne!(losses[0].to_bits(), losses[1].to_bits());
    assert!(before == setup.fingerprint().unwrap());
}

#[test]
fn a_batch_a_candidate_gives_each_its_own_gradient() {
    let mut setup = setup(OptimizerConfig::PLAIN_SGD, true);
    let alone = |setup: &mut Setup, seed, lr| {
        let mut loss = Array1::zeros(1);
        setup
            .probe_with(ScoringBatches::Shared(vec![batch(seed, 8)]))
            .probe(Array1::from_vec(vec![lr]).view(), loss.view_mut())
            .unwrap();
        loss[0]
    };
    let (first, second) = (alone(&mut setup, 1, 0.1), alone(&mut setup, 2, 0.05));
    let mut losses = Array1::zeros(2);
    setup
        .probe_with(ScoringBatches::PerCandidate(vec![batch(1, 8), batch(2, 8)]))
        .probe(Array1::from_vec(vec![0.1, 0.05]).view(), losses.view_mut())
        .unwrap();
    assert_eq!([losses[0], losses[1]], [first, second]);
}

#[test]
fn batches_that_do_not_fit_are_refused_before_any_work() {
    let mut setup = setup(OptimizerConfig::PLAIN_SGD, true);
    let lrs = Array1::from_vec(vec![0.1, 0.2]);
    for (scoring, count) in [
        (ScoringBatches::PerCandidate(vec![batch(1, 8)]), 1),
        (ScoringBatches::Shared(Vec::new()), 0),
    ] {
        let mut losses = Array1::zeros(2);
        let error = setup
            .probe_with(scoring)
            .probe(lrs.view(), losses.view_mut())
            .unwrap_err();
        assert!(
            matches!(error, Error::Batches { batches, candidates: 2 } if batches == count),
            "{error}"
        );
    }
}

#[test]
fn a_probe_takes_one_copy_of_the_parameters_and_one_gradient_beyond_a_training_step() {
    for config in configs() {
        let mut setup = setup(config, true);
        let (trained, step) =
            peak_memory(|| setup.model.gradient(&batch(99, 16), Mode::Train, None)).unwrap();
        trained.unwrap();
        let lrs = |n: u32| Array1::from_iter((0..n).map(|i| 0.01 / f64::from(i + 1)));
        let seven = setup.peak_memory(lrs(7).view()).unwrap().unwrap();
        let many = setup.peak_memory(lrs(31).view()).unwrap().unwrap();
        assert_eq!(seven, many, "{config:?}");
        let copy = 4 * setup.model.parameters().flat().numel() as u64;
        // Beside the two copies, the random state: 5056 bytes, taken twice while it is put back.
        let small = 16 * 1024;
        assert!(seven >= copy, "nothing was counted: {seven}");
        assert!(
            seven <= step + 2 * copy + small,
            "{config:?}: {seven} > {step} + 2 · {copy}"
        );
    }
}

/// Where no statistics are taken of the batch, its parts give the same, and take no more than training does.
#[test]
fn a_large_scoring_batch_goes_through_in_parts() {
    for (batch_norm, mode) in [(true, Mode::Eval), (false, Mode::Probe)] {
        let mut setup = setup(OptimizerConfig::PLAIN_SGD, batch_norm);
        setup.mode = mode;
        let (trained, step) =
            peak_memory(|| setup.model.gradient(&batch(99, 32), Mode::Train, None)).unwrap();
        trained.unwrap();
        let lrs = [0.01, 0.003, 0.001];
        let run = |setup: &mut Setup, gradient: &[Batch], scoring: Vec<Batch>| {
            let mut model = InMode {
                model: &mut setup.model,
                mode,
            };
            let origin = model.vectors().0.tensor().copy();
            model.set_gradient(gradient).unwrap();
            let gradient = model.vectors().1.tensor().copy();
            let mut losses = [f64::NAN; 3];
            let probe = StepProbe {
                gradient: None,
                scoring: ScoringBatches::Shared(scoring),
                loss: TrialLoss::AfterStep,
                evaluate: Evaluation::All,
            };
            let outcome =
                peak_memory(|| probe.run(&mut model, setup.optimizer.inner(), &lrs, &mut losses));
            let (done, peak) = outcome.unwrap();
            done.unwrap();
            assert!(model.vectors().0.tensor().equal(&origin));
            (gradient, losses, peak)
        };
        let whole = batch(7, 320);
        let quarter = |i: i64| Batch {
            images: whole.images.narrow(0, 80 * i, 80),
            labels: whole.labels.narrow(0, 80 * i, 80),
        };
        let quarters = || (0..4).map(quarter).collect::<Vec<_>>();
        let (by_hand, expected, _) = run(&mut setup, &quarters(), quarters());
        let (gradient, losses, peak) = run(&mut setup, &[batch(7, 320)], vec![batch(7, 320)]);
        let difference = (gradient - &by_hand).abs().max().double_value(&[]);
        let size = by_hand.abs().max().double_value(&[]);
        assert!(
            difference <= 1e-5 * size,
            "{mode:?}: {difference:e} of {size:e}"
        );
        for (a, b) in losses.iter().zip(expected) {
            approx::assert_relative_eq!(*a, b, max_relative = 1e-6);
        }
        let copy = 4 * setup.model.parameters().flat().numel() as u64;
        assert!(
            peak <= step + 2 * copy + 16 * 1024,
            "{mode:?}: {peak} > {step} + 2 · {copy}"
        );
    }
}
