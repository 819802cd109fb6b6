//! `autolr update` as a training loop in another language sees it.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use approx::assert_relative_eq;
use autolr_core::{AutoLr, AutoLrConfig, ExponentialScore, Factors, Normalization, ScaleUpdate};
use ndarray::array;
use serde_json::{Value, json};

type Result = std::result::Result<(), Box<dyn std::error::Error>>;

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_autolr"));
    command
        .arg("update")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // What would change the width of the help.
    command.env_remove("COLUMNS");
    command
}

/// A run with all of `input` at once. Whatever is answered, and its answer, fit the schema.
fn run(input: &[u8]) -> std::io::Result<Output> {
    let output = run_unchecked(input)?;
    let input = String::from_utf8_lossy(input);
    let mut questions = input.lines().filter(|line| !line.trim().is_empty());
    for answer in String::from_utf8_lossy(&output.stdout).lines() {
        assert_fits("Input", questions.next().unwrap_or_default());
        assert_fits("Output", answer);
    }
    Ok(output)
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The schema of one side of the pipe.
fn validator(side: &str) -> jsonschema::Validator {
    let text = std::fs::read_to_string(root().join("docs/pipe.schema.json")).unwrap();
    let mut schema: Value = serde_json::from_str(&text).unwrap();
    schema.as_object_mut().unwrap().remove("anyOf");
    schema["$ref"] = json!(format!("#/$defs/{side}"));
    jsonschema::draft202012::new(&schema).unwrap()
}

fn fits(side: &str, line: &str) -> bool {
    static INPUT: OnceLock<jsonschema::Validator> = OnceLock::new();
    static OUTPUT: OnceLock<jsonschema::Validator> = OnceLock::new();
    let validators = if side == "Input" { &INPUT } else { &OUTPUT };
    let value = serde_json::from_str(line).unwrap();
    validators.get_or_init(|| validator(side)).is_valid(&value)
}

#[track_caller]
fn assert_fits(side: &str, line: &str) {
    assert!(fits(side, line), "no {side}: {line}");
}

fn run_unchecked(input: &[u8]) -> std::io::Result<Output> {
    let mut child = command().spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A run that has found its mistake does not read on.
        let _ = stdin.write_all(input);
    }
    child.wait_with_output()
}

fn lines(output: &Output) -> serde_json::Result<Vec<Value>> {
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(serde_json::from_str)
        .collect()
}

fn numbers(value: &Value) -> Vec<f64> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .map(|entry| entry.as_f64().unwrap_or(f64::NAN))
        .collect()
}

#[test]
fn help() -> Result {
    let output = command().arg("--help").output()?;
    insta::assert_snapshot!(String::from_utf8(output.stdout)?);
    Ok(())
}

#[test]
fn an_answer_is_the_paper_s_update() -> Result {
    let output = run(b"{\"lr\": 0.005, \"factors\": [2, 1, 0.5], \"losses\": [1.25, 1.0, 1.5]}\n")?;
    assert_eq!(output.status.code(), Some(0));
    let answers = lines(&output)?;
    assert_eq!(answers.len(), 1);
    // By hand: the mean is 1.25 and the sample deviation 0.25, all of them exact.
    assert_eq!(answers[0]["normalized"], json!([0.0, -1.0, 1.0]));
    let scores = [1.0, std::f64::consts::E, 1.0 / std::f64::consts::E];
    let total: f64 = scores.iter().sum();
    let weights = scores.map(|score| score / total);
    let factor = (std::f64::consts::LN_2 * (weights[0] - weights[2])).exp();
    // A few roundings of a few units in the last place, in exponentials of numbers near 1.
    let tolerance = 1e-14;
    assert_relative_eq!(
        numbers(&answers[0]["scores"])[..],
        scores[..],
        max_relative = tolerance
    );
    assert_relative_eq!(
        numbers(&answers[0]["weights"])[..],
        weights[..],
        max_relative = tolerance
    );
    let number = |key: &str| answers[0][key].as_f64().unwrap_or(f64::NAN);
    assert_relative_eq!(number("factor"), factor, max_relative = tolerance);
    assert_relative_eq!(number("lr"), 0.005 * factor, max_relative = tolerance);
    Ok(())
}

