use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{Kind, Range, ValueKind};
use crate::kinds;
use crate::method::registry;
use crate::value::{self as tree, Table};

/// Settings of a kind that are sound, with a rate so high that no other key exceeds it.
fn sound(kind: &Kind) -> Map<String, Value> {
    let inner = json!({"kind": "fixed", "lr": 1});
    let mut keys = Map::new();
    keys.insert("kind".to_owned(), kind.name.into());
    for key in kind.keys {
        let value = match (key.name, key.holds) {
            ("lr" | "max_lr", _) if kind.name != "autolr" => f64::MAX.into(),
            ("lr", _) => 1.into(),
            ("factors", _) => json!([2, 1, 0.5]),
            ("t_max" | "total_steps" | "total_iters" | "step_size" | "t_0" | "steps", _) => {
                9.into()
            }
            ("gamma", _) if kind.name != "armijo" => 0.5.into(),
            ("schedules", _) => json!([inner]),
            ("milestones", _) => json!([]),
            ("schedule", _) => inner.clone(),
            _ => continue,
        };
        keys.insert(key.name.to_owned(), value);
    }
    keys
}

/// Reads settings, of which `key` is `number`: not through JSON, which has no word for NaN.
fn read(keys: &Map<String, Value>, key: &str, number: Option<tree::Value>) -> Result<(), String> {
    let mut table = Table::of(keys);
    table
        .0
        .retain(|(name, _)| name != "kind" && (number.is_none() || name != key));
    table
        .0
        .extend(number.map(|number| (key.to_owned(), number)));
    let kind = keys["kind"].as_str().unwrap();
    let read = registry::read(kind, table);
    read.map(|_| ()).map_err(|error| error.to_string())
}

/// Numbers at the ends of a range and just outside of them.
fn probes(range: Range) -> Vec<f64> {
    let (least, most) = range.ends();
    let ends = [least, most].into_iter().filter(|end| end.is_finite());
    let around = ends.flat_map(|end| [end.next_down(), end, end.next_up()]);
    let others = [f64::MAX, -1.0, 0.0, 0.5, 1.0];
    let no_numbers = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
    around.chain(others).chain(no_numbers).collect()
}

/// What another key forbids, though the range has it.
const CROSS_KEY: [(&str, &str); 13] = [
    // Below 1 where it is relative.
    ("reduce-on-plateau", "threshold"),
    // At most `lr`.
    ("reduce-on-plateau", "min_lr"),
    ("cosine", "eta_min"),
    ("cosine-warm-restarts", "eta_min"),
    // No rate outside of the bounds.
    ("autolr", "lr"),
    ("autolr", "min_lr"),
    ("autolr", "max_lr"),
    // At least 1 / `div_factor`.
    ("one-cycle", "final_div_factor"),
    // At most 1 together.
    ("warmup-stable-decay", "warmup_ratio"),
    ("warmup-stable-decay", "decay_ratio"),
    // At least `min_lr`.
    ("greedy", "max_lr"),
    // Above the first.
    ("range-test", "start_lr"),
    ("range-test", "end_lr"),
];

#[test]
fn a_range_is_what_the_settings_take() {
    let mut forbidden = BTreeSet::new();
    let mut tried = 0;
    for kind in kinds() {
        let sound = sound(kind);
        assert_eq!(read(&sound, "", None), Ok(()), "{}", kind.name);
        for key in kind.keys {
            let whole = matches!(key.holds, ValueKind::Whole | ValueKind::Length);
            if !whole && key.holds != ValueKind::Number {
                assert!(key.range.is_any(), "{}.{}", kind.name, key.name);
                continue;
            }
            let numbers: Vec<f64> = if whole {
                let (least, _) = key.range.ends();
                assert!(key.range.is_any() || least == 1.0, "{}", key.name);
                vec![0.0, 1.0, 2.0]
            } else {
                assert!(!key.range.is_any(), "{}.{}", kind.name, key.name);
                probes(key.range)
            };
            for number in numbers {
                let value = if whole {
                    tree::Value::Unsigned(number as u64)
                } else {
                    tree::Value::Number(number)
                };
                let read = read(&sound, key.name, Some(value));
                let expected = key.range.check(key.name, number);
                let place = format!("{}.{} = {number:e}", kind.name, key.name);
                match (read, expected) {
                    (Ok(_), Ok(_)) => {}
                    (Err(read), Err(expected)) => {
                        let expected = expected.to_string();
                        assert!(read.starts_with(&expected), "{place}: {read}");
                    }
                    (Err(_), Ok(_)) if CROSS_KEY.contains(&(kind.name, key.name)) => {
                        forbidden.insert((kind.name, key.name));
                    }
                    (read, expected) => panic!("{place}: {read:?}, but {expected:?}"),
                }
                tried += 1;
            }
        }
    }
    assert!(tried > 200, "{tried}");
    // `min_lr` and `eta_min` are at most the largest number, and so is `lr`.
    for cross in [("reduce-on-plateau", "threshold"), ("autolr", "max_lr")] {
        assert!(forbidden.contains(&cross), "{cross:?}");
    }
}

#[test]
fn every_key_says_what_it_is_for() {
    for kind in kinds() {
        let names: BTreeSet<&str> = kind.keys.iter().map(|key| key.name).collect();
        assert_eq!(names.len(), kind.keys.len(), "{}", kind.name);
        assert!(!kind.what.is_empty());
        for key in kind.keys {
            assert!(!key.what.is_empty(), "{}.{}", kind.name, key.name);
            assert!(key.what.len() < 110, "{}.{}", kind.name, key.name);
        }
    }
}

#[test]
fn ends_are_in_or_out() {
    for (range, inside, outside) in [
        (
            Range::POSITIVE,
            vec![5e-324, f64::MAX],
            vec![0.0, -0.0, -1.0],
        ),
        (Range::NOT_NEGATIVE, vec![0.0, -0.0], vec![-5e-324]),
        (
            Range::UNIT,
            vec![0.0, 1.0],
            vec![-5e-324, 1.0_f64.next_up()],
        ),
        (Range::SHARE, vec![0.0, 1.0_f64.next_down()], vec![1.0]),
        (Range::AT_LEAST_ONE, vec![1.0, 1e300], vec![0.0]),
        (Range::FINITE, vec![f64::MIN, f64::MAX], vec![]),
        (
            Range::UNIT.without_least().without_most(),
            vec![0.5],
            vec![0.0, 1.0],
        ),
    ] {
        assert!(inside.iter().all(|&number| range.has(number)), "{range:?}");
        assert!(
            !outside.iter().any(|&number| range.has(number)),
            "{range:?}"
        );
        assert!(!range.has(f64::NAN));
    }
    assert!(Range::ANY.has(f64::NAN));
}
