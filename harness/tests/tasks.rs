//! Each task trains to what is known beforehand.

mod support;

use std::path::Path;
use std::sync::atomic::AtomicBool;

use harness::data::{DataSetName, Location, badly_scaled};
use harness::experiment::RunSpec;
use harness::record::{Outcome, RunLog};
use harness::task::logistic::Logistic;
use harness::task::{LayerKind, NetworkSpec, Parts, Task, Visitor};
use harness::train::{Observer, RunOptions, run};
use harness::workload;
use support::spec;
use tempfile::TempDir;

struct Unobserved;

impl Observer for Unobserved {}

/// The log of a run to its end.
fn trained(spec: &RunSpec) -> RunLog {
    let dir = TempDir::new().unwrap();
    let location = Location::choose(Some(dir.path()), None, dir.path());
    let build = || workload::build(spec, &location, 1);
    let flag = AtomicBool::new(false);
    let mut unobserved = Unobserved;
    let mut options = RunOptions::new(&flag, 1, &mut unobserved);
    run(spec, dir.path(), &build, &mut options).unwrap();
    RunLog::read(&dir.path().join("events.jsonl"))
        .unwrap()
        .unwrap()
}

/// The mean test loss of SGD over seeds is the expected one, which is computed: within four standard errors after the last
/// step, with and without momentum.
#[test]
fn the_quadratic_has_its_expected_loss() {
    const SEEDS: u64 = 200;
    for (momentum, batch) in [("0", 4), ("0.6", 2)] {
        let text = |seed| {
            format!(
                "[data]\nset = \"noise\"\ntrain_images = 100\ntest_images = 20\naugment = false\n\
                 [network]\nkind = \"quadratic\"\ndimension = 12\ncondition = 50\nnoise = 0.3\n\
                 [optimizer]\nkind = \"sgd\"\nmomentum = {momentum}\n\
                 [scheduler]\nkind = \"cosine\"\nlr = 0.4\nunit = \"step\"\nt_max = 50\n\
                 [training]\nepochs = 1\nbatch_size = {batch}\nseed = {seed}\ntested_checkpoint = \"last\"\n"
            )
        };
        let first = spec(&text(0));
        // 80 of 100 examples train.
        let steps = 80 / batch;
        let NetworkSpec::Quadratic(network) = &first.network else {
            unreachable!("a quadratic");
        };
        let problem = network.problem((100, 20)).unwrap();
        let rates: Vec<f64> = (0..steps)
            .map(|step| 0.2 * (1.0 + (std::f64::consts::PI * step as f64 / 50.0).cos()))
            .collect();
        let expected = problem.expected_loss(&rates, momentum.parse().unwrap(), batch);
        let losses: Vec<f64> = (0..SEEDS)
            .map(|seed| {
                let log = trained(&spec(&text(seed)));
                assert_eq!(log.summary.as_ref().unwrap().last.unwrap().accuracy, None);
                log.summary.unwrap().last.unwrap().loss
            })
            .collect();
        let n = SEEDS as f64;
        let mean = losses.iter().sum::<f64>() / n;
        let variance = losses.iter().map(|l| (l - mean) * (l - mean)).sum::<f64>() / (n - 1.0);
        let error = (variance / n).sqrt();
        let expected = expected[steps];
        assert!(
            (mean - expected).abs() < 4.0 * error,
            "{mean} ± {error}, expected {expected}"
        );
        // The standard error says something: without training the loss is another.
        assert!(error < 0.1 * expected, "{error} {expected}");
    }
}

/// Averaged SGD trains as SGD does, to the bit, and is validated and tested at the mean of its weights, where the noise of
/// the steps averages out.
#[test]
fn the_mean_of_the_weights_is_what_is_tested() {
    let text = |optimizer: &str, seed: u64| {
        format!(
            "[data]\nset = \"noise\"\ntrain_images = 400\ntest_images = 20\naugment = false\n\
             [network]\nkind = \"quadratic\"\ndimension = 12\ncondition = 5\nnoise = 1\n\
             [optimizer]\nkind = \"{optimizer}\"\n[scheduler]\nkind = \"fixed\"\nlr = 0.8\n\
             [training]\nepochs = 2\nbatch_size = 2\nseed = {seed}\ntested_checkpoint = \"last\"\n"
        )
    };
    for seed in 0..5 {
        let [plain, averaged] =
            ["sgd", "averaged-sgd"].map(|optimizer| trained(&spec(&text(optimizer, seed))));
        for (plain, averaged) in plain.epochs.iter().zip(&averaged.epochs) {
            assert_eq!(plain.train_loss.to_bits(), averaged.train_loss.to_bits());
            assert!(averaged.validation_loss < plain.validation_loss);
        }
        let [plain, averaged] =
            [plain, averaged].map(|log| log.summary.unwrap().last.unwrap().loss);
        // The mean of 320 steps, of which half are behind the first epoch.
        assert!(averaged < 0.25 * plain, "seed {seed}: {averaged}, {plain}");
    }
}

