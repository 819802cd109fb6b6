//! `autolr update` as a training loop in another language sees it.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
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

/// A run with all of `input` at once.
fn run(input: &[u8]) -> std::io::Result<Output> {
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
