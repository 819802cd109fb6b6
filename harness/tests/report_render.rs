//! A report built by hand: every outcome a run can have, as HTML and Markdown.

use std::path::Path;

use autolr_core::Decision;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use harness::disk::Disk;
use harness::experiment::ExperimentName;
use harness::record::{
    Build, DataProvenance, DecisionRecord, EpochRecord, Evaluation, Event, LogWriter, Outcome,
    Provenance, RunLog, Summary,
};
use harness::report::{
    Manifest, ReportInput, Run, RunEntry, Section, SectionEntry, Series, SeriesEntry, published,
    render, write,
};
use sha2::{Digest, Sha256};

const HOSTILE: &str = "<script>alert(1)</script> | `x` ]]> \"quoted\"";

fn provenance(synthetic: bool) -> Provenance {
    Provenance {
        format: 1,
        spec: "5".repeat(64),
        autolr: "0.1.0".to_owned(),
        libtorch: None,
        device: "cpu".to_owned(),
        threads: 2,
        parameters: 11_173_962,
        data: DataProvenance {
            name: if synthetic {
                "synthetic shapes"
            } else {
                "CIFAR-10"
            }
            .to_owned(),
            synthetic,
            digest: "d".repeat(64),
            train: 40_000,
            validation: 10_000,
            scoring: 40_000,
            test: 10_000,
        },
        build: Build::default(),
    }
}

fn epochs(losses: &[f64]) -> Vec<EpochRecord> {
    let epoch = |(epoch, loss): (usize, &f64)| EpochRecord {
        epoch: epoch as u64,
        lr: 0.005 * 1.5_f64.powi(epoch as i32 % 4),
        rates: None,
        steps: 1250,
        train_loss: *loss,
        train_accuracy: Some(0.5),
        validation_loss: *loss,
        validation_accuracy: Some(0.5),
    };
    losses.iter().enumerate().map(epoch).collect()
}

fn decision(epoch: u64) -> DecisionRecord {
    let text = r#"{"index":0,"lr":0.005,"candidates":[0.01,0.005,0.0025],"losses":[1.5,"nan",1.25],
        "normalized":[0.7,"nan",-0.7],"scores":[0.5,0.0,2.0],"weights":[0.2,0.0,0.8],"factor":0.66,"new_lr":0.0033,
        "verdict":"lowered"}"#;
    let decision: Decision = serde_json::from_str(text).unwrap();
    DecisionRecord {
        epoch,
        step: None,
        decision,
        read_off: Vec::new(),
    }
}

fn summary(losses: &[f64], outcome: Outcome, accuracy: f64) -> Summary {
    let tested = Evaluation {
        loss: 0.5,
        accuracy: Some(accuracy),
        images: 9984,
    };
    Summary {
        outcome,
        epochs: losses.len() as u64,
        best_epoch: (0..losses.len())
            .filter(|&epoch| losses[epoch].is_finite())
            .min_by(|&a, &b| losses[a].total_cmp(&losses[b]))
            .map(|epoch| epoch as u64),
        best: Some(tested),
        last: losses
            .last()
            .filter(|loss| loss.is_finite())
            .map(|_| Evaluation {
                accuracy: Some(accuracy - 0.01),
                ..tested
            }),
        reported: "best-validation".to_owned(),
        forwards: 5_234_567,
        backwards: 4_000_000,
        probe_forwards: 60_000,
        probe_backwards: 32_000,
        budget_spent: false,
        log: None,
    }
}

fn diverged(epoch: u64) -> Outcome {
    Outcome::Diverged {
        epoch,
        reason: "the training loss is NaN".to_owned(),
    }
}

/// A run with a log; without an outcome it is not finished.
fn series(name: &str, losses: &[f64], outcome: Option<Outcome>, accuracy: f64) -> Series {
    let entry = RunEntry {
        seed: 0,
        run: format!("run-{name}"),
    };
    Series {
        entry: SeriesEntry {
            name: name.to_owned(),
            label: name.to_owned(),
            runs: vec![entry.clone()],
        },
        runs: vec![Run {
            entry,
            spec: format!("name = \"{name}\"\ntraining.epochs = 10\n"),
            log: Some(RunLog {
                continued: Vec::new(),
                provenance: provenance(false),
                epochs: epochs(losses),
                decisions: Vec::new(),
                entries: Vec::new(),
                summary: outcome.map(|outcome| summary(losses, outcome, accuracy)),
            }),
            problem: None,
            seconds: Some(754.0),
        }],
    }
}

