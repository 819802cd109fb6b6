//! How long a run is while it is still tables: what a scale does to lengths, and what lengths are when they are not given.

use toml::{Table, Value};

use super::schedulers::Stretch;
use super::spec_error::SpecError;
use super::{BudgetSpec, RunSpec, schedulers, sizes};

/// Fits lengths to a run whose tables were `before` and are now `table`: the budget in proportion to its unit, those of
/// the scheduler in proportion to what it counts.
pub(super) fn fit(before: &Table, table: &mut Table) -> Result<(), SpecError> {
    let epochs = (epochs(before), epochs(table));
    let (Some(scheduler), (Some(was), Some(is))) = (scheduler(table), epochs) else {
        return Ok(());
    };
    let by_steps = schedulers::counts_steps(scheduler);
    let budget = budget(table);
    let ratio = |(was, is): (i64, i64)| is as f64 / was.max(1) as f64;
    let counts_steps = by_steps || matches!(budget, Some(BudgetSpec::Steps(_)));
    let steps = if counts_steps {
        (steps_without_budget(before)?, steps_without_budget(table)?)
    } else {
        (was, is)
    };
    if let (Some(budget), Some(Value::Table(training))) = (budget, table.get_mut("training")) {
        let fitted = budget.stretched(ratio((was, is)), ratio(steps));
        training.insert("budget".to_owned(), fitted.to_string().into());
    }
    let length = if by_steps { steps } else { (was, is) };
    if length.0 < 1 || length.0 == length.1 {
        return Ok(());
    }
    let stretch = Stretch {
        times: ratio(length),
        was: end(before, by_steps)?,
        is: end(table, by_steps)?,
    };
    if let Some(Value::Table(scheduler)) = table.get_mut("scheduler") {
        schedulers::fit(scheduler, stretch);
    }
    Ok(())
}

/// When a run ends, in steps or in epochs, by its budget or by its epochs.
fn end(table: &Table, by_steps: bool) -> Result<i64, SpecError> {
    match (by_steps, budget(table), epochs(table)) {
        (true, ..) => in_steps(table, sizes::run_steps),
        (false, None, Some(epochs)) => Ok(epochs),
        (false, ..) => in_steps(table, |spec| Ok(sizes::planned_epochs(spec))),
    }
}

/// Fills in a length of the scheduler whose default is that of the run.
pub(super) fn fill_in(table: &mut Table) -> Result<(), SpecError> {
    let Some(of_scheduler) = scheduler(table) else {
        return Ok(());
    };
    let length = if schedulers::counts_steps(of_scheduler) {
        Some(in_steps(table, sizes::run_steps)?)
    } else {
        epochs(table)
    };
    if let (Some(length), Some(Value::Table(scheduler))) = (length, table.get_mut("scheduler")) {
        schedulers::fill_in(scheduler, length);
    }
    Ok(())
}

fn scheduler(table: &Table) -> Option<&Table> {
    table.get("scheduler")?.as_table()
}

fn epochs(table: &Table) -> Option<i64> {
    table.get("training")?.get("epochs")?.as_integer()
}

fn budget(table: &Table) -> Option<BudgetSpec> {
    let text = table.get("training")?.get("budget")?.as_str()?;
    text.parse().ok()
}

fn steps_without_budget(table: &Table) -> Result<i64, SpecError> {
    in_steps(table, |spec| {
        Ok(sizes::steps_per_epoch(spec)?.saturating_mul(spec.training.epochs))
    })
}

/// A number of steps or epochs that depends on data and batches, not on the scheduler, which may still lack a length.
fn in_steps(
    table: &Table,
    of: impl Fn(&RunSpec) -> Result<u64, SpecError>,
) -> Result<i64, SpecError> {
    let mut table = table.clone();
    let mut fixed = Table::new();
    fixed.insert("kind".to_owned(), "fixed".into());
    fixed.insert("lr".to_owned(), 1.0.into());
    table.insert("scheduler".to_owned(), fixed.into());
    let spec = RunSpec::read(table)?;
    let steps = of(&spec)?;
    Ok(i64::try_from(steps).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
