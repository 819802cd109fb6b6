//! Bad input: one clear line that names the key, the file or the value, exit code 2, and nothing written.

mod support;

use std::fs;
use std::path::Path;
use std::thread;

use support::{REFERENCE, autolr, contents, printed, run_dir, with};
use tempfile::TempDir;

/// What the program says to a call that its input forbids. It has to name each of `names`.
fn refused(dir: &Path, args: &[&str], names: &[&str]) -> String {
    // Who is at work on a run stands in its lock, whatever comes of it.
    let contents = |dir: &Path| {
        let mut found = contents(dir);
        found.retain(|path, _| !path.ends_with("lock"));
        found
    };
    let before = contents(dir);
    let output = autolr(dir, args).output().expect("the program starts");
    let stderr = String::from_utf8(output.stderr).expect("the error is UTF-8");
    assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "",
        "{args:?}: printed something before it failed"
    );
    assert!(
        stderr.starts_with("error: ") && stderr.matches("error:").count() == 1,
        "{args:?}: {stderr}"
    );
    assert_eq!(stderr.lines().count(), 1, "{args:?}: {stderr}");
    for name in names {
        assert!(
            stderr.contains(name),
            "{args:?}: {name:?} is not named: {stderr}"
        );
    }
    assert!(
        before == contents(dir),
        "{args:?}: something was written before the input was found bad"
    );
    stderr
}

/// A text without what differs from run to run.
fn stable(text: &str, dir: &Path) -> String {
    let text = text.replace(dir.to_str().expect("a plain path"), "DIR");
    let mut out = String::new();
    let mut rest = text.as_str();
    // Digests: sixteen hex digits.
    while let Some(at) = rest.find(|c: char| c.is_ascii_hexdigit()) {
        let (before, from) = rest.split_at(at);
        let word = from
            .find(|c: char| !c.is_ascii_hexdigit())
            .unwrap_or(from.len());
        out.push_str(before);
        out.push_str(if word == 16 { "DIGEST" } else { &from[..word] });
        rest = &from[word..];
    }
    out + rest
}

/// A specification that is wrong in one place.
struct Wrong {
    old: &'static str,
    new: &'static str,
    names: &'static [&'static str],
}

const fn wrong(old: &'static str, new: &'static str, names: &'static [&'static str]) -> Wrong {
    Wrong { old, new, names }
}

const RATE: &str = "lr = 0.05";
const FACTORS: &str = "factors = \"factor_3\"";
const KIND: &str = "kind = \"autolr\"\nlr = 0.05\nfactors = \"factor_3\"";
const EPOCHS: &str = "epochs = 6";
const BATCH: &str = "batch_size = 32\ndevice";
const PROBE: &str = "[probe]\nbatch_size = 32";
const SGD: &str = "kind = \"sgd\"";
const IMAGES: &str = "train_images = 800";
const SET: &str = "set = \"synthetic\"";