fn section(experiment: ExperimentName, protocol: &str, series: Vec<Series>) -> Section {
    Section {
        entry: SectionEntry {
            experiment,
            protocol: protocol.to_owned(),
            description: format!("What {protocol} is, in plain words."),
            series: series.iter().map(|series| series.entry.clone()).collect(),
        },
        series,
    }
}

const SMOOTH: [f64; 10] = [2.0, 1.6, 1.3, 1.1, 1.0, 0.9, 0.85, 0.8, 0.78, 0.77];
const DESCENDING_TWICE: [f64; 22] = [
    3.7, 3.4, 3.0, 2.5, 2.0, 2.0, 2.0, 2.3, 2.7, 3.0, 3.0, 3.0, 2.6, 2.2, 1.8, 1.5, 1.2, 1.0, 1.0,
    1.0, 1.1, 1.1,
];
const NAN: f64 = f64::NAN;

/// Completed, diverged, not finished and not begun runs, in every experiment.
fn input() -> ReportInput {
    let done = || Some(Outcome::Completed);
    let mut ours = series("ours", &SMOOTH, done(), 0.853);
    ours.entry.label = "ours (factor_5)".to_owned();
    if let Some(log) = &mut ours.runs[0].log {
        log.decisions = vec![decision(0), decision(1)];
    }
    let mut not_begun = series("cosine", &[], None, 0.0);
    not_begun.runs[0].log = None;
    not_begun.runs[0].seconds = None;
    let mut hostile = series(HOSTILE, &SMOOTH, done(), 0.5);
    hostile.runs[0].entry.run = "run-hostile".to_owned();
    hostile.runs[0].spec = format!("# {HOSTILE}\ntraining.epochs = 10\n");
    let table_1 = vec![
        series("constant", &SMOOTH, done(), 0.8312),
        series("linear", &[2.0, 5.0, 1e30, NAN], Some(diverged(3)), 0.31),
        not_begun,
        series("step", &SMOOTH[..4], None, 0.0),
        ours,
        hostile,
    ];
    let fig_2 = vec![
        series("factor_3", &SMOOTH, done(), 0.5),
        series("factor_5", &DESCENDING_TWICE, done(), 0.5),
        series("factor_7", &[NAN], Some(diverged(0)), 0.01),
    ];
    let mut synthetic = series("batch_32", &SMOOTH, done(), 0.4);
    if let Some(log) = &mut synthetic.runs[0].log {
        log.provenance = provenance(true);
    }
    let mut at_chance = series("no-batch-norm", &[2.4; 10], None, 0.1);
    if let Some(log) = &mut at_chance.runs[0].log {
        let outcome = Outcome::Diverged {
            epoch: 9,
            reason: "accuracy at chance when the run ended".to_owned(),
        };
        log.summary = Some(summary(&[2.4; 10], outcome, 0.1));
    }
    let divergence = vec![
        series("ours", &[1e9, f64::INFINITY], Some(diverged(1)), 0.1),
        at_chance,
    ];
    let sections = vec![
        section(ExperimentName::Table1, "published", table_1),
        section(
            ExperimentName::Table1,
            "released",
            vec![series("ours", &SMOOTH, done(), 0.869)],
        ),
        section(ExperimentName::Fig2, "released", fig_2),
        section(ExperimentName::Fig3, "published", vec![synthetic]),
        section(ExperimentName::Divergence, "published", divergence),
    ];
    ReportInput {
        left_out: Vec::new(),
        manifest: Manifest {
            scale: "quick".to_owned(),
            notes: vec![
                "10 epochs instead of 100.".to_owned(),
                "Width 8 instead of 64.".to_owned(),
            ],
            sections: sections
                .iter()
                .map(|section| section.entry.clone())
                .collect(),
        },
        sections,
    }
}

