//! A heat map of probe losses, before it is drawn: what was tried after each epoch, and what was chosen.

use super::data::{Data, Value};
use crate::number::decimals;
use crate::record::DecisionRecord;

/// Upper ends of the colours: a loss above the lowest of its decision by so much (nats), the last without an end.
pub(super) const STEPS: [f64; 8] = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0];
/// Number of colours: one an upper end, and one for what is above them all.
pub(super) const COLOURS: usize = STEPS.len() + 1;

/// A heat map.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct HeatMap {
    /// Unique within the report; made of letters, digits and hyphens.
    pub(super) id: String,
    /// What is shown, in a line.
    pub(super) title: String,
    /// What a reader has to know beside it.
    pub(super) notes: Vec<String>,
    /// Whether the colours are explained beside it; they are the same for all.
    pub(super) legend: bool,
    /// One past the last epoch after which a decision was taken.
    pub(super) epochs: u64,
    /// The candidates.
    pub(super) cells: Vec<Cell>,
    /// What was chosen: the epoch, and log₂ of new rate over old.
    pub(super) chosen: Vec<(u64, f64)>,
    /// Distance of neighbouring candidates in log₂ of their rates.
    pub(super) spacing: f64,
    /// The numbers, a row a probe.
    pub(super) data: Data,
    decisions: usize,
}

/// One candidate of one probe.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cell {
    /// The epoch after which it was tried.
    pub(super) epoch: u64,
    /// log₂ of its rate over the rate of the decision.
    pub(super) log2: f64,
    /// Its colour; none where its loss is not finite.
    pub(super) colour: Option<usize>,
}

impl HeatMap {
    /// Of a run's decisions; none if there is nothing that could be drawn.
    pub(super) fn of(id: String, title: String, decisions: &[DecisionRecord]) -> Option<Self> {
        let mut cells = Vec::new();
        let mut chosen = Vec::new();
        let mut several = 0;
        for record in decisions {
            let decision = &record.decision;
            several += usize::from(decision.probes() > 1);
            let from = cells.len();
            for (candidates, losses) in probes(record) {
                for (rate, loss) in candidates.iter().zip(losses) {
                    let log2 = (rate / decision.lr).log2();
                    if log2.is_finite() {
                        cells.push((record.epoch, log2, loss));
                    }
                }
            }
            // Where two probes tried the same rate, the later one counts.
            let mut later: Vec<f64> = Vec::new();
            for i in (from..cells.len()).rev() {
                let log2 = cells[i].1;
                if later.iter().any(|other| (other - log2).abs() < 1e-6) {
                    cells.remove(i);
                } else {
                    later.push(log2);
                }
            }
            let log2 = (decision.new_lr / decision.lr).log2();
            if log2.is_finite() {
                chosen.push((record.epoch, log2));
            }
        }
        let epochs = decisions.iter().map(|record| record.epoch + 1).max()?;
        let spacing = spacing(decisions);
        let mut map = Self {
            id,
            title,
            notes: Vec::new(),
            legend: true,
            epochs,
            cells: coloured(&cells),
            chosen,
            spacing,
            data: data(decisions),
            decisions: decisions.len(),
        };
        if several > 0 {
            map.notes.push(format!(
                "In {several} of {} decisions the best candidate was the outermost one, and the window was moved on and \
                 probed again.",
                decisions.len()
            ));
        }
        (!map.cells.is_empty()).then_some(map)
    }

    /// Lowest and highest log₂ of what is drawn, with half a cell around.
    pub(super) fn range(&self) -> (f64, f64) {
        let cells = self.cells.iter().map(|cell| cell.log2);
        let all = cells.chain(self.chosen.iter().map(|(_, log2)| *log2));
        let (low, high) = all.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| {
            (low.min(x), high.max(x))
        });
        (low - self.spacing / 2.0, high + self.spacing / 2.0)
    }

    /// The heat map in words, for those who cannot see it.
    pub(super) fn description(&self) -> String {
        let broken = self.cells.iter().filter(|cell| cell.colour.is_none());
        format!(
            "Heat map. Horizontal: epoch, 0 to {}. Vertical: factor on the learning rate, logarithmic. {} decisions with {} \
             candidates, of which {} have a loss that is not finite.",
            self.epochs - 1,
            self.decisions,
            self.cells.len(),
            broken.count()
        )
    }
}

/// What is said of the legend.
pub(super) const LEGEND: &str = "Each cell is a candidate: how far its loss lies above the lowest of the same decision. \
    A dot is what was chosen, the weighted geometric mean of the factors; a crossed cell is a loss that is not finite.";

/// What a legend says of a colour.
pub(super) fn colour_label(colour: usize) -> String {
    match (STEPS.get(colour), STEPS.last()) {
        (Some(end), _) => format!("≤ {end}"),
        (None, Some(last)) => format!("> {last}"),
        (None, None) => String::new(),
    }
}

