//! What is wrong with one key, from the keys' definitions.

use std::fmt::Write as _;

use autolr_core::{Key, KeyDefault, Kind, ValueKind, kinds};
use harness::data::DataSetName;
use harness::experiment::keys::{Keys, TABLES};
use harness::experiment::{ExperimentFile, RunSpec};
use tempfile::TempDir;
use toml::{Table, Value};

use super::{REFERENCE, refused, said_by_library};

/// A sound specification whose table `table` is about to get a mistake.
struct Base {
    table: &'static str,
    tables: Table,
    keys: Vec<&'static Key>,
    kind: Option<&'static Kind>,
}

/// One mistake: what the table holds instead, the key whose line is named, and what is said.
struct Mistake {
    key: String,
    value: Option<String>,
    said: Vec<String>,
}

fn sound(kind: &Kind) -> Table {
    let inner = "{ kind = \"fixed\", lr = 1 }";
    let mut text = format!("kind = \"{}\"\n", kind.name);
    for key in kind.keys {
        let optional = matches!(key.default, KeyDefault::Core(_) | KeyDefault::RunLength);
        let value = match key.holds {
            _ if optional => continue,
            ValueKind::Number => "0.5",
            ValueKind::Length => "3",
            ValueKind::Milestones if kind.name == "sequential" => "[]",
            ValueKind::Milestones => "[3]",
            ValueKind::Factors => "\"factor_3\"",
            ValueKind::Schedule => inner,
            ValueKind::Schedules => &format!("[{inner}]"),
            ValueKind::OneOf(names) => &format!("\"{}\"", names[0]),
            other => panic!("{}: what holds {other:?}?", key.name),
        };
        writeln!(text, "{} = {value}", key.name).unwrap();
    }
    text.parse().unwrap()
}

fn bases() -> Vec<Base> {
    let reference: Table = REFERENCE.parse().unwrap();
    let mut bases = Vec::new();
    for table in &TABLES {
        let kinds = match table.keys {
            Keys::Same(keys) => {
                let mut tables = reference.clone();
                if table.list {
                    let group: Table = "kind = \"head\"".parse().unwrap();
                    tables.insert(table.name.to_owned(), vec![group].into());
                }
                bases.push(Base {
                    table: table.name,
                    tables,
                    keys: keys.iter().collect(),
                    kind: None,
                });
                continue;
            }
            Keys::OfKind(kinds) => kinds(),
        };
        for kind in kinds {
            let mut tables = reference.clone();
            tables.insert(table.name.to_owned(), sound(kind).into());
            if table.name == "network" {
                feed(&mut tables);
            }
            if table.name == "optimizer" {
                // Not all of them serve a scheduler that tries rates.
                let fixed: Table = "kind = \"fixed\"\nlr = 0.1".parse().unwrap();
                tables.insert("scheduler".to_owned(), fixed.into());
            }
            let unit = kind.key("unit").filter(|_| kind.is_schedule);
            bases.push(Base {
                table: table.name,
                tables,
                keys: kind.keys.iter().chain(unit).collect(),
                kind: Some(kind),
            });
        }
    }
    bases
}

/// Sets the data to one that the network takes.
fn feed(tables: &mut Table) {
    let sound = |set: &&&str| {
        tables["data"]
            .as_table_mut()
            .unwrap()
            .insert("set".to_owned(), (**set).into());
        RunSpec::from_table(tables.clone()).is_ok()
    };
    DataSetName::KEYS
        .iter()
        .find(sound)
        .expect("some data fits");
}

/// The table, or the first of a list.
fn table_of(value: &Value) -> &Table {
    let first = value.as_array().map_or(value, |list| &list[0]);
    first.as_table().unwrap()
}

impl Base {
    fn at(&self) -> &Table {
        table_of(&self.tables[self.table])
    }

    /// The text with a mistake, and the line that the error has to name.
    fn with(&self, mistake: &Mistake) -> (String, usize) {
        let mut lines = Vec::new();
        let mut wrong = None;
        for (name, table) in &self.tables {
            lines.push(match table {
                Value::Array(_) => format!("[[{name}]]"),
                _ => format!("[{name}]"),
            });
            if name == self.table {
                wrong = Some(lines.len());
            }
            for (key, value) in table_of(table) {
                if name != self.table || *key != mistake.key {
                    lines.push(format!("{key} = {value}"));
                }
            }
            if let Some(value) = mistake.value.as_ref().filter(|_| name == self.table) {
                lines.push(format!("{} = {value}", mistake.key));
                wrong = Some(lines.len());
            }
        }
        (lines.join("\n") + "\n", wrong.expect("the table is there"))
    }