/// The Markdown without what is drawn with letters: that has tests of its own.
fn without_figures(markdown: &str) -> String {
    let mut lines = Vec::new();
    let mut inside = false;
    for line in markdown.lines() {
        if line.starts_with("```") {
            inside = line == "```text";
            if inside {
                lines.push("[figure]");
            }
        } else if !inside {
            lines.push(line);
        }
    }
    lines.join("\n")
}

#[test]
fn markdown() {
    let markdown = render(&input()).markdown;
    insta::assert_snapshot!(without_figures(&markdown));
    assert_eq!(
        markdown.matches("```text\n").count(),
        10,
        "two figures a section"
    );
}

/// A series of runs by accuracy, one a seed from 0.
fn over_seeds(name: &str, accuracies: &[f64]) -> Series {
    let runs = accuracies.iter().enumerate().map(|(seed, accuracy)| {
        let mut run = series(name, &SMOOTH, Some(Outcome::Completed), *accuracy)
            .runs
            .remove(0);
        run.entry = RunEntry {
            seed: seed as u64,
            run: format!("run-{name}-{seed}"),
        };
        run
    });
    let runs: Vec<Run> = runs.collect();
    Series {
        entry: SeriesEntry {
            name: name.to_owned(),
            label: name.to_owned(),
            runs: runs.iter().map(|run| run.entry.clone()).collect(),
        },
        runs,
    }
}

/// Eight seeds: better, worse, not distinguishable, diverged; three: too few, and one not finished.
fn several_seeds() -> ReportInput {
    let ours = [0.871, 0.868, 0.8725, 0.869, 0.8704, 0.8698, 0.8711, 0.8682];
    let shifted = |shifts: [f64; 8]| -> Vec<f64> {
        ours.iter()
            .zip(shifts)
            .map(|(ours, shift)| ours + shift)
            .collect()
    };
    let above = shifted([0.01, 0.012, 0.011, 0.009, 0.013, 0.01, 0.012, 0.008]);
    let below = shifted([-0.01, -0.012, -0.011, -0.009, -0.013, -0.01, -0.012, -0.008]);
    let around = shifted([0.01, -0.012, 0.011, -0.009, 0.013, -0.01, 0.012, -0.008]);
    let mut breaks = over_seeds("cosine", &below);
    for seed in [2, 5] {
        let log = breaks.runs[seed].log.as_mut().unwrap();
        log.epochs = epochs(&[2.0, 5.0, NAN]);
        log.summary = Some(summary(&[2.0, 5.0, NAN], diverged(2), 0.31));
    }
    let published = vec![
        over_seeds("constant", &below),
        over_seeds("linear", &above),
        breaks,
        over_seeds("step", &around),
        over_seeds("ours", &ours),
    ];
    let mut outstanding = over_seeds("step", &[0.84, 0.841, 0.842]);
    let log = outstanding.runs[1].log.as_mut().unwrap();
    log.summary = None;
    log.epochs.truncate(4);
    let released = vec![
        over_seeds("constant", &[0.83, 0.831, 0.832]),
        outstanding,
        over_seeds("ours", &[0.87, 0.871, 0.869]),
    ];
    let mut never = over_seeds("ours", &[0.1, 0.1]);
    for run in &mut never.runs {
        let log = run.log.as_mut().unwrap();
        log.summary = Some(summary(&SMOOTH, diverged(9), 0.1));
    }
    let sections = vec![
        section(ExperimentName::Table1, "published", published),
        section(ExperimentName::Table1, "released", released),
        section(
            ExperimentName::Fig2,
            "released",
            vec![over_seeds("factor_3", &[0.5, 0.5])],
        ),
        section(ExperimentName::Divergence, "published", vec![never]),
    ];
    ReportInput {
        left_out: Vec::new(),
        manifest: Manifest {
            scale: "paper".to_owned(),
            notes: Vec::new(),
            sections: sections
                .iter()
                .map(|section| section.entry.clone())
                .collect(),
        },
        sections,
    }
}

