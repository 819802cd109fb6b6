//! `autolr report --tensorboard`, read back with a reader of its own; `cargo xtask tensorboard` reads with TensorBoard's.

mod support;
#[path = "support/synthetic_report.rs"]
mod synthetic_report;

use std::collections::BTreeSet;
use std::path::Path;

use harness::experiment::ExperimentName;
use synthetic_report::{Kind, Made};

/// CRC-32C bit by bit, masked as TFRecord wants it.
fn masked_crc(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 * (crc & 1));
        }
    }
    let crc = !crc;
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

fn records(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let (head, rest) = bytes.split_at(12);
        let length = u64::from_le_bytes(head[..8].try_into().unwrap()) as usize;
        assert_eq!(head[8..], masked_crc(&head[..8]).to_le_bytes());
        let (record, rest) = rest.split_at(length);
        let (crc, rest) = rest.split_at(4);
        assert_eq!(crc, masked_crc(record).to_le_bytes());
        records.push(record);
        bytes = rest;
    }
    records
}

/// Value of a scalar in an event: after its tag and the head of a 32-bit field.
fn scalar(event: &[u8], tag: &str) -> Option<f32> {
    let tag = [&[tag.len() as u8], tag.as_bytes(), &[0x15]].concat();
    let at = event.windows(tag.len()).position(|bytes| bytes == tag)? + tag.len();
    Some(f32::from_le_bytes(event[at..at + 4].try_into().unwrap()))
}

#[test]
fn every_run_has_its_file_below_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    let report = dir.path().join("report");
    std::fs::create_dir(&report).unwrap();
    let made = Made {
        experiment: ExperimentName::Table1,
        protocol: "../published",
        series: vec![
            ("ours", Kind::Closed(3)),
            ("../../../escaped", Kind::Open),
            // These two become one name.
            ("a b", Kind::Open),
            ("a/b", Kind::Diverging(3)),
        ],
        seeds: 2,
        epochs: 9,
    };
    synthetic_report::write(&report, &[made]);
    let printed = support::printed(dir.path(), &["report", "--tensorboard", "report"]);
    assert_eq!(printed, "report/index.html\nreport/tensorboard\n");

    let mut outside: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    outside.sort();
    assert_eq!(outside, ["report"]);
    let contents = support::contents(&report.join("tensorboard"));
    let files: BTreeSet<&Path> = contents
        .keys()
        .filter(|path| path.is_file())
        .map(|path| path.as_path())
        .collect();
    assert_eq!(files.len(), 8, "{files:?}");

    let ours = "tensorboard/table1/_published/ours/seed-1/events.out.tfevents.0.autolr";
    let ours = std::fs::read(report.join(ours)).unwrap();
    let events = records(&ours);
    assert_eq!(events.len(), 1 + 9);
    assert!(events[0].ends_with(b"brain.Event:2"));
    // Second epoch: step 1, after 3 s.
    assert_eq!(events[2][1..9], 3.0_f64.to_le_bytes());
    assert_eq!(events[2][9..11], [0x10, 1]);
    let rate = |event| scalar(event, "lr").unwrap();
    let factor = scalar(events[1], "factor").unwrap();
    assert_eq!(rate(events[1]), 0.005);
    // The factor on an epoch's rate gives the next one, to single precision.
    assert!((rate(events[1]) * factor / rate(events[2]) - 1.0).abs() < 1e-6);

    // The other one of the two names: the run that diverges in epoch 3 says so with a NaN.
    let diverged = files
        .iter()
        .filter(|path| records(&contents[**path]).len() == 1 + 4)
        .collect::<Vec<_>>();
    assert_eq!(diverged.len(), 1, "{files:?}");
    let bytes = &contents[*diverged[0]];
    let last = records(bytes)[4];
    assert!(scalar(last, "loss/validation").unwrap().is_nan());
}