/// One change each to a specification that is sound.
fn specifications(dir: &Path) -> String {
    let cases = [
        // Keys and tables that do not exist.
        wrong(EPOCHS, "epoch = 6", &["training", "`epoch`", "`epochs`"]),
        wrong(IMAGES, "train_image = 800", &["data", "`train_images`"]),
        wrong("hidden = 8", "hiden = 8", &["network", "`hidden`"]),
        wrong(SGD, "kind = \"sgd\"\nmomentun = 0.9", &["`momentum`"]),
        wrong(PROBE, "[probe]\nbatchsize = 32", &["probe", "`batch_size`"]),
        wrong("[training]", "[trainig]", &["`trainig`", "`training`"]),
        wrong(
            "[data]",
            "epochs = 3\n[data]",
            &["epochs = 3", "[training]"],
        ),
        // Keys of another kind of the same table.
        wrong(
            FACTORS,
            "factors = [1]\ngamma = 0.5",
            &["scheduler.gamma = 0.5"],
        ),
        wrong("hidden = 8", "width = 8", &["network", "width"]),
        wrong(SGD, "kind = \"sgd\"\nbeta1 = 0.9", &["optimizer", "beta1"]),
        wrong(
            KIND,
            "kind = \"step\"\nlr = 0.05\nstep_size = 3\nt_max = 9",
            &["scheduler.t_max = 9"],
        ),
        // Rates.
        wrong(RATE, "lr = nan", &["scheduler", "lr = NaN"]),
        wrong(RATE, "lr = 0", &["scheduler", "lr = 0"]),
        wrong(RATE, "lr = -0.05", &["scheduler", "lr = -0.05"]),
        wrong(RATE, "lr = inf", &["scheduler", "lr = inf"]),
        wrong(RATE, "lr = -inf", &["scheduler", "lr = -inf"]),
        wrong(
            KIND,
            "kind = \"cosine\"\nlr = nan",
            &["scheduler", "lr = NaN"],
        ),
        wrong(
            KIND,
            "kind = \"constant\"\nlr = 0.05\nfactor = nan",
            &["scheduler", "factor = NaN"],
        ),
        wrong(
            KIND,
            "kind = \"step\"\nlr = 0.05\nstep_size = 0",
            &["scheduler", "step_size = 0"],
        ),
        // Schedules within schedules.
        wrong(
            KIND,
            "kind = \"warm-up\"\nsteps = 3",
            &["scheduler", "scheduler.schedule: missing"],
        ),
        wrong(
            KIND,
            "kind = \"warm-up\"\nsteps = 3\nschedule = { kind = \"fixed\", lr = 0 }",
            &["scheduler.schedule", "lr = 0"],
        ),
        wrong(
            KIND,
            "kind = \"warm-up\"\nsteps = 3\nschedule = { kind = \"autolr\", lr = 1 }",
            &["scheduler.schedule.kind", "`autolr`"],
        ),
        wrong(
            KIND,
            "kind = \"product\"\nschedules = [{ kind = \"step\", lr = 1, gama = 2 }]",
            &["scheduler.schedules[0]", "`gama`", "`gamma`"],
        ),
        wrong(
            KIND,
            "kind = \"product\"\nschedules = { kind = \"fixed\", lr = 1 }",
            &["scheduler.schedules", "list"],
        ),
        wrong(
            KIND,
            "kind = \"sequential\"\nmilestones = [3]\nschedules = [{ kind = \"fixed\", lr = 1 }]",
            &["scheduler", "milestones", "length 1"],
        ),
        wrong(
            KIND,
            "kind = \"multi-step\"\nlr = 1\nmilestones = [3.5]",
            &["scheduler.milestones = [3.5]"],
        ),
        // Factors.
        wrong(FACTORS, "factors = [1, nan]", &["factors[1] = NaN"]),
        wrong(FACTORS, "factors = [0, 1]", &["factors[0] = 0"]),
        wrong(FACTORS, "factors = [2, 1, -0.5]", &["factors[2] = -0.5"]),
        wrong(FACTORS, "factors = [inf]", &["factors[0] = inf"]),
        wrong(FACTORS, "factors = [-inf, 1]", &["factors[0] = -inf"]),
        wrong(FACTORS, "factors = []", &["scheduler", "factors = []"]),
        wrong(FACTORS, "factors = \"factor_4\"", &["factor_4"]),
        wrong(FACTORS, "factors = 3", &["scheduler", "factors"]),
        wrong(FACTORS, "factors = [1, \"2\"]", &["scheduler", "factors"]),
        wrong(FACTORS, "factors = [1]\nsharpness = nan", &["sharpness"]),
        wrong(
            FACTORS,
            "factors = [1]\nnormalization = \"zscore\"",
            &["scheduler", "zscore"],
        ),
        // Names.
        wrong(KIND, "kind = \"cosin\"\nlr = 1", &["`cosin`", "`cosine`"]),
        wrong(
            KIND,
            "kind = \"StepLR\"\nlr = 1",
            &["scheduler", "`StepLR`", "`step`"],
        ),
        wrong(KIND, "kind = \"adaptive\"\nlr = 1", &["`adaptive`"]),
        wrong(KIND, "kind = 3\nlr = 1", &["scheduler.kind = 3"]),
        wrong(KIND, "lr = 1", &["scheduler.kind"]),
        wrong(KIND, "kind = \"fixed\"", &["scheduler", "lr"]),
        wrong(SGD, "kind = \"adam\"", &["optimizer", "adam"]),
        wrong(
            "kind = \"reference\"",
            "kind = \"vgg\"",
            &["network", "vgg"],
        ),
        wrong(SET, "set = \"cifar-10\"", &["data", "cifar-10"]),
        wrong(SET, "set = \"cifar10\"", &["data.set"]),
        wrong(PROBE, "[probe]\nloss = \"after\"", &["probe", "after"]),
        // Types.
        wrong(EPOCHS, "epochs = \"six\"", &["training", "epochs"]),
        wrong(EPOCHS, "epochs = 2.5", &["training", "epochs"]),
        wrong(EPOCHS, "epochs = -1", &["training", "epochs"]),
        wrong(RATE, "lr = \"fast\"", &["scheduler", "lr"]),
        wrong("augment = false", "augment = 0", &["data", "augment"]),
        wrong("hidden = 8", "hidden = -8", &["network", "hidden"]),
        // Ranges.
        wrong(EPOCHS, "epochs = 0", &["training.epochs = 0"]),
        wrong(
            BATCH,
            "batch_size = 0\ndevice",
            &["training.batch_size = 0"],
        ),
        wrong(
            BATCH,
            "batch_size = 801\ndevice",
            &["data.train_images = 800", "training.batch_size"],
        ),
        wrong(
            BATCH,
            "batch_size = 161\ndevice",
            &["training.batch_size = 161", "160", "validation"],
        ),
        wrong(
            IMAGES,
            "validation_fraction = 0",
            &["data.validation_fraction = 0"],
        ),
        wrong(
            IMAGES,
            "validation_fraction = 1",
            &["data.validation_fraction = 1"],
        ),
        wrong(
            IMAGES,
            "validation_fraction = nan",
            &["data.validation_fraction = NaN"],
        ),
        wrong(
            IMAGES,
            "train_images = 800\nvalidation_fraction = 1e-9",
            &["data.validation_fraction = 1e-9", "800"],
        ),
        wrong(PROBE, "[probe]\nbatch_size = 0", &["probe.batch_size = 0"]),
        wrong(
            PROBE,
            "[probe]\nevaluate = \"some\"",
            &["probe", "\"some\"", "parabola"],
        ),
        wrong(
            PROBE,
            "[probe]\nevaluate = \"parabola\"\nloss = \"before-step\"",
            &["probe.evaluate = \"parabola\"", "probe.loss"],
        ),
        wrong(
            PROBE,
            "[probe]\nevaluate = \"parabola\"\nbatches = \"per-candidate\"",
            &["probe.evaluate = \"parabola\"", "probe.batches"],
        ),
        wrong(
            PROBE,
            "[probe]\nbatch_size = 641",
            &["probe.batch_size = 641", "640"],
        ),
        wrong("hidden = 8", "hidden = 0", &["network.hidden = 0"]),
        wrong(
            SGD,
            "kind = \"sgd\"\nmomentum = 1",
            &["optimizer.momentum = 1"],
        ),
        wrong(
            SGD,
            "kind = \"sgd\"\nnesterov = true",
            &["optimizer.nesterov", "nesterov"],
        ),
        wrong(
            SGD,
            "kind = \"adamw\"\nweight_decay = nan",
            &["optimizer.weight_decay = NaN"],
        ),
        // Devices: the reference network is pure Rust.
        wrong(
            "device = \"cpu\"",
            "device = \"cuda\"",
            &["training.device = cuda"],
        ),
        wrong("device = \"cpu\"", "device = \"gpu\"", &["training", "gpu"]),
        // TOML itself.
        wrong("hidden = 8", "hidden = = 8", &["line 9"]),
        wrong(
            "hidden = 8",
            "hidden = 8\nhidden = 9",
            &["line 10", "hidden"],
        ),
        wrong("[network]", "[network", &["line 7"]),
    ];
    // What all of them vary is sound: it is the change that is refused.
    printed(dir, &["run", "spec.toml"]);
    let said = cases.iter().map(|case| {
        let text = with(REFERENCE, case.old, case.new);
        fs::write(dir.join("spec.toml"), text).unwrap();
        let error = refused(dir, &["run", "spec.toml"], case.names);
        format!("{}\n  {error}", case.new)
    });
    said.collect()
}