#[test]
fn markdown_of_several_seeds() {
    let rendered = render(&several_seeds());
    insta::assert_snapshot!(without_figures(&rendered.markdown));
    // The tables are in the HTML as well, a verdict a comparison.
    for words in [
        ">better<",
        ">worse<",
        ">not distinguishable<",
        ">not comparable: 2 of 8 diverged<",
        ">too few seeds (3 of at least 7)<",
        ">not finished: 1 of 3 outstanding<",
    ] {
        assert_eq!(rendered.html.matches(words).count(), 1, "{words}");
    }
}

/// Elements are closed in the order in which they were opened, and attributes are quoted.
#[test]
fn a_diverged_seed_is_not_left_out_of_one_series() {
    let mut input = several_seeds();
    let better = |input: &ReportInput| render(input).html.matches(">better<").count();
    assert_eq!(better(&input), 1);
    let ours = |series: &&mut Series| series.entry.name == "ours";
    let ours = input.sections[0].series.iter_mut().find(ours).unwrap();
    // A further seed of the candidate's alone says nothing, until it diverges.
    let mut run = ours.runs[0].clone();
    run.entry.seed = 99;
    ours.runs.push(run);
    assert_eq!(better(&input), 1);
    let ours = |series: &&mut Series| series.entry.name == "ours";
    let ours = input.sections[0].series.iter_mut().find(ours).unwrap();
    let log = ours.runs.last_mut().unwrap().log.as_mut().unwrap();
    log.summary = Some(summary(&SMOOTH, diverged(9), 0.1));
    let markdown = render(&input).markdown;
    assert_eq!(better(&input), 0);
    let expected = "0 pairs, 1 seed that only one has (1 here, 0 there)";
    assert!(markdown.contains(expected), "{markdown}");
}

#[test]
fn other_processors_are_said() {
    let mut input = several_seeds();
    let said = |input: &ReportInput| render(input).markdown.contains("on the same processor");
    let runs = |input: &mut ReportInput, to: &dyn Fn(&mut RunLog)| {
        let section = &mut input.sections[0];
        let runs = section
            .series
            .iter_mut()
            .flat_map(|series| &mut series.runs);
        for run in runs {
            to(run.log.as_mut().unwrap());
        }
    };
    let series = &mut input.sections[0].series[0];
    let log = series.runs[0].log.as_mut().unwrap();
    log.provenance.build.processor = Some("Another".to_owned());
    // Without libtorch, or on a GPU, it does not matter.
    assert!(!said(&input));
    runs(&mut input, &|log| {
        log.provenance.libtorch = Some("2.11.0".to_owned());
    });
    assert!(said(&input));
    runs(&mut input, &|log| {
        log.provenance.device = "cuda".to_owned();
    });
    assert!(!said(&input));
}

