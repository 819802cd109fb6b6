//! Proptest strategies for probes of every kind, for this crate's properties and for those of back ends.
//!
//! ```
//! use autolr_core::testkit::strategies;
//! use proptest::prelude::*;
//!
//! proptest! {
//!     // In a test: #[test]
//!     fn a_rule_of_my_own_stays_in_the_hull((factors, losses) in strategies::probe(1..=12)) {
//!         let rule = autolr_core::ScaleUpdate::new(factors.clone());
//!         let factor = rule.update(ndarray::aview1(&losses))?.factor;
//!         prop_assert!(factor <= factors.values().fold(1.0, |a, &b| f64::max(a, b)));
//!     }
//! }
//! a_rule_of_my_own_stays_in_the_hull();
//! ```

use std::ops::RangeInclusive;

use proptest::collection::vec;
use proptest::num::f64 as float;
use proptest::prelude::*;

use crate::schedule::{
    AnnealStrategy, ConstantLr, CosineAnnealingLr, CosineWarmRestarts, DecayType, ExponentialLr,
    Fixed, LinearDecay, LinearLr, MultiStepLr, OneCycleLr, PolynomialLr, Product, ScheduleConfig,
    Sequential, StepLr, WarmUp, WarmupStableDecay,
};
use crate::{
    AllNonFinite, AutoLrConfig, Cadence, ConfigError, ExponentialScore, Factors, GroupProbing,
    NonFinite, Normalization, ScaleUpdate, Unit,
};

/// A single loss of any kind: ordinary, zero, subnormal, of any magnitude and sign, infinite, NaN.
pub fn loss() -> BoxedStrategy<f64> {
    prop_oneof![
        6 => ordinary_loss(),
        2 => finite_loss(),
        1 => Just(f64::INFINITY),
        1 => Just(f64::NEG_INFINITY),
        1 => Just(f64::NAN),
    ]
    .boxed()
}

/// A finite loss of any magnitude, from subnormal to 1e308, and of either sign.
pub fn finite_loss() -> BoxedStrategy<f64> {
    (float::NORMAL | float::SUBNORMAL | float::ZERO).boxed()
}

/// A loss as training has it: 0 to 10.
pub fn ordinary_loss() -> BoxedStrategy<f64> {
    (0.0..10.0_f64).boxed()
}

/// `n` finite losses: ordinary, tied, a few ulps apart, of any magnitude, subnormal.
pub fn finite_losses(n: usize) -> BoxedStrategy<Vec<f64>> {
    prop_oneof![
        4 => vec(ordinary_loss(), n),
        1 => vec(finite_loss(), n),
        1 => vec(float::SUBNORMAL | float::ZERO, n),
        // Ties: few values for many candidates.
        2 => vec(prop_oneof![Just(0.5), Just(1.0), Just(2.25)], n),
        // All alike.
        1 => finite_loss().prop_map(move |loss| vec![loss; n]),
        // Near-ties: a few ulps around a value of any magnitude.
        2 => (float::POSITIVE | float::NEGATIVE | float::NORMAL, vec(-4_i64..=4, n)).prop_map(|(base, ulps)| {
            let near = |ulps: i64| f64::from_bits(base.to_bits().saturating_add_signed(ulps));
            let finite = |loss: f64| if loss.is_finite() { loss } else { base };
            ulps.into_iter().map(|ulps| finite(near(ulps))).collect()
        }),
    ]
    .boxed()
}

/// `n` losses of any kind: those of [`finite_losses`], with some replaced by NaN and infinities.
pub fn losses(n: usize) -> BoxedStrategy<Vec<f64>> {
    let odd = prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY)];
    let replaced = vec(proptest::option::weighted(0.2, odd), n);
    let mixed = (finite_losses(n), replaced).prop_map(|(losses, replaced)| {
        let pairs = losses.into_iter().zip(replaced);
        pairs.map(|(loss, odd)| odd.unwrap_or(loss)).collect()
    });
    prop_oneof![
        3 => finite_losses(n),
        2 => mixed,
        1 => vec(loss(), n),
    ]
    .boxed()
}

/// A factor: mostly within 2^±20, now and then anywhere among the positive finite numbers.
pub fn factor() -> BoxedStrategy<f64> {
    prop_oneof![
        8 => (-20.0..20.0_f64).prop_map(libm::exp2),
        2 => (-3_i32..=3).prop_map(|k| libm::exp2(f64::from(k))),
        1 => (float::POSITIVE | float::NORMAL).prop_map(f64::abs),
    ]
    .boxed()
}

/// A set of `n` factors, in any order, some of them perhaps equal.
///
/// # Panics
/// If `n` is zero: there is no such set.
pub fn factors(n: usize) -> BoxedStrategy<Factors> {
    assert!(n > 0, "a set of factors has at least one");
    let valid = |values: Vec<f64>| Factors::new(values).ok();
    vec(factor(), n)
        .prop_filter_map("no valid set", valid)
        .boxed()
}