#[test]
fn answers_have_the_bits_of_the_library() -> Result {
    let questions = [
        json!({
            "lr": 0.3, "factors": "factor_3", "losses": [0.7, 0.1, 0.3],
            "normalization": "min-max", "sharpness": 3.7,
        }),
        json!({
            "lr": 1e-7, "factors": [1.7, 0.3], "losses": [0.7, 0.1],
            "normalization": "none", "sharpness": 0,
        }),
    ];
    let output = run(format!("{}\n{}", questions[0], questions[1]).as_bytes())?;
    let cases = [
        (
            0.3,
            Factors::powers_of_two(3)?,
            Normalization::MinMax,
            3.7,
            array![0.7, 0.1, 0.3],
        ),
        (
            1e-7,
            Factors::new(vec![1.7, 0.3])?,
            Normalization::None,
            0.0,
            array![0.7, 0.1],
        ),
    ];
    let answers = lines(&output)?;
    assert_eq!(answers.len(), cases.len());
    for ((lr, factors, normalization, sharpness, losses), answer) in cases.into_iter().zip(&answers)
    {
        let rule = ScaleUpdate::new(factors)
            .with_normalization(normalization)
            .with_score(ExponentialScore::new(sharpness)?);
        let told = AutoLr::new(AutoLrConfig::new(lr, rule)?).tell(losses.view())?;
        let decision = told.decided().ok_or("no decision")?;
        assert_eq!(answer["lr"].as_f64(), Some(decision.new_lr));
        assert_eq!(answer["factor"].as_f64(), Some(decision.factor));
        assert_eq!(numbers(&answer["normalized"]), decision.normalized.to_vec());
        assert_eq!(numbers(&answer["scores"]), decision.scores.to_vec());
        assert_eq!(numbers(&answer["weights"]), decision.weights.to_vec());
    }
    Ok(())
}

#[test]
fn losses_that_are_not_finite_do_not_vote_or_propagate() -> Result {
    let output = run(concat!(
        r#"{"lr": 0.5, "factors": [2, 1, 0.5], "losses": ["nan", 1.0, "inf"]}"#,
        "\n",
        r#"{"lr": 0.5, "factors": [2, 1], "losses": ["nan", "-inf"], "non_finite": "no-vote"}"#,
        "\n",
        r#"{"lr": 0.5, "factors": [2, 1], "losses": [0.5, "inf"], "non_finite": "propagate"}"#,
        "\n",
    )
    .as_bytes())?;
    assert_eq!(output.status.code(), Some(0));
    let nan = ["nan", "nan"];
    let expected = [
        json!({
            "lr": 0.5, "factor": 1.0, "normalized": ["nan", 0.0, "nan"], "scores": [0.0, 1.0, 0.0],
            "weights": [0.0, 1.0, 0.0],
        }),
        json!({
            "lr": 0.5, "factor": 1.0, "normalized": nan, "scores": [0.0, 0.0],
            "weights": [0.0, 0.0],
        }),
        json!({ "lr": "nan", "factor": "nan", "normalized": nan, "scores": nan, "weights": nan }),
    ];
    assert_eq!(lines(&output)?, expected);
    Ok(())
}