fn assert_well_formed(html: &str) {
    const VOID: [&str; 2] = ["meta", "input"];
    let mut open: Vec<&str> = Vec::new();
    let mut rest = html.strip_prefix("<!DOCTYPE html>").unwrap();
    while let Some(start) = rest.find('<') {
        rest = &rest[start + 1..];
        let end = rest.find('>').unwrap();
        let tag = &rest[..end];
        assert_eq!(tag.matches('"').count() % 2, 0, "<{tag}>");
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "</{name}>");
        } else {
            let name = tag.split_whitespace().next().unwrap();
            assert!(name.chars().all(|c| c.is_ascii_alphanumeric()), "<{tag}>");
            if !VOID.contains(&name) {
                open.push(name);
            }
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn html_is_whole_and_needs_nothing_else() {
    let html = render(&input()).html;
    assert_needs_nothing_else(&html);
    assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert_needs_nothing_else(&render(&several_seeds()).html);
}

fn assert_needs_nothing_else(html: &str) {
    // Neither in markup nor in style sheet or script is there a way to ask for anything.
    for request in [
        "http:",
        "https:",
        "src=",
        "<link",
        "<script ",
        "url(",
        "@import",
        "xlink",
        "fetch",
        "import(",
        "XMLHttp",
        "WebSocket",
        "sendBeacon",
    ] {
        assert!(!html.contains(request), "{request}");
    }
    assert_eq!(html.matches("<script").count(), 1);
    let mut markup = html.to_owned();
    for (element, directive) in [("style", "style-src"), ("script", "script-src")] {
        let (head, rest) = markup.split_once(&format!("<{element}>")).unwrap();
        let (text, rest) = rest.split_once(&format!("</{element}>")).unwrap();
        let digest = BASE64_STANDARD.encode(Sha256::digest(text));
        assert!(
            html.contains(&format!("{directive} 'sha256-{digest}';")),
            "{element}"
        );
        markup = format!("{head}{rest}");
    }
    assert!(!markup.contains("style=\"") && !markup.contains(" onclick"));
    assert_well_formed(&markup);
    assert!(html.contains("width=device-width") && html.contains("prefers-color-scheme: dark"));
    assert!(html.len() < 1_000_000);
}

#[test]
fn figures_are_drawn_with_numbers_only() {
    let html = render(&input()).html;
    for (i, path) in html.split(" d=\"").skip(1).enumerate() {
        let path = path.split('"').next().unwrap();
        let drawable = |c: char| c.is_ascii_digit() || " .-MLHVhvlamz".contains(c);
        assert!(path.chars().all(drawable), "path {i}: {path}");
    }
    // Three a section, and one of the decisions.
    assert_eq!(html.matches("role=\"img\"").count(), 16);
    assert_eq!(html.matches("<desc ").count(), 16);
    // The cross of each diverged run stands in both figures of its section.
    for label in [
        "linear: diverged (epoch 3)",
        "factor_7: diverged (epoch 0)",
        "no-batch-norm: diverged (epoch 9)",
    ] {
        assert_eq!(html.matches(&format!(">{label}<")).count(), 2, "{label}");
    }
    assert!(html.contains(">factor_5: double descent<"));
    assert!(html.contains(">factor_5 (paper): double descent<"));
}

/// Where a run is synthetic, its tables and figures say so, and others do not.
#[test]
fn synthetic_data_is_said_everywhere() {
    let html = render(&input()).html;
    // Figure 3: its table, three figures, what it cost.
    assert_eq!(html.matches("<p class=\"note synthetic\">").count(), 5);
    assert_eq!(html.matches("class=\"warning\"").count(), 1);
    let mut real = input();
    real.sections
        .retain(|section| section.entry.experiment != ExperimentName::Fig3);
    let html = render(&real).html;
    assert!(!html.contains("SYNTHETIC") && !html.contains("class=\"warning\""));
}

/// What made the runs stands in the report, and a warning where that was not one program.
#[test]
fn the_programs_that_made_the_runs_are_said() {
    let mut input = input();
    let runs = input
        .sections
        .iter_mut()
        .flat_map(|section| &mut section.series);
    for run in runs.flat_map(|series| &mut series.runs) {
        let Some(log) = &mut run.log else { continue };
        log.provenance.build = Build {
            commit: Some("0123456789abcdef".to_owned()),
            modified: Some(false),
            lock: Some("ab".repeat(32)),
            rustc: Some("rustc 1.89.0".to_owned()),
            processor: Some("a processor".to_owned()),
            ..Build::default()
        };
    }
    let warning = "not all made by the same program";
    let said = render(&input).markdown;
    for row in [
        ("revision", "0123456789ab"),
        ("Cargo.lock", "SHA-256 abababababab"),
        ("compiler", "rustc 1.89.0"),
        ("processor", "a processor"),
    ] {
        let found = said.lines().any(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            cells.get(1..3) == Some(&[row.0, row.1])
        });
        assert!(found, "{row:?}: {said}");
    }
    assert!(!said.contains(warning));
    // One that only went on with a run counts too, and one that is not known.
    let mut unknown = input.clone();
    let log = unknown.sections[0].series[1].runs[0].log.as_mut().unwrap();
    log.provenance.build = Build::default();
    assert!(render(&unknown).markdown.contains(warning));
    let log = input.sections[0].series[1].runs[0].log.as_mut().unwrap();
    log.continued.push(Build {
        commit: Some("fedcba9876543210".to_owned()),
        modified: Some(true),
        ..Build::default()
    });
    let said = render(&input).markdown;
    assert!(said.contains(warning), "{said}");
    assert!(said.contains("fedcba987654 with changes"), "{said}");
}