/// Any normalisation.
pub fn normalization() -> BoxedStrategy<Normalization> {
    proptest::sample::select(Normalization::ALL.to_vec()).boxed()
}

/// A sharpness: mostly 0 to 8, now and then anything valid.
pub fn sharpness() -> BoxedStrategy<f64> {
    prop_oneof![
        2 => Just(1.0),
        1 => Just(0.0),
        6 => 0.0..8.0_f64,
        1 => (float::POSITIVE | float::NORMAL | float::SUBNORMAL).prop_map(f64::abs),
    ]
    .boxed()
}

/// An update rule for these factors, of any normalisation and sharpness; what is not finite has no vote.
pub fn rule(factors: Factors) -> BoxedStrategy<ScaleUpdate> {
    (normalization(), sharpness())
        .prop_filter_map("no valid sharpness", move |(normalization, sharpness)| {
            let rule = ScaleUpdate::new(factors.clone()).with_normalization(normalization);
            Some(rule.with_score(ExponentialScore::new(sharpness).ok()?))
        })
        .boxed()
}

/// Factors and as many losses of any kind.
pub fn probe(candidates: RangeInclusive<usize>) -> BoxedStrategy<(Factors, Vec<f64>)> {
    candidates
        .prop_flat_map(|n| (factors(n.max(1)), losses(n.max(1))))
        .boxed()
}

/// Factors, as many finite losses, and the index of one of them.
pub fn probe_with_index(
    candidates: RangeInclusive<usize>,
) -> BoxedStrategy<(Factors, Vec<f64>, usize)> {
    candidates
        .prop_flat_map(|n| (factors(n.max(1)), finite_losses(n.max(1)), 0..n.max(1)))
        .boxed()
}

/// `n` candidate rates, as a back end may be asked for: mostly ordinary ones, now and then the smallest and largest
/// that exist.
pub fn rates(n: usize) -> BoxedStrategy<Vec<f64>> {
    let rate = prop_oneof![
        8 => (-30.0..3.0_f64).prop_map(libm::exp2),
        1 => Just(f64::MIN_POSITIVE),
        1 => Just(f64::MAX),
        1 => (float::POSITIVE | float::NORMAL).prop_map(f64::abs),
    ];
    vec(rate, n).boxed()
}

/// Any configuration of the closed loop.
pub fn config() -> BoxedStrategy<AutoLrConfig> {
    configs(prop_oneof![2 => Just(vec![1.0]), 1 => vec(factor(), 1..=3)].boxed())
}

/// Any configuration of one parameter group: for a back end that takes one rate. Of [`config`], two in nine would have to be
/// thrown away, and proptest gives up after some thousand.
pub fn single_group_config() -> BoxedStrategy<AutoLrConfig> {
    configs(prop_oneof![2 => Just(vec![1.0]), 1 => vec(factor(), 1)].boxed())
}

fn configs(groups: BoxedStrategy<Vec<f64>>) -> BoxedStrategy<AutoLrConfig> {
    let start = prop_oneof![
        3 => (-20.0..4.0_f64).prop_map(|log| Some(libm::exp2(log))),
        1 => (float::POSITIVE | float::NORMAL).prop_map(|lr| Some(lr.abs())),
        2 => Just(None),
    ];
    let rule = (1..=9_usize).prop_flat_map(factors).prop_flat_map(rule);
    let rule = (rule, proptest::bool::weighted(0.1)).prop_map(|(rule, propagate)| {
        rule.with_non_finite(if propagate {
            NonFinite::Propagate
        } else {
            NonFinite::NoVote
        })
    });
    let bounds = proptest::option::of((-30.0..10.0_f64, 0.0..20.0_f64));
    let cadence = (1..5_u64, prop_oneof![Just(Unit::Epoch), Just(Unit::Step)]);
    let all_non_finite = prop_oneof![
        Just(AllNonFinite::Hold),
        Just(AllNonFinite::Lower),
        Just(AllNonFinite::Fail)
    ];
    let probing = prop_oneof![Just(GroupProbing::Together), Just(GroupProbing::InTurn)];
    let parts = (
        start,
        schedule(),
        rule,
        bounds,
        cadence,
        all_non_finite,
        0..4_u32,
        groups,
        probing,
    );
    parts
        .prop_filter_map("no valid configuration", |parts| {
            let (lr, base, rule, bounds, (every, unit), all_non_finite, edge, groups, probing) =
                parts;
            let config = match lr {
                Some(lr) => AutoLrConfig::new(lr, rule).ok()?,
                None => AutoLrConfig::over(base, rule),
            };
            let config = config
                .with_cadence(Cadence::new(every, unit).ok()?)
                .with_edge_probes(edge)
                .with_groups(groups, probing)
                .ok()?;
            // Where no factor lowers the rate, that is no answer.
            let config = config
                .clone()
                .with_all_non_finite(all_non_finite)
                .unwrap_or(config);
            let Some((log, width)) = bounds else {
                return Some(config);
            };
            let (min, max) = (libm::exp2(log), libm::exp2(log + width));
            // Bounds around the rate it starts with, where they are meant for another.
            let (min, max) = (min.min(config.lr()), max.max(config.lr()));
            config.clone().with_bounds(min, max).ok().or(Some(config))
        })
        .boxed()
}

