//! Seeds on the command line.

use crate::typed_number;
use crate::visible::typed;

/// The most seeds of one command.
const MOST: u64 = 10_000;

/// Reads seeds: `0..6` (0 to 5), `0..=5`, or a list `0,1,7`; in ascending order.
///
/// # Errors
/// What is wrong with them.
pub fn seeds(text: &str) -> Result<Vec<u64>, String> {
    let rule = "write 0..6 (which is 0 to 5), 0..=5, or a list such as 0,1,7";
    let number = |word: &str| -> Result<u64, String> {
        let word = word.trim();
        typed_number::whole(word).map_err(|_| match word.parse::<u64>() {
            // No larger than TOML can hold.
            Ok(seed) if seed > i64::MAX.unsigned_abs() => format!("{word} is above {}", i64::MAX),
            _ => format!("\"{}\" is no seed; {rule}", typed(word)),
        })
    };
    let too_many = || format!("{} holds more than {MOST} seeds", typed(text));
    let mut seeds: Vec<u64> = match text.split_once("..") {
        None => {
            if text.split(',').nth(MOST as usize).is_some() {
                return Err(too_many());
            }
            text.split(',').map(number).collect::<Result<_, _>>()?
        }
        Some((first, last)) => {
            let first = number(first)?;
            let end = match last.strip_prefix('=') {
                Some(last) => number(last)?.saturating_add(1),
                None => number(last)?,
            };
            if end <= first {
                return Err(format!("{} holds no seed; {rule}", typed(text)));
            }
            if end - first > MOST {
                return Err(too_many());
            }
            (first..end).collect()
        }
    };
    seeds.sort_unstable();
    match seeds.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("{} stands there twice", pair[0])),
        None => Ok(seeds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_or_a_list() {
        for (text, expected) in [
            ("0..3", &[0, 1, 2][..]),
            ("2..=3", &[2, 3]),
            ("7, 1", &[1, 7]),
            ("5", &[5]),
            ("1_000", &[1000]),
            ("9223372036854775807", &[i64::MAX as u64]),
        ] {
            assert_eq!(seeds(text).as_deref(), Ok(expected), "{text}");
        }
        let list = |count: u64| {
            (0..count)
                .map(|n| n.to_string())
                .collect::<Vec<_>>()
                .join(",")
        };
        for text in ["0..10000", &list(10_000)] {
            assert_eq!(seeds(text).map(|seeds| seeds.len()), Ok(10_000));
        }
        // One too many, in a list as in a range; and not all of them in the error.
        let error = seeds(&list(10_001)).unwrap_err();
        assert!(error.ends_with("holds more than 10000 seeds"), "{error}");
        assert!(error.len() < 200, "{error}");
    }

    #[test]
    fn what_is_none_is_refused_with_the_word() {
        for (text, word) in [
            ("", "\"\""),
            ("3..3", "3..3"),
            ("3..2", "3..2"),
            ("..3", "\"\""),
            ("0..", "\"\""),
            ("-1", "\"-1\""),
            ("1,0,1", "1 stands there twice"),
            ("1,a", "\"a\""),
            ("0..10001", "10000"),
            ("0..9223372036854775808", "9223372036854775808"),
        ] {
            let error = seeds(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
