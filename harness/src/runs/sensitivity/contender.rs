//! The methods of a comparison: those that `robust` is measured by, and those of `experiments/methods.toml`.

use std::sync::LazyLock;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use toml::{Table, Value};

use super::Problem;
use crate::did_you_mean::unknown;
use crate::exit::BadInput;

/// The share of a run that the tuned schedules and `table` warm up in where they are linear.
const WARM_UP: f64 = 0.05;

/// A method of the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Contender {
    /// `robust` with its defaults.
    Robust,
    /// The best of [`GRID`], chosen on other seeds; its search is not counted.
    Tuned,
    /// The same on other seeds: the noise floor.
    TunedAgain,
    /// The usual rate of the optimiser, with warm-up and linear decay.
    Table,
    /// The paper's scheduler, `factor_7`.
    AutoLr,
    /// Schedules at a given rate.
    Constant,
    Cosine,
    Linear,
    /// One of the list, by its place.
    Listed(usize),
}

/// The references, and the methods at a rate.
const NAMED: [Contender; 8] = [
    Contender::Robust,
    Contender::Tuned,
    Contender::TunedAgain,
    Contender::Table,
    Contender::AutoLr,
    Contender::Constant,
    Contender::Cosine,
    Contender::Linear,
];

/// Schedules that the tuned reference is the best of.
pub(super) const GRID: [Contender; 3] = [Contender::Constant, Contender::Cosine, Contender::Linear];

impl Contender {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Robust => "robust",
            Self::Tuned => "tuned",
            Self::TunedAgain => "tuned-again",
            Self::Table => "table",
            Self::AutoLr => "autolr",
            Self::Constant => "constant",
            Self::Cosine => "cosine",
            Self::Linear => "linear",
            Self::Listed(place) => &LISTED[place].name,
        }
    }

    /// All of them.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        NAMED.into_iter().chain((0..LISTED.len()).map(Self::Listed))
    }

    fn named(name: &str) -> Result<Self, String> {
        let found = Self::all().find(|of| of.name() == name);
        let names: Vec<&str> = Self::all().map(Self::name).collect();
        found.ok_or_else(|| unknown("method", name, &names))
    }

    /// Whether it begins at a rate that somebody gives.
    pub(crate) fn takes_rate(self) -> bool {
        matches!(
            self,
            Self::AutoLr | Self::Constant | Self::Cosine | Self::Linear
        )
    }

    /// What stands in for the initial rate, and its value as the authors recommend it; none where that is the usual rate of
    /// the optimiser.
    pub(crate) fn knob(self) -> Option<(&'static str, Option<f64>)> {
        match self {
            Self::Listed(place) => Some((&LISTED[place].knob, LISTED[place].recommended)),
            Self::AutoLr => Some(("scheduler.lr", Some(0.005))),
            _ if self.takes_rate() => Some(("scheduler.lr", None)),
            _ => None,
        }
    }

    /// The recommended value of its knob on a problem.
    pub(crate) fn recommended(self, problem: &Problem) -> Option<f64> {
        let (_, recommended) = self.knob()?;
        Some(recommended.unwrap_or(problem.usual_rate()))
    }

    /// `[scheduler]` and what else it sets, for a run of so many steps. `lr` is the rate, or the value of the knob.
    pub(super) fn settings(self, lr: f64, steps: u64) -> Result<Table, BadInput> {
        let mut settings = Table::new();
        let Self::Listed(place) = self else {
            settings.insert("scheduler".into(), self.scheduler(lr, steps).into());
            return Ok(settings);
        };
        let listed = &LISTED[place];
        settings.insert("scheduler".into(), listed.scheduler.clone().into());
        if let Some(optimizer) = &listed.optimizer {
            settings.insert("optimizer".into(), optimizer.clone().into());
        }
        let mut at = &mut settings;
        let (path, key) = listed.knob.rsplit_once('.').unwrap_or(("", &listed.knob));
        for part in path.split('.') {
            let inner = at.get_mut(part).and_then(Value::as_table_mut);
            at = inner
                .ok_or_else(|| BadInput(format!("{}: there is no table {path}", listed.name)))?;
        }
        at.insert(key.to_owned(), lr.into());
        Ok(settings)
    }

    /// Whether the tuned reference can be it.
    pub(crate) fn is_tunable(self) -> bool {
        GRID.contains(&self)
    }

    /// `[scheduler]`, for a run of so many steps.
    fn scheduler(self, lr: f64, steps: u64) -> Table {
        let whole = |steps: u64| Value::Integer(i64::try_from(steps).unwrap_or(i64::MAX));
        let mut table = Table::new();
        let mut set = |key: &str, value: Value| table.insert(key.to_owned(), value);
        match self {
            Self::Robust | Self::Tuned | Self::TunedAgain | Self::Listed(_) => {
                set("kind", "robust".into());
            }
            Self::AutoLr => {
                set("kind", "autolr".into());
                set("lr", lr.into());
                set("factors", "factor_7".into());
            }
            Self::Constant => {
                set("kind", "fixed".into());
                set("lr", lr.into());
            }
            Self::Cosine => {
                set("kind", "cosine".into());
                set("lr", lr.into());
                set("unit", "step".into());
                set("t_max", whole(steps));
            }
            Self::Linear | Self::Table => {
                let rise = ((WARM_UP * steps as f64) as u64).max(1);
                let mut after = Table::new();
                after.insert("kind".into(), "linear-decay".into());
                after.insert("lr".into(), lr.into());
                after.insert(
                    "total_iters".into(),
                    whole(steps.saturating_sub(rise).max(1)),
                );
                set("kind", "warm-up".into());
                set("unit", "step".into());
                set("steps", whole(rise));
                set("start_factor", 0.0.into());
                set("schedule", Value::Table(after));
            }
        }
        table
    }
}

impl Serialize for Contender {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Contender {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::named(&name).map_err(de::Error::custom)
    }
}

/// A method of `experiments/methods.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    name: String,
    /// The path of the key that stands in for an initial rate.
    knob: String,
    /// Its value as the authors recommend it; none: the usual rate of the problem's optimiser.
    recommended: Option<f64>,
    scheduler: Table,
    /// Its own, in place of the problem's.
    optimizer: Option<Table>,
}

static LISTED: LazyLock<Vec<Listed>> = LazyLock::new(|| {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        method: Vec<Listed>,
    }
    // It is built in, and a test reads it.
    let file = toml::from_str(include_str!("../../../../experiments/methods.toml"));
    file.map_or_else(|_| Vec::new(), |file: File| file.method)
});

/// Contenders by their names: a list, or `all`.
pub(crate) fn contenders(text: &str) -> Result<Vec<Contender>, String> {
    if text == "all" {
        return Ok(Contender::all().collect());
    }
    let found: Vec<Contender> = text
        .split(',')
        .map(|name| Contender::named(name.trim()))
        .collect::<Result<_, _>>()?;
    match found
        .iter()
        .enumerate()
        .find(|(i, of)| found[..*i].contains(of))
    {
        Some((_, of)) => Err(format!("{} is given twice", of.name())),
        None => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_read_and_names_are_unique() {
        let text = include_str!("../../../../experiments/methods.toml");
        assert_eq!(LISTED.len(), text.matches("[[method]]").count());
        let names: std::collections::HashSet<&str> =
            Contender::all().map(Contender::name).collect();
        assert_eq!(names.len(), Contender::all().count());
        for of in Contender::all() {
            assert_eq!(contenders(of.name()).unwrap(), [of]);
            of.settings(0.5, 100).unwrap();
        }
    }
}
