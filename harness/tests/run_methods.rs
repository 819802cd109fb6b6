//! Any method trains: each kind from a specification, and small ones of one's own for each thing that a method can ask for.
//! Stopped at any step, or killed at it, and started again they leave the log of a run that was not.

mod support;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use autolr_core::optimizer::OptimizerConfig;
use harness::data::Location;
use harness::exit::Interrupted;
use harness::experiment::RunSpec;
use harness::record::{Entry, Record, RunLog};
use harness::train::{Observer, RunOptions, RunStatus, run};
use harness::workload;
use support::methods::{ALL, Make};
use support::{REFERENCE, spec, with};
use tempfile::TempDir;

/// What befalls a training after so many steps, those of trials and branches counted in.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    None,
    /// Told to stop.
    Stopped(u64),
    /// Killed: no checkpoint, no last word.
    Killed(u64),
}

struct Observed<'a> {
    fate: Fate,
    flag: &'a AtomicBool,
    steps: u64,
}

impl Observed<'_> {
    fn count(&mut self) {
        self.steps += 1;
        match self.fate {
            Fate::Stopped(at) if at == self.steps => self.flag.store(true, Ordering::Relaxed),
            Fate::Killed(at) if at == self.steps => std::panic::panic_any("killed"),
            _ => {}
        }
    }
}

impl Observer for Observed<'_> {
    fn step(&mut self) {
        self.count();
    }

    fn trial_step(&mut self) {
        self.count();
    }
}

/// Trains in `dir` to the end or to its fate; how many steps it took, and how it ended.
fn train(
    spec: &RunSpec,
    make: Option<Make>,
    dir: &Path,
    fate: Fate,
) -> (u64, Option<anyhow::Result<RunStatus>>) {
    let flag = AtomicBool::new(false);
    let mut observed = Observed {
        fate,
        flag: &flag,
        steps: 0,
    };
    let location = Location::choose(Some(dir), None, dir);
    let build = || workload::build(spec, &location, 1);
    let status = catch_unwind(AssertUnwindSafe(|| {
        let mut options = RunOptions::new(&flag, 1, &mut observed);
        let make = make.as_ref();
        options.method = make.map(|make| make as &harness::train::MakeMethod);
        run(spec, dir, &build, &mut options)
    }));
    let status = match status {
        Ok(status) => Some(status),
        Err(panic) if panic.is::<&str>() && fate != Fate::None => None,
        Err(panic) => std::panic::resume_unwind(panic),
    };
    (observed.steps, status)
}

fn log_of(dir: &Path) -> String {
    fs::read_to_string(dir.join("events.jsonl")).unwrap()
}

/// The log of a run without a stop, and how many steps it took.
fn whole(spec: &RunSpec, make: Option<Make>) -> (String, u64) {
    let dir = TempDir::new().unwrap();
    let (steps, status) = train(spec, make, dir.path(), Fate::None);
    status.unwrap().unwrap();
    (log_of(dir.path()), steps)
}

fn ended_as(fate: Fate, status: Option<anyhow::Result<RunStatus>>) {
    match (fate, status) {
        (Fate::Killed(_), None) => {}
        (Fate::Stopped(_), Some(Err(error))) => {
            assert!(error.is::<Interrupted>(), "{fate:?}: {error:#}");
        }
        (fate, status) => panic!("{fate:?}: {status:?}"),
    }
}

/// Each fate at every `stride`-th step, then to the end; and stopped again and again after a few steps.
fn same_whatever_befalls(name: &str, spec: &RunSpec, make: Option<Make>, stride: usize) {
    let (expected, steps) = whole(spec, make);
    let fates = (1..=steps)
        .step_by(stride)
        .flat_map(|at| [Fate::Stopped(at), Fate::Killed(at)]);
    for fate in fates {
        let dir = TempDir::new().unwrap();
        let (_, status) = train(spec, make, dir.path(), fate);
        if status.as_ref().is_some_and(Result::is_ok) {
            // The last step: it was told to stop after all was done.
            assert_eq!(fate, Fate::Stopped(steps));
        } else {
            ended_as(fate, status);
            train(spec, make, dir.path(), Fate::None)
                .1
                .unwrap()
                .unwrap();
        }
        assert_eq!(log_of(dir.path()), expected, "{name}: {fate:?}");
    }
}