    fn mistakes(&self) -> Vec<Mistake> {
        let mut all = Vec::new();
        let mut add = |key: &str, value: Option<String>, said: &[String]| {
            all.push(Mistake {
                key: key.to_owned(),
                value,
                said: said.to_vec(),
            });
        };
        let place = |key: &str| format!("{}.{key}", self.table);
        for key in &self.keys {
            for value in wrong_types(key.holds) {
                let shown: Value = format!("x = {value}").parse::<Table>().unwrap()["x"].clone();
                let said = format!("{} = {shown}: must be ", place(key.name));
                add(key.name, Some((*value).to_owned()), &[said]);
            }
            for (value, said) in out_of_range(key) {
                let said = format!("{}.{said}", self.table);
                add(key.name, Some(value), &[said]);
            }
            if let ValueKind::OneOf(names) = key.holds {
                for name in ["?", &format!("{}x", names[0])] {
                    let said =
                        format!("{} = \"{name}\": must be \"{}\"", place(key.name), names[0]);
                    let meant = format!("did you mean \"{}\"?", names[0]);
                    let said = if name == "?" {
                        vec![said]
                    } else {
                        vec![said, meant]
                    };
                    add(key.name, Some(format!("\"{name}\"")), &said);
                }
            }
            // Beside the right one, so that nothing is missing.
            let misspelt = format!("{}{}", key.name, key.name.chars().last().unwrap());
            let said = [
                format!("{}: unknown key `{misspelt}`", self.table),
                format!("did you mean `{}`?", key.name),
            ];
            add(&misspelt, Some("1".to_owned()), &said);
            if self.at().contains_key(key.name) {
                let needed = !matches!(key.default, KeyDefault::Core(_) | KeyDefault::RunLength);
                let said = format!("{}: missing", place(key.name));
                if needed {
                    add(key.name, None, &[said]);
                }
            }
        }
        if let Some(kind) = self.kind {
            let mut tables = TABLES.iter().filter(|table| table.name == self.table);
            if tables.all(|table| table.default_kind.is_none()) {
                let said = format!("{}: missing", place("kind"));
                add("kind", None, &[said]);
            }
            let said = format!("{} = 1: must be a name in quotes", place("kind"));
            add("kind", Some("1".to_owned()), &[said]);
            let misspelt = format!("{}x", kind.name);
            let said = [
                format!("{}: unknown {} `{misspelt}`", place("kind"), self.table),
                format!("did you mean `{}`?", kind.name),
            ];
            add("kind", Some(format!("\"{misspelt}\"")), &said);
            for other in self.of_other_kinds(kind) {
                let said = format!(
                    "{} = 1: kind = \"{}\" has no such key",
                    place(other),
                    kind.name
                );
                add(other, Some("1".to_owned()), &[said]);
            }
        }
        all
    }

    /// Up to two keys that other kinds of the table have.
    fn of_other_kinds(&self, kind: &Kind) -> Vec<&'static str> {
        let table = TABLES.iter().find(|table| table.name == self.table);
        let Some(Keys::OfKind(kinds)) = table.map(|table| table.keys) else {
            return Vec::new();
        };
        let others = kinds().into_iter().flat_map(|other| other.keys);
        let names = others.map(|key| key.name);
        names
            .filter(|name| kind.key(name).is_none())
            .take(2)
            .collect()
    }
}

/// Values of other types than a key holds.
fn wrong_types(holds: ValueKind) -> &'static [&'static str] {
    match holds {
        ValueKind::Number => &["\"fast\"", "\"0.1\"", "true", "[0.1]"],
        ValueKind::Whole | ValueKind::Length => &["\"3\"", "1.5", "3.0", "nan", "true", "{}"],
        ValueKind::Seed => &["\"3\"", "0.5", "[0, 1]"],
        ValueKind::Milestones => &["30", "[3.5]", "[-3]", "\"30,80\""],
        ValueKind::Numbers => &["30", "[\"3\"]", "[[3]]"],
        ValueKind::Switch => &["0", "\"true\""],
        ValueKind::OneOf(_) => &["1", "true"],
        ValueKind::Factors => &["3", "[1, \"2\"]", "{}"],
        ValueKind::Schedule => &["\"cosine\"", "[]"],
        ValueKind::Schedules => &["{}", "[1]"],
        _ => &["500", "true"],
    }
}