#[test]
fn errors() -> Result {
    let mut errors = String::new();
    for line in [
        r#"{"lr": -1, "factors": [2, 1], "losses": [1.1, 1.0]}"#,
        r#"{"lr": "nan", "factors": [2, 1], "losses": [1.1, 1.0]}"#,
        r#"{"lr": 0.1, "factors": [2, 0], "losses": [1.1, 1.0]}"#,
        r#"{"lr": 0.1, "factors": [2, "x"], "losses": [1.1, 1.0]}"#,
        r#"{"lr": 0.1, "factors": "factor_4", "losses": [1.1, 1.0]}"#,
        r#"{"lr": 0.1, "factors": 2, "losses": [1.1, 1.0]}"#,
        r#"{"lr": 0.1, "factors": [], "losses": []}"#,
        r#"{"lr": 0.1, "factors": [2, 1], "losses": [1.1, 1.0, 1.2]}"#,
        r#"{"lr": 0.1, "factors": [2, 1], "losses": [1.1, null]}"#,
        r#"{"lr": 0.1, "factors": [2, 1], "losses": [1.1, NaN]}"#,
        r#"{"lr": 0.1, "factors": [2, 1], "losses": 1.1}"#,
        r#"{"lr": 0.1, "factors": [2, 1]}"#,
        r#"{"lr": 0.1, "factors": [2, 1], "losses": [1.1, 1.0], "sharpness": -1}"#,
        r#"{"lr": 0.1, "factors": [2, 1], "losses": [1.1, 1.0], "normalization": "zscore"}"#,
        r#"{"lr": 0.1, "factors": [2, 1], "losses": [1.1, 1.0], "normalization": 2}"#,
        r#"{"lr": 0.1, "factors": [2, 1], "losses": [1.1, 1.0], "non_finite": "vote"}"#,
        r#"{"lr": 0.1, "factors": [2, 1], "loses": [1.1, 1.0]}"#,
        r#"{"lr": 0.1, "lr": 0.2, "factors": [2, 1], "losses": [1.1, 1.0]}"#,
        r#"{"lr": 0.1, "factors": [2, 1]"#,
        "[0.1]",
        "lr = 0.1",
    ] {
        let output = run(format!("{line}\n").as_bytes())?;
        assert_eq!(output.status.code(), Some(2), "{line}");
        assert!(output.stdout.is_empty(), "{line}");
        errors += &format!("{line}\n  {}", String::from_utf8(output.stderr)?);
    }
    insta::assert_snapshot!(errors);
    Ok(())
}

#[test]
fn a_bad_line_is_named_by_its_number_and_those_before_it_are_answered() -> Result {
    let good = r#"{"lr": 0.1, "factors": [2, 1], "losses": [1.1, 1.0]}"#;
    let bad = r#"{"lr": 0, "factors": [2, 1], "losses": [1.1, 1.0]}"#;
    let output = run(format!("{good}\r\n\n  \n{good}\n{bad}\n{good}\n").as_bytes())?;
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(lines(&output)?.len(), 2);
    let error = String::from_utf8(output.stderr)?;
    assert!(error.starts_with("error: line 5: lr = 0: "), "{error}");
    Ok(())
}

#[test]
fn no_question_is_no_error() -> Result {
    let output = run(b"")?;
    assert_eq!(
        (
            output.status.code(),
            output.stdout.len(),
            output.stderr.len()
        ),
        (Some(0), 0, 0)
    );
    let output = run(b"\xff\xfe\n")?;
    assert_eq!(output.status.code(), Some(2));
    Ok(())
}

/// A training loop waits for its answer before it goes on: the answer may not stay in a buffer.
#[test]
fn an_answer_comes_before_the_next_question() -> Result {
    let mut child = command().spawn()?;
    let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err("no pipes".into());
    };
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines() {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    let mut lr = 0.1;
    for _ in 0..3 {
        writeln!(
            stdin,
            "{}",
            json!({ "lr": lr, "factors": [2, 1], "losses": [1.0, 1.0] })
        )?;
        stdin.flush()?;
        let answer = receiver.recv_timeout(Duration::from_secs(60));
        if answer.is_err() {
            child.kill()?;
        }
        let answer: Value = serde_json::from_str(&answer??)?;
        let next = answer["lr"].as_f64().unwrap_or(f64::NAN);
        // Equal losses, equal weights: the factor is √2, to within a few roundings.
        assert_relative_eq!(next, lr * 2.0_f64.sqrt(), max_relative = 1e-14);
        lr = next;
    }
    drop(stdin);
    assert_eq!(child.wait()?.code(), Some(0));
    Ok(())
}