/// One step a process.
fn same_step_by_step(name: &str, spec: &RunSpec) {
    let (expected, steps) = whole(spec, None);
    let dir = TempDir::new().unwrap();
    let mut taken = 0;
    loop {
        let (steps, status) = train(spec, None, dir.path(), Fate::Stopped(1));
        taken += steps;
        match status.unwrap() {
            Ok(_) => break,
            Err(error) => assert!(error.is::<Interrupted>(), "{name}: {error:#}"),
        }
    }
    assert_eq!(taken, steps, "{name}: no step is taken twice");
    assert_eq!(log_of(dir.path()), expected, "{name}");
}

fn short(scheduler: &str) -> RunSpec {
    let text = with(REFERENCE, "train_images = 800", "train_images = 400");
    let text = with(&text, "epochs = 6", "epochs = 3");
    let (before, rest) = text.split_once("[scheduler]").unwrap();
    let (_, after) = rest.split_once("[probe]").unwrap();
    spec(&format!("{before}[scheduler]\n{scheduler}\n[probe]{after}"))
}

/// Schedulers by their names, from specifications: by steps, by a metric, by each batch.
const SCHEDULERS: [(&str, &str); 16] = [
    (
        "warm-up and linear decay by steps",
        "kind = \"warm-up\"\nunit = \"step\"\nsteps = 5\nstart_factor = 0.0\n\
         schedule = { kind = \"linear-decay\", lr = 0.2, total_iters = 25 }",
    ),
    (
        "reduce on plateau",
        "kind = \"reduce-on-plateau\"\nlr = 2.0\nfactor = 0.25\npatience = 0\nthreshold = 0.5",
    ),
    (
        "one cycle by steps",
        "kind = \"one-cycle\"\nmax_lr = 0.3\nunit = \"step\"",
    ),
    (
        "a decision every four steps",
        "kind = \"autolr\"\nlr = 0.01\nfactors = \"factor_3\"\nevery = 4\nunit = \"step\"",
    ),
    ("polyak", "kind = \"polyak\"\nmax_lr = 1.0"),
    (
        "warm-up, stable, decay",
        "kind = \"warmup-stable-decay\"\nlr = 0.2\nunit = \"step\"",
    ),
    (
        "greedy by epochs",
        "kind = \"greedy\"\nlr = 0.05\npatience = 0",
    ),
    (
        "greedy by steps",
        "kind = \"greedy\"\nlr = 0.05\npatience = 1\nsmooth = true\nunit = \"step\"",
    ),
    ("armijo", "kind = \"armijo\""),
    ("pal", "kind = \"pal\"\nmeasuring_step_size = 0.1"),
    (
        "generalised Newton",
        "kind = \"gen\"\nlr = 0.05\nlazy_freq = 3",
    ),
    ("newton", "kind = \"newton\"\nlr = 0.05"),
    ("les", "kind = \"les\"\nlr = 0.05"),
    (
        "range test",
        "kind = \"range-test\"\nend_lr = 1e9\nnum_it = 20",
    ),
    ("robust, too short a run for a search", "kind = \"robust\""),
    (
        "robust",
        "kind = \"robust\"\nsearch = 0.5\nscoring_batches = 2",
    ),
];

#[test]
fn every_kind_of_scheduler_goes_on_from_every_step() {
    for (name, scheduler) in SCHEDULERS {
        let spec = short(scheduler);
        // A trial is run again from its start, so a run that is stopped after each step would not get past one.
        if name != "robust" {
            same_step_by_step(name, &spec);
        }
        same_whatever_befalls(name, &spec, None, 7);
    }
}

#[test]
fn losses_read_off_a_parabola_are_the_same_whatever_befalls() {
    let scheduler =
        "kind = \"autolr\"\nlr = 0.05\nfactors = \"factor_7\"\nevery = 4\nunit = \"step\"";
    let mut spec = short(scheduler);
    spec.probe.evaluate = autolr_core::optimizer::Evaluation::Parabola;
    let (log, _) = whole(&spec, None);
    assert!(log.contains("\"read_off\":[[2,4,5]]"), "{log}");
    same_step_by_step("parabola", &spec);
    same_whatever_befalls("parabola", &spec, None, 5);
}

