//! `autolr schedule` as a person and a program see it.

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

use approx::assert_relative_eq;
use autolr_core::schedule::{Schedule, ScheduleConfig};
use serde_json::{Value, json};

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_autolr"));
    command.arg("schedule").args(args).stdin(Stdio::null());
    // What would change the width of the help.
    command.env_remove("COLUMNS");
    command
}

fn run(args: &[&str]) -> Output {
    command(args).output().expect("the program starts")
}

/// What is printed by a run that succeeds.
fn printed(args: &[&str]) -> String {
    let output = run(args);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        output.stderr.is_empty(),
        "{args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("the output is UTF-8")
}

/// What a run says that fails because of its input.
fn refused(args: &[&str]) -> String {
    let output = run(args);
    assert_eq!(output.status.code(), Some(2), "{args:?}");
    assert!(
        output.stdout.is_empty(),
        "{args:?} printed something before it failed"
    );
    String::from_utf8(output.stderr).expect("the error is UTF-8")
}

#[test]
fn help() {
    insta::assert_snapshot!(printed(&["--help"]));
}

#[test]
fn a_table_with_a_figure() {
    insta::assert_snapshot!("constant", printed(&["constant", "--epochs", "20"]));
    insta::assert_snapshot!("linear", printed(&["linear", "--epochs", "12"]));
    insta::assert_snapshot!(
        "cosine",
        printed(&[
            "cosine",
            "lr=0.1",
            "eta_min=0.01",
            "t_max=10",
            "--epochs",
            "21"
        ])
    );
    insta::assert_snapshot!("step", printed(&["step"]));
    insta::assert_snapshot!("fixed", printed(&["fixed", "--epochs", "1"]));
    insta::assert_snapshot!("linear_decay", printed(&["linear-decay", "--epochs", "8"]));
    let milestones = "milestones=6,3,6";
    insta::assert_snapshot!(
        "multi_step",
        printed(&["multi-step", "gamma=0.5", milestones, "--epochs", "9"])
    );
    insta::assert_snapshot!("exponential", printed(&["exponential", "--epochs", "6"]));
    insta::assert_snapshot!(
        "polynomial",
        printed(&["polynomial", "power=2", "--epochs", "7"])
    );
    let cycle = ["one-cycle", "three_phase=true", "anneal_strategy=linear"];
    insta::assert_snapshot!(
        "one_cycle",
        printed(&[&cycle[..], &["max_lr=0.1", "--epochs", "20"]].concat())
    );
    insta::assert_snapshot!(
        "cosine_warm_restarts",
        printed(&[
            "cosine-warm-restarts",
            "t_0=5",
            "t_mult=2",
            "--epochs",
            "16"
        ])
    );
}

#[test]
fn errors() {
    let errors: String = [
        &["cosin"][..],
        &["CosineAnnealingLR"],
        &["stairs"],
        &["autolr"],
        &["warm-up", "steps=5"],
        &["sequential"],
        &["product"],
        &["step", "gama=0.5"],
        &["cosine", "T_max=50"],
        &["cosine", "gamma=0.5"],
        &["fixed", "momentum=0.9"],
        &["fixed", "lr=0.1", "lr=0.2"],
        &["fixed", "lr=nan"],
        &["fixed", "lr=0"],
        &["fixed", "lr=-0.1"],
        &["fixed", "lr=inf"],
        &["fixed", "lr=fast"],
        &["fixed", "lr=.5"],
        &["multi-step", "milestones=.5"],
        &["fixed", "lr="],
        &["fixed", "lr"],
        &["constant", "factor=1.5"],
        &["linear", "start_factor=0"],
        &["linear", "end_factor=-1"],
        &["cosine", "t_max=0"],
        &["cosine", "eta_min=0.1"],
        &["step", "step_size=2.5"],
        &["step", "gamma=0"],
        &["linear-decay", "total_iters=-3"],
        &["multi-step", "milestones=30;60"],
        &["multi-step", "milestones="],
        &["multi-step", "milestones=-1"],
        &["exponential", "gamma=-1"],
        &["exponential", "power=2"],
        &["polynomial", "power=-1"],
        &["one-cycle", "lr=0.1"],
        &["one-cycle", "max_lr=0"],
        &["one-cycle", "pct_start=1.5"],
        &["one-cycle", "anneal_strategy=sin"],
        &["one-cycle", "three_phase=yes"],
        &["one-cycle", "div_factor=0.5"],
        &["one-cycle", "final_div_factor=0.01"],
        &["cosine-warm-restarts", "t_mult=0"],
        &["cosine-warm-restarts", "t_mult=1.5"],
        &["fixed", "schedule=cosine"],
        &["cosine", "--epochs", "0"],
        &["cosine", "--epochs", "1000000000000"],
    ]
    .iter()
    .map(|args| format!("$ autolr schedule {}\n{}", args.join(" "), refused(args)))
    .collect();
    insta::assert_snapshot!(errors);
}

