//! `autolr reproduce --seeds`: several seeds in the manifest and in the report.

mod support;

use std::fs;

use harness::report::ReportInput;
use support::{output, printed};
use tempfile::TempDir;

#[test]
fn several_seeds_and_one_of_them_again() {
    let temp = TempDir::new().unwrap();
    let dir = temp.path();
    let reproduce = |seeds: &[&str]| {
        let args = ["reproduce", "table1", "--scale", "smoke", "--protocol"];
        printed(
            dir,
            &[&args[..], &["released", "--out", "out"], seeds].concat(),
        )
    };
    let said = reproduce(&["--seeds", "0..2"]);
    assert!(
        said.starts_with("10 runs (0 of them finished before), 0 failed\n"),
        "{said}"
    );
    let input = ReportInput::read(&dir.join("out")).unwrap();
    for series in &input.sections[0].series {
        let seeds: Vec<u64> = series.runs.iter().map(|run| run.entry.seed).collect();
        assert_eq!(seeds, [0, 1], "{}", series.entry.name);
        for run in &series.runs {
            let seed = format!("seed = {}\n", run.entry.seed);
            assert!(run.spec.contains(&seed), "{}", run.spec);
            assert!(run.log.as_ref().unwrap().summary.is_some());
        }
        // Another seed is another run, with other losses.
        let losses: Vec<u64> = series
            .runs
            .iter()
            .map(|run| run.log.as_ref().unwrap().epochs[0].train_loss.to_bits())
            .collect();
        assert_ne!(losses[0], losses[1], "{}", series.entry.name);
    }
    let report = fs::read_to_string(dir.join("out/report.md")).unwrap();
    // Two seeds say nothing; whether one of them diverges differs from machine to machine.
    assert!(
        report.contains("With 4 comparisons, it takes at least 8 seeds to find"),
        "{report}"
    );
    assert!(
        report.contains("| ours (factor_5) − constant |"),
        "{report}"
    );
    for claim in ["| better", "| worse"] {
        assert!(!report.contains(claim), "{report}");
    }

    // What is there is not computed again, whichever way it is asked for.
    let said = reproduce(&["--seed", "1"]);
    assert!(
        said.starts_with("5 runs (5 of them finished before), 0 failed\n"),
        "{said}"
    );
    let said = reproduce(&["--seeds", "1,0"]);
    assert!(
        said.starts_with("10 runs (10 of them finished before), 0 failed\n"),
        "{said}"
    );
    let again = fs::read_to_string(dir.join("out/report.md")).unwrap();
    assert!(report == again, "the order of the seeds does not matter");

    // The log of another run, and a manifest that gives a run another seed.
    let runs = &input.sections[0].series[0].runs;
    let log = |run: usize| {
        let run = dir.join("out/runs").join(&runs[run].entry.run);
        run.join("events.jsonl")
    };
    fs::copy(log(0), log(1)).unwrap();
    printed(dir, &["report", "out"]);
    let report = fs::read_to_string(dir.join("out/report.md")).unwrap();
    assert!(
        report.contains("1 unreadable") && report.contains("the log of another specification"),
        "{report}"
    );
    let manifest = dir.join("out/manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("\"seed\": 1", "\"seed\": 7")).unwrap();
    printed(dir, &["report", "out"]);
    let report = fs::read_to_string(dir.join("out/report.md")).unwrap();
    assert!(
        report.contains("5 unreadable") && report.contains("its seed is 1, in the manifest 7"),
        "{report}"
    );
}

#[test]
fn seeds_that_are_none_are_refused() {
    let temp = TempDir::new().unwrap();
    for (seeds, word) in [
        (&["--seeds", "3..3"][..], "3..3"),
        (&["--seeds", "1,1"], "1 stands there twice"),
        (&["--seeds", "a"], "\"a\" is no seed"),
        (&["--seed", "1", "--seeds", "0..2"], "--seeds"),
    ] {
        let output = output(temp.path(), &[&["reproduce"], seeds].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(word), "{said}");
    }
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
}
