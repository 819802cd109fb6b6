//! One schedule after another.

use serde::{Deserialize, Serialize};

use super::config::composable;
use super::{Schedule, ScheduleConfig};
use crate::error::ConfigError;
use crate::method::kind::{Key, Kind};
use crate::value::Table;
use crate::value::read::SettingsError;
use crate::value::within::Within;

/// PyTorch's `SequentialLR`: several schedules one after another, each on its own clock from its
/// milestone on.
///
/// `lr(t) = s_k(t − m_k)`, where k counts the milestones ≤ t, `m_0 = 0` and `m_1, m_2, …` are the
/// milestones.
///
/// Each schedule has its own base rate, where PyTorch's share one.
///
/// ```
/// use autolr_core::schedule::{ExponentialLr, Fixed, Schedule, Sequential};
///
/// let schedule = Sequential::new(
///     vec![Fixed::new(0.1)?.into(), ExponentialLr::new(0.8, 0.5)?.into()],
///     vec![20],
/// )?;
/// assert_eq!(schedule.lr(19), 0.1);
/// assert_eq!(schedule.lr(20), 0.8);
/// assert_eq!(schedule.lr(21), 0.4);
/// # Ok::<(), autolr_core::ConfigError>(())
/// ```
///
/// # References
/// `torch.optim.lr_scheduler.SequentialLR` of PyTorch 2.11.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawSequential")]
pub struct Sequential {
    /// Before the schedules: TOML wants plain keys before tables.
    milestones: Vec<u64>,
    schedules: Vec<ScheduleConfig>,
}

impl Sequential {
    /// `schedules` one after another; each but the first begins at its milestone. Of two equal
    /// milestones only the later schedule is used.
    ///
    /// # Errors
    /// [`ConfigError::Length`] unless there is at least one schedule, and one milestone fewer than
    /// schedules; [`ConfigError::Entry`] for a milestone that is 0 or below the one before it, which
    /// PyTorch does not check; [`ConfigError::Nesting`] if a schedule is nested too deep already.
    pub fn new(schedules: Vec<ScheduleConfig>, milestones: Vec<u64>) -> Result<Self, ConfigError> {
        composable(&schedules)?;
        if milestones.len() + 1 != schedules.len() {
            return Err(ConfigError::Length {
                key: "milestones",
                length: milestones.len(),
                rule: "there has to be one fewer than schedules",
            });
        }
        let mut least = 1;
        for (index, &value) in milestones.iter().enumerate() {
            if value < least {
                return Err(ConfigError::Entry {
                    key: "milestones",
                    index,
                    value,
                    rule: "must be at least 1, and at least the milestone before it",
                });
            }
            least = value;
        }
        Ok(Self {
            milestones,
            schedules,
        })
    }

    /// The schedules, in the order of their use.
    pub fn schedules(&self) -> &[ScheduleConfig] {
        &self.schedules
    }

    /// The first steps of the schedules but the first, in ascending order.
    pub fn milestones(&self) -> &[u64] {
        &self.milestones
    }

    /// The schedule that is in use at `step`, and the step on its own clock.
    pub fn at(&self, step: u64) -> (&ScheduleConfig, u64) {
        let passed = self
            .milestones
            .partition_point(|&milestone| milestone <= step);
        let begin = match passed.checked_sub(1) {
            Some(last) => self.milestones[last],
            None => 0,
        };
        (&self.schedules[passed], step - begin)
    }
}

impl Sequential {
    /// As files name it, with its keys.
    pub(crate) const KIND: Kind = {
        use crate::method::kind::KeyDefault::Required;
        use crate::method::kind::ValueKind::{Milestones, Schedules};
        Kind::schedule(
            "sequential",
            &[
                Key::new("schedules", Schedules, Required)
                    .about("one after another, each on its own clock"),
                Key::new("milestones", Milestones, Required)
                    .about("the first epoch of each but the first"),
            ],
            "one schedule after another",
        )
    };
}

impl Schedule for Sequential {
    fn lr(&self, step: u64) -> f64 {
        let (schedule, step) = self.at(step);
        schedule.lr(step)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSequential {
    schedules: Vec<Within<ScheduleConfig>>,
    milestones: Vec<u64>,
}

impl Sequential {
    /// The schedule of a file's keys.
    pub(super) fn read(table: Table) -> Result<Self, SettingsError> {
        table.settings::<RawSequential, _>()
    }
}

impl TryFrom<RawSequential> for Sequential {
    type Error = SettingsError;

    fn try_from(raw: RawSequential) -> Result<Self, SettingsError> {
        let schedules = Within::all("schedules", raw.schedules)?;
        Ok(Self::new(schedules, raw.milestones)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::{ExponentialLr, Fixed};

    fn halving(lr: f64) -> ScheduleConfig {
        ExponentialLr::new(lr, 0.5).expect("valid").into()
    }

    #[test]
    fn each_schedule_starts_at_its_milestone() -> Result<(), ConfigError> {
        let all = vec![halving(1.0), halving(3.0), Fixed::new(0.1)?.into()];
        let schedule = Sequential::new(all, vec![2, u64::MAX])?;
        assert_eq!(
            [0, 1, 2, 3, u64::MAX - 1, u64::MAX].map(|step| schedule.lr(step)),
            [1.0, 0.5, 3.0, 1.5, 0.0, 0.1]
        );
        Ok(())
    }

    #[test]
    fn of_equal_milestones_the_later_schedule_is_used() -> Result<(), ConfigError> {
        let all = vec![halving(1.0), halving(2.0), halving(3.0)];
        let schedule = Sequential::new(all, vec![1, 1])?;
        assert_eq!([0, 1, 2].map(|step| schedule.lr(step)), [1.0, 3.0, 1.5]);
        Ok(())
    }

    #[test]
    fn one_schedule_needs_no_milestone() -> Result<(), ConfigError> {
        let schedule = Sequential::new(vec![halving(1.0)], vec![])?;
        assert_eq!(schedule.lr(3), 0.125);
        Ok(())
    }

    #[test]
    fn the_milestones_fit_the_schedules_and_ascend() {
        for (count, milestones, expected) in [
            (0, vec![], "schedules of length 0: at least one is needed"),
            (
                1,
                vec![1],
                "milestones of length 1: there has to be one fewer than schedules",
            ),
            (
                3,
                vec![1],
                "milestones of length 1: there has to be one fewer than schedules",
            ),
            (
                2,
                vec![0],
                "milestones[0] = 0: must be at least 1, and at least the milestone before it",
            ),
            (
                3,
                vec![5, 4],
                "milestones[1] = 4: must be at least 1, and at least the milestone before it",
            ),
        ] {
            let error = Sequential::new(vec![halving(1.0); count], milestones).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }
}
