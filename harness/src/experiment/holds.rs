//! What a key holds, in a specification file and on the command line. Ranges are checked later.

use toml::Value;

/// What a key holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    Number,
    Whole,
    /// A number of epochs: it changes in proportion when a scale changes the length of the training.
    Length,
    /// Numbers of epochs.
    Milestones,
    Seed,
    Switch,
    Name,
    Factors,
    /// A table with the keys of another schedule.
    Schedule,
    /// Several of them.
    Schedules,
}

impl Holds {
    /// The rule that `value` breaks, if it does.
    pub(super) fn broken_by(self, value: &Value) -> Option<&'static str> {
        let number = |value: &Value| value.is_float() || value.is_integer();
        // Sizes of networks are 32 bits wide, which is enough for all the others.
        let whole = |value: &Value| value.as_integer().is_some_and(|n| u32::try_from(n).is_ok());
        let list_of = |good: &dyn Fn(&Value) -> bool| {
            value.as_array().is_some_and(|list| list.iter().all(good))
        };
        let (good, rule) = match self {
            Self::Number => (number(value), "must be a number"),
            Self::Whole | Self::Length => {
                (whole(value), "must be a whole number from 0 to 4294967295")
            }
            Self::Milestones => (
                list_of(&whole),
                "must be a list of whole numbers from 0 to 4294967295",
            ),
            Self::Seed => (
                value.as_integer().is_some_and(|n| n >= 0),
                "must be a whole number from 0 to 9223372036854775807",
            ),
            Self::Switch => (value.is_bool(), "must be true or false"),
            Self::Name => (value.is_str(), "must be a name in quotes"),
            Self::Factors => (
                value.is_str() || list_of(&number),
                "must be a list of numbers, or a name such as \"factor_5\"",
            ),
            Self::Schedule => (
                value.is_table(),
                "must be a table with the keys of a schedule",
            ),
            Self::Schedules => (
                list_of(&Value::is_table),
                "must be a list of tables with the keys of a schedule each",
            ),
        };
        (!good).then_some(rule)
    }

    /// The value that a word of the command line stands for, or the rule that it breaks.
    pub(crate) fn parse(self, word: &str) -> Result<Value, &'static str> {
        let whole = |word: &str| {
            word.parse()
                .ok()
                .filter(|&n: &i64| n >= 0)
                .map(Value::Integer)
        };
        match self {
            Self::Number => word
                .parse()
                .map(Value::Float)
                .map_err(|_| "must be a number"),
            Self::Length => whole(word).ok_or("must be a whole number of epochs, at least 1"),
            Self::Whole | Self::Seed => whole(word).ok_or("must be a whole number"),
            Self::Milestones => word
                .split(',')
                .map(whole)
                .collect::<Option<_>>()
                .map(Value::Array)
                .ok_or("must be whole numbers of epochs with commas in between, such as 30,80"),
            Self::Switch => word
                .parse()
                .map(Value::Boolean)
                .map_err(|_| "must be true or false"),
            Self::Name => Ok(Value::String(word.to_owned())),
            Self::Factors | Self::Schedule | Self::Schedules => {
                Err("is for specification files only")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Holds::{self, Length, Milestones, Name, Number, Schedule, Switch, Whole};
    use toml::Value;

    #[test]
    fn words_become_values_or_name_the_rule() {
        let whole = |n| Value::Integer(n);
        for (holds, word, value) in [
            (Number, "1e-3", Value::Float(0.001)),
            (Number, "inf", Value::Float(f64::INFINITY)),
            (Length, "30", whole(30)),
            (Whole, "0", whole(0)),
            (Milestones, "30", Value::Array(vec![whole(30)])),
            (Milestones, "30,0", Value::Array(vec![whole(30), whole(0)])),
            (Switch, "true", Value::Boolean(true)),
            (Name, "cos", Value::String("cos".to_owned())),
        ] {
            assert_eq!(holds.parse(word), Ok(value), "{holds:?} {word}");
        }
        for (holds, words) in [
            (Number, &["", "fast"][..]),
            (Length, &["", "2.5", "-3", "99999999999999999999"]),
            (Whole, &["", "-1"]),
            (Milestones, &["", "30,", "30 80", "-1", "[30]"]),
            (Switch, &["", "yes", "1"]),
            (Schedule, &["cosine"]),
        ] {
            for word in words {
                assert!(holds.parse(word).is_err(), "{holds:?} {word}");
            }
        }
    }

    #[test]
    fn values_of_another_type_break_a_rule() {
        let text = r#"number = 1.5
            whole = 3
            negative = -1
            name = "x"
            list = [1, 2]
            fractions = [1.5]
            switch = true
            table = {}
            tables = [{}, {}]
            mixed = [{}, 1]"#;
        let values: toml::Table = text.parse().expect("valid TOML");
        let good = |holds: Holds| -> Vec<&str> {
            let fits = |(_, value): &(&String, &Value)| holds.broken_by(value).is_none();
            values
                .iter()
                .filter(fits)
                .map(|(key, _)| key.as_str())
                .collect()
        };
        assert_eq!(good(Number), ["negative", "number", "whole"]);
        assert_eq!(good(Whole), ["whole"]);
        assert_eq!(good(Length), ["whole"]);
        assert_eq!(good(Milestones), ["list"]);
        assert_eq!(good(Holds::Seed), ["whole"]);
        assert_eq!(good(Switch), ["switch"]);
        assert_eq!(good(Name), ["name"]);
        assert_eq!(good(Holds::Factors), ["fractions", "list", "name"]);
        assert_eq!(good(Schedule), ["table"]);
        assert_eq!(good(Holds::Schedules), ["tables"]);
    }
}
