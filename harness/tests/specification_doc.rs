//! The tables of docs/SPECIFICATION.md are those of the keys' definitions: what stands between two markers is written by
//! this test, with `AUTOLR_BLESS=1`, and compared with the file else.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use autolr_core::{Key, KeyDefault, ValueKind};
use harness::data::{DataSetName, Definition, Input};
use harness::experiment::keys::{Keys, TABLES, TableKeys};
use harness::task::NetworkSpec;

fn values(key: &Key) -> String {
    let rule = key.range.rule();
    let range = rule
        .strip_prefix("must be ")
        .or(rule.strip_prefix("must lie "));
    let quoted = |name: &&str| format!("`\"{name}\"`");
    match key.holds {
        ValueKind::Number => range.unwrap_or("any number").to_owned(),
        ValueKind::Whole | ValueKind::Length => {
            format!("whole, {}", range.unwrap_or("0 or more"))
        }
        ValueKind::Seed => "whole, 0 or more".to_owned(),
        ValueKind::Numbers => format!("list of numbers, {}", range.unwrap_or("any")),
        ValueKind::Milestones => "list of whole numbers".to_owned(),
        ValueKind::Switch => "`true`, `false`".to_owned(),
        ValueKind::OneOf(names) => names.iter().map(quoted).collect::<Vec<_>>().join(", "),
        ValueKind::Factors => "list of numbers, or name".to_owned(),
        ValueKind::Schedule => "table".to_owned(),
        ValueKind::Schedules => "list of tables".to_owned(),
        ValueKind::Text => "text".to_owned(),
        other => panic!("{}: what holds {other:?}?", key.name),
    }
}

fn default(key: &Key) -> String {
    match (key.default, key.holds) {
        (KeyDefault::Core(name), ValueKind::OneOf(_)) => format!("`\"{name}\"`"),
        (KeyDefault::Core(value), _) => value.to_owned(),
        (KeyDefault::RunLength, _) => "the run's length".to_owned(),
        (KeyDefault::Unless(other), _) => format!("required, or `{other}`"),
        _ => "required".to_owned(),
    }
}

fn row(text: &mut String, cells: &[&str]) {
    writeln!(text, "| {} |", cells.join(" | ")).unwrap();
}

fn rows(text: &mut String, keys: &[Key], before: &[&str]) {
    for key in keys {
        let (name, values, default) = (format!("`{}`", key.name), values(key), default(key));
        let own = [name.as_str(), &values, &default, key.what];
        row(text, &[before, &own[..]].concat());
    }
}

fn rendered(table: &TableKeys) -> String {
    let mut text = String::new();
    match table.keys {
        Keys::Same(keys) => {
            text += "| key | values | default | |\n|---|---|---|---|\n";
            rows(&mut text, keys, &[]);
        }
        Keys::OfKind(kinds) => {
            text += "| `kind` | key | values | default | |\n|---|---|---|---|---|\n";
            for kind in kinds() {
                let name = format!("**`\"{}\"`**", kind.name);
                row(
                    &mut text,
                    &[&name, "", "", "", &format!("**{}**", kind.what)],
                );
                rows(&mut text, kind.keys, &[""]);
            }
        }
    }
    text
}

/// The data sets with the networks that take them.
fn data_sets() -> String {
    let mut text =
        "| `set` | | examples | classes | networks |\n|---|---|---|---|---|\n".to_owned();
    for set in DataSetName::ALL {
        let Definition {
            what,
            classes,
            examples: (train, test),
            ..
        } = set.definition();
        let examples = format!("{train} + {test}");
        let takes =
            |(name, input): &(&str, Input)| set.form(*input).is_some().then(|| format!("`{name}`"));
        let networks: Vec<String> = NetworkSpec::INPUTS.iter().filter_map(takes).collect();
        let classes = match classes {
            0 => "–".to_owned(),
            n => n.to_string(),
        };
        let name = format!("`\"{}\"`", set.key());
        row(
            &mut text,
            &[&name, what, &examples, &classes, &networks.join(", ")],
        );
    }
    text
}

/// The file with its tables as they should be.
fn with_tables(text: &str) -> String {
    let mut text = text.to_owned();
    let keys = TABLES
        .iter()
        .map(|table| (format!("keys: {}", table.name), rendered(table)));
    for (name, wanted) in keys.chain([("data sets".to_owned(), data_sets())]) {
        let begin = format!("<!-- {name} -->\n");
        let end = "<!-- end -->";
        assert_eq!(text.matches(&begin).count(), 1, "{begin}");
        let from = text.find(&begin).unwrap() + begin.len();
        let to = from + text[from..].find(end).expect("an end");
        text.replace_range(from..to, &format!("\n{wanted}\n"));
    }
    text
}

#[test]
fn the_tables_are_those_of_the_keys() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/SPECIFICATION.md");
    let found = fs::read_to_string(&path).unwrap();
    check_examples(&found);
    let wanted = with_tables(&found);
    if found == wanted {
        return;
    }
    if std::env::var_os("AUTOLR_BLESS").is_some_and(|value| value == "1") {
        fs::write(&path, wanted).unwrap();
        return;
    }
    let differ = |(found, wanted): &(&str, &str)| found != wanted;
    let line = found.lines().zip(wanted.lines()).find(differ);
    panic!(
        "docs/SPECIFICATION.md is not what the keys say: {line:?}\n\
         AUTOLR_BLESS=1 cargo test -p harness --test specification_doc"
    );
}

/// The examples are specifications, or tables of the first one.
fn check_examples(text: &str) {
    let blocks = text.split("```toml\n").skip(1);
    let examples: Vec<toml::Table> = blocks
        .map(|block| block.split("```").next().unwrap().parse().unwrap())
        .collect();
    assert!(examples.len() >= 4, "{}", examples.len());
    for example in &examples {
        let mut file = examples[0].clone();
        file.extend(example.clone());
        let text = toml::to_string(&file).unwrap();
        harness::experiment::ExperimentFile::parse(&text).unwrap();
    }
}
