//! `autolr probe` from a saved state: what it prints and dumps, and that it is the probe of the run's own decision.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use harness::data::Location;
use harness::record::{DecisionRecord, RunLog};
use harness::train::{Observer, RunOptions, run};
use harness::workload;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use support::{REFERENCE, contents, printed, run_dir, spec, with};
use tempfile::TempDir;

/// A folder with a finished run of `text`: the folder of its specification, its last state, its log.
struct Trained {
    temp: TempDir,
    run: PathBuf,
    log: RunLog,
}

impl Trained {
    fn new(text: &str) -> Self {
        let temp = TempDir::new().expect("a folder");
        fs::write(temp.path().join("spec.toml"), text).expect("a file");
        printed(temp.path(), &["run", "spec.toml", "--threads", "1"]);
        let run = run_dir(&temp.path().join("runs"), text);
        let log = RunLog::read(&run.join("events.jsonl")).expect("a log");
        let log = log.expect("a log that is not empty");
        Self { temp, run, log }
    }

    fn dir(&self) -> &Path {
        self.temp.path()
    }

    /// Standard output of `autolr probe` from the run's last state.
    fn probe(&self, options: &[&str]) -> String {
        let spec = self.run.join("spec.toml");
        let checkpoint = self.run.join("checkpoint.safetensors");
        let path = |path: &Path| path.to_str().expect("a plain path").to_owned();
        let (spec, checkpoint) = (path(&spec), path(&checkpoint));
        let call = [
            "probe",
            &spec,
            "--checkpoint",
            &checkpoint,
            "--threads",
            "1",
        ];
        printed(self.dir(), &[&call[..], options].concat())
    }

    fn last_decision(&self) -> &DecisionRecord {
        self.log.decisions.last().expect("a closed loop decides")
    }
}

/// Rates in full: the shortest text that reads back as the same number.
fn rates(record: &DecisionRecord) -> String {
    let rates: Vec<String> = record
        .decision
        .candidates
        .iter()
        .map(|lr| format!("{lr:?}"))
        .collect();
    rates.join(",")
}

/// Numbers of a JSON list, as bits: equal means equal to the last one.
fn bits(list: &Value) -> Vec<u64> {
    let list = list.as_array().expect("a list");
    let bits = list.iter().map(|value| value.as_f64().expect("a number"));
    bits.map(f64::to_bits).collect()
}

/// Name, kind and shape of every array of a file.
fn arrays(path: &Path) -> BTreeMap<String, (Dtype, Vec<usize>)> {
    let content = fs::read(path).expect("a file");
    let file = SafeTensors::deserialize(&content).expect("safetensors");
    file.iter()
        .map(|(name, view)| (name.to_owned(), (view.dtype(), view.shape().to_vec())))
        .collect()
}

/// The probe with the candidates of the last decision gives its losses, bit for bit.
fn repeats_the_decision(trained: &Trained) {
    let record = trained.last_decision();
    let before = contents(trained.dir());
    let text = trained.probe(&["--json", "--lrs", &rates(record)]);
    assert!(before == contents(trained.dir()), "a probe writes nothing");
    let json: Value = serde_json::from_str(&text).expect("JSON");
    let expected = |values: &ndarray::Array1<f64>| -> Vec<u64> {
        values.iter().map(|value| value.to_bits()).collect()
    };
    assert_eq!(bits(&json["lrs"]), expected(&record.decision.candidates));
    assert_eq!(bits(&json["losses"]), expected(&record.decision.losses));
    assert_eq!(json["epochs_trained"], record.epoch + 1);
    // Different candidates, different losses: the comparison compares something.
    let losses = bits(&json["losses"]);
    assert!(losses.windows(2).any(|pair| pair[0] != pair[1]));
}

const KIND: &str = "kind = \"autolr\"\nlr = 0.05\nfactors = \"factor_3\"";

#[test]
fn a_probe_repeats_the_last_decision() {
    let released = with(
        REFERENCE,
        "[probe]\nbatch_size = 32",
        "[probe]\nbatch_size = 24\nloss = \"before-step\"\nbatches = \"per-candidate\"",
    );
    let adamw = with(REFERENCE, "kind = \"sgd\"", "kind = \"adamw\"");
    let own = with(
        REFERENCE,
        "kind = \"sgd\"",
        "kind = \"sgd\"\nmomentum = 0.9",
    );
    let own = with(
        &own,
        "[probe]\nbatch_size = 32",
        "[probe]\nbatch_size = 50\ngradient = \"own\"",
    );
    for text in [REFERENCE, &released, &adamw, &own] {
        repeats_the_decision(&Trained::new(text));
    }
}

