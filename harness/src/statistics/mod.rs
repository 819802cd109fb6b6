//! What several seeds say: intervals, paired comparisons, and a verdict that does not claim more.
//!
//! Everything is a pure function of numbers. The values compared are those of one quantity, such as test accuracy, of
//! which more is better.
//!
//! # Runs that diverged
//!
//! A run that diverged is never dropped in silence and never given a value.
//!
//! - It has none: the accuracy of the weights before it broke down is that of another training, cut short by hindsight,
//!   and any number put in its place (chance, the first loss) would make the result a matter of that choice.
//! - So means and intervals are over the runs that completed, and *given that they completed*: their number and that of
//!   the diverged ones stand beside each ([`Estimate`] is given values alone; the caller counts).
//! - A comparison in which any run diverged has no p-value and no verdict of better or worse. Whether a run diverges
//!   depends on the scheduler, so the pairs in which both completed are not a random sample of the seeds: the easy ones
//!   are left, and under the null hypothesis the signs of their differences need not be symmetric, which is what the
//!   test rests on. The verdict says how many seeds diverged ([`Verdict::NotComparable`]), and the mean difference of
//!   the others is a description. That one of two schedulers diverges more often is for the reader to weigh; it is not
//!   folded into accuracy.
//! - So it does if the other was never run with that seed: else the seeds at which one diverged could be left out of the
//!   other's.
//! - It stays in the family: Holm's correction counts the comparison as one with p = 1, so that a baseline that
//!   diverges makes no other comparison easier.
//!
//! Pairs of which a run is yet to end withhold the verdict as well ([`Verdict::NotFinished`]): diverged runs end first,
//! and whoever looks after every pair finds something sooner or later.
//!
//! # What the 5 % hold for
//!
//! A number of seeds that was chosen beforehand, and the comparisons of one family. Seeds that are added until a verdict
//! comes are beyond it: looking after each of 6 to 14 seeds claims a difference in some 14 % of comparisons in which
//! there is none. So are comparisons that are made one by one, each a family of its own.

mod comparison;
mod estimate;
mod holm;
mod sign_flip;

pub use comparison::{Comparison, Judged, LEVEL, Observation, Verdict, judge, least_pairs};
pub use estimate::Estimate;
pub use holm::holm;
pub use sign_flip::{EXACT_PAIRS, SignFlip, sign_flip};
