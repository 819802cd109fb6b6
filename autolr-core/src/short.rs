//! Numbers as messages show them: a plain 309-digit rate helps nobody.

use std::fmt;

/// A number with all its digits, in few characters: plain from 1e-4 to 1e6, else as a power of ten.
pub(crate) struct Short(pub(crate) f64);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.0.abs();
        if size == 0.0 || !size.is_finite() || (1e-4..1e6).contains(&size) {
            write!(f, "{}", self.0)
        } else {
            write!(f, "{:e}", self.0)
        }
    }
}

/// A number rounded to four significant digits or four decimals, whichever are more: plain from 1e-3 to 1e5, else as a
/// power of ten.
pub(crate) struct Rounded(pub(crate) f64);

impl fmt::Display for Rounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (x, size) = (self.0, self.0.abs());
        if size == 0.0 || (1e-1..1e5).contains(&size) {
            write!(f, "{x:.4}")
        } else if (1e-2..1e-1).contains(&size) {
            write!(f, "{x:.5}")
        } else if (1e-3..1e-2).contains(&size) {
            write!(f, "{x:.6}")
        } else {
            // NaN and infinities are words in any form.
            write!(f, "{x:.3e}")
        }
    }
}

/// At most eight numbers.
pub(crate) struct List<'a>(pub(crate) &'a [f64]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.iter().take(8);
        let shown: Vec<String> = shown.map(|&x| Short(x).to_string()).collect();
        f.write_str(&shown.join(", "))?;
        if self.0.len() > 8 {
            write!(f, ", … ({} in all)", self.0.len())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_is_long() {
        for (x, short, rounded) in [
            (0.0, "0", "0.0000"),
            (1.0, "1", "1.0000"),
            (-2.7026, "-2.7026", "-2.7026"),
            (0.054_321, "0.054321", "0.05432"),
            (0.001_234_56, "0.00123456", "0.001235"),
            (1e-5, "1e-5", "1.000e-5"),
            (5e-324, "5e-324", "4.941e-324"),
            (99_999.0, "99999", "99999.0000"),
            (1e5, "100000", "1.000e5"),
            (1e30, "1e30", "1.000e30"),
            (f64::MAX, "1.7976931348623157e308", "1.798e308"),
            (f64::NAN, "NaN", "NaN"),
            (f64::NEG_INFINITY, "-inf", "-inf"),
        ] {
            let texts = (Short(x).to_string(), Rounded(x).to_string());
            assert_eq!(texts, (short.to_owned(), rounded.to_owned()));
        }
        assert_eq!(List(&[0.5, 1e9]).to_string(), "0.5, 1e9");
        assert!(!List(&[1.0; 8]).to_string().contains("in all"));
        let long = List(&[1.0; 9]).to_string();
        assert!(long.ends_with("1, 1, … (9 in all)"), "{long}");
    }
}