#[test]
fn json_says_what_was_probed() {
    let trained = Trained::new(REFERENCE);
    let text = trained.probe(&["--json", "--lrs", "0.001..10:5"]);
    assert_eq!(text.lines().count(), 1);
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["lrs"].as_array().unwrap().len(), 5);
    assert_eq!(json["losses"].as_array().unwrap().len(), 5);
    assert_eq!(json["batch_norm"], "batch-statistics");
    // Five rates scored on 32 points, and one gradient on the same 32.
    assert_eq!(
        (&json["forwards"], &json["backwards"]),
        (&192.into(), &32.into())
    );
    assert_eq!(json["spec"]["training"]["epochs"], 6);

    // Without a saved state: the initial weights, whose losses are others.
    let initial = printed(
        trained.dir(),
        &["probe", "spec.toml", "--json", "--lrs", "0.001..10:5"],
    );
    let initial: Value = serde_json::from_str(&initial).unwrap();
    assert_eq!(initial["epochs_trained"], 0);
    assert_ne!(bits(&initial["losses"]), bits(&json["losses"]));
}

#[test]
fn a_table_and_a_figure() {
    let trained = Trained::new(REFERENCE);
    let text = trained.probe(&["--lrs", "0.001..100:6"]);
    let rows: Vec<&str> = text.lines().skip(1).take(6).collect();
    assert_eq!(
        text.lines()
            .next()
            .unwrap()
            .split_whitespace()
            .collect::<Vec<_>>(),
        ["rate", "loss", "weight"]
    );
    let json: Value =
        serde_json::from_str(&trained.probe(&["--json", "--lrs", "0.001..100:6"])).unwrap();
    let mut lowest = (f64::INFINITY, 0.0);
    let mut weights = 0.0;
    for (index, row) in rows.iter().enumerate() {
        let cells: Vec<f64> = row
            .trim_end_matches('%')
            .split_whitespace()
            .map(|cell| cell.parse().unwrap())
            .collect();
        let value = |key: &str| json[key][index].as_f64().unwrap();
        // Five digits of the rate, seven of the loss and three of the weight are printed.
        assert!((cells[0] / value("lrs") - 1.0).abs() < 1e-4, "{row}");
        assert!((cells[1] / value("losses") - 1.0).abs() < 1e-6, "{row}");
        let weight = value("weights");
        assert!((cells[2] / 100.0 - weight).abs() <= 6e-3 * weight, "{row}");
        weights += cells[2];
        if value("losses") < lowest.0 {
            lowest = (value("losses"), value("lrs"));
        }
    }
    // Six weights, each rounded to a tenth of a percent.
    assert!((weights - 100.0).abs() <= 0.3 + 1e-9, "{weights}");
    for part in [
        "(both axes logarithmic), after 6 epochs of training",
        &format!(" at rate {:.4e}", lowest.1),
        "weighted geometric mean of the rates: ",
    ] {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }
}

