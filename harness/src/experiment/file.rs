//! Experiment files: a specification, and variations of it that are compared.

use std::fmt::Display;
use std::path::Path;

use toml::{Table, Value};

use super::keys::{OF_THE_FILE, fill_in_kinds, fill_in_scheduler};
use super::lines::Lines;
use super::spec_error::SpecError;
use super::spec_error::shown;
use super::{RunSpec, length};
use crate::did_you_mean::unknown;
use crate::exit::BadInput;
use crate::regular_file::{self, Links};
use crate::visible::typed;

/// Characters that a series' name may have at most: it stands in paths and in the columns of tables.
const NAME_LENGTH: usize = 64;
/// Characters of a title or label: a line.
const LINE_LENGTH: usize = 200;
/// Characters of a description: a page.
const PAGE_LENGTH: usize = 5000;
/// Bytes of a file: far more than a specification has, far less than a data set that was named by mistake.
pub(crate) const SPEC_BYTES: u64 = 1 << 20;

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
    place: Place,
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

/// Where an error stands: the file's name, if it has one, and the lines of its keys.
#[derive(Debug, Clone, Default, PartialEq)]
struct Place {
    file: String,
    lines: Lines,
}

impl Place {
    /// `spec.toml, line 3: scheduler.lr = 0: …`
    fn error(&self, line: Option<usize>, message: impl Display) -> BadInput {
        BadInput(match (self.file.as_str(), line) {
            ("", None) => message.to_string(),
            ("", Some(line)) => format!("line {line}: {message}"),
            (file, None) => format!("{file}: {message}"),
            (file, Some(line)) => format!("{file}, line {line}: {message}"),
        })
    }

    /// An error at a key of the file itself, outside of the series.
    fn at(&self, error: &SpecError) -> BadInput {
        let line = error.key().and_then(|key| self.lines.nearest(key));
        self.error(line, error)
    }
}

fn take_text(table: &mut Table, key: &str, limit: usize) -> Result<Option<String>, SpecError> {
    match table.remove(key) {
        None => Ok(None),
        Some(Value::String(text)) => {
            let text = text.trim();
            let length = text.chars().count();
            if length > limit {
                let value = Value::String(text.to_owned());
                let rule = format!("must have at most {limit} characters");
                return Err(SpecError::value(key, &value, rule));
            }
            Ok(Some(text.to_owned()))
        }
        Some(other) => Err(SpecError::value(key, &other, "a text in quotes is needed")),
    }
}

impl ExperimentFile {
    /// Reads and parses a file that the user named, which may be a link.
    ///
    /// # Errors
    /// [`BadInput`] that names the file, the line and what is wrong.
    pub fn load(path: &Path) -> Result<Self, BadInput> {
        Self::load_with(path, Links::Follow)
    }

    /// The same of a file that a folder is expected to hold, which may not be a link.
    ///
    /// # Errors
    /// As [`ExperimentFile::load`].
    pub(crate) fn load_from_folder(path: &Path) -> Result<Self, BadInput> {
        Self::load_with(path, Links::Refuse)
    }

    fn load_with(path: &Path, links: Links) -> Result<Self, BadInput> {
        let text = regular_file::read_text(path, links, SPEC_BYTES)
            .map_err(|error| BadInput(format!("{}: {error}", path.display())))?;
        Self::of_text(&text, path.display().to_string())
    }

    /// Parses the text of a file. Every series is checked as a specification.
    ///
    /// # Errors
    /// [`BadInput`] that names the line and the key and what is wrong.
    pub fn parse(text: &str) -> Result<Self, BadInput> {
        Self::of_text(text, String::new())
    }

