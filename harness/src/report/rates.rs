//! How the learning rate moves from epoch to epoch, beside the paper's, and beside pure noise.

use super::outcome::{Status, synthetic_note};
use super::table::{Cell, Column, Table};
use super::{Experiment, published};
use crate::experiment::ExperimentName;
use crate::number::{decimals, signed};

/// The mean of |log₂ ratio| if the candidates' losses were independent normal draws of one number: no information.
///
/// z-score with the sample deviation, scores exp(−z), as in the paper; a test draws it anew.
const NOISE: [(&str, f64); 3] = [("factor_3", 0.37), ("factor_5", 0.50), ("factor_7", 0.61)];

/// Of fewer ratios than these, an autocorrelation says nothing: that of two is always −0.5.
const FEW: usize = 8;

/// Statistics of the ratios of neighbouring learning rates.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Ratios {
    /// How many ratios.
    n: usize,
    /// Mean of |log₂ ratio|.
    mean: f64,
    /// Largest |log₂ ratio|.
    largest: f64,
    /// Lag-1 autocorrelation of the log₂ ratios; none of fewer than [`FEW`], or where they do not differ.
    autocorrelation: Option<f64>,
}

impl Ratios {
    /// Of learning rates, one an epoch, up to the first that is not positive and finite; none of fewer than two.
    fn of(rates: impl IntoIterator<Item = f64>) -> Option<Self> {
        let logs = rates.into_iter().map(f64::log2);
        let logs: Vec<f64> = logs.take_while(|log| log.is_finite()).collect();
        let ratios: Vec<f64> = logs.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let sizes = ratios.iter().map(|ratio| ratio.abs());
        let n = ratios.len();
        (n > 0).then(|| Self {
            n,
            mean: sizes.clone().sum::<f64>() / n as f64,
            largest: sizes.fold(0.0, f64::max),
            autocorrelation: autocorrelation(&ratios).filter(|_| n >= FEW),
        })
    }

    /// Half the width of the band that holds the autocorrelation of white noise in 95 % of cases, `1.96 / √n`.
    fn band(&self) -> f64 {
        1.96 / (self.n as f64).sqrt()
    }
}

/// Lag-1 autocorrelation `Σ (xᵢ − x̄)(xᵢ₊₁ − x̄) / Σ (xᵢ − x̄)²`; none of values that do not differ.
fn autocorrelation(values: &[f64]) -> Option<f64> {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let from_mean: Vec<f64> = values.iter().map(|value| value - mean).collect();
    let squares: f64 = from_mean.iter().map(|x| x * x).sum();
    let products: f64 = from_mean.windows(2).map(|pair| pair[0] * pair[1]).sum();
    // Rates of an open loop may have one ratio throughout, but for rounding.
    let tiny = squares <= f64::EPSILON * values.iter().map(|x| x * x).sum::<f64>();
    (!tiny).then(|| products / squares)
}

/// A row a series and source: the paper's curve, then each protocol.
pub(super) fn table(experiment: &Experiment<'_>) -> Table {
    let columns = vec![
        Column::text("series"),
        Column::text("source"),
        Column::text("state"),
        Column::number("ratios (n)"),
        Column::number("mean |log₂ ratio|"),
        Column::number("largest |log₂ ratio|"),
        Column::number("mean for pure noise"),
        Column::number("lag-1 autocorrelation"),
        Column::number("band of white noise"),
    ];
    let mut table = Table::new("The learning rate's ratio from epoch to epoch.", columns);
    for (name, label) in experiment.series() {
        let paper = published::learning_rate(ExperimentName::Fig2, name);
        let paper = paper.and_then(|curve| Ratios::of(curve.iter().map(|reading| reading.value)));
        if paper.is_some() {
            table
                .rows
                .push(row(label, name, "paper", Cell::none(), paper));
        }
        for placed in experiment.runs_of(name) {
            let log = placed.run.log.as_ref();
            let ours = log.and_then(|log| Ratios::of(log.epochs.iter().map(|epoch| epoch.lr)));
            let state = Status::of(placed.run).cell();
            table
                .rows
                .push(row(&placed.label(), name, placed.protocol, state, ours));
        }
    }
    table.notes.push(
        "Pure noise: what the mean would be if the candidates' losses were independent draws of one normally distributed \
         number (simulated), so that the learning rate were a random walk. The released code draws a scoring batch of \
         its own for each candidate and takes the loss before the trial step, which comes to the same."
            .to_owned(),
    );
    table.notes.push(
        "Lag-1 autocorrelation: of the log₂ ratios. In a random walk it lies within the band (± 1.96 / √n) in some \
         95 % of cases, more where there are few ratios; a rate that is steered keeps its direction, or turns back."
            .to_owned(),
    );
    table.notes.push(format!(
        "The paper's values are computed from its digitised curve, up to its last reading above {:.2e}, one pixel of the \
         plot; those of factor_7 are rough from epoch 8 on.",
        published::LEARNING_RATE_PIXEL
    ));
    table
        .notes
        .extend(synthetic_note(experiment.runs().map(|placed| placed.run)));
    table
}