#[test]
fn losses_that_are_not_finite_are_shown() {
    let trained = Trained::new(REFERENCE);
    let lrs = "0.01,1e200";
    let json: Value = serde_json::from_str(&trained.probe(&["--json", "--lrs", lrs])).unwrap();
    assert!(json["losses"][0].is_f64());
    let word = json["losses"][1].as_str().unwrap();
    assert!(["nan", "inf"].contains(&word), "{word}");
    let text = trained.probe(&["--lrs", lrs]);
    assert!(text.lines().nth(1).unwrap().ends_with(" 100 %"), "{text}");
    assert!(text.lines().nth(2).unwrap().ends_with(" 0 %"), "{text}");
    assert!(
        trained
            .probe(&["--lrs", "1e200,1e201"])
            .contains("no rate gives a finite loss")
    );
    // Neither does a large loss take the width of a screen.
    let text = trained.probe(&["--lrs", "1e-9..1e60:24"]);
    for line in text.lines().take(25) {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn what_is_dumped_can_be_read_and_computed_with() {
    let adamw = with(REFERENCE, "kind = \"sgd\"", "kind = \"adamw\"");
    let trained = Trained::new(&adamw);
    let record = trained.last_decision();
    let dump = trained.dir().join("dump");
    let folder = dump.to_str().unwrap();
    trained.probe(&["--lrs", &rates(record), "--dump", folder]);
    let mut files: Vec<_> = contents(&dump)
        .into_keys()
        .map(|path| path.file_name().unwrap().to_owned())
        .collect();
    files.sort();
    assert_eq!(
        files,
        ["batches.safetensors", "probe.json", "weights.safetensors"]
    );

    // 16 inputs, 8 and 8 hidden units, 10 classes, and as many biases as units.
    let n = 16 * 8 + 8 + 8 * 8 + 8 + 8 * 10 + 10;
    let weights = arrays(&dump.join("weights.safetensors"));
    let expected = [
        ("optimizer.first", (Dtype::F64, vec![n])),
        ("optimizer.second", (Dtype::F64, vec![n])),
        ("optimizer.steps", (Dtype::I64, vec![1])),
        ("weights", (Dtype::F64, vec![n])),
    ];
    assert_eq!(
        weights,
        expected
            .map(|(name, array)| (name.to_owned(), array))
            .into()
    );
    let batches = arrays(&dump.join("batches.safetensors"));
    let expected = [
        ("scoring.0.features", (Dtype::F64, vec![32, 16])),
        ("scoring.0.labels", (Dtype::I64, vec![32])),
    ];
    assert_eq!(
        batches,
        expected
            .map(|(name, array)| (name.to_owned(), array))
            .into()
    );

    // The dumped weights are those of the saved state: the probe left them alone.
    let array = |path: &Path, name: &str| {
        let content = fs::read(path).unwrap();
        let file = SafeTensors::deserialize(&content).unwrap();
        file.tensor(name).unwrap().data().to_vec()
    };
    for name in weights.keys() {
        assert_eq!(
            array(&dump.join("weights.safetensors"), name),
            array(&trained.run.join("checkpoint.safetensors"), name),
            "{name}"
        );
    }
    let json: Value =
        serde_json::from_str(&fs::read_to_string(dump.join("probe.json")).unwrap()).unwrap();
    let losses: Vec<u64> = record.decision.losses.iter().map(|x| x.to_bits()).collect();
    assert_eq!(bits(&json["losses"]), losses);
}

#[test]
fn a_batch_for_each_candidate_is_dumped() {
    let text = with(
        REFERENCE,
        "[probe]\nbatch_size = 32",
        "[probe]\nbatch_size = 24\nbatches = \"per-candidate\"",
    );
    let trained = Trained::new(&text);
    let dump = trained.dir().join("dump");
    trained.probe(&["--lrs", "0.1,0.2,0.3", "--dump", dump.to_str().unwrap()]);
    let batches = arrays(&dump.join("batches.safetensors"));
    let names: Vec<&str> = batches.keys().map(String::as_str).collect();
    let expected: Vec<String> = (0..3)
        .flat_map(|i| {
            [
                format!("scoring.{i}.features"),
                format!("scoring.{i}.labels"),
            ]
        })
        .collect();
    assert_eq!(names, expected);
}

#[test]
fn open_loop_runs_can_be_probed() {
    let text = with(REFERENCE, KIND, "kind = \"cosine\"\nlr = 0.05");
    let trained = Trained::new(&text);
    assert!(trained.log.decisions.is_empty());
    let text = trained.probe(&[]);
    // The default: 13 rates from 1e-5 to 10, two a decade and their ends.
    assert_eq!(text.lines().take_while(|line| !line.is_empty()).count(), 14);
    assert!(
        text.contains(" 1.0000e-5 ") && text.contains(" 1.0000e1 "),
        "{text}"
    );
}

/// The same with BatchNorm, augmentation and float32, trained and frozen.
#[cfg(feature = "tch")]
#[test]
fn a_probe_of_a_resnet_repeats_the_last_decision() {
    let released = with(
        support::TINY_RESNET,
        "[probe]\nbatch_size = 16",
        "[probe]\nbatch_size = 12\nloss = \"before-step\"\nbatches = \"per-candidate\"",
    );
    let released = with(
        &released,
        "device = \"cpu\"",
        "device = \"cpu\"\nbatch_norm_after_validation = \"frozen\"",
    );
    for text in [support::TINY_RESNET, &released] {
        repeats_the_decision(&Trained::new(text));
    }
    let trained = Trained::new(support::TINY_RESNET);
    let dump = trained.dir().join("dump");
    trained.probe(&["--lrs", "0.01", "--dump", dump.to_str().unwrap()]);
    let batches = arrays(&dump.join("batches.safetensors"));
    assert_eq!(
        batches["scoring.0.images"],
        (Dtype::F32, vec![16, 3, 32, 32])
    );
    assert_eq!(batches["scoring.0.labels"], (Dtype::I64, vec![16]));
    let weights = arrays(&dump.join("weights.safetensors"));
    assert_eq!(weights["conv1.weight"], (Dtype::F32, vec![2, 3, 3, 3]));
    assert!(weights.keys().any(|name| name.ends_with("running_mean")));
}

#[test]
fn a_checkpoint_within_an_epoch_is_said_to_be_one() {
    /// Stops a run at its 47th step: 20 are an epoch.
    struct Stop<'a>(&'a AtomicBool, u64);
    impl Observer for Stop<'_> {
        fn step(&mut self) {
            self.1 += 1;
            if self.1 == 47 {
                self.0.store(true, Ordering::Relaxed);
            }
        }
    }
    let temp = TempDir::new().unwrap();
    let dir = temp.path();
    let flag = AtomicBool::new(false);
    let spec = spec(REFERENCE);
    let location = Location::choose(Some(dir), None, dir);
    let build = || workload::build(&spec, &location, 1);
    let mut stop = Stop(&flag, 0);
    let mut options = RunOptions::new(&flag, 1, &mut stop);
    run(&spec, dir, &build, &mut options).expect_err("it is stopped");
    let call = [
        "probe",
        "spec.toml",
        "--checkpoint",
        "checkpoint.safetensors",
    ];
    let json = printed(dir, &[&call[..], &["--json"]].concat());
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&json["epochs_trained"], &json["steps_trained"]),
        (&2.into(), &7.into())
    );
    let said = printed(dir, &call);
    assert!(
        said.contains("after 2 epochs and 7 steps of training"),
        "{said}"
    );
}
