//! Specifications with one mistake each: none is accepted, and every error names the file, the line and the key, before
//! any work is begun.
//!
//! What is wrong with one key alone comes from the keys' definitions: for each key of each table and kind a wrong type,
//! numbers outside of its range, unknown names, misspelt and left out. Written by hand is what they cannot say: TOML,
//! several keys, series, what lies within a value. In a case, `#!` marks the line that the error has to name.

mod generated;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::path::Path;

use harness::experiment::ExperimentFile;
use support::{REFERENCE, autolr};
use tempfile::TempDir;

/// `(old, new, key)`: in the sound specification `old`, which stands there once, is replaced by `new`. The error has to
/// contain `key`.
type Case = (&'static str, &'static str, &'static str);

const RATE: &str = "lr = 0.05";
const FACTORS: &str = "factors = \"factor_3\"";
const AUTOLR: &str = "kind = \"autolr\"\nlr = 0.05\nfactors = \"factor_3\"";
const EPOCHS: &str = "epochs = 6";
const BATCH: &str = "batch_size = 32\ndevice";
const PROBE: &str = "[probe]\nbatch_size = 32";
const SGD: &str = "kind = \"sgd\"";
const IMAGES: &str = "train_images = 800";
const TEST: &str = "test_images = 200";
const SET: &str = "set = \"synthetic\"";
const AUGMENT: &str = "augment = false";
const HIDDEN: &str = "hidden = 8";
const DEVICE: &str = "device = \"cpu\"";
const END: &str = "device = \"cpu\"\n";

/// One key, but not one mistake that its definition knows.
const SPECIAL: &[Case] = &[
    (EPOCHS, "epochs = 6\n\"\" = 1 #!", "training"),
    (EPOCHS, "epochs = 6\n\"a.b\" = 1 #!", "`a.b`"),
    (EPOCHS, "epochs = 6\n\"\\u202Eshcope\" = 1 #!", "\\u{202e}"),
    (
        EPOCHS,
        "epochs = 6\nlr = 0.1 #!",
        "training.lr = 0.1: belongs under [scheduler]",
    ),
    ("[training]", "[trainig] #!", "`training`"),
    (END, "device = \"cpu\"\n[model] #!\n", "`model`"),
    (END, "device = \"cpu\"\n[training.extra] #!\n", "`extra`"),
    ("[data]", "epochs = 3 #!\n[data]", "[training]"),
    ("[data]", "titel = \"x\" #!\n[data]", "`title`"),
    (
        "\n[training]\nepochs = 6\nbatch_size = 32\ndevice = \"cpu\"\n",
        "#!\n",
        "[training]",
    ),
    (
        AUTOLR,
        "kind = \"warm-up\"\nsteps = 3\nschedule = {} #!",
        "scheduler.schedule.kind: missing",
    ),
    (
        AUTOLR,
        "kind = \"product\"\nschedules = [\n  { kind = \"fixed\", lr = 1 },\n  { kind = \"step\", lr = 1 }, #!\n]",
        "scheduler.schedules[1].step_size: missing",
    ),
    (
        EPOCHS,
        "epochs = 2020-01-01 #!",
        "training.epochs = 2020-01-01",
    ),
    (RATE, "lr = { value = 1 } #!", "scheduler.lr"),
    (RATE, "lr = \"a\\nb\" #!", "scheduler.lr"),
    (
        "[data]\nset = \"synthetic\"\ntrain_images = 800\ntest_images = 200\naugment = false\n",
        "data = \"synthetic\" #!\n",
        "data = \"synthetic\"",
    ),
    (
        "[optimizer]\nkind = \"sgd\"",
        "[[optimizer]] #!\nkind = \"sgd\"",
        "optimizer",
    ),
    ("[data]", "title = 3 #!\n[data]", "title = 3"),
    (
        FACTORS,
        "factors = \"factor_4\" #!",
        "scheduler.factors = \"factor_4\"",
    ),
    (SET, "set = \" synthetic\" #!", "data.set"),
    (RATE, "lr = 1e-400 #!", "scheduler.lr = 0"),
    (RATE, "lr = 1e400 #!", "lr"),
    (
        FACTORS,
        "factors = [\n  2,\n  1,\n  -0.5, #!\n]",
        "scheduler.factors[2] = -0.5",
    ),
    (FACTORS, "factors = [] #!", "scheduler.factors = []"),
    (EPOCHS, "epochs = 9223372036854775808 #!", "epochs"),
    (EPOCHS, "epochs = 6\nseed = 18446744073709551615 #!", "seed"),
    (EPOCHS, "epochs = 6\nbudget = \"500\" #!", "\"500 steps\""),
    (
        EPOCHS,
        "epochs = 6\nbudget = \"0 steps\" #!",
        "at least one step",
    ),
    (EPOCHS, "epochs = 6\nbudget = \"-1 epochs\" #!", "positive"),
];

const COMBINATIONS: &[Case] = &[
    (
        SGD,
        "kind = \"sgd\"\nnesterov = true #!",
        "optimizer.nesterov",
    ),
    (
        SGD,
        "kind = \"momo\" #!",
        "optimizer.kind = \"momo\": needs the loss of each step's batch",
    ),
    (
        "kind = \"sgd\"\n\n[scheduler]\nkind = \"autolr\"\nlr = 0.05\nfactors = \"factor_3\"",
        "kind = \"dog\"\n\n[scheduler]\nkind = \"les\" #!\nlr = 0.05",
        "scheduler.kind = les: needs an optimiser whose step is proportional to its rate",
    ),
    (
        SGD,
        "kind = \"prodigy\" #!\n[[groups]]\nkind = \"head\"\nmultiplier = 0.5",
        "takes no [[groups]]",
    ),
    (
        "kind = \"sgd\"\n\n[scheduler]\nkind = \"autolr\"\nlr = 0.05\nfactors = \"factor_3\"\n\n[probe]\nbatch_size = 32",
        "kind = \"dog\"\n\n[scheduler]\nkind = \"autolr\"\nlr = 0.05\nfactors = \"factor_7\"\n\n[probe]\nbatch_size = 32\nevaluate = \"parabola\" #!",
        "the losses have to lie along one line",
    ),
    (
        SGD,
        "kind = \"prodigy\"\ngrowth_rate = 0.5 #!",
        "optimizer.growth_rate = 0.5: must be 0 or at least 1",
    ),
    (SET, "set = \"cifar10\" #!", "data.set"),
    (AUGMENT, "augment = true #!", "data.augment = true"),
    (
        "[data]\nset = \"synthetic\"\ntrain_images = 800\ntest_images = 200\naugment = false",
        "[data] #!\nset = \"synthetic\"\ntrain_images = 800",
        "data.augment = true",
    ),
    (DEVICE, "device = \"cuda\" #!", "training.device"),
    (
        SET,
        "set = \"noise\" #!",
        "data.set = \"noise\": network.kind = \"reference\" takes points",
    ),
    (
        END,
        "device = \"cpu\"\n[[groups]]\nkind = \"head\"\n[[groups]]\nkind = \"head\" #!\n",
        "groups.kind = \"head\": given twice",
    ),
    (
        "kind = \"reference\"\nhidden = 8\n\n[optimizer]\nkind = \"sgd\"\n\n[scheduler]\nkind = \"autolr\"\nlr = 0.05\nfactors = \"factor_3\"\n\n[probe]\nbatch_size = 32\n\n[training]\nepochs = 6\nbatch_size = 32\ndevice = \"cpu\"\n",
        "kind = \"mlp\"\nlayers = 0\n[scheduler]\nkind = \"fixed\"\nlr = 1\n[training]\nepochs = 6\n[[groups]]\nkind = \"weights\" #!\n",
        "groups.kind = \"weights\": this network.kind = \"mlp\" has no such parameters (head)",
    ),
    (
        END,
        "device = \"cpu\"\n[groups] #!\nkind = \"head\"\n",
        "[[groups]] tables are needed",
    ),
    (
        BATCH,
        "batch_size = 161 #!\ndevice",
        "training.batch_size = 161",
    ),
    (IMAGES, "train_images = 31 #!", "data.train_images = 31"),
    (TEST, "test_images = 31 #!", "data.test_images = 31"),
    (
        PROBE,
        "[probe]\nbatch_size = 641 #!",
        "probe.batch_size = 641",
    ),
    (
        IMAGES,
        "train_images = 800\nvalidation_fraction = 1e-9 #!",
        "data.validation_fraction",
    ),
    (
        IMAGES,
        "train_images = 800\nvalidation_fraction = 0.9999 #!",
        "data.validation_fraction",
    ),
    (
        FACTORS,
        "factors = [1]\nmin_lr = 1 #!\nmax_lr = 0.5",
        "scheduler.min_lr = 1",
    ),
    (
        AUTOLR,
        "kind = \"autolr\"\nlr = 0.05 #!\nfactors = [1]\nmax_lr = 0.01",
        "scheduler.lr = 0.05",
    ),
    (
        AUTOLR,
        "kind = \"autolr\"\nlr = 0.05 #!\nfactors = [1]\nbase = { kind = \"fixed\", lr = 1 }",
        "scheduler.lr: not beside `base`",
    ),
    (
        AUTOLR,
        "kind = \"autolr\"\nfactors = [1]\nbase = { kind = \"autolr\", lr = 1 } #!",
        "scheduler.base.kind",
    ),
    (
        AUTOLR,
        "kind = \"warm-up\"\nsteps = 3\nschedule = { kind = \"autolr\", lr = 1 } #!",
        "scheduler.schedule.kind",
    ),
    (
        AUTOLR,
        "kind = \"product\"\nschedules = [{ kind = \"step\", lr = 1, gama = 2 }] #!",
        "scheduler.schedules[0]",
    ),
    (AUTOLR, "kind = \"product\"\nschedules = [] #!", "schedules"),
    (
        AUTOLR,
        "kind = \"sequential\"\nmilestones = [3] #!\nschedules = [{ kind = \"fixed\", lr = 1 }]",
        "milestones",
    ),
    (
        AUTOLR,
        "kind = \"sequential\"\nmilestones = [5, 3] #!\nschedules = [{ kind = \"fixed\", lr = 1 }, { kind = \"fixed\", lr = 1 }, { kind = \"fixed\", lr = 1 }]",
        "milestones",
    ),
    (
        AUTOLR,
        "kind = \"product\"\nschedules = [\n  { kind = \"fixed\", lr = 1 },\n  { kind = \"fixed\", lr = -1 }, #!\n]",
        "scheduler.schedules[1].lr = -1",
    ),
];

const TOML: &[Case] = &[
    (HIDDEN, "hidden = = 8 #!", "`hidden = = 8"),
    (HIDDEN, "hidden = 8\n\"hidden\" = 9 #!", "duplicate key"),
    (HIDDEN, "hidden: 8 #!", "`hidden: 8"),
    (HIDDEN, "hidden = 0x #!", "network.hidden = 0x"),
    (HIDDEN, "hidden = True #!", "`hidden = True"),
    (HIDDEN, "hidden = \"8 #!", "`hidden = \"8"),
    (HIDDEN, "hidden = \"\\q\" #!", "`hidden = \"\\q\""),
    (
        "hidden = 8\n\n[optimizer]",
        "hidden = { a = 8\n\n[optimizer] #!",
        "`[optimizer]",
    ),
    (HIDDEN, "hidden = 8\u{7} #!", "\\u{7}"),
    ("[network]", "[net work] #!", "`[net work]"),
    (
        "[network]",
        "[network]\nkind = \"reference\"\n[network] #!",
        "duplicate",
    ),
    (
        "[training]",
        "[data.training] #!",
        "data.training: a table of its own",
    ),
    (END, "device = \"cpu\"\n[training.epochs] #!\n", "epochs"),
];

/// Series, after the tables.
const SERIES: &[&[&str]] = &[
    &["[[series]] #!\nlabel = \"x\"\n", "series.name: missing"],
    &["[[series]]\nname = \"../x\" #!\n", "series.name"],
    &["[[series]]\nname = \"\\u202Eabc\" #!\n", "\\u{202e}"],
    &[
        "[[series]]\nname = \"one\"\n[[series]]\nname = \"one\" #!\n",
        "series.name = \"one\"",
    ],
    &[
        "[[series]]\nname = \"one\"\nlabel = 3 #!\n",
        "series.label = 3",
    ],
    &[
        "[[series]]\nname = \"one\"\n[[series]]\nname = \"two\"\n[series.scheduler]\nlr = 0 #!\n",
        "series \"two\"",
    ],
    &[
        "[[series]]\nname = \"one\"\n[series.scheduler] #!\nkind = \"fixed\"\n",
        "scheduler.lr: missing",
    ],
    &[
        "[[series]]\nname = \"one\"\n[series.schedular] #!\nlr = 1\n",
        "`scheduler`",
    ],
    &["[[series]]\nname = \"one\"\nlr = 1 #!\n", "[scheduler]"],
    &[
        "[[series]]\nname = \"one\"\n[series.training]\nbatch_size = 161 #!\n",
        "training.batch_size = 161",
    ],
    &[
        "[[series]]\nname = \"one\"\nscheduler = 3 #!\n",
        "scheduler = 3",
    ],
    &[
        "[[series]]\nname = \"one\"\n[series.optimizer]\nkind = \"adamw\"\nmomentum = 0.5 #!\n",
        "optimizer.momentum",
    ],
    &["series = 3 #!\n", "series"],
];

/// What the library says to a specification: what the program would print, in a thousandth of the time.
fn said_by_library(dir: &Path, text: &str) -> String {
    let path = dir.join("spec.toml");
    fs::write(&path, text).unwrap();
    match ExperimentFile::load(&path) {
        Ok(_) => "ACCEPTED".to_owned(),
        Err(error) => {
            let error = error.to_string();
            format!(
                "error: {}\n",
                error.replace(path.to_str().unwrap(), "spec.toml")
            )
        }
    }
}

/// What the program says to a specification.
fn said(dir: &Path, text: &str) -> String {
    fs::write(dir.join("spec.toml"), text).unwrap();
    // Of several series, the last one is at fault.
    let series = text
        .rsplit_once("[[series]]\nname = \"")
        .and_then(|(_, rest)| Some(rest.split_once('"')?.0));
    let mut args = vec!["run", "spec.toml"];
    if let Some(series) = series {
        args.extend(["--series", series]);
    }
    let output = autolr(dir, &args).output().unwrap();
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    if output.status.code() == Some(2) && output.stdout.is_empty() && !dir.join("runs").exists() {
        return said;
    }
    // The next one finds the folder as it was.
    let _ = fs::remove_dir_all(dir.join("runs"));
    format!("ACCEPTED, or work was begun: {said}")
}

/// Checks that a text was refused at a line, in words that hold `expected`; returns the error without the file's name, or
/// what is wrong with it.
fn refused(said: &str, line: usize, expected: &[&str]) -> Result<String, String> {
    let place = format!("error: spec.toml, line {line}: ");
    let rest = said.strip_prefix(&place).unwrap_or_default();
    let sound = expected.iter().all(|words| rest.contains(words))
        && rest.lines().count() == 1
        && !rest.contains(|c: char| c.is_control() && c != '\n')
        && rest.chars().count() < 600;
    if sound {
        Ok(format!("line {line}: {}", rest.replace(" #!", "")))
    } else {
        Err(format!(
            "{said:?} should begin with {place:?} and name {expected:?}"
        ))
    }
}

/// The same of a text whose line is marked.
fn check(dir: &Path, text: &str, key: &str) -> Result<String, String> {
    let marked = text.lines().position(|line| line.contains("#!"));
    let line = 1 + marked.expect("a line is marked");
    refused(&said(dir, text), line, &[key])
}

#[test]
fn none_is_accepted_and_each_error_names_file_line_and_key() {
    let temp = TempDir::new().unwrap();
    let groups: [(&str, &[Case]); 3] = [
        ("Single keys", SPECIAL),
        ("Combinations", COMBINATIONS),
        ("TOML", TOML),
    ];
    let mut seen = std::collections::BTreeSet::new();
    let mut texts = String::new();
    let mut wrong = Vec::new();
    let mut group = |title: &str, cases: Vec<(String, &str, &str)>| {
        texts += &format!("## {title}\n\n");
        for (text, new, key) in cases {
            assert!(seen.insert(text.clone()), "stands there twice: {new}");
            let shown = new.replace(" #!", "").replace('\n', "\n    ");
            match check(temp.path(), &text, key) {
                Ok(said) => texts += &format!("    {}\n{said}", shown.trim_end()),
                Err(said) => wrong.push(format!("{new:?}: {said}")),
            }
        }
        texts.push('\n');
    };
    for (title, cases) in groups {
        let cases = cases.iter().map(|&(old, new, key)| {
            assert_eq!(REFERENCE.matches(old).count(), 1, "{old:?}");
            (REFERENCE.replace(old, new), new, key)
        });
        group(title, cases.collect());
    }
    let series = SERIES.iter().map(|case| {
        let text = match case[0].strip_prefix("series") {
            Some(_) => format!("{}{REFERENCE}", case[0]),
            None => format!("{REFERENCE}{}", case[0]),
        };
        (text, case[0], case[1])
    });
    group("Series", series.collect());
    assert!(wrong.is_empty(), "{}: {}", wrong.len(), wrong.join("\n"));
    // What all of them vary is sound: it is the change that is refused.
    fs::write(temp.path().join("spec.toml"), REFERENCE).unwrap();
    let output = autolr(temp.path(), &["run", "spec.toml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    insta::assert_snapshot!("texts", format!("{} specifications\n\n{texts}", seen.len()));
}
