//! Against values that PyTorch itself produced (fixtures/pytorch-resnet, with the script that made them).

use approx::assert_relative_eq;
use autolr_core::ProbeBackend;
use autolr_core::optimizer::{Evaluation, Groups, OptimizerConfig, Sgd, StepProbe, TrialLoss};
use autolr_tch::{
    Batch, FlatTensor, Mode, Model, ModelProbe, NamedArray, Network, Optimizer, ParameterSpec,
    ResNet18, ResNetConfig, Result, ScoringBatches,
};
use ndarray::Array1;
use safetensors::SafeTensors;
use tch::{Device, TchError, Tensor};

const FIXTURE: &[u8] = include_bytes!("../../fixtures/pytorch-resnet/resnet.safetensors");
const FACTORS: [f64; 7] = [8.0, 4.0, 2.0, 1.0, 0.5, 0.25, 0.125];

fn floats(name: &str) -> Vec<f32> {
    let file = SafeTensors::deserialize(FIXTURE).unwrap();
    let bytes = file.tensor(name).unwrap().data().to_vec();
    bytes
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
        .collect()
}

fn wide(name: &str) -> Vec<[u8; 8]> {
    let file = SafeTensors::deserialize(FIXTURE).unwrap();
    let bytes = file.tensor(name).unwrap().data().to_vec();
    bytes
        .chunks_exact(8)
        .map(|b| b.try_into().unwrap())
        .collect()
}

fn batch() -> Batch {
    let labels: Vec<i64> = wide("labels").into_iter().map(i64::from_le_bytes).collect();
    Batch::new(&floats("images"), &labels, Device::Cpu).unwrap()
}

fn model() -> Model<ResNet18> {
    let config = ResNetConfig {
        width: 4,
        classes: 10,
        batch_norm: true,
    };
    Model::new(ResNet18::new(config).unwrap(), 0, Device::Cpu).unwrap()
}

/// The optimisers of generate.py: name, settings, initial rate of its probe.
fn optimizers() -> Vec<(&'static str, OptimizerConfig, f64)> {
    let sgd = |momentum, nesterov, weight_decay| {
        OptimizerConfig::Sgd(Sgd {
            momentum,
            nesterov,
            weight_decay,
        })
    };
    vec![
        ("sgd", sgd(0.0, false, 0.0), 0.05),
        ("sgd-decay", sgd(0.0, false, 0.05), 0.05),
        ("sgd-momentum", sgd(0.9, false, 0.01), 0.05),
        ("sgd-nesterov", sgd(0.9, true, 0.01), 0.05),
        ("adamw", OptimizerConfig::ADAM_W, 0.001),
    ]
}

#[test]
fn the_initial_state_is_pytorchs_to_the_bit() {
    let arrays = model().export().unwrap();
    assert_eq!(arrays.len(), 102); // 62 parameters and 20 × 2 running statistics
    for NamedArray { name, values, .. } in arrays {
        let expected = floats(&format!("init/{name}"));
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&values), bits(&expected), "{name}");
    }
}

fn to_vec(tensor: &Tensor) -> Vec<f32> {
    Vec::try_from(tensor.detach().flatten(0, -1)).unwrap()
}

#[test]
fn logits_and_running_statistics_are_pytorchs() {
    let model = model();
    let batch = batch();
    let close = |ours: &[f32], expected: &[f32]| {
        assert_eq!(ours.len(), expected.len());
        for (a, b) in ours.iter().zip(expected) {
            // Float32 sums over up to 288 products in another order.
            assert_relative_eq!(a, b, max_relative = 1e-5, epsilon = 1e-6);
        }
    };
    let logits = model.forward(&batch.images, Mode::Train).unwrap();
    close(&to_vec(&logits), &floats("logits-train"));
    for NamedArray { name, values, .. } in model.export().unwrap() {
        if name.contains("running") {
            close(&values, &floats(&format!("after-forward/{name}")));
        }
    }
    let logits = model.forward(&batch.images, Mode::Eval).unwrap();
    close(&to_vec(&logits), &floats("logits-eval"));
}

/// A network that is nothing but a vector, so that any gradient can be given.
struct Vector;

impl Network for Vector {
    fn parameters(&self) -> Vec<ParameterSpec> {
        vec![ParameterSpec {
            name: "theta".into(),
            shape: vec![257],
            init: autolr_tch::Init::Constant(0.0),
        }]
    }
    fn buffers(&self) -> Vec<ParameterSpec> {
        Vec::new()
    }
    fn forward(&self, _: &[Tensor], _: &[Tensor], x: &Tensor, _: Mode) -> Result<Tensor, TchError> {
        Ok(x.shallow_clone())
    }
}