#[test]
fn methods_of_ones_own_go_on_from_every_step() {
    let spec = short("kind = \"fixed\"\nlr = 0.05");
    for (name, make) in ALL {
        same_whatever_befalls(name, &spec, Some(make), 1);
    }
}

#[test]
fn rates_by_steps_are_those_of_the_schedule() {
    let dir = TempDir::new().unwrap();
    let spec = short(SCHEDULERS[0].1);
    train(&spec, None, dir.path(), Fate::None)
        .1
        .unwrap()
        .unwrap();
    let log = RunLog::read(&dir.path().join("events.jsonl"))
        .unwrap()
        .unwrap();
    // 320 points in batches of 32: ten steps an epoch, five of them warm-up, and then down to zero at the thirtieth.
    let rates = log
        .epochs
        .iter()
        .map(|epoch| (epoch.lr, epoch.rates.unwrap()));
    let rates: Vec<_> = rates
        .map(|(first, rates)| [first, rates.last, rates.min, rates.max])
        .collect();
    let after = |step: u32| 0.2 * (1.0 - f64::from(step) / 25.0);
    let expected = [
        [0.0, after(4), 0.0, after(0)],
        [after(5), after(14), after(14), after(5)],
        [after(15), after(24), after(24), after(15)],
    ];
    for (found, expected) in rates.iter().flatten().zip(expected.iter().flatten()) {
        approx::assert_relative_eq!(found, expected, max_relative = 1e-12);
    }
}

/// What the methods of one's own are for happens.
#[test]
fn methods_of_ones_own_do_what_they_are_for() {
    let spec = short("kind = \"fixed\"\nlr = 0.05");
    for (name, make) in ALL {
        let dir = TempDir::new().unwrap();
        let (_, status) = train(&spec, Some(make), dir.path(), Fate::None);
        let summary = status.unwrap().unwrap().summary;
        // Thirty steps need not be enough to beat chance, but nothing was lost.
        assert!(summary.last.unwrap().loss.is_finite(), "{name}");
        let log = RunLog::read(&dir.path().join("events.jsonl"))
            .unwrap()
            .unwrap();
        let count =
            |wanted: fn(&Entry) -> bool| log.entries.iter().filter(|entry| wanted(entry)).count();
        let answers = count(|entry| matches!(entry, Entry::Answer(_)));
        let moves = count(|entry| matches!(entry, Entry::Moved(_)));
        let epochs = count(|entry| matches!(entry, Entry::Epoch(_)));
        // The log alone gives all of it again.
        let record = Record::read(&dir.path().join("events.jsonl")).unwrap();
        let replayed = record.replay_with(make(None).unwrap()).unwrap();
        assert_eq!(replayed.rates, epochs, "{name}");
        let (trained, search) = summary.compute();
        match name {
            // Three trials of five batches of 32, forward and backward, and 32 points scored.
            "search" => {
                assert_eq!((answers, moves, epochs), (1, 0, 3));
                assert_eq!((trained, search), (3 * 960, 3 * (5 * 96 + 32)));
                assert_ne!(log.epochs[0].lr, 1e-3);
            }
            // Each race has two branches, one of which becomes training.
            "race" => {
                assert_eq!(answers, 2 * moves);
                assert!(moves >= 3, "{moves}");
                assert_eq!(epochs, 3);
                assert!(search < trained);
            }
            // What was trained and given up was trained all the same.
            _ => {
                assert!(moves >= 2, "{moves}");
                assert_eq!((epochs, log.epochs.len()), (3 + moves, 3));
                assert!(trained > 3 * 960, "{trained}");
                assert!(
                    log.epochs
                        .iter()
                        .all(|epoch| epoch.validation_loss.is_finite())
                );
            }
        }
    }
}

