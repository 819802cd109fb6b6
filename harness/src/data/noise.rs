//! Nothing but noise: for problems in closed form, whose examples differ by what is drawn for each of them.

use super::{Definition, Form};

/// What is asked for of a data set, without any data.
pub const DEFINITION: Definition = Definition {
    title: "noise",
    what: "nothing but what a problem in closed form draws itself",
    classes: 0,
    examples: (50_000, 10_000),
    forms: &[Form::Noise],
};
