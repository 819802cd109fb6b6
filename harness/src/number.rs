//! How numbers are written for a person: in the report, on a terminal, in messages.

/// A share in \[0, 1\] in percent, to one decimal, or one digit of what would be none: `87.0`, `0.004`.
pub(crate) fn percent(share: f64) -> String {
    if share.is_finite() {
        let percent = 100.0 * share;
        if percent != 0.0 && !(0.05..1e6).contains(&percent.abs()) {
            to_digits(percent, 1)
        } else {
            format!("{percent:.1}")
        }
    } else {
        not_finite(share)
    }
}

/// The same to three significant digits: `87.0`, `0.0250`, `2.50e-7`.
pub(crate) fn percent_to_digits(share: f64) -> String {
    to_digits(100.0 * share, 3)
}

/// Percents over seeds, to two decimals, below which they say nothing: `87.05`, `−3.20`.
pub(crate) fn hundredths(value: f64) -> String {
    if value.abs() >= 1e6 {
        to_digits(value, 4)
    } else if value.is_finite() {
        format!("{value:.2}").replace('-', "−")
    } else {
        not_finite(value)
    }
}

/// A difference to two decimals, with its sign: `+1.30`, `−0.12`, `0.00`.
pub(crate) fn signed(value: f64) -> String {
    let size = hundredths(value.abs());
    if !value.is_finite() {
        not_finite(value)
    } else if size.bytes().all(|byte| matches!(byte, b'0' | b'.')) {
        size
    } else if value > 0.0 {
        format!("+{size}")
    } else {
        format!("−{size}")
    }
}

/// A p-value, to three decimals; never a zero, and never 0.050 for what is above the level.
pub(crate) fn p_value(p: f64) -> String {
    if p < 0.001 {
        "< 0.001".to_owned()
    } else if p > 0.05 && p < 0.0505 {
        format!("{p:.4}")
    } else {
        format!("{p:.3}")
    }
}

/// A loss (nats), to three decimals: see [`decimals`].
pub(crate) fn loss(value: f64) -> String {
    decimals(value, 3)
}

/// A number to so many decimals, and where that says less, or goes on for long, to as many significant digits: `2.308`,
/// `0.0251`, `2.51e-5`, `1.23e4`.
pub(crate) fn decimals(value: f64, decimals: usize) -> String {
    let size = value.abs();
    if value == 0.0 || (0.1..1e4).contains(&size) {
        format!("{value:.decimals$}").replace('-', "−")
    } else {
        to_digits(value, decimals)
    }
}

/// A loss that is a result, to four significant digits: `2.308`, `0.02510`, `5.120e-9`.
pub(crate) fn significant(value: f64) -> String {
    to_digits(value, 4)
}

/// A number to so many significant digits: plain from 0.001 on, as long as it has no more digits before the point.
pub(crate) fn to_digits(value: f64, digits: usize) -> String {
    if !value.is_finite() {
        return not_finite(value);
    }
    let size = value.abs();
    let digits = digits.max(1);
    let text = if size == 0.0 {
        "0".to_owned()
    } else if (1e-3..10_f64.powi(digits as i32)).contains(&size) {
        let decimals = (digits as i32 - 1 - size.log10().floor() as i32).max(0) as usize;
        format!("{size:.decimals$}")
    } else {
        format!("{size:.*e}", digits - 1)
    };
    if value < 0.0 {
        format!("−{text}")
    } else {
        text
    }
}

/// A difference of such losses, with its sign: `+0.01300`, `−0.1200`, `0`.
pub(crate) fn signed_significant(value: f64) -> String {
    let text = significant(value);
    if value > 0.0 && value.is_finite() {
        format!("+{text}")
    } else {
        text
    }
}

/// A learning rate, to three significant digits: `5.00e-3`.
pub(crate) fn rate(value: f64) -> String {
    if value.is_finite() {
        format!("{value:.2e}")
    } else {
        not_finite(value)
    }
}

/// A number with all its digits, and no more characters than these need: `0.30000000000000004`, `1e300`.
pub(crate) fn exact(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 || !size.is_finite() || (1e-4..1e6).contains(&size) {
        value.to_string()
    } else {
        format!("{value:e}")
    }
}

/// A number for a program to read, to five significant digits, and short: `0.005`, `1.25e-7`, `NaN`, `-inf`.
pub(crate) fn plain(value: f64) -> String {
    let rounded: f64 = format!("{value:.4e}").parse().unwrap_or(value);
    let (plain, scientific) = (rounded.to_string(), format!("{rounded:e}"));
    // Where it saves but a letter or two, digits read better.
    if scientific.len() + 2 < plain.len() {
        scientific
    } else {
        plain
    }
}

/// A count, to three significant digits from 10,000 on: `4.00 M`.
pub(crate) fn count(value: u64) -> String {
    const UNITS: [(f64, &str); 4] = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    if value < 10_000 {
        return value.to_string();
    }
    let value = value as f64;
    // 999,999 is 1.00 M: the unit goes by the rounded value.
    let (unit, name) = UNITS
        .into_iter()
        .find(|(unit, _)| value >= 0.9995 * unit)
        .unwrap_or((1e3, "k"));
    let scaled = value / unit;
    let decimals = if scaled < 9.995 {
        2
    } else if scaled < 99.95 {
        1
    } else {
        0
    };
    format!("{scaled:.decimals$} {name}")
}