/// Rates, decisions and moves come out again from the log alone, for each kind that a specification names.
#[test]
fn runs_by_steps_are_replayed() {
    for (name, scheduler) in SCHEDULERS {
        let spec = short(scheduler);
        let dir = TempDir::new().unwrap();
        train(&spec, None, dir.path(), Fate::None)
            .1
            .unwrap()
            .unwrap();
        let path = dir.path().join("events.jsonl");
        let record = Record::read(&path).unwrap();
        let replayed = record.replay().unwrap();
        let needs = spec.scheduler.method().build().needs();
        if needs.loss || needs.gradient {
            assert_eq!((replayed.rates, replayed.unchecked), (0, 3));
        } else {
            assert_eq!((replayed.rates, replayed.unchecked), (3, 0), "{name}");
        }
        assert!(record.log.is_sealed());
    }
}

#[test]
fn a_budget_ends_a_run_in_the_middle_of_an_epoch_and_nothing_exceeds_it() {
    let budget = |scheduler: &str, budget: &str| {
        let text = short(scheduler).to_toml().unwrap();
        let limited = format!("epochs = 3\nbudget = \"{budget}\"");
        spec(&with(&text, "epochs = 3", &limited))
    };
    let autolr = "kind = \"autolr\"\nlr = 0.05\nfactors = \"factor_3\"";
    let fixed = "kind = \"fixed\"\nlr = 0.05";
    let pal = "kind = \"pal\"\nmeasuring_step_size = 0.1";
    for (scheduler, limit, epochs, trained, search) in [
        // Ten steps an epoch, of 32 points, which cost 3 each.
        (fixed, "14 steps", 2, 14 * 96, 0),
        (fixed, "1.4 epochs", 2, 14 * 96, 0),
        (fixed, "4 steps", 1, 4 * 96, 0),
        (fixed, "300 steps", 3, 30 * 96, 0),
        // PAL reads a loss along each step, for 32 more. There is enough left for the seventh step, but not for that.
        (pal, "9 steps", 1, 6 * 96, 6 * 32),
        // A decision costs a gradient and three scores: 32 · 3 + 3 · 32, as much as two steps.
        (autolr, "14 steps", 2, 12 * 96, 192),
        // No decision fits in.
        (autolr, "11 steps", 1, 10 * 96, 0),
    ] {
        let spec = budget(scheduler, limit);
        let dir = TempDir::new().unwrap();
        let (_, status) = train(&spec, None, dir.path(), Fate::None);
        let summary = status.unwrap().unwrap().summary;
        assert_eq!(summary.epochs, epochs, "{scheduler} {limit}");
        assert_eq!(summary.compute(), (trained, search), "{scheduler} {limit}");
        assert_eq!(summary.budget_spent, limit != "300 steps");
        let record = Record::read(&dir.path().join("events.jsonl")).unwrap();
        record.replay().unwrap();
    }
    let spec = budget(autolr, "14 steps");
    same_whatever_befalls("a budget", &spec, None, 3);
    same_whatever_befalls("a line", &budget(pal, "9 steps"), None, 3);
}

/// Checkpoints of the program before logs had a seal and methods their own states: the runs go on from them to the same
/// epochs and decisions.
#[test]
fn old_checkpoints_go_on() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/checkpoints");
    for name in ["autolr", "cosine"] {
        let dir = TempDir::new().unwrap();
        for file in ["spec.toml", "events.jsonl", "checkpoint.safetensors"] {
            fs::copy(fixtures.join(name).join(file), dir.path().join(file)).unwrap();
        }
        let text = fs::read_to_string(dir.path().join("spec.toml")).unwrap();
        let spec = spec(&text);
        assert_eq!(
            spec.to_toml().unwrap(),
            text,
            "the canonical text is as it was"
        );
        train(&spec, None, dir.path(), Fate::None)
            .1
            .unwrap()
            .unwrap();
        let read = |path: &Path| RunLog::read(path).unwrap().unwrap();
        let whole = read(&fixtures.join(name).join("whole.jsonl"));
        let again = read(&dir.path().join("events.jsonl"));
        assert_eq!(again.entries, whole.entries, "{name}");
        assert_eq!((again.continued.len(), again.is_sealed()), (1, true));
        let (again, whole) = (again.summary.unwrap(), whole.summary.unwrap());
        assert_eq!((again.best, again.last), (whole.best, whole.last));
        assert_eq!(again.compute(), whole.compute());
    }
}