#[test]
fn ten_steps_of_each_optimiser_are_pytorchs_to_float32_rounding() {
    let gradients = floats("steps/gradients");
    for (name, config, _) in optimizers() {
        let mut model = Model::new(Vector, 0, Device::Cpu).unwrap();
        let start = NamedArray {
            name: "theta".into(),
            shape: vec![257],
            values: floats("steps/start"),
        };
        model.import(&[start]).unwrap();
        let mut optimizer = Optimizer::new(config, model.parameters()).unwrap();
        for gradient in gradients.chunks_exact(257) {
            let mut grad = model.parameters().grad().narrow(0, 0, 257);
            grad.copy_(&Tensor::from_slice(gradient));
            optimizer.step(model.parameters(), 0.03).unwrap();
        }
        let ours = &model.export().unwrap()[0].values;
        let expected = floats(&format!("steps/{name}"));
        let moved: f32 = ours
            .iter()
            .zip(floats("steps/start"))
            .map(|(a, b)| (a - b).abs())
            .sum();
        assert!(moved > 1.0, "{name}: {moved}");
        for (a, b) in ours.iter().zip(&expected) {
            // Ten steps, each rounding a few times at magnitude 1: some 10 · 2⁻²⁴.
            assert_relative_eq!(a, b, max_relative = 2e-6, epsilon = 1e-6);
        }
    }
}

#[test]
fn a_probe_agrees_with_pytorchs_own_trial_steps() {
    for (name, config, lr) in optimizers() {
        let mut model = model();
        let mut optimizer = Optimizer::new(config, model.parameters()).unwrap();
        model.gradient(&batch(), Mode::Train, None).unwrap();
        optimizer.step(model.parameters(), lr).unwrap();
        let lrs = Array1::from_iter(FACTORS.map(|factor| factor * lr));
        let mut losses = Array1::from_elem(7, f64::NAN);
        let mut probe = ModelProbe {
            model: &mut model,
            optimizer: &optimizer,
            probe: StepProbe {
                gradient: None,
                scoring: ScoringBatches::Shared(vec![batch()]),
                loss: TrialLoss::AfterStep,
                evaluate: Evaluation::All,
            },
            mode: Mode::Probe,
        };
        probe.probe(lrs.view(), losses.view_mut()).unwrap();
        let expected: Vec<f64> = wide(&format!("probe/{name}"))
            .into_iter()
            .map(f64::from_le_bytes)
            .collect();
        for (a, b) in losses.iter().zip(&expected) {
            // Float32 through 20 layers twice; the largest difference seen is 1e-6.
            assert_relative_eq!(a, b, max_relative = 1e-5);
        }
    }
}

/// The same with PyTorch's `param_groups` (groups.json, by generate_groups.py).
#[test]
fn a_probe_with_groups_agrees_with_pytorchs_param_groups() {
    let text = include_str!("../../fixtures/pytorch-resnet/groups.json");
    let recorded: serde_json::Value = serde_json::from_str(text).unwrap();
    let sgd = |momentum, nesterov| {
        OptimizerConfig::Sgd(Sgd {
            momentum,
            nesterov,
            weight_decay: 0.0,
        })
    };
    for (name, config, lr) in [
        ("sgd", sgd(0.0, false), 0.05),
        ("sgd-nesterov", sgd(0.9, true), 0.05),
        ("adamw", OptimizerConfig::ADAM_W, 0.001),
    ] {
        let mut model = model();
        let vector = |key: &str| {
            let mut values = vec![0.0_f32; model.parameters().flat().numel()];
            for (spec, range) in model.parameters().ranges() {
                let kind = match &spec.name {
                    name if name.starts_with("linear.") => "head",
                    _ if spec.shape.len() == 1 => "biases-and-norms",
                    _ => "weights",
                };
                values[range].fill(recorded["groups"][kind][key].as_f64().unwrap() as f32);
            }
            FlatTensor::new(Tensor::from_slice(&values))
        };
        let groups = Groups {
            multiplier: vector("multiplier"),
            decay: vector("weight_decay"),
        };
        let optimizer = Optimizer::new(config, model.parameters()).unwrap();
        let mut optimizer = optimizer.with_groups(groups);
        model.gradient(&batch(), Mode::Train, None).unwrap();
        optimizer.step(model.parameters(), lr).unwrap();
        let lrs = Array1::from_iter(FACTORS.map(|factor| factor * lr));
        let mut losses = Array1::from_elem(7, f64::NAN);
        let mut probe = ModelProbe {
            model: &mut model,
            optimizer: &optimizer,
            probe: StepProbe {
                gradient: None,
                scoring: ScoringBatches::Shared(vec![batch()]),
                loss: TrialLoss::AfterStep,
                evaluate: Evaluation::All,
            },
            mode: Mode::Probe,
        };
        probe.probe(lrs.view(), losses.view_mut()).unwrap();
        let expected = recorded["losses"][name].as_array().unwrap();
        for (a, b) in losses.iter().zip(expected) {
            // Float32 through 20 layers twice, as without groups.
            assert_relative_eq!(*a, b.as_f64().unwrap(), max_relative = 1e-5);
        }
    }
}