/// What a call says, under the call.
fn call(dir: &Path, line: &str, names: &[&str]) -> String {
    let args: Vec<&str> = line.split(' ').collect();
    format!("$ autolr {line}\n  {}", refused(dir, &args, names))
}

/// Files that are missing or something else, and series.
fn files(dir: &Path) -> String {
    let series =
        "[[series]]\nname = \"fast\"\n[series.scheduler]\nlr = 0.1\n[[series]]\nname = \"slow\"\n";
    let write = |name: &str, text: &str| fs::write(dir.join(name), text).unwrap();
    write("series.toml", &format!("{REFERENCE}{series}"));
    write(
        "twice.toml",
        &format!("{REFERENCE}{series}[[series]]\nname = \"slow\"\n"),
    );
    write(
        "nameless.toml",
        &format!("{REFERENCE}[[series]]\nlabel = \"x\"\n"),
    );
    write(
        "path.toml",
        &format!("{REFERENCE}[[series]]\nname = \"../x\"\n"),
    );
    write(
        "wrong.toml",
        &format!("{REFERENCE}{series}[series.scheduler]\nlr = 0\n"),
    );
    write("untabled.toml", "data = 3\n");
    write("empty.toml", "");
    fs::write(dir.join("binary.toml"), [0xff, 0xfe, 0x00]).unwrap();
    fs::create_dir(dir.join("folder")).unwrap();
    [
        ("run nowhere.toml", &["nowhere.toml"][..]),
        ("run folder", &["folder"]),
        ("run binary.toml", &["binary.toml"]),
        ("run empty.toml", &["empty.toml", "data"]),
        ("run untabled.toml", &["untabled.toml", "data = 3"]),
        (
            "run series.toml",
            &["series.toml", "--series", "fast, slow"],
        ),
        ("run series.toml --series fats", &["`fats`", "`fast`"]),
        (
            "run spec.toml --series fast",
            &["spec.toml", "--series", "fast"],
        ),
        ("run twice.toml", &["twice.toml", "slow"]),
        ("run nameless.toml", &["nameless.toml", "name"]),
        ("run path.toml", &["path.toml", "../x"]),
        (
            "run wrong.toml --series fast",
            &["wrong.toml", "\"slow\"", "scheduler.lr = 0"],
        ),
        ("run spec.toml --device cuda", &["training.device = cuda"]),
        ("probe nowhere.toml", &["nowhere.toml"]),
        ("plan tabel1", &["tabel1", "table1, fig2"]),
        ("report folder", &["folder: no run is there"]),
        ("report nowhere", &["nowhere: there is no such folder"]),
    ]
    .iter()
    .map(|(line, names)| call(dir, line, names))
    .collect()
}

