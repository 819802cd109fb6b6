//! `autolr reproduce --seeds`: several seeds in the manifest and in the report.

mod support;

use std::fs;
use std::path::Path;

use harness::report::{Manifest, ReportInput, SectionEntry};
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
        said.contains("10 runs (0 of them finished before), 0 failed\n"),
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
        said.contains("5 runs (5 of them finished before), 0 failed\n"),
        "{said}"
    );
    let said = reproduce(&["--seeds", "1,0"]);
    assert!(
        said.contains("10 runs (10 of them finished before), 0 failed\n"),
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
    let said = noted(dir);
    assert!(said.contains("the log of another specification"), "{said}");
    let report = fs::read_to_string(dir.join("out/report.md")).unwrap();
    assert!(
        report.contains("1 unreadable") && report.contains("the log of another specification"),
        "{report}"
    );
    let manifest = dir.join("out/manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("\"seed\": 1", "\"seed\": 7")).unwrap();
    noted(dir);
    let report = fs::read_to_string(dir.join("out/report.md")).unwrap();
    assert!(
        report.contains("5 unreadable") && report.contains("its seed is 1, in the manifest 7"),
        "{report}"
    );
}

/// What `report` notes of a folder on standard error.
fn noted(dir: &Path) -> String {
    let output = output(dir, &["report", "out"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    said
}

/// Runs in each other's places, in the manifest or on the disk, are no results of either.
#[test]
fn exchanged_runs_are_noticed() {
    let temp = TempDir::new().unwrap();
    let dir = temp.path();
    let args = ["reproduce", "table1", "--scale", "smoke", "--out", "out"];
    printed(dir, &[&args[..], &["--protocol", "released"]].concat());
    let path = dir.join("out/manifest.json");
    let own = Manifest::read(&dir.join("out")).unwrap().unwrap();
    let problems = |manifest: &Manifest| {
        fs::write(&path, serde_json::to_string(manifest).unwrap()).unwrap();
        let input = ReportInput::read(&dir.join("out")).unwrap();
        let series = input.sections[0].series.iter();
        let runs = series.flat_map(|series| series.runs.iter());
        runs.filter_map(|run| run.problem.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(problems(&own), Vec::<String>::new());
    let names = |manifest: &Manifest| {
        let series = manifest.sections[0].series.iter();
        series.map(|series| series.name.clone()).collect::<Vec<_>>()
    };
    let names = names(&own);

    let mut runs = own.clone();
    let series = &mut runs.sections[0].series;
    let first = series[0].runs.clone();
    series[0].runs = series[1].runs.clone();
    series[1].runs = first;
    let found = problems(&runs);
    assert_eq!(found.len(), 2, "{found:?}");
    let expected = format!(
        "the specification of table1/released/{} at scale smoke; in the manifest the run stands under \
         table1/released/{} at scale smoke",
        names[1], names[0]
    );
    assert!(found[0].contains(&expected), "{found:?}");

    // Not told by another name of the scale or the protocol.
    let names: [fn(&mut Manifest); 2] = [
        |manifest| manifest.scale = "quick".to_owned(),
        |manifest| manifest.sections[0].protocol = "mine".to_owned(),
    ];
    for rename in names {
        let mut renamed = runs.clone();
        rename(&mut renamed);
        assert_eq!(problems(&renamed).len(), 5);
    }

    // A run that is left out of the manifest is named.
    let mut fewer = own.clone();
    let gone = fewer.sections[0].series[2].runs.pop().unwrap();
    assert_eq!(problems(&fewer), Vec::<String>::new());
    let said = noted(dir);
    assert!(
        said.contains("not in the manifest") && said.contains(&gone.run),
        "{said}"
    );

    let mut labels = own.clone();
    let series = &mut labels.sections[0].series;
    let first = series[0].label.clone();
    series[0].label = series[1].label.clone();
    series[1].label = first;
    let found = problems(&labels);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("the manifest calls series"), "{found:?}");

    // A folder with all files of another run.
    let folder = |series: usize| {
        let run = &own.sections[0].series[series].runs[0].run;
        dir.join("out/runs").join(run)
    };
    let away = dir.join("away");
    fs::rename(folder(0), &away).unwrap();
    fs::rename(folder(1), folder(0)).unwrap();
    fs::rename(&away, folder(1)).unwrap();
    let found = problems(&own);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].contains("not the specification that the folder is named after"),
        "{found:?}"
    );
    fs::rename(folder(0), &away).unwrap();
    fs::rename(folder(1), folder(0)).unwrap();
    fs::rename(&away, folder(1)).unwrap();

    // An accuracy.
    let log = folder(0).join("events.jsonl");
    let text = fs::read_to_string(&log).unwrap();
    let place = text.rfind("\"accuracy\":0.").unwrap() + 13;
    fs::write(&log, format!("{}9{}", &text[..place], &text[place + 1..])).unwrap();
    let found = problems(&own);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("changed after the run ended"),
        "{found:?}"
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

/// The folder's report is of all that was asked for there, at whatever time.
#[test]
fn what_is_asked_for_later_is_added() {
    let temp = TempDir::new().unwrap();
    let dir = temp.path();
    let report = dir.join("report");
    let plan = |args: &[&str]| {
        let emit = [
            "--emit",
            "parallel",
            "--runs",
            "report/runs",
            "--out",
            "jobs",
        ];
        output(dir, &[&["plan"], args, &emit].concat())
    };
    let planned = |args: &[&str]| {
        let output = plan(args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{said}");
        said
    };
    let sections = || {
        let manifest = Manifest::read(&report).unwrap().unwrap();
        let section = |section: &SectionEntry| {
            let runs = &section.series[0].runs;
            let seeds: Vec<String> = runs.iter().map(|run| run.seed.to_string()).collect();
            format!(
                "{:?} {} {}",
                section.experiment,
                section.protocol,
                seeds.join(",")
            )
        };
        let sections = manifest.sections.iter().map(section);
        (manifest.scale.clone(), sections.collect::<Vec<_>>())
    };

    let smoke = ["--scale", "smoke", "--protocol"];
    planned(&[&["divergence"], &smoke[..], &["released"]].concat());
    planned(&[&["table1"], &smoke[..], &["released", "--seeds", "4,2"]].concat());
    let said = planned(&[&["table1"], &smoke[..], &["both", "--seeds", "3"]].concat());
    assert!(!said.contains("of scale"), "{said}");
    let expected = [
        "Table1 published 3",
        "Table1 released 2,3,4",
        "Divergence released 0",
    ];
    let all = sections();
    assert_eq!(
        (all.0.as_str(), &all.1[..]),
        ("smoke", &expected.map(str::to_owned)[..])
    );
    // The report counts the seeds of what it shows.
    let said = printed(dir, &["report", "--json"]);
    let expected = "{\"report\":\"report/index.html\",\"tensorboard\":null}\n";
    assert_eq!(said, expected);
    let text = fs::read_to_string(report.join("report.md")).unwrap();
    assert!(text.contains("- 1 to 3 seeds each; the paper's"), "{text}");

    // A seed whose run there is of another specification is not mixed in.
    let path = report.join("manifest.json");
    let before = fs::read_to_string(&path).unwrap();
    let mut manifest: serde_json::Value = serde_json::from_str(&before).unwrap();
    let other = manifest["sections"][1]["series"][1]["runs"][0]["run"].clone();
    manifest["sections"][1]["series"][0]["runs"][0]["run"] = other;
    fs::write(&path, manifest.to_string()).unwrap();
    let said = planned(&[&["table1"], &smoke[..], &["released", "--seeds", "3"]].concat());
    assert_eq!(sections().1[1], "Table1 released 3,4");
    let expected = "report: table1/released/constant, seed 2: the run there so far";
    assert!(said.contains(expected), "{said}");
    // The manifest with it stays.
    let kept = |said: &str| {
        let (_, name) = said.split_once("in the report no longer; copy ").unwrap();
        let (name, _) = name.split_once(' ').unwrap();
        report.join(name)
    };
    assert!(
        said.contains("report: 1 entry is in the report no longer; "),
        "{said}"
    );
    let with_it: Manifest =
        serde_json::from_str(&fs::read_to_string(kept(&said)).unwrap()).unwrap();
    assert_eq!(serde_json::to_value(&with_it).unwrap(), manifest);
    planned(&[&["table1"], &smoke[..], &["released", "--seeds", "2"]].concat());
    assert_eq!(fs::read_to_string(&path).unwrap(), before);

    // Another scale is another report, and that is said.
    fs::write(&path, before.replace("\"smoke\"", "\"quick\"")).unwrap();
    let said = planned(&[&["fig3"], &smoke[..], &["released"]].concat());
    let expected = "report: the report there is of scale quick so far, and will be of scale smoke; the other is kept \
                    in manifest.quick.json, and resumed when its scale is asked for again";
    assert!(said.contains(expected), "{said}");
    assert_eq!(sections().1, ["Fig3 released 0"]);
    // And back: one that was put aside is resumed.
    let aside = fs::read_to_string(report.join("manifest.quick.json")).unwrap();
    let aside = aside.replace("\"quick\"", "\"smoke\"");
    fs::write(report.join("manifest.smoke.json"), aside).unwrap();
    let other = fs::read_to_string(&path).unwrap();
    fs::write(&path, other.replace("\"smoke\"", "\"paper\"")).unwrap();
    planned(&[&["fig3"], &smoke[..], &["published"]].concat());
    let expected = [
        "Table1 published 3",
        "Table1 released 2,3,4",
        "Fig3 published 0",
        "Divergence released 0",
    ];
    assert_eq!(sections().1, expected);
    assert!(report.join("manifest.paper.json").is_file());

    // On request, a report of what is asked for alone.
    let only = ["reproduce", "divergence", "--only", "--seeds", "0..2"];
    let said = output(dir, &[&only[..], &smoke, &["released"]].concat());
    let said = String::from_utf8_lossy(&said.stderr);
    assert_eq!(sections().1, ["Divergence released 0,1"]);
    // Of the others, which are in it no longer, the way back is said.
    assert!(
        said.contains("report: 28 entries are in the report"),
        "{said}"
    );
    fs::copy(kept(&said), &path).unwrap();
    assert_eq!(sections().1, expected);

    // What is no manifest is not written over, nor is it in the way of what only looks.
    for text in ["{}", "null", ""] {
        fs::write(&path, text).unwrap();
        let said = plan(&["fig2", "--scale", "smoke"]);
        let stderr = String::from_utf8_lossy(&said.stderr);
        assert_eq!(said.status.code(), Some(2), "{stderr}");
        assert!(
            stderr.contains("manifest.json: not a manifest of this version: ")
                && stderr.contains("computes no run again"),
            "{stderr}"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        printed(dir, &["plan", "fig2", "--scale", "smoke"]);
    }
}

/// Without the data set, synthetic data stand in for it, but not in a report of real runs.
#[cfg(feature = "tch")]
#[test]
fn synthetic_runs_take_no_real_ones_place() {
    let temp = TempDir::new().unwrap();
    let dir = temp.path();
    let report = dir.join("report");
    fs::create_dir(&report).unwrap();
    let records = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/records/table1-quick");
    let manifest = report.join("manifest.json");
    fs::copy(records.join("manifest.json"), &manifest).unwrap();
    let before = fs::read_to_string(&manifest).unwrap();
    for command in [
        &["plan", "table1", "--emit", "parallel"][..],
        &["reproduce", "table1"],
    ] {
        let more = ["--scale", "quick", "--device", "cpu", "--seeds", "8"];
        let said = output(dir, &[command, &more, &["--data", "none"]].concat());
        let stderr = String::from_utf8_lossy(&said.stderr);
        assert_eq!(said.status.code(), Some(2), "{stderr}");
        let expected = "report: the report there has runs on CIFAR-10 (table1/published/constant, seed 0), which is not \
                        found now";
        assert!(stderr.contains(expected), "{stderr}");
        assert_eq!(fs::read_to_string(&manifest).unwrap(), before);
        assert_eq!(fs::read_dir(&report).unwrap().count(), 1, "{stderr}");
    }
    // Nor if the report was put aside for that of another scale.
    let aside = report.join("manifest.quick.json");
    fs::rename(&manifest, &aside).unwrap();
    let quick = ["plan", "table1", "--emit", "parallel", "--scale", "quick"];
    let more = ["--device", "cpu", "--data", "none"];
    let said = output(dir, &[&quick[..], &more].concat());
    assert_eq!(said.status.code(), Some(2));
    assert!(!manifest.exists());
    fs::rename(&aside, &manifest).unwrap();
    // What is there of other experiments is not in the way.
    let fig2 = ["plan", "fig2", "--scale", "quick", "--device", "cpu"];
    let said = output(
        dir,
        &[&fig2[..], &["--data", "none", "--emit", "parallel"]].concat(),
    );
    assert!(said.status.success());
    let now = Manifest::read(&report).unwrap().unwrap();
    assert_eq!(now.sections.len(), 4);
}
