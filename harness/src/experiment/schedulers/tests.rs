//! The list of schedulers against autolr-core, and what is done with it.

use super::*;
use crate::experiment::check::check_scheduler;
use crate::experiment::value_kind::ValuesOf;
use autolr_core::KeyDefault::Core;
use autolr_core::ValueKind::{Number, Whole};

fn table(text: &str) -> Table {
    text.parse().expect("valid TOML")
}

fn fixed() -> Table {
    table("kind = \"fixed\"\nlr = 0.5")
}

/// A schedule of each kind with the keys alone that it needs.
fn least(kind: &Kind) -> Table {
    let mut table = Table::new();
    table.insert("kind".into(), kind.name.into());
    for key in kind
        .keys
        .iter()
        .filter(|key| !matches!(key.default, Core(_)))
    {
        let value = match key.holds {
            Number => Value::Float(0.5),
            Length | Whole => Value::Integer(7),
            Milestones => Value::Array(vec![Value::Integer(3)]),
            Schedule => Value::Table(fixed()),
            Schedules => {
                let count = 1 + usize::from(kind.key("milestones").is_some());
                Value::Array(vec![Value::Table(fixed()); count])
            }
            other => panic!("{}: what holds {other:?}?", key.name),
        };
        table.insert(key.name.into(), value);
    }
    table
}

#[test]
fn the_list_is_that_of_the_core() {
    let names: Vec<&str> = schedules().map(|kind| kind.name).collect();
    assert_eq!(names, ScheduleConfig::KINDS);
    for kind in schedules() {
        let given = least(kind);
        assert_eq!(check_scheduler(&given), Ok(()), "{}", kind.name);
        let schedule: ScheduleConfig = given.clone().try_into().expect("valid");
        // What the core writes has every key there is, and no other.
        let written = Table::try_from(&schedule).expect("TOML");
        let mut listed: Vec<&str> = kind.keys.iter().map(|key| key.name).collect();
        listed.push("kind");
        listed.sort_unstable();
        let keys: Vec<&str> = written.keys().map(String::as_str).collect();
        assert_eq!(keys, listed, "{}", kind.name);
        for key in kind.keys {
            let value = &written[key.name];
            assert_eq!(
                key.holds.broken_by(value),
                None,
                "{} {}",
                kind.name,
                key.name
            );
            match key.default {
                Core(text) => {
                    let number = |text: &str| text.parse::<f64>().ok();
                    let quotient = text.split_once('/');
                    let expected = match quotient.or(Some((text, "1"))) {
                        Some((over, under)) if number(over).is_some() => number(over)
                            .zip(number(under))
                            .map(|(a, b)| (a / b).to_string()),
                        _ => Some(text.to_owned()),
                    };
                    let value = match value {
                        Value::String(text) => text.clone(),
                        Value::Float(number) => number.to_string(),
                        other => other.to_string(),
                    };
                    assert_eq!(Some(value), expected, "{} {}", kind.name, key.name);
                }
                _ => {
                    // Without it there is no schedule.
                    let mut without = given.clone();
                    without.remove(key.name);
                    let read: Result<ScheduleConfig, _> = without.try_into();
                    assert!(read.is_err(), "{} {}", kind.name, key.name);
                }
            }
        }
    }
}

#[test]
fn the_closed_loop_has_the_keys_of_the_core() {
    // Every key with another value than its default: those alone are written.
    let all = r#"factors = [0.5]
        normalization = "sum"
        sharpness = 2.0
        non_finite = "propagate"
        every = 2
        unit = "step"
        min_lr = 0.01
        max_lr = 1.0
        all_non_finite = "lower"
        edge_probes = 3
        groups = [0.5]
        group_probing = "in-turn""#;
    let mut keys = std::collections::BTreeSet::new();
    for start in ["lr = 0.1", "base = { kind = \"fixed\", lr = 0.1 }"] {
        let given = table(&format!("{start}\n{all}"));
        let config: autolr_core::AutoLrConfig = given.clone().try_into().expect("valid");
        let written = Table::try_from(&config).expect("TOML");
        keys.extend(written.keys().cloned());
        assert_eq!(written.len(), given.len());
    }
    // A run has one group.
    for left_out in ["groups", "group_probing"] {
        assert!(keys.remove(left_out));
    }
    let autolr = autolr_core::kinds().find(|kind| kind.name == "autolr");
    let listed = autolr
        .unwrap()
        .keys
        .iter()
        .map(|key| key.name.to_owned())
        .collect();
    assert_eq!(keys, listed);
    let mut given = table("lr = 0.1\nfactors = [1]");
    given.insert("kind".into(), "autolr".into());
    assert_eq!(check_scheduler(&given), Ok(()));
}