/// Rates of a probe.
fn rates(dir: &Path) -> String {
    [
        "nonsense",
        "",
        "0.1,,1",
        "0.1,x",
        "nan",
        "0",
        "-0.1",
        "0.1,inf",
        "0.1..1",
        "0.1..1:1",
        "1..0:5",
        "0.1..1:many",
        "0.1..1:10001",
        "1e-400",
    ]
    .iter()
    .map(|rates| {
        let args = format!("--lrs={rates}");
        let error = refused(dir, &["probe", "spec.toml", &args], &["--lrs", rates]);
        format!("$ autolr probe spec.toml {args}\n  {error}")
    })
    .collect()
}

/// Saved states that are damaged, or of another specification.
fn checkpoints(dir: &Path) -> String {
    printed(dir, &["run", "spec.toml"]);
    let saved = run_dir(&dir.join("runs"), REFERENCE).join("checkpoint.safetensors");
    let good = fs::read(&saved).expect("the run left its last state");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let header = 8 + u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
    assert!(text(&good[8..header]).contains("autolr"));
    let other = with(REFERENCE, RATE, "lr = 0.07");
    fs::write(dir.join("other.toml"), &other).unwrap();

    let mut damaged = good.clone();
    let at = damaged.windows(6).position(|w| w == b"autolr").unwrap();
    damaged[at] = b'A';
    let mut renamed = good.clone();
    let at = renamed
        .windows(9)
        .position(|w| w == b"\"weights\"")
        .unwrap();
    renamed[at + 1] = b'W';
    let cases = [
        ("whole", good.clone(), "other.toml", "another specification"),
        ("empty", Vec::new(), "spec.toml", "not a checkpoint"),
        ("text", REFERENCE.into(), "spec.toml", "not a checkpoint"),
        (
            "header-torn",
            good[..header - 9].to_vec(),
            "spec.toml",
            "damaged",
        ),
        (
            "data-torn",
            good[..good.len() - 8].to_vec(),
            "spec.toml",
            "damaged",
        ),
        ("other-program", damaged, "spec.toml", "damaged"),
        ("array-missing", renamed, "spec.toml", "damaged"),
    ];
    let mut said = String::new();
    for (name, content, toml, reason) in cases {
        let file = format!("{name}.safetensors");
        fs::write(dir.join(&file), &content).unwrap();
        let line = format!("probe {toml} --checkpoint {file}");
        said += &call(dir, &line, &[&file, reason]);
        // The same where a run looks for the state it goes on from.
        let spec = if toml == "other.toml" {
            &other
        } else {
            REFERENCE
        };
        let runs = dir.join(format!("of-{name}"));
        let run = run_dir(&runs, spec);
        fs::create_dir_all(&run).unwrap();
        fs::write(run.join("checkpoint.safetensors"), &content).unwrap();
        // As a run that was begun leaves it.
        fs::write(run.join("lock"), "").unwrap();
        said += &call(
            dir,
            &format!("run {toml} --out of-{name}"),
            &["checkpoint.safetensors", reason],
        );
    }
    said += &call(
        dir,
        "probe spec.toml --checkpoint nowhere.safetensors",
        &["nowhere.safetensors"],
    );
    fs::create_dir(dir.join("folder")).unwrap();
    said + &call(dir, "probe spec.toml --checkpoint folder", &["folder"])
}