/// The training loss of full batches comes down to that of Newton's optimum.
#[test]
fn the_logistic_regression_reaches_newtons_optimum() {
    // A validation part as large as a batch is needed: of 320 points, 160 train.
    let text = "[data]\nset = \"badly-scaled\"\ntrain_images = 320\ntest_images = 160\naugment = false\n\
        validation_fraction = 0.5\n[network]\nkind = \"logistic\"\nl2 = 0.01\n\
        [optimizer]\nkind = \"sgd\"\nmomentum = 0.9\n\
        [scheduler]\nkind = \"fixed\"\nlr = 0.5\n\
        [training]\nepochs = 600\nbatch_size = 160\ndevice = \"cpu\"\n";
    let spec = spec(text);
    let log = trained(&spec);
    let (train, test) = badly_scaled::points(0, 320, 160);
    let task = Logistic::new(train, test, badly_scaled::CLASSES, 0.01).unwrap();
    let split = harness::data::Split::draw(
        &harness::data::SplitSpec {
            images: 320,
            subset: None,
            validation_fraction: 0.5,
            kind: spec.data.split,
        },
        0,
    )
    .unwrap();
    let (_, optimum) = task.optimum(&split.train).unwrap();
    let last = log.epochs.last().unwrap().train_loss;
    assert!(last >= optimum - 1e-12, "{last} below {optimum}");
    assert!(last - optimum < 1e-6, "{last} {optimum}");
    // It was not there from the start.
    assert!(log.epochs[20].train_loss - optimum > 1e-4);
}

/// The test loss comes to within a tenth of the source's entropy, and not below it.
#[cfg(feature = "tch")]
#[test]
fn the_transformer_comes_near_the_sources_entropy() {
    let text = "[data]\nset = \"markov\"\ntrain_images = 5000\ntest_images = 500\naugment = false\n\
        [network]\nkind = \"text-transformer\"\nlayers = 2\nwidth = 32\nheads = 4\ncontext = 32\n\
        [optimizer]\nkind = \"adamw\"\n\
        [scheduler]\nkind = \"warm-up\"\nunit = \"step\"\nsteps = 20\n\
        schedule = { kind = \"linear-decay\", lr = 5e-3, total_iters = 605 }\n\
        [training]\nepochs = 5\nbatch_size = 32\ndevice = \"cpu\"\ntested_checkpoint = \"last\"\n";
    let spec = spec(text);
    let log = trained(&spec);
    let entropy = harness::data::markov::Source::new(0).entropy(32);
    let last = log.summary.unwrap().last.unwrap();
    assert_eq!(last.accuracy, None);
    // 16,000 symbols are drawn: their own mean is off by about a hundredth.
    assert!(last.loss > 0.98 * entropy, "{} {entropy}", last.loss);
    assert!(last.loss < 1.1 * entropy, "{} {entropy}", last.loss);
    assert!(log.epochs[0].train_loss > 1.3 * entropy);
}

/// A training of what has no accuracy that ends above where it began has diverged, and says so.
#[test]
fn a_loss_above_that_of_the_initial_weights_is_a_divergence() {
    let outcome = |lr: f64| {
        let text = format!(
            "[data]\nset = \"noise\"\ntrain_images = 100\ntest_images = 20\naugment = false\n\
             [network]\nkind = \"quadratic\"\ndimension = 4\n[scheduler]\nkind = \"fixed\"\nlr = {lr}\n\
             [training]\nepochs = 2\nbatch_size = 4\ndevice = \"cpu\"\n"
        );
        trained(&spec(&text)).summary.unwrap().outcome
    };
    assert_eq!(outcome(0.1), Outcome::Completed);
    let Outcome::Diverged { reason, .. } = outcome(3.0) else {
        panic!("completed");
    };
    assert!(
        reason.contains("above that of the initial weights"),
        "{reason}"
    );
}