#[test]
fn a_reader_that_goes_away_is_no_error() -> Result {
    let mut child = command().spawn()?;
    drop(child.stdout.take());
    if let Some(mut stdin) = child.stdin.take() {
        // The first answer that cannot be written ends the run, and with it this pipe.
        let line = json!({ "lr": 0.1, "factors": [2, 1], "losses": [1.0, 1.0] });
        while writeln!(stdin, "{line}").is_ok() {}
    }
    let output = child.wait_with_output()?;
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    Ok(())
}

/// A host that keeps the state and nothing else: each line is a run of its own.
struct Host {
    state: Value,
    log: String,
}

impl Host {
    fn start(config: Value) -> std::result::Result<Self, Box<dyn std::error::Error>> {
        let mut host = Self {
            state: Value::Null,
            log: String::new(),
        };
        host.line(json!({ "start": config }))?;
        Ok(host)
    }

    /// Writes a line and reads its answer. In the log, the state that goes in is S.
    fn line(&mut self, question: Value) -> std::result::Result<Value, Box<dyn std::error::Error>> {
        let output = run(format!("{question}\n").as_bytes())?;
        let mut shown = question;
        for key in ["ask", "tell", "skip"] {
            if shown.get(key).is_some() {
                shown[key] = json!("S");
            }
        }
        self.log += &format!("> {shown}\n");
        self.log += &String::from_utf8(output.stdout.clone())?;
        self.log += &String::from_utf8(output.stderr.clone())?;
        assert_eq!(output.status.code(), Some(0), "{}", self.log);
        let mut answers = lines(&output)?;
        let answer = answers.pop().ok_or("no answer")?;
        assert!(answers.is_empty());
        self.state = answer["state"].clone();
        Ok(answer)
    }

    fn ask(&mut self) -> std::result::Result<Value, Box<dyn std::error::Error>> {
        self.line(json!({ "ask": self.state }))
    }

    fn tell(&mut self, losses: Value) -> std::result::Result<Value, Box<dyn std::error::Error>> {
        self.line(json!({ "tell": self.state, "losses": losses }))
    }

    fn skip(&mut self) -> std::result::Result<Value, Box<dyn std::error::Error>> {
        self.line(json!({ "skip": self.state }))
    }
}

#[test]
fn a_session() -> Result {
    let mut host =
        Host::start(json!({ "lr": 0.5, "factors": [2, 1, 0.5], "every": 2, "min_lr": 0.25 }))?;
    host.skip()?;
    let asked = host.ask()?;
    assert_eq!(asked["candidates"], json!([1.0, 0.5, 0.25]));
    let cost = json!({ "forwards": 3, "backwards": 1 });
    host.line(json!({ "tell": host.state, "losses": [1.25, 1, 1.5], "cost": cost }))?;
    host.skip()?;
    let config = json!({ "min_lr": 0.25, "every": 2, "lr": 0.5, "factors": "factor_3" });
    host.line(json!({ "ask": host.state, "config": config }))?;
    host.tell(json!(["nan", "inf", "-inf"]))?;
    host.skip()?;
    host.tell(json!(["nan", 1, "inf"]))?;
    insta::assert_snapshot!(host.log);
    Ok(())
}

#[test]
fn probes_beyond_the_edge() -> Result {
    let mut host = Host::start(json!({ "lr": 1, "factors": [2, 1, 0.5], "edge_probes": 2 }))?;
    host.ask()?;
    let again = host.tell(json!([1, 2, 3]))?;
    assert_eq!(again["probe_again"], json!(true));
    assert_eq!(again["candidates"], json!([4.0, 2.0, 1.0]));
    // The rate is as before until the decision is taken, and the window survives the checkpoint.
    assert_eq!(again["lr"], json!(1.0));
    assert_eq!(host.ask()?["candidates"], again["candidates"]);
    let told = host.tell(json!([1, 1, 1]))?;
    assert_eq!(
        told["decision"]["earlier"][0]["losses"],
        json!([1.0, 2.0, 3.0])
    );
    assert_eq!(told.get("probe_again"), None);
    // A skip ends an unfinished decision.
    host.tell(json!([1, 2, 3]))?;
    host.skip()?;
    insta::assert_snapshot!(host.log);
    Ok(())
}