/// All probes of a decision, in their order.
fn probes(record: &DecisionRecord) -> impl Iterator<Item = (Vec<f64>, Vec<f64>)> {
    let decision = &record.decision;
    let earlier = decision
        .earlier
        .iter()
        .map(|probe| (probe.candidates.to_vec(), probe.losses.to_vec()));
    let last = (decision.candidates.to_vec(), decision.losses.to_vec());
    earlier.chain([last])
}

/// Each candidate with its colour, from epoch, log₂ of the factor, and loss.
fn coloured(cells: &[(u64, f64, f64)]) -> Vec<Cell> {
    let of_one_epoch = cells.chunk_by(|a, b| a.0 == b.0);
    let mut coloured = Vec::with_capacity(cells.len());
    for cells in of_one_epoch {
        let losses = cells.iter().map(|(.., loss)| *loss);
        let lowest = losses.filter(|loss| loss.is_finite()).reduce(f64::min);
        for &(epoch, log2, loss) in cells {
            let excess = lowest.map(|lowest| loss - lowest).filter(|x| x.is_finite());
            let step = |x: f64| STEPS.iter().position(|end| x <= *end);
            coloured.push(Cell {
                epoch,
                log2,
                colour: excess.map(|x| step(x).unwrap_or(STEPS.len())),
            });
        }
    }
    coloured
}

/// The smallest distance of neighbouring candidates in the first decision that has two; 1 without one.
///
/// Later ones may be nearer, where a bound cuts the window.
fn spacing(decisions: &[DecisionRecord]) -> f64 {
    let smallest = |record: &DecisionRecord| {
        let mut logs: Vec<f64> = record
            .decision
            .candidates
            .iter()
            .map(|x| x.log2())
            .collect();
        logs.sort_by(f64::total_cmp);
        let gaps = logs.windows(2).map(|pair| pair[1] - pair[0]);
        gaps.filter(|gap| gap.is_finite() && *gap > 1e-6)
            .reduce(f64::min)
    };
    decisions.iter().find_map(smallest).unwrap_or(1.0)
}

/// A row a probe: the factors tried on the rate, their losses, and in the last probe of a decision their weights.
fn data(decisions: &[DecisionRecord]) -> Data {
    let widths = decisions.iter().flat_map(|record| {
        let decision = &record.decision;
        let earlier = decision.earlier.iter().map(|probe| probe.candidates.len());
        earlier.chain([decision.candidates.len()])
    });
    let n = widths.max().unwrap_or(0);
    let mut columns: Vec<String> = ["epoch", "probe", "learning rate", "next", "verdict"]
        .map(str::to_owned)
        .to_vec();
    for (what, unit) in [("factor", ""), ("loss", ""), ("weight", " (%)")] {
        columns.extend((1..=n).map(|i| format!("{what} {i}{unit}")));
    }
    let mut data = Data::new(columns);
    for record in decisions {
        let decision = &record.decision;
        let last = decision.earlier.len();
        for (number, (candidates, losses)) in probes(record).enumerate() {
            let mut row = vec![
                Value::Count(record.epoch),
                Value::Count(number as u64),
                Value::Number(decision.lr),
            ];
            if number == last {
                row.push(Value::Number(decision.new_lr));
                row.push(Value::Text(decision.verdict.name().to_owned()));
            } else {
                row.extend([Value::None, Value::Text("window moved".to_owned())]);
            }
            let factors: Vec<f64> = candidates.iter().map(|x| x / decision.lr).collect();
            let weights: Vec<f64> = if number == last {
                // The log has the digits.
                let weights = decision.weights.iter();
                weights.map(|weight| (100.0 * weight).round()).collect()
            } else {
                Vec::new()
            };
            for values in [&factors, &losses, &weights] {
                let values = values.iter().map(|x| Value::Number(*x));
                row.extend(values.chain(std::iter::repeat(Value::None)).take(n));
            }
            data.push(row);
        }
    }
    data
}

/// Factors to be labelled on the vertical axis, as log₂ with their labels: powers of two, else the candidates.
pub(super) fn ticks(map: &HeatMap) -> Vec<(f64, String)> {
    let (low, high) = map.range();
    let whole = |stride: i64| {
        let range = (low.ceil() as i64)..=(high.floor() as i64);
        range.filter(move |power| power.rem_euclid(stride) == 0)
    };
    // At most ten or so.
    let stride = ((high - low) / 10.0).ceil().max(1.0) as i64;
    if whole(stride).count() >= 3 {
        return whole(stride)
            .map(|power| (power as f64, power_of_two(power)))
            .collect();
    }
    let mut logs: Vec<f64> = map.cells.iter().map(|cell| cell.log2).collect();
    logs.sort_by(f64::total_cmp);
    logs.dedup_by(|a, b| (*a - *b).abs() < map.spacing / 2.0);
    let label = |log2: f64| format!("× {}", decimals(log2.exp2(), 3));
    logs.into_iter().take(12).map(|x| (x, label(x))).collect()
}

