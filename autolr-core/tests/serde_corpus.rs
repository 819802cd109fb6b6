//! The fuzzer's corpus, and JSON that is nearly right, through what the fuzz target does.

#[path = "../fuzz/reading.rs"]
mod reading;

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use reading::read_and_use;
use serde_json::Value;

/// The files of the corpus: name and content.
fn corpus() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/serde");
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read(path).unwrap())
        })
        .collect();
    files.sort();
    files
}

/// The first word of a file's name is the kind that takes it; no kind takes `refused`.
#[test]
fn the_corpus_is_read_as_its_names_say() {
    let files = corpus();
    for (name, content) in &files {
        let takes: Vec<_> = read_and_use(content)
            .into_iter()
            .filter_map(|(kind, takes)| takes.then_some(kind))
            .collect();
        match name.split('-').next() {
            Some("refused") => assert_eq!(takes, Vec::<&str>::new(), "{name}"),
            // Every schedule is a scheduler too.
            Some("schedule") => assert_eq!(takes, ["scheduler", "schedule"], "{name}"),
            kind => assert_eq!(takes, Vec::from_iter(kind), "{name}"),
        }
    }
    // Every kind has a file, or the corpus says nothing about it.
    for (kind, _) in read_and_use(b"") {
        assert!(
            files.iter().any(|(name, _)| name.starts_with(kind)),
            "{kind}"
        );
    }
}

/// What stands for a value that somebody got wrong, or that is as far out as it may be.
fn leaf() -> impl Strategy<Value = Value> {
    let number = prop_oneof![
        any::<f64>(),
        select(vec![
            0.0,
            -0.0,
            1.0,
            5e-324,
            f64::MIN_POSITIVE,
            f64::MAX,
            f64::MIN
        ]),
    ];
    let word = select(vec![
        "nan",
        "inf",
        "-inf",
        "",
        "factor_1",
        "factor_101",
        "factor_102",
        "sum",
        "none",
        "min-max",
        "propagate",
        "no-vote",
        "step",
        "linear",
        "fixed",
        "constant",
        "cosine",
        "held",
    ]);
    prop_oneof![
        4 => number.prop_map(Value::from),
        2 => any::<u64>().prop_map(Value::from),
        1 => select(vec![0_u64, 1, 2, 1 << 53, u64::MAX - 1, u64::MAX]).prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        2 => word.prop_map(Value::from),
        1 => Just(Value::Null),
        1 => Just(Value::Array(Vec::new())),
        1 => any::<bool>().prop_map(Value::from),
    ]
}

/// One change of a document, at a place that is counted in its nodes.
#[derive(Debug, Clone)]
enum Change {
    Replace(Value),
    Remove,
    Repeat,
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        6 => leaf().prop_map(Change::Replace),
        1 => Just(Change::Remove),
        1 => Just(Change::Repeat),
    ]
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(entries) => entries.values().map(count).sum(),
        _ => 0,
    }
}

/// Changes the node `at`, counted from the root in depth-first order.
fn apply(value: &mut Value, at: usize, change: &Change) {
    if at == 0 {
        if let Change::Replace(leaf) = change {
            *value = leaf.clone();
        }
        return;
    }
    let mut left = at - 1;
    match value {
        Value::Array(items) => {
            for i in 0..items.len() {
                let nodes = count(&items[i]);
                if left < nodes {
                    match change {
                        Change::Remove if left == 0 => drop(items.remove(i)),
                        Change::Repeat if left == 0 => items.insert(i, items[i].clone()),
                        _ => apply(&mut items[i], left, change),
                    }
                    return;
                }
                left -= nodes;
            }
        }
        Value::Object(entries) => {
            let keys: Vec<String> = entries.keys().cloned().collect();
            for key in keys {
                let nodes = count(&entries[&key]);
                if left < nodes {
                    match change {
                        Change::Remove if left == 0 => drop(entries.remove(&key)),
                        _ => apply(&mut entries[&key], left, change),
                    }
                    return;
                }
                left -= nodes;
            }
        }
        _ => {}
    }
}

fn file() -> impl Strategy<Value = Vec<u8>> {
    select(corpus()).prop_map(|(_, content)| content)
}

proptest! {
    /// A document with a few values changed, removed or doubled is refused, or can be used and kept without loss.
    #[test]
    fn values_changed(
        content in file(), changes in proptest::collection::vec((any::<Index>(), change()), 1..4),
    ) {
        let mut value: Value = serde_json::from_slice(&content).unwrap();
        for (place, change) in &changes {
            let at = place.index(count(&value));
            apply(&mut value, at, change);
        }
        read_and_use(value.to_string().as_bytes());
    }

    /// A document with a few bytes changed, removed or put in is refused, or can be used and kept without loss.
    #[test]
    fn bytes_changed(
        mut content in file(),
        changes in proptest::collection::vec((any::<Index>(), select(b"0123456789.-+eE\"\\,:[]{} \xff".to_vec()), 0..3), 1..4),
    ) {
        for (place, byte, kind) in changes {
            let at = place.index(content.len());
            match kind {
                0 => content[at] = byte,
                1 => content.insert(at, byte),
                _ if content.len() > 1 => drop(content.remove(at)),
                _ => {}
            }
        }
        read_and_use(&content);
    }
}

/// The changes do what they say; else the properties above would look at the same documents again and again.
#[test]
fn changes_reach_every_node() {
    let document: Value = serde_json::from_str(r#"{"a": [1, 2], "b": {"c": 3}}"#).unwrap();
    assert_eq!(count(&document), 6);
    let changed = |at: usize, change: Change| {
        let mut value = document.clone();
        apply(&mut value, at, &change);
        value.to_string()
    };
    let nothing = || Change::Replace(Value::Null);
    assert_eq!(changed(0, nothing()), "null");
    assert_eq!(changed(1, nothing()), r#"{"a":null,"b":{"c":3}}"#);
    assert_eq!(changed(3, nothing()), r#"{"a":[1,null],"b":{"c":3}}"#);
    assert_eq!(changed(5, nothing()), r#"{"a":[1,2],"b":{"c":null}}"#);
    assert_eq!(changed(2, Change::Remove), r#"{"a":[2],"b":{"c":3}}"#);
    assert_eq!(changed(4, Change::Remove), r#"{"a":[1,2]}"#);
    assert_eq!(changed(3, Change::Repeat), r#"{"a":[1,2,2],"b":{"c":3}}"#);
}
