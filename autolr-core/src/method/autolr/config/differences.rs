//! In which fields two configurations differ.

use super::{AutoLrConfig, Start, UNBOUNDED};
use crate::error::FieldDifference;
use crate::short::{List, Short};
use crate::value::difference::differences;

impl AutoLrConfig {
    /// The fields in which a state's configuration differs from this one. Values are compared before they are written:
    /// there may be a million factors.
    pub(crate) fn differences(&self, saved: &Self) -> Vec<FieldDifference> {
        type Row = (&'static str, bool, fn(&AutoLrConfig) -> String);
        let (old, new) = (&saved.rule, &self.rule);
        let rows: [Row; 10] = [
            (
                "normalization",
                old.normalization() != new.normalization(),
                |config| config.rule.normalization().name().to_owned(),
            ),
            ("sharpness", old.score() != new.score(), |config| {
                Short(config.rule.score().sharpness()).to_string()
            }),
            (
                "non_finite",
                old.non_finite() != new.non_finite(),
                |config| config.rule.non_finite().name().to_owned(),
            ),
            (
                "every",
                saved.cadence.every() != self.cadence.every(),
                |config| config.cadence.every().to_string(),
            ),
            (
                "unit",
                saved.cadence.unit() != self.cadence.unit(),
                |config| config.cadence.unit().name().to_owned(),
            ),
            ("min_lr", saved.bounds.0 != self.bounds.0, |config| {
                text_unless(UNBOUNDED.0, config.bounds.0)
            }),
            ("max_lr", saved.bounds.1 != self.bounds.1, |config| {
                text_unless(UNBOUNDED.1, config.bounds.1)
            }),
            (
                "all_non_finite",
                saved.all_non_finite != self.all_non_finite,
                |config| config.all_non_finite.name().to_owned(),
            ),
            (
                "edge_probes",
                saved.edge_probes != self.edge_probes,
                |config| config.edge_probes.to_string(),
            ),
            (
                "group_probing",
                saved.group_probing != self.group_probing,
                |config| config.group_probing.name().to_owned(),
            ),
        ];
        let lists = [
            ("factors", old.factors().slice(), new.factors().slice()),
            ("groups", &saved.groups, &self.groups),
        ];
        let rows = rows.into_iter().filter(|(_, differs, _)| *differs);
        let rows = rows.map(|(field, _, text)| FieldDifference {
            field: field.into(),
            saved: text(saved),
            configured: text(self),
        });
        let [factors, groups] = lists.map(|(name, old, new)| difference_of_lists(name, old, new));
        let mut found = differences_of_start(&saved.start, &self.start);
        found.extend(factors.into_iter().chain(rows).chain(groups));
        found
    }
}

fn text_unless(absent: f64, value: f64) -> String {
    if value == absent {
        "absent".to_owned()
    } else {
        Short(value).to_string()
    }
}

fn differences_of_start(saved: &Start, configured: &Start) -> Vec<FieldDifference> {
    if let (Start::Base(saved), Start::Base(configured)) = (saved, configured) {
        return differences("base", saved, configured);
    }
    let texts = |start: &Start| match start {
        Start::Lr(lr) => [Short(*lr).to_string(), "absent".to_owned()],
        Start::Base(base) => ["absent".to_owned(), base.kind().to_owned()],
    };
    let pairs = texts(saved).into_iter().zip(texts(configured));
    ["lr", "base"]
        .into_iter()
        .zip(pairs)
        .filter(|(_, (saved, configured))| saved != configured)
        .map(|(field, (saved, configured))| FieldDifference {
            field: field.into(),
            saved,
            configured,
        })
        .collect()
}

/// How two lists differ: short ones whole, long ones by their length or the first entry that differs.
fn difference_of_lists(name: &'static str, saved: &[f64], new: &[f64]) -> Option<FieldDifference> {
    let index = saved.iter().zip(new).position(|(old, new)| old != new);
    let (n, m) = (saved.len(), new.len());
    let difference = |field, saved, configured| FieldDifference {
        field,
        saved,
        configured,
    };
    match index {
        None if n == m => None,
        _ if n.max(m) <= 8 => {
            let text = |list| format!("[{}]", List(list));
            Some(difference(name.into(), text(saved), text(new)))
        }
        Some(i) if n == m => {
            let text = |list: &[f64]| Short(list[i]).to_string();
            let field = format!("{name}[{i}]").into();
            Some(difference(field, text(saved), text(new)))
        }
        _ => {
            let text = |length: usize| format!("a list of {length}");
            Some(difference(name.into(), text(n), text(m)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_begins_like_the_other_differs_from_it() {
        let differ = |saved: &[f64], new: &[f64]| {
            difference_of_lists("factors", saved, new).map(|difference| difference.to_string())
        };
        assert_eq!(differ(&[2.0, 1.0], &[2.0, 1.0]), None);
        assert_eq!(
            differ(&[2.0, 1.0], &[2.0, 1.0, 0.5]).as_deref(),
            Some("factors was [2, 1] and is [2, 1, 0.5]")
        );
        assert_eq!(
            differ(&[1.0; 9], &[1.0; 10]).as_deref(),
            Some("factors was a list of 9 and is a list of 10")
        );
    }
}