#[test]
fn the_outermost_schedule_says_what_it_counts() {
    let of = |text: &str| check_scheduler(&table(text)).map_err(|error| error.to_string());
    let by_steps = "kind = \"fixed\"\nlr = 1\nunit = \"step\"";
    assert_eq!(of(by_steps), Ok(()));
    assert!(counts_steps(&table(by_steps)));
    let by_epochs = "kind = \"fixed\"\nlr = 1\nunit = \"epoch\"";
    assert!(!counts_steps(&table(by_epochs)));
    let inner = "kind = \"product\"\nschedules = [{ kind = \"fixed\", lr = 1, unit = \"step\" }]";
    assert_eq!(
        of(inner),
        Err("schedules[0].unit = \"step\": kind = \"fixed\" has no such key (kind, lr)".to_owned())
    );
}

#[test]
fn lengths_change_with_the_number_of_epochs() {
    let mut scheduler = table(
        r#"kind = "sequential"
        milestones = [5, 50, 51]
        [[schedules]]
        kind = "warm-up"
        steps = 10
        schedule = { kind = "linear", lr = 0.1, total_iters = 5 }
        [[schedules]]
        kind = "multi-step"
        lr = 0.1
        milestones = [0, 1, 30]
        [[schedules]]
        kind = "cosine-warm-restarts"
        lr = 0.1
        t_0 = 20
        t_mult = 2
        [[schedules]]
        kind = "product"
        schedules = [{ kind = "one-cycle", max_lr = 0.1, total_steps = 70 }]"#,
    );
    let stretch = Stretch {
        times: 0.1,
        was: 100,
        is: 10,
    };
    fit(&mut scheduler, stretch);
    let expected = table(
        r#"kind = "sequential"
        milestones = [1, 5, 5]
        [[schedules]]
        kind = "warm-up"
        steps = 1
        schedule = { kind = "linear", lr = 0.1, total_iters = 2 }
        [[schedules]]
        kind = "multi-step"
        lr = 0.1
        milestones = [0, 1, 3]
        [[schedules]]
        kind = "cosine-warm-restarts"
        lr = 0.1
        t_0 = 2
        t_mult = 2
        [[schedules]]
        kind = "product"
        schedules = [{ kind = "one-cycle", max_lr = 0.1, total_steps = 7 }]"#,
    );
    assert_eq!(scheduler, expected);
    // Milestones that fall together are still a schedule.
    assert!(scheduler.try_into::<ScheduleConfig>().is_ok());
}

/// Whether the rate changes at a length before the run's end, at it, or never.
#[test]
fn what_came_before_the_end_still_does() {
    for (was, is) in [(100, 40), (100, 3), (3, 100), (40, 41), (7, 2)] {
        let stretch = Stretch {
            times: is as f64 / was as f64,
            was,
            is,
        };
        for length in 1..3 * was {
            let now = stretch.length(length, 1);
            let still = match length.cmp(&was) {
                Ordering::Less => now < is,
                Ordering::Equal => now == is,
                // Never, or with the step that there is none of.
                Ordering::Greater => now >= is,
            };
            assert!(still, "{length} of {was}: {now} of {is}");
            let near = length as f64 * stretch.times;
            assert!(
                (now as f64 - near).abs() <= 1.0,
                "{length} of {was}: {now} of {is}"
            );
        }
    }
    let of_40 = |text: &str| {
        let mut scheduler = table(text);
        let stretch = Stretch {
            times: 0.4,
            was: 100,
            is: 40,
        };
        fit(&mut scheduler, stretch);
        scheduler
    };
    for (text, expected) in [
        (
            "kind = \"multi-step\"\nmilestones = [99, 100]",
            "kind = \"multi-step\"\nmilestones = [39, 40]",
        ),
        (
            "kind = \"step\"\nstep_size = 99",
            "kind = \"step\"\nstep_size = 39",
        ),
        // In what is left after a warm-up: 94 of 95 epochs, 37 of 38.
        (
            "kind = \"warm-up\"\nsteps = 5\nschedule = { kind = \"step\", step_size = 94 }",
            "kind = \"warm-up\"\nsteps = 2\nschedule = { kind = \"step\", step_size = 37 }",
        ),
        // Of a schedule among others: 49 of the first 50 epochs, 49 of the last 50.
        (
            "kind = \"sequential\"\nmilestones = [50]\nschedules = [\
                { kind = \"step\", step_size = 49 }, { kind = \"step\", step_size = 49 }]",
            "kind = \"sequential\"\nmilestones = [20]\nschedules = [\
                { kind = \"step\", step_size = 19 }, { kind = \"step\", step_size = 19 }]",
        ),
    ] {
        assert_eq!(of_40(text), table(expected), "{text}");
    }
}

