//! `autolr doctor` and `autolr completions`.

mod support;

use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;
use support::{output, printed};
use tempfile::TempDir;

#[cfg(not(feature = "tch"))]
#[test]
fn what_is_missing_and_what_to_do_about_it() {
    let temp = TempDir::new().unwrap();
    let dir = temp.path();
    fs::create_dir_all(dir.join("data/cifar-100-binary")).unwrap();
    fs::write(dir.join("data/cifar-100-binary/train.bin"), "short").unwrap();
    let output = output(dir, &["doctor"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stderr.is_empty());
    let text = String::from_utf8(output.stdout).unwrap();
    let text: String = text
        .replace(dir.to_str().unwrap(), "DIR")
        .replace(env!("CARGO_PKG_VERSION"), "VERSION")
        .lines()
        .map(|line| {
            let varies = [" cores ", " disk "].iter().any(|word| line.contains(word));
            let numbers = |word: &str| {
                if word.parse::<f64>().is_ok() {
                    "#"
                } else {
                    word
                }
                .to_owned()
            };
            let line = if varies {
                line.split(' ').map(numbers).collect::<Vec<_>>().join(" ")
            } else {
                line.to_owned()
            };
            line + "\n"
        })
        .collect();
    let text = text.replacen("note     disk", "ok       disk", 1);
    insta::assert_snapshot!(text);
}

#[test]
fn the_same_as_json() {
    let temp = TempDir::new().unwrap();
    let said = output(temp.path(), &["doctor", "--json", "--out", "not/yet/there"]);
    let diagnosis: Value = serde_json::from_slice(&said.stdout).unwrap();
    let findings = diagnosis["findings"].as_array().unwrap();
    let find = |what: &str| {
        findings
            .iter()
            .find(|finding| finding["what"] == what)
            .unwrap()
    };
    assert_eq!(find("cifar10")["verdict"], "missing");
    assert_eq!(find("cifar10")["fix"], "autolr data fetch cifar10");
    assert_eq!(find("folder")["verdict"], "ok");
    #[cfg(feature = "tch")]
    {
        assert_eq!(find("libtorch")["verdict"], "ok");
        assert_eq!(find("libtorch")["found"], autolr_tch::libtorch_version());
        // What this machine has.
        let cuda = autolr_tch::select(autolr_tch::DeviceChoice::Cuda);
        let device = find("device");
        match cuda {
            Ok(_) => assert_eq!(device["found"], "CPU, CUDA"),
            Err(error) => {
                assert_eq!(device["verdict"], "note");
                assert_eq!(device["found"], format!("CPU alone: {error}"));
            }
        }
    }
    assert_eq!(diagnosis["healthy"], false);
    assert_eq!(
        fs::read_dir(temp.path()).unwrap().count(),
        0,
        "something was left behind"
    );
    let data = output(temp.path(), &["data", "status", "cifar10", "--json"]);
    assert_eq!(data.status.code(), Some(2));
    let data: Value = serde_json::from_slice(&data.stdout).unwrap();
    assert_eq!(data["sets"][0]["files"][0]["verdict"], "missing");
}

#[test]
fn what_it_says_of_named_folders() {
    let temp = TempDir::new().unwrap();
    fs::write(temp.path().join("file"), "").unwrap();
    let args = ["doctor", "--out", "file", "--data", "my data"];
    let said = output(temp.path(), &args);
    assert_eq!(said.status.code(), Some(1));
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(
        said.contains("MISSING  folder    file is not a folder"),
        "{said}"
    );
    assert!(
        said.contains("→ autolr data fetch cifar10 --data 'my data'"),
        "{said}"
    );
}

#[test]
fn every_shell_gets_completions_for_every_command() {
    let temp = TempDir::new().unwrap();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = printed(temp.path(), &["completions", shell]);
        for word in ["reproduce", "sweep", "doctor", "time-budget"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
        if shell == "bash" {
            // Bash completes the name of a command.
            let line = "COMP_WORDS=(autolr sta); COMP_CWORD=1; _autolr autolr sta autolr; echo \"${COMPREPLY[*]}\"";
            let said = Command::new("bash")
                .args(["-c", &format!("{script}\n{line}")])
                .stderr(Stdio::null())
                .output()
                .unwrap();
            assert_eq!(String::from_utf8_lossy(&said.stdout).trim(), "status");
        }
    }
    assert_eq!(
        output(temp.path(), &["completions", "csh"]).status.code(),
        Some(2)
    );
}

#[test]
fn exit_codes_are_in_the_help() {
    let temp = TempDir::new().unwrap();
    let help = printed(temp.path(), &["--help"]);
    for code in [
        "0 done",
        "1 something failed",
        "2 bad input",
        "75 time budget spent",
        "130 interrupted",
    ] {
        assert!(
            help.split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
                .contains(code),
            "{code}: {help}"
        );
    }
}