#[test]
fn parameter_groups() -> Result {
    let mut host = Host::start(json!({ "lr": 1, "factors": [2, 1], "groups": [1, 0.25] }))?;
    let asked = host.ask()?;
    assert_eq!(
        asked["candidates_by_group"],
        json!([[2.0, 0.5], [1.0, 0.25]])
    );
    host.tell(json!([1, 1]))?;
    let mut turns = Host::start(json!({
        "lr": 1, "factors": [2, 1], "groups": [1, 0.25], "group_probing": "in-turn",
    }))?;
    for group in [0, 1] {
        let asked = turns.ask()?;
        assert_eq!(asked["group"], json!(group));
        let told = turns.tell(json!([1, "nan"]))?;
        assert_eq!(told["decision"]["group"], json!(group));
    }
    assert_eq!(turns.ask()?["lrs"], json!([2.0, 0.5]));
    insta::assert_snapshot!(format!("{}\n{}", host.log, turns.log));
    Ok(())
}

#[test]
fn a_nan_rate_goes_on_as_nan() -> Result {
    let mut host = Host::start(json!({
        "lr": 1, "factors": [2, 1], "non_finite": "propagate",
        "base": null, "sharpness": 2, "normalization": "min-max",
    }))?;
    host.tell(json!([1, "nan"]))?;
    assert_eq!(host.ask()?["candidates"], json!(["nan", "nan"]));
    assert_eq!(host.skip()?["lr"], json!("nan"));
    insta::assert_snapshot!(host.log);
    Ok(())
}

/// With a base schedule, edge probes and groups, and the state through text after each line.
#[test]
fn rates_have_the_bits_of_the_library() -> Result {
    let config = json!({
        "base": { "kind": "cosine", "lr": 0.3, "t_max": 40 }, "factors": "factor_5",
        "every": 3, "unit": "step", "max_lr": 0.7, "edge_probes": 1, "sharpness": 1.3,
        "groups": [1, 0.3], "group_probing": "in-turn",
    });
    let mut scheduler = AutoLr::new(serde_json::from_value(config.clone())?);
    let mut host = Host::start(config)?;
    let mut decisions = 0;
    for tick in 0..30_u32 {
        assert_eq!(host.state, serde_json::to_value(scheduler.state())?);
        if !scheduler.is_due() {
            scheduler.skip();
            assert_eq!(host.skip()?["due"], json!(scheduler.is_due()));
            continue;
        }
        loop {
            let lrs = scheduler.candidates();
            let asked = host.ask()?;
            assert_eq!(numbers(&asked["candidates"]), lrs.to_vec());
            let best = 0.05 * f64::from(1 + tick % 7);
            let losses = lrs.mapv(|lr| (lr - best).powi(2));
            let told = host.tell(json!(losses.to_vec()))?;
            assert_eq!(numbers(&told["lrs"]).len(), 2);
            if let Some(decision) = scheduler.tell(losses.view())?.decided() {
                assert_eq!(told["decision"], serde_json::to_value(&decision)?);
                assert_eq!(numbers(&told["lrs"]), scheduler.lrs());
                decisions += 1;
                break;
            }
            assert_eq!(told["probe_again"], json!(true));
        }
    }
    assert_eq!(decisions, 10);
    Ok(())
}