/// The same through libtorch.
#[cfg(feature = "tch")]
#[test]
fn schedulers_by_steps_and_by_a_metric_go_on_from_every_step_of_a_resnet() {
    let (before, rest) = support::TINY_RESNET.split_once("[scheduler]").unwrap();
    let (_, after) = rest.split_once("[probe]").unwrap();
    for (name, scheduler) in &SCHEDULERS[..2] {
        let spec = spec(&format!("{before}[scheduler]\n{scheduler}\n[probe]{after}"));
        same_step_by_step(name, &spec);
        same_whatever_befalls(name, &spec, None, 5);
    }
    let spec = spec(support::TINY_RESNET);
    for (name, make) in ALL {
        same_whatever_befalls(name, &spec, Some(make), 6);
    }
}

/// Every task but the ResNet, under the paper's scheduler and an optimiser with all the state that there is.
#[test]
fn every_task_goes_on_from_every_step() {
    for (set, network, optimizer) in [
        (
            "digits-1d",
            "kind = \"mlp\"\nhidden = 6\nnormalization = \"layer\"",
            "adamw",
        ),
        ("badly-scaled", "kind = \"logistic\"", "adamw"),
        // Evaluated at other weights than those that are trained.
        ("badly-scaled", "kind = \"logistic\"", "averaged-sgd"),
        ("spirals", "kind = \"autoencoder\"\ncode = 3", "adamw"),
        ("noise", "kind = \"quadratic\"\ndimension = 5", "adamw"),
        #[cfg(feature = "tch")]
        (
            "markov",
            "kind = \"text-transformer\"\nwidth = 8\nheads = 2\ncontext = 5",
            "averaged-sgd",
        ),
        #[cfg(feature = "tch")]
        (
            "markov",
            "kind = \"text-transformer\"\nwidth = 8\nheads = 2\ncontext = 5",
            "adamw",
        ),
    ] {
        let spec = spec(&format!(
            "[data]\nset = \"{set}\"\ntrain_images = 100\ntest_images = 30\naugment = false\n[network]\n{network}\n\
             [optimizer]\nkind = \"{optimizer}\"\n[scheduler]\nkind = \"autolr\"\nlr = 0.01\nfactors = \"factor_3\"\n\
             [probe]\nbatch_size = 8\n[training]\nepochs = 2\nbatch_size = 8\ndevice = \"cpu\"\n\
             [[groups]]\nkind = \"{}\"\nmultiplier = 0.5\nweight_decay = 0\n",
            if set == "noise" { "weights" } else { "head" }
        ));
        same_step_by_step(set, &spec);
        same_whatever_befalls(set, &spec, None, 1);
    }
}

/// Every optimiser, with all the numbers of its state; under the paper's scheduler, unless a trial lacks what it needs.
#[test]
fn every_optimizer_goes_on_from_every_step() {
    for name in OptimizerConfig::NAMES {
        let of = |scheduler: &str| {
            format!(
                "[data]\nset = \"digits-1d\"\ntrain_images = 100\ntest_images = 30\naugment = false\n\
                 [network]\nkind = \"mlp\"\nhidden = 4\nlayers = 1\n[optimizer]\nkind = \"{name}\"\n\
                 [scheduler]\n{scheduler}\n[probe]\nbatch_size = 8\n\
                 [training]\nepochs = 2\nbatch_size = 8\ndevice = \"cpu\"\n"
            )
        };
        let probing = of("kind = \"autolr\"\nlr = 0.05\nfactors = \"factor_3\"");
        let fixed = spec(&of("kind = \"fixed\"\nlr = 0.05"));
        let spec = match fixed.optimizer.needs_loss() {
            true => fixed,
            false => spec(&probing),
        };
        same_step_by_step(name, &spec);
        same_whatever_befalls(name, &spec, None, 3);
        let dir = TempDir::new().unwrap();
        train(&spec, None, dir.path(), Fate::None)
            .1
            .unwrap()
            .unwrap();
        let record = Record::read(&dir.path().join("events.jsonl")).unwrap();
        let replayed = record.replay().unwrap();
        let all = if spec.optimizer.is_proportional() {
            (2, 0)
        } else {
            (0, 2)
        };
        assert_eq!((replayed.rates, replayed.unchecked), all, "{name}");
    }
}