/// `× 8`, `× 1/4`; what would be long as `× 2^-20`.
fn power_of_two(power: i64) -> String {
    match power {
        0..=13 => format!("× {}", 1_u64 << power),
        -13..0 => format!("× 1/{}", 1_u64 << -power),
        _ => format!("× 2^{power}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use autolr_core::Decision;

    fn record(epoch: u64, losses: &str, more: &str) -> DecisionRecord {
        let text = format!(
            r#"{{"index":0,"lr":0.1,"candidates":[0.2,0.1,0.05],"losses":{losses},"normalized":[0,0,0],
            "scores":[1,1,1],"weights":[0.2,0.3,0.5],"factor":0.8,"new_lr":0.08,"verdict":"lowered"{more}}}"#
        );
        let decision: Decision = serde_json::from_str(&text).unwrap();
        DecisionRecord {
            epoch,
            step: None,
            decision,
            read_off: Vec::new(),
        }
    }

    fn map(decisions: &[DecisionRecord]) -> HeatMap {
        HeatMap::of("id".to_owned(), "title".to_owned(), decisions).unwrap()
    }

    #[test]
    fn colours_are_by_the_distance_to_the_lowest_loss() {
        let decisions = [
            record(0, "[1.0, 1.002, 9.0]", ""),
            record(3, r#"["nan", "inf", 2.0]"#, ""),
            record(4, r#"["nan", "nan", "nan"]"#, ""),
        ];
        let map = map(&decisions);
        let colours: Vec<Option<usize>> = map.cells.iter().map(|cell| cell.colour).collect();
        let n = None;
        let last = Some(COLOURS - 1);
        assert_eq!(colours, [Some(0), Some(1), last, n, n, Some(0), n, n, n]);
        assert_eq!((map.epochs, map.spacing), (5, 1.0));
        assert_eq!(map.range(), (-1.5, 1.5));
        assert!(
            map.description()
                .contains("9 candidates, of which 5 have a loss that is not finite")
        );
        assert_eq!(map.chosen.len(), 3);
        assert!((map.chosen[0].1 - 0.8_f64.log2()).abs() < 1e-12);
    }

    #[test]
    fn a_window_that_was_moved_counts_with_its_last_losses() {
        let earlier = r#","earlier":[{"candidates":[0.8,0.4,0.2],"losses":[3.0,3.0,1.5]}]"#;
        let map = map(&[record(0, "[1.0, 2.0, 3.0]", earlier)]);
        let cells: Vec<(f64, Option<usize>)> = map
            .cells
            .iter()
            .map(|cell| (cell.log2, cell.colour))
            .collect();
        assert_eq!(
            cells,
            [
                (3.0, Some(7)),
                (2.0, Some(7)),
                (1.0, Some(0)),
                (0.0, Some(6)),
                (-1.0, Some(7))
            ]
        );
        assert!(
            map.notes
                .iter()
                .any(|note| note.starts_with("In 1 of 1 decisions"))
        );
        assert_eq!(
            map.data.csv(),
            "epoch,probe,learning rate,next,verdict,factor 1,factor 2,factor 3,loss 1,loss 2,loss 3,weight 1 (%),\
             weight 2 (%),weight 3 (%)\n\
             0,0,0.1,,window moved,8,4,2,3,3,1.5,,,\n\
             0,1,0.1,0.08,lowered,2,1,0.5,1,2,3,20,30,50\n"
        );
    }

    #[test]
    fn nothing_to_draw_is_no_heat_map() {
        assert_eq!(HeatMap::of(String::new(), String::new(), &[]), None);
        let mut lost = record(0, "[1.0, 2.0, 3.0]", "");
        lost.decision.lr = f64::NAN;
        assert_eq!(HeatMap::of(String::new(), String::new(), &[lost]), None);
    }

    #[test]
    fn ticks_are_powers_of_two_or_the_candidates() {
        let map = map(&[record(0, "[1.0, 2.0, 3.0]", "")]);
        let labels =
            |map| -> Vec<String> { ticks(map).into_iter().map(|(_, text)| text).collect() };
        assert_eq!(labels(&map), ["× 1/2", "× 1", "× 2"]);
        let powers = [-20, -13, 13, 14].map(power_of_two);
        assert_eq!(powers, ["× 2^-20", "× 1/8192", "× 8192", "× 2^14"]);
        let mut near = record(0, "[1.0, 2.0, 3.0]", "");
        near.decision.candidates = ndarray::array![0.11, 0.1, 0.09];
        near.decision.new_lr = 0.1;
        let near = self::map(&[near]);
        assert_eq!(labels(&near), ["× 0.900", "× 1.000", "× 1.100"]);
    }
}