#[test]
fn json_has_every_rate_in_full() -> Result<(), Box<dyn std::error::Error>> {
    for (args, config) in [
        (
            &["constant"][..],
            json!({ "kind": "constant", "lr": 0.005 }),
        ),
        (
            &["linear", "lr=0.1", "total_iters=20"],
            json!({ "kind": "linear", "lr": 0.1, "total_iters": 20 }),
        ),
        (
            &["cosine"],
            json!({ "kind": "cosine", "lr": 0.005, "t_max": 100 }),
        ),
        (
            &["step"],
            json!({ "kind": "step", "lr": 0.005, "step_size": 30 }),
        ),
        (
            &["step", "gamma=0.5", "step_size=7"],
            json!({ "kind": "step", "lr": 0.005, "step_size": 7, "gamma": 0.5 }),
        ),
        (
            &["fixed", "lr=1e-3"],
            json!({ "kind": "fixed", "lr": 1e-3 }),
        ),
        (
            &["multi-step"],
            json!({ "kind": "multi-step", "lr": 0.005, "milestones": [50, 75] }),
        ),
        (
            &["exponential", "lr=0.1"],
            json!({ "kind": "exponential", "lr": 0.1, "gamma": 0.95 }),
        ),
        (
            &["polynomial", "total_iters=70"],
            json!({ "kind": "polynomial", "lr": 0.005, "total_iters": 70 }),
        ),
        (
            &["one-cycle", "pct_start=0.25"],
            json!({ "kind": "one-cycle", "max_lr": 0.005, "total_steps": 100, "pct_start": 0.25 }),
        ),
        (
            &["cosine-warm-restarts", "eta_min=0.001"],
            json!({ "kind": "cosine-warm-restarts", "lr": 0.005, "t_0": 10, "eta_min": 0.001 }),
        ),
        (
            &["linear-decay"],
            json!({ "kind": "linear-decay", "lr": 0.005, "total_iters": 100 }),
        ),
    ] {
        let schedule: ScheduleConfig = serde_json::from_value(config)?;
        let expected: Vec<Value> = (0..100_u64)
            .map(|epoch| json!({ "epoch": epoch, "lr": schedule.lr(epoch) }))
            .collect();
        let rates: Vec<Value> = serde_json::from_str(&printed(&[args, &["--json"]].concat()))?;
        assert_eq!(rates, expected, "{args:?}");
    }
    Ok(())
}

#[test]
fn the_number_of_epochs_is_the_default_of_a_schedules_length()
-> Result<(), Box<dyn std::error::Error>> {
    for name in ["cosine", "linear-decay"] {
        let text = printed(&[name, "--json", "--epochs", "40", "lr=0.2"]);
        let rates: Vec<Value> = serde_json::from_str(&text)?;
        assert_eq!(rates.len(), 40, "{name}");
        // Half-way both have half the rate, the cosine to within the rounding of π/2.
        let half = rates[20]["lr"].as_f64().unwrap_or(f64::NAN);
        assert_relative_eq!(half, 0.1, max_relative = 1e-14);
    }
    Ok(())
}

/// Neither a parameter nor a list of them makes the title long, and no digit of a small one is lost.
#[test]
fn titles_are_short() {
    let milestones: Vec<String> = (0..20_000).map(|n| n.to_string()).collect();
    let milestones = format!("milestones={}", milestones.join(","));
    for (args, shown) in [
        (
            &["exponential", "lr=1e-300", "gamma=0.123456789"][..],
            "lr 1e-300, gamma 0.123457",
        ),
        (&["multi-step", &milestones], "0,1,2,3,"),
        (&["fixed", "lr=1_000"], "lr 1000"),
    ] {
        let text = printed(&[args, &["--epochs", "3"]].concat());
        let title = text.lines().next().unwrap();
        assert!(title.contains(shown) && title.len() < 200, "{title}");
    }
}

#[test]
fn every_scheduler_is_listed_in_the_help() {
    let help = printed(&["--help"]);
    for kind in ScheduleConfig::KINDS {
        assert!(help.contains(&format!("\n  {kind}  ")), "{kind}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() -> Result<(), Box<dyn std::error::Error>> {
    let mut child = command(&["cosine", "--epochs", "300000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut first = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::with_capacity(16, stdout).read_line(&mut first)?;
    }
    assert!(first.starts_with("cosine:"), "{first}");
    let output = child.wait_with_output()?;
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    Ok(())
}