#[test]
fn errors_of_the_loop() -> Result {
    let start = json!({ "lr": 0.5, "factors": [2, 1], "all_non_finite": "fail" });
    let state =
        lines(&run(format!("{}\n", json!({ "start": start })).as_bytes())?)?[0]["state"].clone();
    let with = |key: &str, value: Value| {
        let mut state = state.clone();
        state[key] = value;
        state
    };
    let without = |key: &str| {
        let mut state = state.clone();
        state.as_object_mut().map(|state| state.remove(key));
        state
    };
    let window = json!({ "centre": 1, "probes": [] });
    let cases = [
        json!({ "aks": state }),
        json!({ "ask": state, "tell": state, "losses": [1, 2] }),
        json!({ "ask": state, "losses": [1, 2] }),
        json!({ "ask": state, "lr": 0.5 }),
        json!({ "lr": 0.5, "factors": [2, 1], "losses": [1, 2], "cost": {} }),
        json!({ "config": start }),
        json!({ "tell": state, "loss": [1, 2] }),
        json!({ "tell": state }),
        json!({ "tell": state, "losses": [1, 2, 3] }),
        json!({ "tell": state, "losses": ["nan", "inf"] }),
        json!({ "tell": state, "losses": [1, null] }),
        json!({ "tell": state, "losses": 1 }),
        json!({ "tell": state, "losses": [1, 2], "cost": { "forwards": -1, "backwards": 1 } }),
        json!({ "tell": state, "losses": [1, 2], "cost": { "forward": 1 } }),
        json!({ "tell": state, "losses": [1, 2], "cost": [1, 2] }),
        json!({ "ask": state, "config": { "lr": 0.25, "factors": [2, 1], "every": 3 } }),
        json!({ "ask": state, "config": 3 }),
        json!({ "ask": { "state": state } }),
        json!({ "ask": 1 }),
        json!({ "ask": {} }),
        json!({ "ask": with("kind", json!("open-loop")) }),
        json!({ "ask": with("version", json!(1)) }),
        json!({ "ask": with("version", json!("two")) }),
        json!({ "ask": without("version") }),
        json!({ "ask": without("scales") }),
        json!({ "ask": with("ticks", json!(1)) }),
        json!({ "ask": with("tick", json!(-1)) }),
        json!({ "ask": with("scales", json!([1, 2])) }),
        json!({ "ask": with("scales", json!([-1])) }),
        json!({ "ask": with("scales", json!(["x"])) }),
        json!({ "ask": with("window", window) }),
        json!({ "ask": with("config", json!({ "lr": "fast", "factors": [2, 1] })) }),
        json!({ "ask": with("config", json!({ "lr": 1, "factor": [2, 1] })) }),
        json!({ "start": { "lr": 0, "factors": [2, 1] } }),
        json!({ "start": { "lr": 1, "factors": [2, -1] } }),
        json!({ "start": { "lr": 1, "factors": [2, "x"] } }),
        json!({ "start": { "lr": 1, "factors": "factor_4" } }),
        json!({ "start": { "lr": 1 } }),
        json!({ "start": { "factors": [2, 1] } }),
        json!({ "start": { "lr": 1, "factors": [2, 1], "normalisation": "sum" } }),
        json!({ "start": { "lr": 1, "factors": [2, 1], "unit": "epochs" } }),
        json!({ "start": { "lr": 1, "factors": [2, 1], "unit": 1 } }),
        json!({ "start": { "lr": 1, "factors": [2, 1], "every": 1.5 } }),
        json!({ "start": { "factors": [2, 1], "base": { "kind": "cosin", "lr": 1, "t_max": 3 } } }),
        json!({ "start": { "factors": [2, 1], "base": { "kind": "cosine", "lr": 1, "tmax": 3 } } }),
        json!({ "start": [1, [2, 1]] }),
        json!({ "start": start, "config": start }),
        json!({ "start": null }),
    ];
    let mut errors = String::new();
    let texts = cases.iter().map(Value::to_string).chain([
        r#"{"start": {"lr": 1, "lr": 2, "factors": [2, 1]}}"#.to_owned(),
        r#"{"start": {"lr": 1, "factors": [2, 1]}, "start": {}}"#.to_owned(),
        format!(r#"{{"ask": {}"#, r#"{"kind": "autolr", "kind": "autolr"}}"#),
    ]);
    for text in texts {
        let output = run(format!("\n{text}\n").as_bytes())?;
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(output.stdout.is_empty(), "{text}");
        let text = text.replace(&state.to_string(), "S");
        errors += &format!("{text}\n  {}", String::from_utf8(output.stderr)?);
    }
    insta::assert_snapshot!(errors);
    Ok(())
}

#[test]
fn the_schema_is_the_one_in_the_documentation() -> Result {
    let output = command().arg("--schema").output()?;
    assert_eq!(output.status.code(), Some(0));
    let printed = String::from_utf8(output.stdout)?;
    let path = root().join("docs/pipe.schema.json");
    let documented = std::fs::read_to_string(&path)?;
    assert!(
        printed == documented,
        "write it anew: autolr update --schema > docs/pipe.schema.json"
    );
    let schema: Value = serde_json::from_str(&printed)?;
    jsonschema::draft202012::meta::validate(&schema).map_err(|error| error.to_string())?;
    Ok(())
}

/// Else "every line fits" would say nothing.
#[test]
fn the_schema_refuses_what_is_no_line() -> Result {
    let start = r#"{"start": {"lr": 0.5, "factors": [2, 1]}}"#;
    let output = run(format!("{start}\n").as_bytes())?;
    let answer = &lines(&output)?[0];
    let state = &answer["state"];
    for line in [
        json!({}),
        json!({ "start": { "lr": 0.5 } }),
        json!({ "start": { "lr": 0, "factors": [2, 1] } }),
        json!({ "start": { "lr": 0.5, "factors": [2, 0] } }),
        json!({ "start": { "lr": 0.5, "factors": "factor_4" } }),
        json!({ "start": { "lr": 0.5, "factors": [2, 1], "unit": "batch" } }),
        json!({ "start": { "lr": 0.5, "factors": [2, 1], "sharpnes": 1 } }),
        json!({ "ask": {} }),
        json!({ "ask": { "kind": "open-loop" } }),
        json!({ "ask": state, "losses": [1, 2] }),
        json!({ "tell": state }),
        json!({ "tell": state, "losses": [1, "NaN"] }),
        json!({ "tell": state, "losses": [1, 2], "cost": { "forwards": 1 } }),
        json!({ "lr": 1, "factors": [2, 1], "losses": [null, 1] }),
        answer.clone(),
    ] {
        assert!(!fits("Input", &line.to_string()), "{line}");
    }
    let mut more = answer.clone();
    more["more"] = json!(1);
    let mut less = answer.clone();
    less.as_object_mut().map(|less| less.remove("due"));
    let mut version = answer.clone();
    version["state"]["version"] = json!(0);
    for line in [more, less, version] {
        assert!(!fits("Output", &line.to_string()), "{line}");
    }
    Ok(())
}

/// Each kind of scheduler over the pipe: events in, requests out, and after a restart the request again.
#[test]
fn any_scheduler_by_events() -> Result {
    let ask = |line: Value| -> std::result::Result<Value, Box<dyn std::error::Error>> {
        let output = run(format!("{line}\n").as_bytes())?;
        assert!(output.status.success(), "{line}: {output:?}");
        Ok(lines(&output)?.remove(0))
    };
    let began = ask(json!({ "method": { "kind": "autolr", "lr": 0.5, "factors": [2, 1, 0.5] } }))?;
    assert_eq!(began["needs"]["probe"], true);
    let step = json!({ "event": { "kind": "step" }, "state": began["state"] });
    let trained = ask(step)?;
    assert_eq!(trained["request"], json!({ "kind": "continue" }));
    let epoch = json!({ "kind": "epoch", "train_loss": 1.0, "validation_loss": "nan" });
    let probing = ask(json!({ "event": epoch, "state": trained["state"] }))?;
    let lrs = json!([[1.0], [0.5], [0.25]]);
    assert_eq!(probing["request"]["lrs"], lrs);
    // After a restart, as often as it takes.
    let resumed = ask(json!({ "resume": probing["state"] }))?;
    assert_eq!(resumed["request"], probing["request"]);
    let losses = json!({ "kind": "losses", "losses": [1.25, 1.0, 1.5] });
    let decided = ask(json!({ "event": losses, "state": resumed["state"] }))?;
    // The same bits as by `tell`.
    assert_eq!(decided["lr"], json!(0.556_594_245_391_070_5));
    assert_eq!(decided["decision"]["verdict"], "raised");
    assert_eq!(decided["request"]["kind"], "continue");

    let plateau = json!({ "kind": "reduce-on-plateau", "lr": 0.5, "patience": 0 });
    let mut state = ask(json!({ "method": plateau }))?["state"].clone();
    for (loss, change) in [(1.0, Value::Null), (2.0, json!(0.05))] {
        let epoch = json!({ "kind": "epoch", "train_loss": 1.0, "validation_loss": loss });
        let budget = json!({ "spent": 10, "limit": 20 });
        let answer = ask(json!({ "event": epoch, "state": state, "budget": budget }))?;
        assert_eq!(answer["change"]["new_lr"], change);
        state = answer["state"].clone();
    }
    for (line, expected) in [
        (
            json!({ "method": { "kind": "fixd" } }),
            "unknown method `fixd`: did you mean `fixed`?",
        ),
        (json!({ "method": { "lr": 1 } }), "line 1: method"),
        (
            json!({ "event": { "kind": "losses", "losses": [1] }, "state": state }),
            "line 1: event: `losses` answers nothing that the method asked for",
        ),
        (
            json!({ "event": { "kind": "stop" }, "state": state }),
            "line 1: event",
        ),
        (
            json!({ "event": { "kind": "done" } }),
            "line 1: `state` is missing",
        ),
        (
            json!({ "resume": { "kind": "reduce-on-plateau", "version": 9 } }),
            "line 1: resume: scheduler state version 9",
        ),
    ] {
        let output = run_unchecked(format!("{line}\n").as_bytes())?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{line}: {said}");
        assert!(said.contains(expected), "{line}: {said}");
    }
    Ok(())
}

#[test]
fn a_training_loop_in_python() -> Result {
    let example = root().join("examples/python/closed_loop.py");
    let output = Command::new("python3")
        .arg(example)
        .arg(env!("CARGO_BIN_EXE_autolr"))
        .output();
    let output = match output {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("skipped: there is no python3");
            return Ok(());
        }
        output => output?,
    };
    let said = String::from_utf8(output.stdout)?;
    let errors = String::from_utf8(output.stderr)?;
    assert!(output.status.success(), "{said}{errors}");
    assert!(said.contains("the same to the last bit: loss "), "{said}");
    Ok(())
}

