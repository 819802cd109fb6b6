//! What the paper and its slides report: Table 1, the words on divergence, and the curves read off the plots.
//!
//! The curves are readings of pictures, not the authors' logs; `fixtures/paper/README.md` has their errors.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::experiment::ExperimentName;

/// Table 1: test accuracy on CIFAR-10 in percent, by scheduler, in the paper's order.
pub const TABLE_1: [(&str, f64); 5] = [
    ("constant", 83.5),
    ("linear", 85.2),
    ("cosine", 85.0),
    ("step", 84.4),
    ("ours", 87.0),
];

/// What section 3.2.4 says of the run from learning rate 1.
pub const DIVERGENCE: &str = "The paper (section 3.2.4) set the initial learning rate to 1, 200 times its usual one, \
    with factor_7, and reports that the run does not converge.";

/// One pixel of the learning-rate plot: a reading below it says "small" and no more.
pub const LEARNING_RATE_PIXEL: f64 = 0.000_186;

/// One point read off a plot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// Number of the epoch, from 0.
    pub epoch: u64,
    /// Validation loss (nats) or learning rate.
    pub value: f64,
    /// Whether another curve hides the point, so that its value is interpolated.
    pub occluded: bool,
}

/// A curve, epoch by epoch.
pub type Curve = &'static [Reading];

/// The accuracy of Table 1 in percent.
pub fn test_accuracy(scheduler: &str) -> Option<f64> {
    TABLE_1
        .iter()
        .find(|(name, _)| *name == scheduler)
        .map(|(_, accuracy)| *accuracy)
}

/// The validation-loss curve (nats) of a series: figures 2 and 3 of the paper, slide 12 for Table 1.
pub fn validation_loss(experiment: ExperimentName, series: &str) -> Option<Curve> {
    static TABLE_1: Table = Table::new(|| {
        read(include_str!(
            "../../../fixtures/paper/slides_table1_validation_loss.csv"
        ))
    });
    static FIG_2: Table = Table::new(|| {
        read(include_str!(
            "../../../fixtures/paper/fig2_validation_loss.csv"
        ))
    });
    static FIG_3: Table = Table::new(|| {
        read(include_str!(
            "../../../fixtures/paper/fig3_validation_loss.csv"
        ))
    });
    let table = match experiment {
        ExperimentName::Table1 => &TABLE_1,
        ExperimentName::Fig2 => &FIG_2,
        ExperimentName::Fig3 => &FIG_3,
        ExperimentName::Divergence => return None,
    };
    table.get(series).map(Vec::as_slice)
}

/// The learning-rate curve of a series of figure 2 (slide 14), up to its last reading above one pixel of the plot.
pub fn learning_rate(experiment: ExperimentName, series: &str) -> Option<Curve> {
    static FIG_2: Table = Table::new(|| {
        read(include_str!(
            "../../../fixtures/paper/slides_fig2_learning_rate.csv"
        ))
    });
    if experiment != ExperimentName::Fig2 {
        return None;
    }
    let curve = FIG_2.get(series)?;
    let legible = curve.iter().rposition(|r| r.value >= LEARNING_RATE_PIXEL)?;
    curve.get(..=legible)
}

/// Epochs of the paper's runs. Source: the released code; the paper gives 100 in general.
pub fn epochs(experiment: ExperimentName) -> u64 {
    match experiment {
        ExperimentName::Table1 | ExperimentName::Divergence => 100,
        ExperimentName::Fig2 | ExperimentName::Fig3 => 50,
    }
}

type Table = LazyLock<HashMap<String, Vec<Reading>>>;

/// Reads an embedded table. A row that is none would be a fault of the program, and a test looks for it.
fn read(text: &str) -> HashMap<String, Vec<Reading>> {
    #[derive(Deserialize)]
    struct Row {
        epoch: u64,
        series: String,
        value: f64,
        occluded: u8,
    }
    let mut table: HashMap<String, Vec<Reading>> = HashMap::new();
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    for row in reader.deserialize().filter_map(Result::<Row, _>::ok) {
        table.entry(row.series).or_default().push(Reading {
            epoch: row.epoch,
            value: row.value,
            occluded: row.occluded != 0,
        });
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use ExperimentName::{Divergence, Fig2, Fig3, Table1};

    /// Every series is whole: as many epochs as the paper's runs, in order, with values that make sense.
    #[test]
    fn every_curve_is_whole() {
        let series = [
            (
                Table1,
                &["constant", "linear", "cosine", "step", "ours"][..],
            ),
            (Fig2, &["factor_3", "factor_5", "factor_7"]),
            (Fig3, &["batch_32", "batch_128", "batch_512"]),
        ];
        for (experiment, names) in series {
            for name in names {
                let curve = validation_loss(experiment, name).unwrap();
                assert!(
                    curve.iter().map(|r| r.epoch).eq(0..epochs(experiment)),
                    "{name}"
                );
                assert!(
                    curve.iter().all(|r| r.value > 0.0 && r.value < 4.0),
                    "{name}"
                );
            }
        }
        assert_eq!(validation_loss(Fig2, "factor_9"), None);
        assert_eq!(validation_loss(Divergence, "ours"), None);
    }

    #[test]
    fn first_and_last_readings() {
        let ends = |curve: Curve| (curve[0].value, curve[curve.len() - 1].value);
        assert_eq!(
            ends(validation_loss(Fig2, "factor_5").unwrap()),
            (3.7148, 0.7297)
        );
        assert_eq!(
            ends(learning_rate(Fig2, "factor_3").unwrap()),
            (0.010019, 0.032840)
        );
    }

    #[test]
    fn learning_rates_end_where_the_plot_is_no_longer_legible() {
        let len = |name| learning_rate(Fig2, name).unwrap().len();
        assert_eq!(
            (len("factor_3"), len("factor_5"), len("factor_7")),
            (50, 50, 25)
        );
        assert_eq!(learning_rate(Fig3, "batch_32"), None);
    }

    #[test]
    fn table_1() {
        assert_eq!(test_accuracy("ours"), Some(87.0));
        assert_eq!(test_accuracy("no-batch-norm"), None);
    }
}
