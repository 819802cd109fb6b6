//! The state that a probe must leave alone, as bits in named parts, and what differs between two of them.

use std::borrow::Borrow;
use std::fmt;

/// The bits of a training run's state, in named parts.
///
/// A name that is given again adds to its part, so a loop over layers may call it `"weights"` each time. Numbers are
/// compared bit by bit; given as [`f64s`](Self::f64s) or [`f32s`](Self::f32s), a difference of rounding's size is
/// told from a larger one.
///
/// ```
/// use autolr_core::testkit::Fingerprint;
/// let (weights, random_state) = (vec![0.5_f32, -1.0], 7_u64);
/// let fingerprint = Fingerprint::new()
///     .f32s("weights", &weights)
///     .bytes("random state", random_state.to_le_bytes());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fingerprint {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    name: String,
    unit: Unit,
    bytes: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Byte,
    F32,
    F64,
}

impl Unit {
    fn size(self) -> usize {
        match self {
            Self::Byte => 1,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// Relative spacing of the numbers; zero for bytes.
    fn epsilon(self) -> f64 {
        match self {
            Self::Byte => 0.0,
            Self::F32 => f64::from(f32::EPSILON),
            Self::F64 => f64::EPSILON,
        }
    }

    fn value(self, bytes: &[u8]) -> f64 {
        match self {
            Self::Byte => bytes.iter().map(|&byte| f64::from(byte)).sum(),
            Self::F32 => f64::from(f32::from_le_bytes(array(bytes))),
            Self::F64 => f64::from_le_bytes(array(bytes)),
        }
    }
}

/// The first N bytes, zeros where there are fewer.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut whole = [0; N];
    for (to, from) in whole.iter_mut().zip(bytes) {
        *to = *from;
    }
    whole
}

impl Fingerprint {
    /// One without parts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds numbers in double precision to the part `name`.
    #[must_use]
    pub fn f64s<V: Borrow<f64>>(
        self,
        name: impl Into<String>,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        let values = values.into_iter();
        let bytes = values.flat_map(|value| value.borrow().to_le_bytes());
        self.with(name.into(), Unit::F64, bytes)
    }

    /// Adds numbers in single precision to the part `name`.
    #[must_use]
    pub fn f32s<V: Borrow<f32>>(
        self,
        name: impl Into<String>,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        let values = values.into_iter();
        let bytes = values.flat_map(|value| value.borrow().to_le_bytes());
        self.with(name.into(), Unit::F32, bytes)
    }

    /// Adds bytes to the part `name`: a random generator's state, a counter, integers (`step.to_le_bytes()`, or
    /// `steps.iter().flat_map(|step| step.to_le_bytes())`).
    #[must_use]
    pub fn bytes<V: Borrow<u8>>(
        self,
        name: impl Into<String>,
        bytes: impl IntoIterator<Item = V>,
    ) -> Self {
        let bytes = bytes.into_iter().map(|byte| *byte.borrow());
        self.with(name.into(), Unit::Byte, bytes)
    }

    fn with(mut self, name: String, unit: Unit, bytes: impl Iterator<Item = u8>) -> Self {
        match self.position(&name, unit) {
            Some(index) => self.parts[index].bytes.extend(bytes),
            None => self.parts.push(Part {
                name,
                unit,
                bytes: bytes.collect(),
            }),
        }
        self
    }

    fn position(&self, name: &str, unit: Unit) -> Option<usize> {
        let wanted = |part: &Part| part.name == name && part.unit == unit;
        self.parts.iter().position(wanted)
    }

    fn get(&self, name: &str, unit: Unit) -> &[u8] {
        self.position(name, unit)
            .map_or(&[], |index| &self.parts[index].bytes)
    }

    /// Whether there is not one byte in it.
    pub fn is_empty(&self) -> bool {
        self.parts.iter().all(|part| part.bytes.is_empty())
    }

    /// The parts in which `after` differs from this one; a part that only one of them has counts as empty in the
    /// other.
    pub fn changes(&self, after: &Self) -> Vec<Change> {
        let new = after
            .parts
            .iter()
            .filter(|part| self.position(&part.name, part.unit).is_none());
        self.parts
            .iter()
            .chain(new)
            .filter_map(|Part { name, unit, .. }| {
                Change::between(name, *unit, self.get(name, *unit), after.get(name, *unit))
            })
            .collect()
    }
}

/// How a part of the state differs from what it was.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Change {
    /// Name of the part.
    pub part: String,
    /// How many of its values have other bits.
    pub changed: usize,
    /// How many values it has.
    pub of: usize,
    /// What was counted: `"values"`, or `"bytes"` for a part given as such.
    pub unit: &'static str,
    /// The largest absolute difference of two values, infinite if one of them is not finite; none for bytes, or if
    /// the number of values changed.
    pub by: Option<f64>,
    /// Whether that difference is of rounding's size: at most 64 units in the last place of the part's largest value.
    pub rounding: bool,
}