/// A ResNet on images of half the size, and a text of one's own, train from a specification.
#[cfg(feature = "tch")]
#[test]
fn small_images_and_a_text_file_train() {
    let halved = support::TINY_RESNET.replace("[network]", "downsample = true\n\n[network]");
    let log = trained(&spec(&halved));
    assert_eq!(log.epochs.len(), 3);
    assert!(log.epochs.iter().all(|epoch| epoch.train_loss.is_finite()));
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("text.txt");
    std::fs::write(&path, "a rose is a rose is a rose. ".repeat(200)).unwrap();
    let text = format!(
        "[data]\nset = \"text\"\nfile = {path:?}\ntrain_images = 100\ntest_images = 16\naugment = false\n\
         [network]\nkind = \"text-transformer\"\nwidth = 16\nheads = 2\ncontext = 16\n\
         [optimizer]\nkind = \"adamw\"\n[scheduler]\nkind = \"fixed\"\nlr = 1e-2\n\
         [training]\nepochs = 8\nbatch_size = 8\ndevice = \"cpu\"\n"
    );
    let log = trained(&spec(&text));
    let losses: Vec<f64> = log
        .epochs
        .iter()
        .map(|epoch| epoch.validation_loss)
        .collect();
    // Which character follows is nearly always known from those before.
    assert!(losses[7] < 1.0 && losses[7] < losses[0], "{losses:?}");
    std::fs::write(&path, b"abc\xff").unwrap();
    let spec_path = dir.path().join("spec.toml");
    std::fs::write(&spec_path, text).unwrap();
    for command in ["run", "sweep"] {
        let output = support::output(dir.path(), &[command, "spec.toml"]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{command}: {said}");
        let expected = format!(
            "error: data.file: {}: byte 3 is not UTF-8\n",
            path.display()
        );
        assert_eq!(said, expected, "{command}");
    }
}

/// Checks that a specification's forecast of parameters is what the task has.
struct Counted(u64, Vec<LayerKind>);

impl Visitor for Counted {
    type Output = ();

    fn visit<T: Task>(self, task: T) -> anyhow::Result<()>
    where
        anyhow::Error: From<<T::Vector as autolr_core::optimizer::Flat>::Error>,
    {
        assert_eq!(task.parameters() as u64, self.0);
        // The layers cover the weights.
        let mut next = 0;
        for (kind, range) in task.layers() {
            assert!(self.1.contains(&kind), "{kind:?}");
            assert_eq!(range.start, next);
            next = range.end;
        }
        for kind in self.1 {
            assert!(
                task.layers().iter().any(|(other, _)| *other == kind),
                "{kind:?}"
            );
        }
        assert!(next >= task.parameters());
        Ok(())
    }
}

#[test]
fn parameters_are_counted_without_the_data() {
    for (set, network) in TASKS {
        let text = task_text(set, network);
        let spec = spec(&text);
        let location = Location::choose(None, None, Path::new("."));
        let parts = Parts {
            set: spec.data.set,
            drawn: (40, 20),
            file: None,
            augment: false,
            downsample: false,
            seed: 0,
            location: &location,
            device: spec.training.device,
            threads: 1,
        };
        let kinds = spec.network.layer_kinds().to_vec();
        let counted = Counted(spec.network.parameters(spec.data.set), kinds);
        spec.network.open(&parts, counted).unwrap();
    }
    let tried =
        |name: &str, of: fn(&(&str, &str)) -> String| TASKS.iter().any(|task| of(task) == name);
    for (name, _) in NetworkSpec::INPUTS {
        let torch = ["resnet18", "text-transformer"].contains(name);
        let kind = |task: &(&str, &str)| task.1.split('"').nth(1).unwrap().to_owned();
        assert!(
            tried(name, kind) || (torch && cfg!(not(feature = "tch"))),
            "{name}"
        );
    }
    for name in DataSetName::KEYS {
        // Of files, and those for libtorch alone.
        let elsewhere = ["cifar10", "cifar100", "text", "markov"].contains(name);
        assert!(tried(name, |task| task.0.to_owned()) || elsewhere, "{name}");
    }
}

/// Every network, on each kind of data that it takes.
const TASKS: &[(&str, &str)] = &[
    ("synthetic", "kind = \"reference\"\nhidden = 5"),
    ("synthetic", "kind = \"mlp\"\nlayers = 3\nhidden = 4"),
    (
        "digits-1d",
        "kind = \"mlp\"\nlayers = 1\nnormalization = \"layer\"",
    ),
    ("badly-scaled", "kind = \"mlp\"\nlayers = 0"),
    ("badly-scaled", "kind = \"logistic\""),
    ("spirals", "kind = \"autoencoder\"\ncode = 3"),
    ("noise", "kind = \"quadratic\"\ndimension = 7"),
    ("noise", "kind = \"quadratic\"\ncurvatures = [1, 0.5, 0.1]"),
    #[cfg(feature = "tch")]
    (
        "markov",
        "kind = \"text-transformer\"\nlayers = 3\nwidth = 12\nheads = 3\ncontext = 7",
    ),
    #[cfg(feature = "tch")]
    ("synthetic", "kind = \"resnet18\"\nwidth = 2"),
    #[cfg(feature = "tch")]
    (
        "synthetic",
        "kind = \"resnet18\"\nwidth = 3\nbatch_norm = false",
    ),
];

fn task_text(set: &str, network: &str) -> String {
    format!(
        "[data]\nset = \"{set}\"\ntrain_images = 40\ntest_images = 20\naugment = false\n[network]\n{network}\n\
         [scheduler]\nkind = \"fixed\"\nlr = 0.01\n\
         [training]\nepochs = 1\nbatch_size = 4\ndevice = \"cpu\"\n"
    )
}