/// The examples of the documentation are what the program answers, to the last bit.
#[test]
fn the_documentation_s_examples() -> Result {
    let pipe = std::fs::read_to_string(root().join("docs/PIPE.md"))?;
    let (_, example) = pipe.split_once("$ echo '").ok_or("no example")?;
    let (question, rest) = example.split_once('\'').ok_or("no question")?;
    let said = run(format!("{question}\n").as_bytes())?.stdout;
    let answer = rest.lines().nth(1).ok_or("no answer")?;
    assert_eq!(String::from_utf8(said)?.trim_end(), answer, "docs/PIPE.md");

    let (_, session) = pipe.split_once("## A session").ok_or("no session")?;
    let session = session.split("```").nth(1).ok_or("no block")?;
    let mut lines = session.lines().skip(1);
    let mut state = Value::Null;
    let mut answered = 0;
    while let Some(question) = lines.next() {
        let question = question.strip_prefix("> ").ok_or("no question")?;
        let question = question.replace(": S", &format!(": {state}"));
        let said = run(format!("{question}\n").as_bytes())?.stdout;
        let mut said: Value = serde_json::from_slice(&said)?;
        state = std::mem::replace(&mut said["state"], "S".into());
        let answer = lines.next().ok_or("no answer")?;
        let answer: Value = serde_json::from_str(&answer.replace(": S", ": \"S\""))?;
        assert_eq!(
            said.to_string(),
            answer.to_string(),
            "docs/PIPE.md: {question:.40}"
        );
        answered += 1;
    }
    assert_eq!(answered, 4);
    Ok(())
}
