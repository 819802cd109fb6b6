//! The folder of a report with made-up logs: any number of seeds, runs that diverge, names that mean harm.

use std::path::Path;

use autolr_core::{AutoLr, AutoLrConfig, Factors, ScaleUpdate};
use harness::experiment::ExperimentName;
use harness::record::{
    Build, DataProvenance, DecisionRecord, EpochRecord, Evaluation, Event, Outcome, Provenance,
    Summary,
};
use harness::report::{Manifest, RunEntry, SectionEntry, SeriesEntry};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What a made-up series does.
#[allow(dead_code, reason = "each test file uses a part")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An open-loop schedule.
    Open,
    /// The closed loop with so many candidates.
    Closed(usize),
    /// The closed loop, whose odd seeds diverge after a third of the epochs.
    Diverging(usize),
}

/// A section to make up: each series with its kind.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) experiment: ExperimentName,
    pub(crate) protocol: &'static str,
    pub(crate) series: Vec<(&'static str, Kind)>,
    pub(crate) seeds: u64,
    pub(crate) epochs: u64,
}

/// Writes the manifest and all runs; gives back how many runs there are.
pub(crate) fn write(dir: &Path, sections: &[Made]) -> usize {
    let mut runs = 0;
    let mut entries = Vec::new();
    for made in sections {
        let mut series = Vec::new();
        for (name, kind) in &made.series {
            let mut of_series = Vec::new();
            for seed in 0..made.seeds {
                // Not a digest: the folder is named after no specification.
                let run = format!("made-{runs:04}");
                write_run(
                    &dir.join("runs").join(&run),
                    name,
                    *kind,
                    seed,
                    made.epochs,
                    runs,
                );
                of_series.push(RunEntry { seed, run });
                runs += 1;
            }
            series.push(SeriesEntry {
                name: (*name).to_owned(),
                label: (*name).to_owned(),
                runs: of_series,
            });
        }
        entries.push(SectionEntry {
            experiment: made.experiment,
            protocol: made.protocol.to_owned(),
            description: "Made up, to look at the report.".to_owned(),
            series,
        });
    }
    let manifest = Manifest {
        scale: "paper".to_owned(),
        notes: Vec::new(),
        sections: entries,
    };
    let manifest = serde_json::to_string(&manifest).expect("a manifest is JSON");
    std::fs::write(dir.join("manifest.json"), manifest).expect("the folder can be written to");
    runs
}

fn write_run(dir: &Path, name: &str, kind: Kind, seed: u64, epochs: u64, stream: usize) {
    let mut rng = ChaCha8Rng::seed_from_u64(1000 * stream as u64 + seed);
    let mut noise = move |size: f64| size * (rng.random::<f64>() + rng.random::<f64>() - 1.0);
    std::fs::create_dir_all(dir).expect("a folder");
    let mut log = String::new();
    let mut append = |event: Event| {
        log += &serde_json::to_string(&event).expect("an event is JSON");
        log.push('\n');
    };
    append(Event::RunStarted(provenance()));
    let candidates = match kind {
        Kind::Open => None,
        Kind::Closed(n) | Kind::Diverging(n) => Some(n),
    };
    let mut scheduler = candidates.map(|n| {
        let rule = ScaleUpdate::new(Factors::powers_of_two(n).expect("an odd number"));
        let config = AutoLrConfig::new(0.005, rule).expect("a rate");
        AutoLr::new(config.with_edge_probes(2))
    });
    let diverges = (matches!(kind, Kind::Diverging(_)) && seed % 2 == 1).then_some(epochs / 3);
    let mut trained = 0;
    let mut timings = String::new();
    let mut best = (f64::INFINITY, 0);
    for epoch in 0..epochs {
        let share = epoch as f64 / epochs as f64;
        let lr = scheduler
            .as_ref()
            .map_or(0.05 * 0.97_f64.powf(100.0 * share), AutoLr::lr);
        let loss = if diverges == Some(epoch) {
            f64::NAN
        } else {
            0.45 + 1.9 * (-5.0 * share).exp() + noise(0.06)
        };
        if loss < best.0 {
            best = (loss, epoch);
        }
        append(Event::Epoch(EpochRecord {
            epoch,
            rates: None,
            lr,
            steps: 313,
            train_loss: loss - 0.3 * share,
            train_accuracy: Some(0.3 + 0.6 * share),
            validation_loss: loss,
            validation_accuracy: Some(0.3 + 0.5 * share),
        }));
        timings += &format!("{{\"epoch\":{epoch},\"seconds\":1.5}}\n");
        trained += 1;
        if diverges == Some(epoch) {
            break;
        }
        let Some(scheduler) = &mut scheduler else {
            continue;
        };
        // The best rate wanders, sometimes out of the window; far above it nothing is finite.
        let optimum = 0.02 * (6.0 * share).sin().exp2() * (1.0 - 0.9 * share) * noise(0.8).exp2();
        let decision = loop {
            let losses = scheduler.candidates().mapv(|rate| {
                let distance = (rate / optimum).log2();
                if distance > 4.5 {
                    f64::NAN
                } else {
                    loss + 0.02 * distance * distance + noise(0.01)
                }
            });
            let told = scheduler.tell(losses.view()).expect("losses fit");
            if let Some(decision) = told.decided() {
                break decision;
            }
        };
        append(Event::Decision(DecisionRecord {
            epoch,
            step: None,
            decision,
            read_off: Vec::new(),
        }));
    }
    let tested = |accuracy| Evaluation {
        loss: 0.5,
        accuracy: Some(accuracy),
        images: 10_000,
    };
    let probes = candidates.map_or(0, |n| trained * 128 * n as u64);
    append(Event::RunFinished(Summary {
        outcome: diverges.map_or(Outcome::Completed, |epoch| Outcome::Diverged {
            epoch,
            reason: "the training loss is NaN".to_owned(),
        }),
        epochs: trained,
        best_epoch: Some(best.1),
        best: Some(tested(0.84 + noise(0.02))),
        last: diverges.is_none().then(|| tested(0.83 + noise(0.02))),
        reported: "best-validation".to_owned(),
        forwards: trained * 50_000 + probes,
        backwards: trained * 40_000,
        probe_forwards: probes,
        budget_spent: false,
        log: None,
        probe_backwards: 0,
    }));
    std::fs::write(dir.join("events.jsonl"), log).expect("the folder can be written to");
    std::fs::write(dir.join("timings.jsonl"), timings).expect("the folder can be written to");
    let spec = format!("# {name:?}\n[training]\nepochs = {epochs}\nseed = {seed}\n");
    std::fs::write(dir.join("spec.toml"), spec).expect("the folder can be written to");
}

fn provenance() -> Provenance {
    Provenance {
        format: 1,
        spec: "5".repeat(64),
        autolr: "0.1.0".to_owned(),
        libtorch: None,
        device: "cpu".to_owned(),
        threads: 1,
        parameters: 11_173_962,
        data: DataProvenance {
            name: "CIFAR-10".to_owned(),
            synthetic: false,
            digest: "d".repeat(64),
            train: 40_000,
            validation: 10_000,
            scoring: 40_000,
            test: 10_000,
        },
        build: Build::default(),
    }
}