    fn of_text(text: &str, file: String) -> Result<Self, BadInput> {
        let mut place = Place {
            file,
            lines: Lines::default(),
        };
        place.lines = Lines::parse(text).map_err(|(line, message)| place.error(line, message))?;
        let mut base: Table = text
            .parse()
            .map_err(|error: toml::de::Error| place.error(None, error.message()))?;
        fill_in_kinds(&mut base);
        let top = |error: SpecError| place.at(&error);
        let title = take_text(&mut base, "title", LINE_LENGTH).map_err(top)?;
        let title = title.unwrap_or_default();
        let description = take_text(&mut base, "description", PAGE_LENGTH).map_err(top)?;
        let series = match base.remove("series") {
            None => vec![SeriesSpec {
                name: String::new(),
                label: title.clone(),
                overrides: Table::new(),
            }],
            Some(value) => all_series(value).map_err(top)?,
        };
        let file = Self {
            title,
            description: description.unwrap_or_default(),
            series,
            base,
            place,
        };
        for series in &file.series {
            file.spec(series, &Table::new())?;
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
        let error = |message: String| self.place.error(None, message);
        match name {
            None if self.series.len() == 1 => Ok(&self.series[0]),
            None => Err(error(format!(
                "the file holds several runs: choose one with --series ({})",
                names.join(", ")
            ))),
            Some(name) if names == [""] => Err(error(format!(
                "--series {}: the file holds one run and no [[series]]",
                typed(name)
            ))),
            Some(name) => self
                .series
                .iter()
                .find(|series| series.name == name)
                .ok_or_else(|| error(unknown("series", name, &names))),
        }
    }

    /// The specification of a series, with `scale` laid over it.
    ///
    /// Where the scale changes the number of epochs, the lengths of open-loop schedules (`t_max`, `milestones`,
    /// `total_iters` and so on, given or not) change in proportion, rounded, at least 1 (`total_iters`: 2), and what came
    /// before the end of the run still does. `cosine` without `t_max` takes the number of epochs; so do `linear-decay`
    /// without `total_iters` and `one-cycle` without `total_steps`.
    ///
    /// # Errors
    /// [`BadInput`] that names the file, the line, the key and the value.
    pub fn spec(&self, series: &SeriesSpec, scale: &Table) -> Result<RunSpec, BadInput> {
        self.spec_with(series, scale, &Table::new())
    }

    /// As [`ExperimentFile::spec`], with `settings` laid over it last, as they are: as if they stood in the file.
    ///
    /// # Errors
    /// [`BadInput`] that names the key and the value.
    pub fn spec_with(
        &self,
        series: &SeriesSpec,
        scale: &Table,
        settings: &Table,
    ) -> Result<RunSpec, BadInput> {
        let located = |error: SpecError| self.locate(series, &[scale, settings], &error);
        let mut table = self.base.clone();
        lay_over(&mut table, &series.overrides);
        fill_in_scheduler(&mut table);
        let before = (!scale.is_empty()).then(|| table.clone());
        lay_over(&mut table, scale);
        if let Some(before) = before {
            length::fit(&before, &mut table).map_err(located)?;
        }
        for key in OF_THE_FILE {
            if settings.contains_key(key) {
                return Err(BadInput(format!(
                    "{key}: is the file's, not a key of a training"
                )));
            }
        }
        lay_over(&mut table, settings);
        length::fill_in(&mut table).map_err(located)?;
        RunSpec::read(table).map_err(located)
    }

    /// An error of a specification of this file that was found later, at the line of its key. `over` is what was laid
    /// over the file.
    pub fn locate(&self, series: &SeriesSpec, over: &[&Table], error: &SpecError) -> BadInput {
        let message = match series.name.as_str() {
            "" => error.to_string(),
            name => format!("series {name:?}: {error}"),
        };
        let Some(key) = error.key() else {
            // What is missing is missing at the end.
            return self.place.error(Some(self.place.lines.last()), message);
        };
        if over.iter().any(|table| holds(table, key)) {
            return self
                .place
                .error(None, format!("{message} (not from the file itself)"));
        }
        self.place.error(self.line(series, key), message)
    }

    /// The line that a key of a series' specification comes from: of the series' own tables, or of the common ones.
    fn line(&self, series: &SeriesSpec, key: &str) -> Option<usize> {
        let lines = &self.place.lines;
        let index = self
            .series
            .iter()
            .position(|other| other.name == series.name && !other.name.is_empty());
        let Some(index) = index else {
            return lines.nearest(key);
        };
        let own = format!("series[{index}].{key}");
        let table = key.split('.').next().unwrap_or_default();
        let kind = |of: &Table| Some(of.get(table)?.get("kind")?.clone());
        let (above, below) = (kind(&series.overrides), kind(&self.base));
        // A table of another kind replaces the common one whole.
        let replaced = above.is_some() && above != below;
        let common = || lines.exact(key).filter(|_| !replaced);
        let around = || {
            series
                .overrides
                .contains_key(table)
                .then(|| lines.nearest(&own))
        };
        lines
            .exact(&own)
            .or_else(common)
            .or_else(|| around().flatten())
            .or_else(|| lines.nearest(key))
    }
}

/// Whether a table holds a key, given by its path.
fn holds(table: &Table, path: &str) -> bool {
    let path = path.split('[').next().unwrap_or_default();
    let mut inner = Some(table);
    let mut found = false;
    for key in path.split('.') {
        let value = inner.and_then(|table| table.get(key));
        found = value.is_some();
        inner = value.and_then(Value::as_table);
    }
    found
}

fn all_series(value: Value) -> Result<Vec<SeriesSpec>, SpecError> {
    let rule = "[[series]] tables are needed";
    let Value::Array(tables) = value else {
        return Err(SpecError::value("series", &value, rule));
    };
    if tables.is_empty() {
        return Err(SpecError::value("series", &Value::Array(tables), rule));
    }
    let mut all: Vec<SeriesSpec> = Vec::new();
    for (index, value) in tables.into_iter().enumerate() {
        let place = format!("series[{index}]");
        let Value::Table(table) = value else {
            let message = format!("series = [{}]: {rule}", shown(&value));
            return Err(SpecError::about(place, message));
        };
        let next = series(table).map_err(|error| error.at(&place, "series"))?;
        if all.iter().any(|other| other.name == next.name) {
            let name = Value::String(next.name);
            let error = SpecError::value("name", &name, "stands there twice");
            return Err(error.at(&place, "series"));
        }
        all.push(next);
    }
    Ok(all)
}

fn series(mut table: Table) -> Result<SeriesSpec, SpecError> {
    let name = take_text(&mut table, "name", NAME_LENGTH)?;
    let name = name.ok_or_else(|| SpecError::missing("name", ": every [[series]] needs one"))?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || !name.chars().all(plain) {
        let rule = "a name has letters, digits, '-' and '_' only";
        return Err(SpecError::value("name", &Value::String(name), rule));
    }
    let label = take_text(&mut table, "label", LINE_LENGTH)?.unwrap_or_else(|| name.clone());
    Ok(SeriesSpec {
        name,
        label,
        overrides: table,
    })
}

/// Lays tables over those of a specification, whose kinds are known before and after.
fn lay_over(lower: &mut Table, upper: &Table) {
    overlay(lower, upper);
    fill_in_kinds(lower);
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