#[test]
fn every_text_names_what_is_wrong() {
    let temp = TempDir::new().unwrap();
    let sections = [specifications, files, rates, checkpoints];
    // Side by side, each in its folder: with libtorch every call takes a quarter of a second to start.
    let said: Vec<String> = thread::scope(|scope| {
        let running: Vec<_> = sections
            .iter()
            .enumerate()
            .map(|(number, section)| {
                let dir = temp.path().join(number.to_string());
                scope.spawn(move || {
                    fs::create_dir(&dir).unwrap();
                    fs::write(dir.join("spec.toml"), REFERENCE).unwrap();
                    stable(&section(&dir), &dir)
                })
            })
            .collect();
        let said = running.into_iter().map(|section| section.join().unwrap());
        said.collect()
    });
    insta::assert_snapshot!("texts", said.join("\n"));
}

/// What clap refuses has more lines: the usage.
#[test]
fn options_out_of_range_are_refused() {
    let temp = TempDir::new().unwrap();
    for line in [
        "reproduce --scale tiny",
        "reproduce --protocol both-of-them",
        "reproduce table2",
        "reproduce --seed -1",
        "reproduce --seed 9223372036854775808",
        "run",
        "run spec.toml --device gpu",
        "run spec.toml --threads 99999999999",
        "probe spec.toml --threads 0",
    ] {
        let args: Vec<&str> = line.split(' ').collect();
        let output = autolr(temp.path(), &args).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{line}: {stderr}");
        assert!(stderr.starts_with("error: "), "{line}: {stderr}");
        assert!(
            output.stdout.is_empty() && contents(temp.path()).is_empty(),
            "{line}"
        );
    }
}