/// Any open-loop schedule, compositions included, with extreme lengths and rates among them.
pub fn schedule() -> BoxedStrategy<ScheduleConfig> {
    let lr = prop_oneof![8 => 1e-8..10.0, 1 => Just(f64::MIN_POSITIVE), 1 => Just(f64::MAX)];
    let length = prop_oneof![8 => 1..1_000_u64, 1 => 1..=u64::MAX, 1 => Just(u64::MAX)];
    let share = prop_oneof![8 => 0.0..=1.0, 1 => Just(0.0), 1 => Just(1.0)];
    let gamma = prop_oneof![8 => 1e-3..2.0, 1 => Just(f64::MIN_POSITIVE), 1 => Just(f64::MAX)];
    let power = prop_oneof![8 => 0.0..4.0, 1 => Just(0.0), 1 => Just(f64::MAX)];
    let division = prop_oneof![8 => 1.0..1e5, 1 => Just(1.0), 1 => Just(f64::MAX)];
    let switches = (any::<bool>(), any::<bool>());
    let milestones = vec(prop_oneof![length.clone(), Just(0)], 0..6);

    let shares = (share.clone(), share.clone());
    let lengths = (length.clone(), prop_oneof![1..10_u64, length.clone()]);
    let numbers = (gamma, power, division);
    let flat = (lr, lengths, shares, numbers, switches, milestones, 0..12)
        .prop_map(
            |(lr, (n, m), (a, b), (gamma, power, division), (x, y), list, kind)| {
                let one_cycle = |strategy| {
                    OneCycleLr::new(lr, n)?
                        .with_pct_start(a)?
                        .with_div_factors(division, 1.0_f64.max(division * b))
                        .map(|schedule| {
                            schedule.with_anneal_strategy(strategy).with_three_phases(y)
                        })
                };
                let decay = |x, y| match (x, y) {
                    (true, _) => DecayType::Cosine,
                    (_, true) => DecayType::Linear,
                    _ => DecayType::OneMinusSqrt,
                };
                match kind {
                    0 => ConstantLr::new(lr, a, n).map(Into::into),
                    1 => LinearLr::new(lr, 1.0 - a / 2.0, b, n).map(Into::into),
                    2 => CosineAnnealingLr::new(lr, n, lr * a).map(Into::into),
                    3 => StepLr::new(lr, n, gamma).map(Into::into),
                    4 => Fixed::new(lr).map(Into::into),
                    5 => LinearDecay::new(lr, n).map(Into::into),
                    6 => MultiStepLr::new(lr, list, gamma).map(Into::into),
                    7 => ExponentialLr::new(lr, gamma).map(Into::into),
                    8 => PolynomialLr::new(lr, n, power).map(Into::into),
                    9 if x => one_cycle(AnnealStrategy::Cos).map(Into::into),
                    9 => one_cycle(AnnealStrategy::Linear).map(Into::into),
                    10 => WarmupStableDecay::new(lr, n)?
                        .with_ratios(a, (1.0 - a) * b)?
                        .with_min_lr_ratio(b)
                        .map(|schedule| schedule.with_decay_type(decay(x, y)).into()),
                    _ => CosineWarmRestarts::new(lr, n, m, lr * a).map(Into::into),
                }
            },
        )
        .prop_filter_map(
            "no valid schedule",
            |built: Result<ScheduleConfig, ConfigError>| built.ok(),
        );
    flat.prop_recursive(4, 24, 4, move |inner| {
        let warm_up = (length.clone(), share.clone(), inner.clone())
            .prop_map(|(steps, start, inner)| WarmUp::new(steps, start, inner).map(Into::into));
        let sequential = vec((inner.clone(), length.clone()), 1..5).prop_map(|parts| {
            let (schedules, mut milestones): (_, Vec<u64>) = parts.into_iter().unzip();
            milestones.pop();
            milestones.sort_unstable();
            Sequential::new(schedules, milestones).map(Into::into)
        });
        let product = vec(inner, 1..5).prop_map(|parts| Product::new(parts).map(Into::into));
        prop_oneof![warm_up, sequential, product].prop_filter_map(
            "no valid composition",
            |built: Result<ScheduleConfig, ConfigError>| built.ok(),
        )
    })
    .boxed()
}
