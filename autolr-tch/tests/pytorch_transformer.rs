//! The transformer against values that PyTorch itself produced (fixtures/pytorch-transformer, with the script that
//! made them), and what it promises beyond them.

use approx::assert_relative_eq;
use autolr_core::ProbeBackend;
use autolr_core::optimizer::{AdamW, Evaluation, OptimizerConfig, StepProbe, TrialLoss};
use autolr_tch::{
    Batch, Error, Mode, Model, ModelProbe, NamedArray, Optimizer, ScoringBatches, Tally,
    Transformer, TransformerConfig,
};
use ndarray::Array1;
use safetensors::SafeTensors;
use tch::{Device, Tensor};

const FIXTURE: &[u8] = include_bytes!("../../fixtures/pytorch-transformer/transformer.safetensors");
const CONFIG: TransformerConfig = TransformerConfig {
    vocabulary: 11,
    context: 8,
    width: 12,
    heads: 3,
    layers: 2,
};
const BATCH: usize = 4;
const LENGTH: usize = 7;

fn floats(name: &str) -> Vec<f32> {
    let file = SafeTensors::deserialize(FIXTURE).unwrap();
    let chunks = file.tensor(name).unwrap().data().chunks_exact(4);
    chunks
        .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
        .collect()
}

fn integers(name: &str) -> Vec<i64> {
    let file = SafeTensors::deserialize(FIXTURE).unwrap();
    let chunks = file.tensor(name).unwrap().data().chunks_exact(8);
    chunks
        .map(|b| i64::from_le_bytes(b.try_into().unwrap()))
        .collect()
}

fn batch() -> Batch {
    Batch::tokens(
        &integers("tokens"),
        &integers("targets"),
        LENGTH,
        Device::Cpu,
    )
    .unwrap()
}

/// A model as it starts.
fn fresh() -> Model<Transformer> {
    Model::new(Transformer::new(CONFIG).unwrap(), 0, Device::Cpu).unwrap()
}

/// The model with the fixture's weights.
fn model() -> Model<Transformer> {
    let mut model = fresh();
    let mut arrays = model.export().unwrap();
    for array in &mut arrays {
        array.values = floats(&format!("weights/{}", array.name));
    }
    model.import(&arrays).unwrap();
    model
}