/// Whatever is named in an error, and however long it is: one that fits on a screen.
#[test]
fn names_are_cut_in_errors() {
    let temp = TempDir::new().unwrap();
    let dir = temp.path();
    let long = "n".repeat(100_000);
    fs::write(dir.join("spec.toml"), REFERENCE).unwrap();
    let check = |args: &[&str], input: &str| {
        let mut command = autolr(dir, args);
        command.stdin(std::process::Stdio::piped());
        command.stdout(std::process::Stdio::piped());
        command.stderr(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        // Who does not read its input may be gone before it is written.
        let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        let what: Vec<String> = args
            .iter()
            .map(|arg| arg.chars().take(20).collect())
            .collect();
        assert_eq!(output.status.code(), Some(2), "{what:?} {stderr:.3000}");
        assert!(
            stderr.len() < 2000,
            "{what:?}: {} bytes, {stderr:.3000}",
            stderr.len()
        );
        assert!(stderr.contains("nnnnnnnnnn"), "{what:?}: {stderr}");
    };
    for line in [
        "LONG",
        "--LONG",
        "run LONG",
        "run spec.toml --series LONG",
        "run spec.toml --scale LONG",
        "run spec.toml --device=LONG",
        "run spec.toml --threads LONG",
        "run spec.toml --time-budget 3LONG",
        "run spec.toml LONG",
        "run spec.toml --LONG",
        "plan LONG",
        "plan spec.toml --set LONG",
        "plan spec.toml --set LONG=1",
        "plan spec.toml --set LONG.x=1",
        "plan spec.toml --set scheduler.LONG=1",
        "plan spec.toml --set scheduler.lr=LONG",
        "plan spec.toml --set scheduler.lr=1,LONG",
        "plan spec.toml --set scheduler.kind=LONG",
        "plan spec.toml --set scheduler.factors=LONG",
        "plan spec.toml --set training.budget=LONG",
        "plan spec.toml --set data.file=LONG",
        "plan spec.toml --set x.LONG=1 --set x.LONG=2",
        "plan spec.toml --seeds LONG",
        "plan spec.toml --seeds 0..LONG",
        "plan spec.toml --jobs LONG",
        "plan spec.toml --runs LONG",
        "sweep spec.toml --sweep LONG",
        "probe spec.toml --lrs LONG",
        "probe spec.toml --lrs 0.1..1:LONG",
        "probe spec.toml --checkpoint LONG",
        "schedule LONG",
        "schedule step LONG",
        "schedule step LONG=1",
        "schedule step gamma=LONG",
        "schedule step t_max=LONG",
        "schedule step --epochs LONG",
        "schedule one-cycle anneal_strategy=LONG",
        "compare LONG spec.toml",
        "compare spec.toml#LONG spec.toml",
        "replay LONG",
        "report LONG",
        "status LONG",
        "resume LONG",
        "reproduce LONG",
        "completions LONG",
        "trace LONG --set scheduler.lr=1",
        "trace LONG --set LONG=1",
        "trace LONG --set optimizer.LONG=1",
    ] {
        let line = line.replace("LONG", &long);
        check(&line.split(' ').collect::<Vec<_>>(), "");
    }
    for (old, new) in [
        ("[data]", "LONG = 1\n[data]"),
        ("[data]", "[LONG]\nx = 1\n[data]"),
        ("[data]", "[[series]]\nname = \"LONG\"\n[data]"),
        ("[data]", "LONG\n[data]"),
        ("[data]", "\"LONG\" = 1e999\n[data]"),
        (RATE, "lr = \"LONG\""),
        (RATE, "LONG = 1"),
        (RATE, "lr = LONG"),
        (FACTORS, "factors = \"LONG\""),
        (KIND, "kind = \"LONG\""),
        (SET, "set = \"LONG\""),
        (SET, "set = \"synthetic\"\nfile = \"LONG\""),
        (EPOCHS, "epochs = 6\nbudget = \"LONG\""),
    ] {
        let text = with(REFERENCE, old, new).replace("LONG", &long);
        fs::write(dir.join("long.toml"), text).unwrap();
        check(&["run", "long.toml"], "");
    }
    for text in [
        "LONG = 1",
        "seeds = \"LONG\"",
        "[set]\nLONG = 1",
        "[set]\nLONG = [1]",
        "set = \"LONG\"",
    ] {
        fs::write(dir.join("long.toml"), text.replace("LONG", &long)).unwrap();
        check(&["sweep", "spec.toml", "--sweep", "long.toml"], "");
    }
    for line in [
        r#"{"LONG": 1}"#,
        r#"{"lr": "LONG", "factors": [1], "losses": [1]}"#,
        r#"{"lr": 1, "factors": "LONG", "losses": [1]}"#,
        r#"{"lr": 1, "factors": [1], "losses": [1], "normalization": "LONG"}"#,
        r#"{"start": {"lr": 1, "LONG": 1}}"#,
        r#"{"ask": {"kind": "LONG", "version": 3}}"#,
        r#"{"method": {"kind": "LONG"}}"#,
        r#"{"method": {"kind": "fixed", "lr": 1, "LONG": 1}}"#,
        r#"{"event": {"kind": "LONG"}, "state": {"kind": "LONG"}}"#,
        r#"{"resume": {"kind": "LONG", "version": 1}}"#,
    ] {
        check(&["update"], &line.replace("LONG", &long));
    }
}

/// The same number is one wherever it is given, or none.
#[test]
fn numbers_are_the_same_everywhere() {
    let temp = TempDir::new().unwrap();
    let dir = temp.path();
    fs::write(dir.join("spec.toml"), REFERENCE).unwrap();
    let everywhere = |number: &str| {
        fs::write(
            dir.join("number.toml"),
            with(REFERENCE, RATE, &format!("lr = {number}")),
        )
        .unwrap();
        let (set, lr) = (
            format!("--set=scheduler.lr={number}"),
            format!("lr={number}"),
        );
        let lrs = format!("--lrs={number}");
        [
            autolr(dir, &["plan", "number.toml"]),
            autolr(dir, &["plan", "spec.toml", &set]),
            autolr(dir, &["schedule", "fixed", &lr, "--epochs", "1"]),
            autolr(dir, &["probe", "spec.toml", &lrs]),
        ]
        .map(|mut command| command.output().unwrap())
    };
    for number in ["1_000", "0.5", "+5e-1", "1e-3", "0x10", "2_0.2_5"] {
        for output in everywhere(number) {
            assert_eq!(output.status.code(), Some(0), "{number}: {output:?}");
        }
    }
    for (number, written) in [
        (".5", "0.5"),
        ("5.", "5.0"),
        ("-.5", "-0.5"),
        ("007", "7"),
        ("1__0", ""),
        ("1_", ""),
    ] {
        for output in everywhere(number) {
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{number}: {stderr}");
            // Nobody typed any.
            assert!(!stderr.contains("quotes"), "{number}: {stderr}");
            let hint = written.is_empty() || stderr.contains(&format!(" {written}\n"));
            assert!(hint, "{number}: {stderr}");
        }
    }
}

/// A byte-order mark before the first line is none of the text.
#[test]
fn a_byte_order_mark_is_passed_over() {
    let temp = TempDir::new().unwrap();
    let dir = temp.path();
    fs::write(dir.join("spec.toml"), format!("\u{feff}{REFERENCE}")).unwrap();
    fs::write(dir.join("values.toml"), "\u{feff}seeds = \"0..2\"").unwrap();
    let plan = ["plan", "spec.toml", "--sweep", "values.toml"];
    assert!(printed(dir, &plan).contains("2 runs: "));
    fs::write(
        dir.join("wrong.toml"),
        format!("\u{feff}{}", with(REFERENCE, RATE, "lr = 0")),
    )
    .unwrap();
    call(dir, "run wrong.toml", &["line 16: scheduler.lr = 0"]);
}

/// What cannot be written is an error, of the help too.
#[test]
fn a_full_disk_is_no_success() {
    let temp = TempDir::new().unwrap();
    let dir = temp.path();
    fs::write(dir.join("spec.toml"), REFERENCE).unwrap();
    for line in [
        "--help",
        "--version",
        "help run",
        "run --help",
        "update --schema",
        "completions bash",
        "schedule cosine",
        "schedule cosine --json",
        "plan spec.toml",
        "plan spec.toml --json",
        "plan spec.toml --emit parallel",
        "probe spec.toml --json",
    ] {
        let args: Vec<&str> = line.split(' ').collect();
        let mut command = autolr(dir, &args);
        command.stdout(
            fs::OpenOptions::new()
                .write(true)
                .open("/dev/full")
                .unwrap(),
        );
        let output = command.output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{line}: {stderr}");
        assert!(stderr.starts_with("error: "), "{line}: {stderr}");
    }
    // An error that cannot be said is still the same error.
    for line in [
        "run nowhere.toml",
        "run --nothing",
        "plan spec.toml --set x",
    ] {
        let mut command = autolr(dir, &line.split(' ').collect::<Vec<_>>());
        command.stderr(
            fs::OpenOptions::new()
                .write(true)
                .open("/dev/full")
                .unwrap(),
        );
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{line}");
    }
}

/// Without libtorch, networks that need it are refused, and so is an experiment that has one.
#[cfg(not(feature = "tch"))]
#[test]
fn networks_that_need_libtorch() {
    let temp = TempDir::new().unwrap();
    let dir = temp.path();
    fs::write(dir.join("resnet.toml"), support::TINY_RESNET).unwrap();
    for line in [
        "run resnet.toml",
        "probe resnet.toml",
        "reproduce table1 --scale quick",
    ] {
        call(dir, line, &["network.kind = resnet18", "cargo xtask setup"]);
    }
}

/// With libtorch: data files that are missing or wrong, and devices that are not there.
#[cfg(feature = "tch")]
#[test]
fn data_files_and_devices() {
    use std::fs::File;
    use std::io::{Seek, SeekFrom, Write};

    use harness::data::Cifar;

    let temp = TempDir::new().unwrap();
    let dir = &temp.path().join("work");
    fs::create_dir(dir).unwrap();
    let cifar = with(
        support::TINY_RESNET,
        "set = \"synthetic\"",
        "set = \"cifar10\"",
    );
    fs::write(dir.join("cifar.toml"), cifar).unwrap();
    fs::write(dir.join("resnet.toml"), support::TINY_RESNET).unwrap();
    let (set, first) = (Cifar::Cifar10, &Cifar::Cifar10.train_files()[0]);
    let right = set.file_bytes(first);
    // Sparse files: only what is wrong with them takes room.
    let write = |folder: &str, bytes: u64, label: Option<(u64, u8)>| {
        let folder = temp.path().join(folder).join(set.folder());
        fs::create_dir_all(&folder).unwrap();
        let mut file = File::create(folder.join(first.name)).unwrap();
        file.set_len(bytes).unwrap();
        if let Some((offset, label)) = label {
            file.seek(SeekFrom::Start(offset)).unwrap();
            file.write_all(&[label]).unwrap();
        }
    };
    fs::create_dir(temp.path().join("empty")).unwrap();
    write("torn", right - 1, None);
    write("long", right + 1, None);
    write("label", right, Some((3073 * 41, 10)));
    write("other", right, None);
    let other = temp.path().join("absent").join(set.folder());
    fs::create_dir_all(&other).unwrap();
    File::create(other.join("test_batch.bin")).unwrap();

    let mut said = String::new();
    for (folder, names) in [
        ("nowhere", &["CIFAR-10", "nowhere"][..]),
        ("empty", &["CIFAR-10", "empty"]),
        ("absent", &["absent", first.name, "missing"]),
        ("torn", &[first.name, "30729999", "30730000"]),
        ("long", &[first.name, "30730001", "30730000"]),
        ("label", &[first.name, "record 41", "label 10"]),
        ("other", &[first.name, "SHA-256"]),
    ] {
        said += &call(dir, &format!("run cifar.toml --data ../{folder}"), names);
        if !matches!(folder, "nowhere" | "empty") {
            // Where there is no data at all, `reproduce` takes the synthetic set; damaged data it does not replace.
            let line = format!("reproduce table1 --scale quick --data ../{folder}");
            said += &call(dir, &line, names);
        }
    }
    for (name, old, new, names) in [
        ("wide", "width = 2", "width = 0", &["network.width = 0"]),
        (
            "batch",
            "[training]\nepochs = 3\nbatch_size = 16",
            "[training]\nepochs = 3\nbatch_size = 17",
            &["training.batch_size = 17"],
        ),
    ] {
        let file = format!("{name}.toml");
        fs::write(dir.join(&file), with(support::TINY_RESNET, old, new)).unwrap();
        said += &call(dir, &format!("run {file}"), names);
    }
    insta::assert_snapshot!("libtorch", stable(&said, dir));
    if !tch::Cuda::is_available() {
        for line in [
            "run resnet.toml --device cuda",
            "probe resnet.toml --device cuda",
            "reproduce table1 --scale quick --device cuda --data ../empty",
        ] {
            call(dir, line, &["training.device = cuda"]);
        }
    }
}
