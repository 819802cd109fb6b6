//! Where two settings differ, key by key.

use serde::Serialize;

use super::{Value, to_value};
use crate::error::FieldDifference;
use crate::short::Short;

/// The keys, such as `base.t_max`, in which `saved` and `configured` differ, below `name`. Where the `kind` of a table
/// does, its other keys are not compared.
pub(crate) fn differences<T: Serialize>(
    name: &str,
    saved: &T,
    configured: &T,
) -> Vec<FieldDifference> {
    let tree = |value: &T| to_value(value).unwrap_or(Value::Nothing);
    let mut found = Vec::new();
    compare(
        name,
        Some(&tree(saved)),
        Some(&tree(configured)),
        &mut found,
    );
    found
}

fn compare(
    path: &str,
    saved: Option<&Value>,
    configured: Option<&Value>,
    found: &mut Vec<FieldDifference>,
) {
    match (saved, configured) {
        (Some(Value::Table(saved)), Some(Value::Table(configured))) => {
            let get = |table: &'_ super::Table, key: &str| -> Option<Value> {
                let entry = table.0.iter().find(|(name, _)| name == key);
                entry.map(|(_, value)| value.clone())
            };
            let kinds = (get(saved, "kind"), get(configured, "kind"));
            if kinds.0 != kinds.1 {
                let (saved, configured) = (kinds.0.as_ref(), kinds.1.as_ref());
                return compare(&under(path, "kind"), saved, configured, found);
            }
            let new = configured
                .0
                .iter()
                .filter(|(key, _)| get(saved, key).is_none());
            for (key, _) in saved.0.iter().chain(new) {
                let (saved, configured) = (get(saved, key), get(configured, key));
                compare(
                    &under(path, key),
                    saved.as_ref(),
                    configured.as_ref(),
                    found,
                );
            }
        }
        (Some(Value::List(saved)), Some(Value::List(configured))) => {
            for index in 0..saved.len().max(configured.len()) {
                let path = format!("{path}[{index}]");
                compare(&path, saved.get(index), configured.get(index), found);
            }
        }
        (saved, configured) if saved == configured => {}
        // Each key of a table that only one of the two has.
        (Some(Value::Table(table)), None) => {
            for (key, value) in &table.0 {
                compare(&under(path, key), Some(value), None, found);
            }
        }
        (None, Some(Value::Table(table))) => {
            for (key, value) in &table.0 {
                compare(&under(path, key), None, Some(value), found);
            }
        }
        (saved, configured) => found.push(FieldDifference {
            field: path.to_owned().into(),
            saved: text(saved),
            configured: text(configured),
        }),
    }
}

fn under(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

fn text(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Nothing) => "absent".to_owned(),
        Some(Value::Switch(value)) => value.to_string(),
        Some(Value::Unsigned(value)) => value.to_string(),
        Some(Value::Signed(value)) => value.to_string(),
        Some(Value::Number(value)) => Short(*value).to_string(),
        Some(Value::Text(value)) => value.clone(),
        Some(Value::List(values)) => format!("a list of {}", values.len()),
        Some(Value::Table(_)) => "a table".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::ScheduleConfig;

    fn between(saved: &str, configured: &str) -> Vec<String> {
        let read = |text| serde_json::from_str::<ScheduleConfig>(text).unwrap();
        differences("base", &read(saved), &read(configured))
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn the_key_that_differs_is_named_with_its_path() {
        let cosine = |t_max: u64| format!(r#"{{"kind": "cosine", "lr": 1, "t_max": {t_max}}}"#);
        assert_eq!(between(&cosine(5), &cosine(5)), Vec::<String>::new());
        assert_eq!(
            between(&cosine(5), &cosine(7)),
            ["base.t_max was 5 and is 7"]
        );
        assert_eq!(
            between(&cosine(5), r#"{"kind": "fixed", "lr": 1e-9}"#),
            ["base.kind was cosine and is fixed"]
        );
        let product = |inner: &[&str]| {
            format!(
                r#"{{"kind": "product", "schedules": [{}]}}"#,
                inner.join(",")
            )
        };
        let steps =
            |list: &str| format!(r#"{{"kind": "multi-step", "lr": 1, "milestones": {list}}}"#);
        assert_eq!(
            between(
                &product(&[&cosine(5), &steps("[3]")]),
                &product(&[r#"{"kind": "fixed", "lr": 2}"#, &steps("[3, 4]")])
            ),
            [
                "base.schedules[0].kind was cosine and is fixed",
                "base.schedules[1].milestones[1] was absent and is 4"
            ]
        );
    }

    #[test]
    fn a_setting_that_only_one_has_is_absent_in_the_other() {
        #[derive(Serialize)]
        struct Bounded {
            #[serde(skip_serializing_if = "Option::is_none")]
            max_lr: Option<f64>,
        }
        let with = |max_lr| Bounded { max_lr };
        let found = differences("", &with(Some(0.5)), &with(None));
        assert_eq!(found[0].to_string(), "max_lr was 0.5 and is absent");
        assert_eq!(found.len(), 1);
    }
}