/// Numbers outside of a key's range, with what is said of them.
fn out_of_range(key: &Key) -> Vec<(String, String)> {
    let (least, most) = key.range.ends();
    match key.holds {
        ValueKind::Number => {
            let ends = [least.next_down(), least, most, most.next_up()];
            let no_numbers = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1e30];
            let wrong = ends.into_iter().chain(no_numbers);
            let said = |number| Some((number, key.range.check(key.name, number).err()?));
            let wrong = wrong.filter_map(said);
            let mut wrong: Vec<(String, String)> = wrong
                .map(|(number, error)| (format!("{number:?}").to_lowercase(), error.to_string()))
                .collect();
            wrong.dedup();
            wrong
        }
        ValueKind::Whole | ValueKind::Length => {
            let least = if least.is_finite() { least as i64 } else { 0 };
            let most = if most.is_finite() {
                most as i64
            } else {
                i64::from(u32::MAX)
            };
            let wrong = [least - 1, -32, most + 1, i64::MAX].into_iter();
            let said = |number: i64| {
                let rule = match (key.range.has(number as f64), number < 0) {
                    (false, _) => key.range.rule(),
                    (true, true) => "must not be negative",
                    (true, false) => "must be at most 4294967295",
                };
                (
                    number.to_string(),
                    format!("{} = {number}: {rule}", key.name),
                )
            };
            wrong.map(said).collect()
        }
        ValueKind::Seed => vec![(
            "-1".to_owned(),
            format!("{} = -1: must not be negative", key.name),
        )],
        _ => Vec::new(),
    }
}

#[test]
fn every_mistake_with_one_key_is_refused() {
    let temp = TempDir::new().unwrap();
    let (mut tried, mut wrong, mut sample) = (0, Vec::new(), String::new());
    let dir = temp.path();
    for base in bases() {
        let none = Mistake {
            key: String::new(),
            value: None,
            said: Vec::new(),
        };
        // It is the mistake that is refused.
        let (text, _) = base.with(&none);
        ExperimentFile::parse(&text).unwrap();
        for mistake in base.mistakes() {
            let (text, line) = base.with(&mistake);
            let said: Vec<&str> = mistake.said.iter().map(String::as_str).collect();
            let by_library = said_by_library(dir, &text);
            if tried % 40 == 0 {
                assert_eq!(super::said(dir, &text), by_library);
            }
            match refused(&by_library, line, &said) {
                Ok(said) => {
                    let step = base.kind.is_some_and(|kind| kind.name == "step");
                    if step || base.table == "training" {
                        sample += &said;
                    }
                }
                Err(error) => wrong.push(error),
            }
            tried += 1;
        }
    }
    assert!(wrong.is_empty(), "{}: {}", wrong.len(), wrong.join("\n"));
    assert!(tried > 1000, "{tried} mistakes");
    insta::assert_snapshot!("generated", sample);
}

/// The same within another schedule: the error has the whole path.
#[test]
fn every_mistake_within_a_schedule_has_its_path() {
    let mut tried = 0;
    for kind in kinds().filter(|kind| kind.is_schedule) {
        for key in kind.keys {
            for (value, said) in out_of_range(key) {
                let mut inner = sound(kind);
                let read: Table = format!("x = {value}").parse().unwrap();
                inner.insert(key.name.to_owned(), read["x"].clone());
                let mut tables: Table = REFERENCE.parse().unwrap();
                let fixed: Table = "kind = \"fixed\"\nlr = 1".parse().unwrap();
                let mut outer = Table::new();
                outer.insert("kind".to_owned(), "product".into());
                outer.insert("schedules".to_owned(), vec![fixed, inner].into());
                tables.insert("scheduler".to_owned(), outer.into());
                let text = toml::to_string(&tables).unwrap();
                let error = ExperimentFile::parse(&text).unwrap_err().to_string();
                let said = format!(": scheduler.schedules[1].{said}");
                assert!(error.contains(&said), "{error}: {said}");
                tried += 1;
            }
        }
    }
    assert!(tried > 150, "{tried}");
}
