//! The outcome of the conformance suite.

use std::fmt;

use super::Finding;

/// A group of requirements that the suite checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Check {
    /// The fingerprint holds something and stands still.
    Fingerprint,
    /// One loss a rate, finite at ordinary rates.
    Losses,
    /// The losses follow the rate.
    Rate,
    /// Every probe at ordinary rates leaves the state alone, bit for bit.
    State,
    /// A training that is probed comes to what one comes to that is not.
    Training,
    /// The same probe gives the same losses.
    Repeat,
    /// A loss depends on its own rate alone, not on the other candidates or the order.
    Independence,
    /// A trial gives the loss of the optimiser's own step.
    Step,
    /// Huge, tiny, infinite and NaN rates.
    Extremes,
    /// A trial that fails.
    Errors,
    /// Memory does not grow with the candidates.
    Memory,
    /// What the back end says that a probe costs can be.
    Cost,
    /// A rate for each parameter group.
    Groups,
    /// After a step of training, a trial still gives the loss of the optimiser's own step.
    Advance,
}

impl Check {
    /// All checks, in the order in which they are made.
    pub const ALL: [Self; 14] = [
        Self::Fingerprint,
        Self::Losses,
        Self::Rate,
        Self::State,
        Self::Training,
        Self::Repeat,
        Self::Independence,
        Self::Step,
        Self::Extremes,
        Self::Errors,
        Self::Memory,
        Self::Cost,
        Self::Groups,
        Self::Advance,
    ];

    /// What is required, in a few words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fingerprint => "a fingerprint that stands still",
            Self::Losses => "one loss a rate",
            Self::Rate => "losses follow the rate",
            Self::State => "the state is left alone",
            Self::Repeat => "the same probe gives the same losses",
            Self::Independence => "a loss depends on its own rate alone",
            Self::Step => "a trial is the optimiser's step",
            Self::Extremes => "rates from tiny to infinite",
            Self::Errors => "a trial that fails",
            Self::Memory => "memory does not grow with the candidates",
            Self::Cost => "a cost that can be",
            Self::Groups => "parameter groups",
            Self::Advance => "a trial is the optimiser's step after training has gone on",
            Self::Training => "training goes on as without a probe",
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a check was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Skip {
    /// The subject does not give the optional method that the check needs.
    NotGiven(&'static str),
    /// What was found before has to be mended first.
    Findings,
}

/// What the conformance suite found. Its `Display` is a list to be read.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Report {
    pub(super) findings: Vec<Finding>,
    pub(super) made: Vec<Check>,
    pub(super) not_given: Vec<(Check, Skip)>,
}

impl Report {
    /// Whether nothing was found.
    pub fn conforms(&self) -> bool {
        self.findings.is_empty()
    }

    /// What is wrong, in the order in which it was found.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The checks that were made and found nothing.
    pub fn passed(&self) -> impl Iterator<Item = Check> {
        let failed = |check| self.findings.iter().any(|finding| finding.check() == check);
        let passes = move |check: &Check| self.made.contains(check) && !failed(*check);
        Check::ALL.into_iter().filter(passes)
    }

    /// The checks that were not made, each with the reason.
    pub fn skipped(&self) -> impl Iterator<Item = (Check, Skip)> {
        let skipped = |&check: &Check| {
            let failed = self.findings.iter().any(|finding| finding.check() == check);
            !failed && !self.made.contains(&check)
        };
        Check::ALL.into_iter().filter(skipped).map(|check| {
            let not_given = self.not_given.iter().find(|(of, _)| *of == check);
            (check, not_given.map_or(Skip::Findings, |&(_, skip)| skip))
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let passed = self.passed().count();
        if self.conforms() {
            write!(f, "conforms: {passed} checks")?;
        } else {
            let count = self.findings.len();
            let plural = if count == 1 { "" } else { "s" };
            write!(
                f,
                "does not conform: {count} finding{plural}, checks passed: {passed}"
            )?;
        }
        for (index, finding) in self.findings.iter().enumerate() {
            write!(f, "\n{}. {}: {finding}", index + 1, finding.name())?;
        }
        let mut waiting = Vec::new();
        for (check, skip) in self.skipped() {
            match skip {
                Skip::NotGiven(method) => {
                    write!(f, "\nnot checked, for want of {method}: {check}")?;
                }
                Skip::Findings => waiting.push(check.name()),
            }
        }
        if !waiting.is_empty() {
            write!(
                f,
                "\nnot checked until that is mended: {}",
                waiting.join("; ")
            )?;
        }
        Ok(())
    }
}