/// A count in full, in groups of three digits: `11,173,962`.
pub(crate) fn grouped(value: usize) -> String {
    let digits = value.to_string();
    let mut grouped = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Seconds as a person says them: `12.3 s`, `4 min 05 s`, `2 h 03 min`.
pub(crate) fn duration(seconds: f64) -> String {
    if !(0.0..1e12).contains(&seconds) {
        return "–".to_owned();
    }
    if seconds < 59.95 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    if whole < 3600 {
        return format!("{} min {:02} s", whole / 60, whole % 60);
    }
    let minutes = (seconds / 60.0).round() as u64;
    format!("{} h {:02} min", minutes / 60, minutes % 60)
}

/// `1 run`, `2 runs`.
pub(crate) fn plural(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

fn not_finite(value: f64) -> String {
    let text = if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "∞"
    } else {
        "−∞"
    };
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_keep_four_digits() {
        for (value, text) in [
            (2.30849, "2.308"),
            (0.025_099, "0.02510"),
            (-1234.56, "−1235"),
            (12_345.6, "1.235e4"),
            (5.1204e-9, "5.120e-9"),
            (0.0, "0"),
            (-0.0, "0"),
            (f64::INFINITY, "∞"),
        ] {
            assert_eq!(significant(value), text);
        }
        assert_eq!(signed_significant(0.5), "+0.5000");
        assert_eq!(signed_significant(-0.5), "−0.5000");
        assert_eq!(signed_significant(0.0), "0");
    }

    /// Whatever the number: none is lost to a zero, and none is long.
    #[test]
    fn every_magnitude_keeps_its_digits_in_few_characters() {
        let forms: [fn(f64) -> String; 8] = [
            percent_to_digits,
            loss,
            significant,
            rate,
            |value| to_digits(value, 7),
            |value| decimals(value, 2),
            exact,
            plain,
        ];
        for exponent in -307..=306 {
            let number = format!("1.2345678e{exponent}").parse::<f64>().unwrap();
            for form in forms {
                for value in [number, -number] {
                    let text = form(value);
                    assert!(text.chars().count() <= 24, "{text}");
                    let read: f64 = text.replace('−', "-").parse().unwrap();
                    let ratio = read / value;
                    let near = (ratio - 1.0).abs() < 0.05 || (ratio - 100.0).abs() < 5.0;
                    assert!(near, "{value}: {text}");
                }
            }
        }
        for (share, text) in [(0.87, "87.0"), (4e-4, "0.04"), (2e-7, "2e-5"), (0.0, "0.0")] {
            assert_eq!(percent(share), text);
        }
        for (value, text) in [
            (2.3, "2.300"),
            (0.0251, "0.0251"),
            (0.1, "0.100"),
            (-0.000_025, "−2.50e-5"),
            (0.0, "0.000"),
            (435_777_895_476_605_952.0, "4.36e17"),
        ] {
            assert_eq!(loss(value), text);
        }
        assert_eq!(to_digits(9_999_999.9, 7), "10000000");
        assert_eq!(hundredths(-1e300), "−1.000e300");
        assert_eq!(signed(1e300), "+1.000e300");
    }

    #[test]
    fn counts() {
        let cases = [
            (0, "0"),
            (9_999, "9999"),
            (10_000, "10.0 k"),
            (123_456, "123 k"),
            (999_999, "1.00 M"),
            (4_000_000, "4.00 M"),
            (9_996_000, "10.0 M"),
            (u64::MAX, "18446744 T"),
        ];
        for (value, text) in cases {
            assert_eq!(count(value), text);
        }
    }

    #[test]
    fn plain_numbers_are_short() {
        let cases = [
            (0.005, "0.005"),
            (0.123_456, "0.12346"),
            (1.25e-7, "1.25e-7"),
            (1e9, "1e9"),
            (99_999.6, "1e5"),
            (100.0, "100"),
            (0.0, "0"),
            (-1.5, "-1.5"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-inf"),
        ];
        for (value, text) in cases {
            assert_eq!(plain(value), text);
        }
    }

    #[test]
    fn groups_of_three() {
        for (value, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (11_173_962, "11,173,962"),
        ] {
            assert_eq!(grouped(value), text);
        }
    }

    #[test]
    fn durations() {
        let cases = [
            (0.04, "0.0 s"),
            (59.94, "59.9 s"),
            (59.95, "1 min 00 s"),
            (245.0, "4 min 05 s"),
            (3599.6, "1 h 00 min"),
            (7380.0, "2 h 03 min"),
            (f64::NAN, "–"),
            (-1.0, "–"),
        ];
        for (seconds, text) in cases {
            assert_eq!(duration(seconds), text, "{seconds}");
        }
    }

    #[test]
    fn differences_and_p_values() {
        for (value, text) in [
            (1.3, "+1.30"),
            (-0.123, "−0.12"),
            (0.004, "0.00"),
            (-0.004, "0.00"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "−∞"),
        ] {
            assert_eq!(signed(value), text);
        }
        assert_eq!(hundredths(-3.2), "−3.20");
        for (p, text) in [
            (1.0, "1.000"),
            (0.03125, "0.031"),
            (0.05, "0.050"),
            (0.050_24, "0.0502"),
            (0.000_98, "< 0.001"),
        ] {
            assert_eq!(p_value(p), text);
        }
    }

    #[test]
    fn values_that_are_not_finite_are_said() {
        assert_eq!(percent(f64::NAN), "NaN");
        assert_eq!(loss(f64::INFINITY), "∞");
        assert_eq!(rate(f64::NEG_INFINITY), "−∞");
        assert_eq!(loss(12_345.6), "1.23e4");
        assert_eq!(rate(0.005), "5.00e-3");
        assert_eq!(percent(0.87), "87.0");
    }
}
