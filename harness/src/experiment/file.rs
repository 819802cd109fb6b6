//! Experiment files: a specification, and variations of it that are compared.

use std::path::Path;

use toml::{Table, Value};

use super::{RunSpec, schedulers};
use crate::did_you_mean::unknown;
use crate::exit::BadInput;

/// An experiment file: the tables of a [`RunSpec`], a `title`, a `description`, and any number of `[[series]]` with a
/// `name`, a `label` and tables that are laid over the common ones.
#[derive(Debug, Clone, PartialEq)]
pub struct ExperimentFile {
    /// What it is.
    pub title: String,
    /// What is run and how it differs from the paper, in plain words.
    pub description: String,
    /// The series; one without a name where the file has none.
    pub series: Vec<SeriesSpec>,
    base: Table,
}

/// One of the runs that are compared.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesSpec {
    /// Short name, unique in the file.
    pub name: String,
    /// What a reader sees.
    pub label: String,
    overrides: Table,
}

fn take_text(table: &mut Table, key: &str) -> Result<Option<String>, BadInput> {
    match table.remove(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.trim().to_owned())),
        Some(other) => Err(BadInput(format!(
            "{key} = {other}: a text in quotes is needed"
        ))),
    }
}

impl ExperimentFile {
    /// Reads and parses a file.
    ///
    /// # Errors
    /// [`BadInput`] that names the file and what is wrong.
    pub fn load(path: &Path) -> Result<Self, BadInput> {
        let in_file =
            |error: &dyn std::fmt::Display| BadInput(format!("{}: {error}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| in_file(&error))?;
        Self::parse(&text).map_err(|error| in_file(&error))
    }

    /// Parses the text of a file. Every series is checked as a specification.
    ///
    /// # Errors
    /// [`BadInput`] that names the line or the key and what is wrong.
    pub fn parse(text: &str) -> Result<Self, BadInput> {
        let mut base: Table = text.parse().map_err(|error: toml::de::Error| {
            let message = error.message();
            let Some(span) = error.span() else {
                return BadInput(message.to_owned());
            };
            let number = text[..span.start].matches('\n').count();
            let line = text.lines().nth(number).unwrap_or_default().trim();
            BadInput(format!("line {}, `{line}`: {message}", number + 1))
        })?;
        let title = take_text(&mut base, "title")?.unwrap_or_default();
        let description = take_text(&mut base, "description")?.unwrap_or_default();
        let series = match base.remove("series") {
            None => vec![SeriesSpec {
                name: String::new(),
                label: title.clone(),
                overrides: Table::new(),
            }],
            Some(Value::Array(tables)) => {
                tables.into_iter().map(series).collect::<Result<_, _>>()?
            }
            Some(other) => {
                return Err(BadInput(format!(
                    "series = {other}: [[series]] tables are needed"
                )));
            }
        };
        let file = Self {
            title,
            description,
            series,
            base,
        };
        for (index, series) in file.series.iter().enumerate() {
            if file.series[..index]
                .iter()
                .any(|other| other.name == series.name)
            {
                return Err(BadInput(format!(
                    "series {:?} stands there twice",
                    series.name
                )));
            }
            file.spec(series, &Table::new())
                .map_err(|error| match series.name.as_str() {
                    "" => error,
                    name => BadInput(format!("series {name:?}: {error}")),
                })?;
        }
        Ok(file)
    }

    /// The series of a name; without a name, the only one.
    ///
    /// # Errors
    /// [`BadInput`] with the names there are.
    pub fn find(&self, name: Option<&str>) -> Result<&SeriesSpec, BadInput> {
        let names: Vec<&str> = self
            .series
            .iter()
            .map(|series| series.name.as_str())
            .collect();
        match name {
            None if self.series.len() == 1 => Ok(&self.series[0]),
            None => Err(BadInput(format!(
                "the file holds several runs: choose one with --series ({})",
                names.join(", ")
            ))),
            Some(name) if names == [""] => Err(BadInput(format!(
                "--series {name}: the file holds one run and no [[series]]"
            ))),
            Some(name) => self
                .series
                .iter()
                .find(|series| series.name == name)
                .ok_or_else(|| BadInput(unknown("series", name, &names))),
        }
    }

    /// The specification of a series, with `scale` laid over it.
    ///
    /// Where the scale changes the number of epochs, the lengths of open-loop schedules (`t_max`, `milestones`,
    /// `total_iters` and so on) change in proportion, rounded, at least 1 (`total_iters`: 2). `cosine` without `t_max`
    /// takes the number of epochs; so do `linear-decay` without `total_iters` and `one-cycle` without `total_steps`.
    ///
    /// # Errors
    /// [`BadInput`] that names the key and the value.
    pub fn spec(&self, series: &SeriesSpec, scale: &Table) -> Result<RunSpec, BadInput> {
        let mut table = self.base.clone();
        overlay(&mut table, &series.overrides);
        let epochs = |table: &Table| table.get("training")?.get("epochs")?.as_integer();
        let before = epochs(&table);
        overlay(&mut table, scale);
        let after = epochs(&table);
        if let (Some(before), Some(after), Some(Value::Table(scheduler))) =
            (before, after, table.get_mut("scheduler"))
        {
            schedulers::fit(scheduler, before, after);
        }
        RunSpec::from_table(table)
    }
}

fn series(value: Value) -> Result<SeriesSpec, BadInput> {
    let Value::Table(mut table) = value else {
        return Err(BadInput(format!(
            "series = {value}: [[series]] tables are needed"
        )));
    };
    let name = take_text(&mut table, "name")?
        .ok_or_else(|| BadInput("a [[series]] without a name".into()))?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || !name.chars().all(plain) {
        let rule = "a name has letters, digits, '-' and '_' only";
        return Err(BadInput(format!("series.name = {name:?}: {rule}")));
    }
    let label = take_text(&mut table, "label")?.unwrap_or_else(|| name.clone());
    Ok(SeriesSpec {
        name,
        label,
        overrides: table,
    })
}

/// Lays `upper` over `lower`: tables are merged key by key, but one whose `kind` differs replaces the lower whole,
/// since the keys of another kind mean nothing to it.
fn overlay(lower: &mut Table, upper: &Table) {
    for (key, value) in upper {
        match (lower.get_mut(key), value) {
            (Some(Value::Table(below)), Value::Table(above))
                if above.get("kind").is_none() || above.get("kind") == below.get("kind") =>
            {
                overlay(below, above);
            }
            _ => {
                lower.insert(key.clone(), value.clone());
            }
        }
    }
}