#[test]
fn an_empty_report_says_so_little() {
    let mut input = input();
    input.sections.clear();
    input.manifest.sections.clear();
    let rendered = render(&input);
    assert!(rendered.markdown.contains("0 runs"));
}

fn write_run(dir: &Path, read: &Run) {
    let run = dir.join("runs").join(&read.entry.run);
    std::fs::create_dir_all(&run).unwrap();
    std::fs::write(run.join("spec.toml"), &read.spec).unwrap();
    let Some(log) = &read.log else { return };
    let mut writer = LogWriter::create(&Disk::default(), &run.join("events.jsonl")).unwrap();
    writer
        .append(&Event::RunStarted(log.provenance.clone()))
        .unwrap();
    for epoch in &log.epochs {
        writer.append(&Event::Epoch(epoch.clone())).unwrap();
    }
    for decision in &log.decisions {
        writer.append(&Event::Decision(decision.clone())).unwrap();
    }
    if let Some(summary) = &log.summary {
        writer.append(&Event::RunFinished(summary.clone())).unwrap();
    }
}

#[test]
fn written_from_a_folder_and_again() {
    let dir = tempfile::tempdir().unwrap();
    assert!(
        write(dir.path())
            .unwrap_err()
            .to_string()
            .contains("manifest.json")
    );
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);

    let mut input = input();
    for section in &mut input.sections {
        for (i, series) in section.series.iter_mut().enumerate() {
            for run in &mut series.runs {
                run.entry.run = format!(
                    "{:?}-{}-{i}-{}",
                    section.entry.experiment, section.entry.protocol, run.entry.seed
                );
                run.seconds = None;
                write_run(dir.path(), run);
            }
            series.entry.runs = series.runs.iter().map(|run| run.entry.clone()).collect();
        }
        section.entry.series = section
            .series
            .iter()
            .map(|series| series.entry.clone())
            .collect();
    }
    input.manifest.sections = input
        .sections
        .iter()
        .map(|section| section.entry.clone())
        .collect();
    let manifest = serde_json::to_string(&input.manifest).unwrap();
    std::fs::write(dir.path().join("manifest.json"), manifest).unwrap();

    let index = write(dir.path()).unwrap();
    assert_eq!(index, dir.path().join("index.html"));
    let expected = render(&input);
    for _ in 0..2 {
        assert_eq!(std::fs::read_to_string(&index).unwrap(), expected.html);
        assert_eq!(
            std::fs::read_to_string(dir.path().join("report.md")).unwrap(),
            expected.markdown
        );
        write(dir.path()).unwrap();
    }
    // One log that cannot be read takes nothing else along.
    let broken = &input.sections[0].series[0].runs[0].entry.run;
    let log = dir.path().join("runs").join(broken).join("events.jsonl");
    let whole = std::fs::read_to_string(&log).unwrap();
    std::fs::write(&log, whole.clone() + "garbage\n").unwrap();
    write(dir.path()).unwrap();
    let report = std::fs::read_to_string(dir.path().join("report.md")).unwrap();
    assert!(
        report.contains("1 unreadable") && report.contains("A run cannot be read"),
        "{report}"
    );
    assert!(report.contains(broken), "{report}");
    std::fs::write(&log, whole).unwrap();
    write(dir.path()).unwrap();
    let mut names: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|f| f.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["index.html", "manifest.json", "report.md", "runs"]);
}

/// The paper's own numbers stand in the report as they are in the paper.
#[test]
fn the_papers_numbers_are_shown() {
    let html = render(&input()).html;
    for (_, accuracy) in published::TABLE_1 {
        assert!(html.contains(&format!(">{accuracy:.1}<")), "{accuracy}");
    }
}
