//! Numbers as they are typed: by TOML's grammar wherever one is given, so that the command line takes what a file takes
//! (`1_000`) and refuses what a file refuses (`.5`).

use toml::{Table, Value};

/// The number that a word is.
///
/// # Errors
/// The rule that it breaks, and how the number is written if it is nearly one.
pub(crate) fn number(word: &str) -> Result<f64, String> {
    match toml_number(word) {
        Some(Value::Integer(number)) => Ok(number as f64),
        Some(Value::Float(number)) => Ok(number),
        _ => Err(match meant(word) {
            Some(meant) => format!("must be a number: write {meant}"),
            None => "must be a number".to_owned(),
        }),
    }
}

/// The same of a whole number that is not negative.
pub(crate) fn whole(word: &str) -> Result<u64, String> {
    match toml_number(word) {
        Some(Value::Integer(number)) if number >= 0 => Ok(number.unsigned_abs()),
        _ => Err(match word.parse::<i128>() {
            Ok(number) if number > i64::MAX.into() => format!("must be at most {}", i64::MAX),
            Ok(number) if number >= 0 => format!("must be a whole number: write {number}"),
            _ => "must be a whole number".to_owned(),
        }),
    }
}

/// How TOML writes a number that is typed as other languages have it: `0.5` for `.5`.
pub(crate) fn meant(word: &str) -> Option<String> {
    if toml_number(word).is_some() {
        return None;
    }
    let digits = |word: &str| word.bytes().any(|byte| byte.is_ascii_digit());
    if let Ok(number) = word.parse::<i64>() {
        return Some(number.to_string());
    }
    match word.parse::<f64>() {
        Ok(number) if number.is_finite() => Some(format!("{number:?}")),
        // Too large for a number is no way to write infinity.
        Ok(number) if !digits(word) => Some(format!("{number:?}").to_lowercase()),
        _ => None,
    }
}

/// The value of TOML that a word is, if that is a number.
fn toml_number(word: &str) -> Option<Value> {
    // No line feed, blank or comment that would bring other text along.
    let part = |byte: u8| byte.is_ascii_alphanumeric() || b"+-._".contains(&byte);
    if word.is_empty() || !word.bytes().all(part) {
        return None;
    }
    let value = format!("value = {word}")
        .parse::<Table>()
        .ok()?
        .remove("value")?;
    (value.is_integer() || value.is_float()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_toml() {
        for (word, value) in [
            ("0.5", 0.5),
            ("1_000", 1000.0),
            ("+1e-3", 1e-3),
            ("1_0.2_5", 10.25),
            ("-inf", f64::NEG_INFINITY),
            ("0x10", 16.0),
        ] {
            assert_eq!(number(word), Ok(value), "{word}");
            let file: Table = format!("value = {word}").parse().unwrap();
            let in_file = &file["value"];
            let in_file = in_file
                .as_float()
                .or(in_file.as_integer().map(|n| n as f64));
            assert_eq!(in_file, Some(value), "{word}");
        }
        assert!(number("nan").unwrap().is_nan());
        for (word, meant) in [
            (".5", Some("0.5")),
            ("5.", Some("5.0")),
            ("-.5e1", Some("-5.0")),
            ("007", Some("7")),
            ("Infinity", Some("inf")),
            ("NaN", Some("nan")),
            ("1__0", None),
            ("1_", None),
            ("fast", None),
            ("", None),
            ("1 # one", None),
            ("1\nb = 2", None),
            ("true", None),
        ] {
            let expected = match meant {
                Some(meant) => format!("must be a number: write {meant}"),
                None => "must be a number".to_owned(),
            };
            assert_eq!(number(word), Err(expected), "{word}");
            assert!(format!("value = {word}").parse::<Table>().is_err() || meant.is_none());
        }
    }

    #[test]
    fn whole_numbers_are_whole() {
        assert_eq!(whole("1_000"), Ok(1000));
        assert_eq!(whole("0"), Ok(0));
        for (word, hint) in [
            ("", ""),
            ("-1", ""),
            ("1.0", ""),
            ("1e3", ""),
            (".5", ""),
            ("x", ""),
            ("007", ": write 7"),
        ] {
            assert_eq!(whole(word), Err(format!("must be a whole number{hint}")));
        }
        let most = "must be at most 9223372036854775807".to_owned();
        assert_eq!(whole("9223372036854775808"), Err(most));
    }
}