fn row(label: &str, name: &str, source: &str, state: Cell, ratios: Option<Ratios>) -> Vec<Cell> {
    let noise = NOISE.iter().find(|(of, _)| *of == name);
    vec![
        Cell::new(label),
        Cell::new(source),
        state,
        Cell::or_none(ratios.map(|ratios| ratios.n.to_string())),
        Cell::or_none(ratios.map(|ratios| decimals(ratios.mean, 3))),
        Cell::or_none(ratios.map(|ratios| decimals(ratios.largest, 2))),
        Cell::or_none(noise.map(|(_, mean)| format!("{mean:.2}"))),
        Cell::or_none(ratios.and_then(|ratios| ratios.autocorrelation).map(signed)),
        Cell::or_none(
            ratios
                .filter(|ratios| ratios.autocorrelation.is_some())
                .map(|ratios| format!("± {:.2}", ratios.band())),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;
    use autolr_core::{Factors, ScaleUpdate};
    use ndarray::Array1;
    use rand::{RngExt, SeedableRng};

    #[test]
    fn ratios_of_the_published_curves() {
        let of = |name| {
            let curve = published::learning_rate(ExperimentName::Fig2, name).unwrap();
            Ratios::of(curve.iter().map(|reading| reading.value)).unwrap()
        };
        // Half of the last digit that is known of them.
        for (name, n, mean, largest, autocorrelation) in [
            ("factor_3", 49, 0.345, 0.62, Some(-0.197)),
            ("factor_5", 49, 0.464, 1.21, Some(-0.0445)),
            // Its readings are too rough for that.
            ("factor_7", 24, 0.63, 1.54, None),
        ] {
            let ratios = of(name);
            assert_eq!(ratios.n, n, "{name}");
            assert_abs_diff_eq!(ratios.mean, mean, epsilon = 0.005);
            assert_abs_diff_eq!(ratios.largest, largest, epsilon = 0.005);
            if let Some(expected) = autocorrelation {
                let found = ratios.autocorrelation.unwrap();
                assert_abs_diff_eq!(found, expected, epsilon = 0.0005);
                assert!(found.abs() < ratios.band(), "{name}");
            }
        }
    }

    #[test]
    fn ratios_stop_where_the_rate_is_no_number() {
        let ratios = Ratios::of([1.0, 4.0, 2.0, f64::NAN, 2.0, 64.0]).unwrap();
        assert_eq!(
            ratios,
            Ratios {
                n: 2,
                mean: 1.5,
                largest: 2.0,
                autocorrelation: None
            }
        );
        // Two ratios lie to either side of their mean; those of a geometric sequence do not differ.
        assert_eq!(autocorrelation(&[2.0, -1.0]), Some(-0.5));
        assert_eq!(autocorrelation(&[1.0, -1.0, 1.0, -1.0]), Some(-0.75));
        let alike = Ratios::of((0..20).map(|k| 0.1 * 3_f64.powi(k))).unwrap();
        assert_eq!(alike.autocorrelation, None);
        assert_eq!(Ratios::of([0.1]), None);
        assert_eq!(Ratios::of([0.0, 0.1]), None);
    }

    #[test]
    fn noise_is_what_the_update_makes_of_equal_candidates() {
        const DRAWS: usize = 20_000;
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        for (name, mean) in NOISE {
            let rule = ScaleUpdate::new(Factors::named(name).unwrap());
            let mut sum = 0.0;
            for _ in 0..DRAWS {
                // The sum of twelve uniform draws is close enough to normal.
                let mut draw = || (0..12).map(|_| rng.random::<f64>()).sum::<f64>();
                let losses: Array1<f64> = (0..rule.factors().len()).map(|_| draw()).collect();
                sum += rule.update(losses.view()).unwrap().factor.log2().abs();
            }
            // Half a unit of the last digit, and three standard errors of at most 0.003.
            assert_abs_diff_eq!(sum / DRAWS as f64, mean, epsilon = 0.005 + 0.009);
        }
    }
}