fn to_vec(tensor: &Tensor) -> Vec<f32> {
    Vec::try_from(tensor.detach().flatten(0, -1)).unwrap()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Float32 sums over at most 48 products a layer, in another order: some ten roundings (2⁻²⁴ each) of the array's
/// largest entry. Small entries are differences of large numbers: the gradient of the keys' bias is nothing but
/// rounding errors, since it shifts all scores of a query alike. The largest difference seen is 8e-7.
fn close(ours: &[f32], expected: &[f32], what: &str) {
    assert_eq!(ours.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(0.0f32, |most, v| most.max(v.abs()));
    assert!(scale > 0.0, "{what}");
    for (a, b) in ours.iter().zip(expected) {
        assert!((a - b).abs() <= 1e-5 * scale, "{what}: {a} against {b}");
    }
}

#[test]
fn the_initial_state_is_drawn_by_pytorchs_generator() {
    let arrays = fresh().export().unwrap();
    assert_eq!(arrays.len(), 2 + 12 * 2 + 4);
    for NamedArray { name, values, .. } in arrays {
        let expected = floats(&format!("init/{name}"));
        if name.contains("norm") {
            assert_eq!(bits(&values), bits(&expected), "{name}");
        } else {
            // The last bits of a draw depend on the processor's instructions.
            close(&values, &expected, &name);
        }
    }
}

#[test]
fn logits_loss_and_gradients_are_pytorchs() {
    let (model, batch) = (model(), batch());
    let logits = model.forward(&batch.images, Mode::Train).unwrap();
    assert_eq!(logits.size(), [(BATCH * LENGTH) as i64, CONFIG.vocabulary]);
    close(&to_vec(&logits), &floats("logits"), "logits");
    let loss = model.loss_and_gradient(&batch, Mode::Train, None).unwrap();
    // A mean of 28 logarithms of the logits above.
    assert_relative_eq!(
        loss.double_value(&[]),
        f64::from(floats("loss")[0]),
        max_relative = 1e-5
    );
    let parameters = model.parameters();
    for (spec, leaf) in parameters.specs().iter().zip(parameters.leaves()) {
        let expected = floats(&format!("gradients/{}", spec.name));
        close(&to_vec(&leaf.grad()), &expected, &spec.name);
    }
}

#[test]
fn logits_do_not_depend_on_later_tokens() {
    let model = model();
    let tokens = integers("tokens");
    let logits = |tokens: &[i64], length: usize| {
        let batch = Batch::tokens(tokens, tokens, length, Device::Cpu).unwrap();
        to_vec(&model.forward(&batch.images, Mode::Eval).unwrap())
    };
    let row = CONFIG.vocabulary as usize;
    let tokens = &tokens[..LENGTH];
    let whole = logits(tokens, LENGTH);
    for t in 0..LENGTH {
        let mut changed = tokens.to_vec();
        for token in &mut changed[t..] {
            *token = (*token + 1) % CONFIG.vocabulary;
        }
        let changed = logits(&changed, LENGTH);
        let before = row * t;
        assert_eq!(bits(&changed[..before]), bits(&whole[..before]), "{t}");
        assert_ne!(
            changed[before..before + row],
            whole[before..before + row],
            "{t}"
        );
        // Without the later tokens, to the rounding of products of other shapes.
        let cut = logits(&tokens[..=t], t + 1);
        close(&cut, &whole[..before + row], "shorter");
    }
}

#[test]
fn a_gradient_has_the_same_bits_again_in_every_mode() {
    let (model, batch) = (model(), batch());
    let gradient = |mode| {
        model.gradient(&batch, mode, None).unwrap();
        bits(&to_vec(model.parameters().grad()))
    };
    let first = gradient(Mode::Train);
    for mode in [Mode::Train, Mode::Probe, Mode::Eval] {
        assert_eq!(gradient(mode), first, "{mode:?}");
    }
}

#[test]
fn it_learns_a_text_by_heart_and_a_probe_leaves_no_trace() {
    let mut model = fresh();
    let mut optimizer =
        Optimizer::new(OptimizerConfig::AdamW(AdamW::default()), model.parameters()).unwrap();
    // Each token is followed by the one three further on.
    let text: Vec<i64> = (0..33).map(|i| 3 * i % CONFIG.vocabulary).collect();
    let batch = || Batch::tokens(&text[..32], &text[1..], 8, Device::Cpu).unwrap();
    let mut tally = Tally::new(Device::Cpu).unwrap();
    model.evaluate(&batch(), Mode::Eval, &mut tally).unwrap();
    assert_eq!((batch().len(), tally.images()), (32, 32));
    // A fresh network knows nothing: about ln 11 = 2.4.
    assert!((2.0..3.0).contains(&tally.loss().unwrap()));
    for _ in 0..60 {
        model.gradient(&batch(), Mode::Train, None).unwrap();
        optimizer.step(model.parameters(), 0.01).unwrap();
    }
    let before = model.export().unwrap();
    let mut losses = Array1::from_elem(2, f64::NAN);
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
    let lrs = Array1::from_vec(vec![0.01, 1.0]);
    probe.probe(lrs.view(), losses.view_mut()).unwrap();
    assert_eq!(model.export().unwrap(), before);
    model.gradient(&batch(), Mode::Train, None).unwrap();
    optimizer.step(model.parameters(), 0.01).unwrap();
    let after = model.loss(&batch(), Mode::Eval).unwrap();
    assert_eq!(after.to_bits(), losses[0].to_bits());
    assert!(after < 0.1 && losses[1] > 2.0 * after, "{after}, {losses}");
}

#[test]
fn batches_and_sequences_that_do_not_fit_are_refused() {
    let tokens = [0; 18];
    for (count, length) in [(18, 0), (18, 4), (17, 18)] {
        let error = Batch::tokens(&tokens[..count], &tokens[..count], length, Device::Cpu);
        let error = error.unwrap_err();
        assert!(
            matches!(error, Error::Value { key: "length", .. }),
            "{error}"
        );
    }
    Batch::tokens(&tokens, &tokens[..9], 9, Device::Cpu).unwrap_err();
    let model = model();
    let forward = |tokens: &[i64], length| {
        let batch = Batch::tokens(tokens, tokens, length, Device::Cpu).unwrap();
        model.forward(&batch.images, Mode::Eval)
    };
    let _ = forward(&tokens[..8], 8).unwrap();
    forward(&tokens[..9], 9).unwrap_err(); // longer than the context
    let _ = forward(&[10], 1).unwrap();
    for strange in [-1, 11] {
        forward(&[strange], 1).unwrap_err(); // not in the vocabulary
    }
}
