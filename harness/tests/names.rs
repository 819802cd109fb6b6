//! Names and labels with markup, path separators, NUL, 10 kB, bidirectional marks and formulas: harmless everywhere.
//!
//! Where a name becomes a key (a series, a run's folder), anything but letters, digits, '-' and '_' is refused, and so
//! is what is longer than 64 characters. Where it is a label, it is shown, with everything written out that would not
//! be seen, and cut at 200 characters.

mod support;

use std::fs;
use std::path::Path;

use harness::experiment::ExperimentFile;
use harness::report::{ReportInput, render};
use support::{REFERENCE, autolr, contents, printed, run_dir};
use tempfile::TempDir;

/// What a name could be, and a part of it that would do harm as it stands.
fn hostile() -> Vec<(String, &'static str)> {
    let plain = [
        ("<script>alert(1)</script>", "<script>alert"),
        ("</title><img src=x onerror=alert(1)>", "<img"),
        ("\"><svg onload=alert(1)>", "<svg onload"),
        ("a' onmouseover='alert(1)", "' onmouseover='alert(1)'>"),
        ("../../etc/passwd", "\u{0}"),
        ("/etc/passwd", "\u{0}"),
        ("C:\\Windows\\x", "\u{0}"),
        ("a\u{0}b", "\u{0}"),
        ("\u{1b}[2J\u{1b}]0;owned\u{7}", "\u{1b}"),
        ("a\u{9b}31mb", "\u{9b}"),
        ("\u{202e}gnp.exe", "\u{202e}"),
        ("\u{2067}rtl\u{2069}", "\u{2067}"),
        ("a\u{2028}b\u{2029}c\u{85}d", "\u{2028}"),
        ("\u{feff}x\u{200b}y", "\u{200b}"),
        ("=cmd|' /C calc'!A0", "\u{0}"),
        ("+1", "\u{0}"),
        ("-2+3", "\u{0}"),
        ("@SUM(A1)", "\u{0}"),
        ("a\r\nb\tc", "\r"),
        ("| a | b |\n|---|---|", "\n|---"),
        ("```\n# heading", "\n# heading"),
        ("[link](javascript:alert(1))", "\u{0}"),
        ("{{7*7}}${7*7}", "\u{0}"),
        (".", "\u{0}"),
        ("..", "\u{0}"),
        ("", "\u{0}"),
        ("con", "\u{0}"),
    ];
    let mut all: Vec<_> = plain.map(|(name, harm)| (name.to_owned(), harm)).to_vec();
    all.push(("x".repeat(10_240), "\u{0}"));
    all.push(("<b>".repeat(3_000), "<b>"));
    all
}

/// TOML text of a value.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[test]
fn as_a_series_name_it_is_refused_before_anything_is_written() {
    let temp = TempDir::new().unwrap();
    let dir = temp.path();
    for (name, harm) in hostile() {
        if name == "con" {
            // A plain word: no harm is known of it here.
            continue;
        }
        let text = format!("{REFERENCE}[[series]]\nname = {}\n", quoted(&name));
        fs::write(dir.join("spec.toml"), text).unwrap();
        let before = contents(dir);
        let output = autolr(dir, &["run", "spec.toml"]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{name:?}: {said}");
        assert!(said.contains("series.name = "), "{said}");
        assert!(said.chars().count() < 400, "{said}");
        check_text(&said.replace('\n', ""), harm, &name);
        assert!(contents(dir) == before, "{name:?}: something was written");
    }
}

/// A text that is shown has nothing hidden in it.
fn check_text(text: &str, harm: &str, name: &str) {
    for c in text.chars() {
        let hidden = c.is_control()
            || matches!(c, '\u{200b}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        assert!(!hidden, "{name:?}: {c:?} in {text:?}");
    }
    // Markup is no harm to a terminal.
    if !harm.starts_with('<') && !harm.contains("onmouse") {
        assert!(!text.contains(harm), "{name:?}: {harm:?} in {text:?}");
    }
}

#[test]
fn as_a_label_it_is_bounded_and_changes_no_path() {
    let mut folders = std::collections::BTreeSet::new();
    for (label, _) in hostile() {
        let text = format!("title = {}\n{REFERENCE}", quoted(&label));
        match ExperimentFile::parse(&text) {
            Ok(file) => {
                let spec = file.spec(&file.series[0], &toml::Table::new()).unwrap();
                folders.insert(spec.run_name().unwrap());
            }
            Err(error) => {
                assert!(label.len() > 200, "{label:?}: {error}");
                assert!(
                    error.0.contains("must have at most 200 characters"),
                    "{error}"
                );
            }
        }
    }
    // A label is no part of a run's identity.
    assert_eq!(folders.len(), 1);
}

/// The manifest of a report with one run, every text of which is `text`.
fn manifest(text: &str, run: &str) -> String {
    serde_json::json!({
        "scale": text,
        "notes": [text],
        "sections": [{
            "experiment": "table1",
            "protocol": text,
            "description": text,
            "series": [{ "name": text, "label": text, "runs": [{ "seed": 0, "run": run }] }],
        }],
    })
    .to_string()
}

#[test]
fn in_a_report_it_is_shown_and_does_nothing() {
    let temp = TempDir::new().unwrap();
    let dir = temp.path();
    fs::write(dir.join("spec.toml"), REFERENCE).unwrap();
    printed(dir, &["run", "spec.toml", "--out", "report/runs"]);
    let run = run_dir(Path::new(""), REFERENCE);
    let run = run.to_str().unwrap();
    let report = dir.join("report");
    // What the program writes itself, where the texts have nothing in them.
    let tags = |html: &str| html.matches('<').count();
    fs::write(report.join("manifest.json"), manifest("plain", run)).unwrap();
    let plain = render(&ReportInput::read(&report).unwrap());
    for (name, harm) in hostile() {
        fs::write(report.join("manifest.json"), manifest(&name, run)).unwrap();
        printed(dir, &["report", "report"]);
        let html = fs::read_to_string(report.join("index.html")).unwrap();
        let markdown = printed(dir, &["report", "report", "--markdown"]);
        assert_eq!(tags(&html), tags(&plain.html), "{name:?} has become markup");
        assert!(!html.contains(harm), "{name:?}: {harm:?} in the page");
        for (what, text) in [("page", &html), ("Markdown", &markdown)] {
            let text = text.replace('\n', " ");
            check_text(&text, "\u{0}", &format!("{what}: {name}"));
        }
        // Nothing at all takes no line.
        assert!(
            markdown.lines().count() <= plain.markdown.lines().count(),
            "{name:?} has become lines of the Markdown"
        );
        assert!(html.len() < plain.html.len() + 200_000, "{}", html.len());
        let above: Vec<_> = fs::read_dir(dir).unwrap().collect();
        assert_eq!(above.len(), 2, "{name:?}: a file outside of the report");
    }
}

#[test]
fn as_a_runs_folder_in_a_manifest_it_is_refused() {
    let temp = TempDir::new().unwrap();
    let dir = temp.path();
    fs::create_dir(dir.join("report")).unwrap();
    for (name, harm) in hostile() {
        if name == "con" {
            continue;
        }
        fs::write(dir.join("report/manifest.json"), manifest("plain", &name)).unwrap();
        let output = autolr(dir, &["report", "report"]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_ne!(output.status.code(), Some(0), "{name:?} was read");
        assert!(
            said.contains("manifest.json") && said.contains("run = "),
            "{said}"
        );
        check_text(&said.replace('\n', ""), harm, &name);
        assert!(!dir.join("report/index.html").exists());
    }
}