/// Else a scale would leave it as it is.
#[test]
fn every_length_that_is_a_number_by_default_is_one() {
    let mut defaults = 0;
    for key in autolr_core::kinds().flat_map(|kind| kind.keys) {
        if let (Length, Core(default)) = (key.holds, key.default) {
            assert!(default.parse::<i64>().is_ok(), "{} = {default}", key.name);
            defaults += 1;
        }
    }
    assert!(defaults >= 3, "{defaults}");
}

#[test]
fn an_absent_length_is_the_number_of_epochs_at_the_outermost_alone() {
    for (text, expected) in [
        ("kind = \"cosine\"", "kind = \"cosine\"\nt_max = 30"),
        (
            "kind = \"one-cycle\"",
            "kind = \"one-cycle\"\ntotal_steps = 30",
        ),
        (
            "kind = \"linear-decay\"",
            "kind = \"linear-decay\"\ntotal_iters = 30",
        ),
        ("kind = \"polynomial\"", "kind = \"polynomial\""),
        (
            "kind = \"cosine\"\nt_max = 20",
            "kind = \"cosine\"\nt_max = 20",
        ),
        (
            "kind = \"product\"\nschedules = [{ kind = \"cosine\" }]",
            "kind = \"product\"\nschedules = [{ kind = \"cosine\" }]",
        ),
        ("kind = \"cosin\"", "kind = \"cosin\""),
        ("lr = 1", "lr = 1"),
    ] {
        let mut scheduler = table(text);
        fill_in(&mut scheduler, 30);
        assert_eq!(scheduler, table(expected), "{text}");
    }
}

#[test]
fn what_is_wrong_with_a_schedule_within_another_is_named() {
    for (text, expected) in [
        (
            "kind = \"warm-up\"\nschedule = { kind = \"cosin\" }",
            "schedule.kind: unknown scheduler `cosin`: did you mean `cosine`? (constant, ",
        ),
        (
            "kind = \"warm-up\"\nschedule = { kind = \"autolr\" }",
            "schedule.kind: unknown scheduler `autolr` (constant, ",
        ),
        (
            "kind = \"product\"\nschedules = [{ kind = \"fixed\", lr = 1 }, { lr = 1 }]",
            "schedules[1].kind: missing (constant, ",
        ),
        (
            "kind = \"product\"\nschedules = [{ kind = \"fixed\", gamma = 0.5 }]",
            "schedules[0].gamma = 0.5: kind = \"fixed\" has no such key (kind, lr)",
        ),
        (
            "kind = \"product\"\nschedules = [{ kind = \"step\", gama = 0.5 }]",
            "schedules[0]: unknown key `gama`: did you mean `gamma`?",
        ),
        (
            "kind = \"product\"\nschedules = [{ kind = \"fixed\", lr = \"fast\" }]",
            "schedules[0].lr = \"fast\": must be a number",
        ),
        (
            "kind = \"product\"\nschedules = [{ kind = \"warm-up\", schedule = { kind = 1 } }]",
            "schedules[0].schedule.kind = 1: must be a name in quotes",
        ),
    ] {
        let error = check_scheduler(&table(text)).unwrap_err();
        assert!(error.to_string().starts_with(expected), "{text}: {error:?}");
    }
}