impl Change {
    fn between(name: &str, unit: Unit, before: &[u8], after: &[u8]) -> Option<Self> {
        if before == after {
            return None;
        }
        let (mut changed, mut by, mut largest) = (0, 0.0_f64, 0.0_f64);
        let chunks = before.chunks(unit.size());
        for (old, new) in chunks.zip(after.chunks(unit.size())) {
            largest = largest.max(unit.value(old).abs());
            if old != new {
                changed += 1;
                let difference = (unit.value(old) - unit.value(new)).abs();
                by = by.max(if difference.is_nan() {
                    f64::INFINITY
                } else {
                    difference
                });
            }
        }
        let sizes = (before.len() / unit.size(), after.len() / unit.size());
        let numbers = unit != Unit::Byte && sizes.0 == sizes.1;
        Some(Self {
            part: name.to_owned(),
            changed: changed + sizes.0.abs_diff(sizes.1),
            of: sizes.0.max(sizes.1),
            unit: if unit == Unit::Byte {
                "bytes"
            } else {
                "values"
            },
            by: numbers.then_some(by),
            rounding: numbers && by.is_finite() && by <= 64.0 * unit.epsilon() * largest,
        })
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            part,
            changed,
            of,
            unit,
            ..
        } = self;
        write!(f, "{part:?} ({changed} of {of} {unit}")?;
        match self.by {
            Some(by) if by.is_finite() => write!(f, ", by up to {by:.1e})"),
            Some(_) => f.write_str(", some not finite)"),
            None => f.write_str(")"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_part_and_counts_its_values() {
        let state = |w: f64, seed: u8| {
            Fingerprint::new()
                .f64s("weights", [1.0, w])
                .f64s("weights", [&0.5])
                .bytes("random state", [seed, 0])
        };
        assert_eq!(state(1.0, 3).changes(&state(1.0, 3)), []);
        let changes = state(1.0, 3).changes(&state(1.5, 4));
        let text: Vec<String> = changes.iter().map(Change::to_string).collect();
        assert_eq!(
            text,
            [
                "\"weights\" (1 of 3 values, by up to 5.0e-1)",
                "\"random state\" (1 of 2 bytes)"
            ]
        );
    }

    #[test]
    fn rounding_ends_at_64_units_in_the_last_place() {
        let change = |before: f64, after: f64| {
            let of = |w| Fingerprint::new().f64s("w", [1.0, w]);
            of(before).changes(&of(after)).remove(0)
        };
        assert!(change(0.0, 64.0 * f64::EPSILON).rounding);
        assert!(!change(0.0, 65.0 * f64::EPSILON).rounding);
        assert!(change(0.0, -0.0).rounding);
        assert!(!change(0.0, f64::NAN).rounding);
        assert_eq!(change(0.0, f64::NAN).by, Some(f64::INFINITY));
        // Of the largest value.
        assert!(change(1024.0, 1024.0 + 64.0 * 1024.0 * f64::EPSILON).rounding);
        assert!(!change(1024.0, 1024.0 + 65.0 * 1024.0 * f64::EPSILON).rounding);
        let text = change(0.0, f64::NAN).to_string();
        assert_eq!(text, "\"w\" (1 of 2 values, some not finite)");
        let single = |w: f32| Fingerprint::new().f32s("w", [1.0, w]);
        assert!(single(0.5).changes(&single(0.5 + 64.0 * f32::EPSILON))[0].rounding);
        assert!(!single(0.5).changes(&single(0.5 + 65.0 * f32::EPSILON))[0].rounding);
    }

    #[test]
    fn a_part_that_comes_goes_or_grows_has_changed() {
        let none = Fingerprint::new();
        let some = Fingerprint::new().f32s("momentum", [0.0, 0.0]);
        assert!(none.is_empty() && !some.is_empty());
        for (before, after) in [(&none, &some), (&some, &none)] {
            let change = before.changes(after).remove(0);
            assert_eq!((change.changed, change.of, change.by), (2, 2, None));
            assert!(!change.rounding);
        }
        let more = Fingerprint::new().f32s("momentum", [0.0, 0.0, 0.0]);
        assert_eq!(some.changes(&more)[0].changed, 1);
    }
}
