//! Every schedule and configuration gives back what it was made of, and writes no more than that.

use autolr_core::schedule::{
    AnnealStrategy, ConstantLr, CosineAnnealingLr, CosineWarmRestarts, ExponentialLr, Fixed,
    LinearDecay, LinearLr, MultiStepLr, OneCycleLr, PolynomialLr, Product, ScheduleConfig,
    Sequential, StepLr, WarmUp,
};
use autolr_core::{
    AllNonFinite, AutoLrConfig, Cadence, ConfigError, ExponentialScore, Factors, GroupProbing,
    Normalization, ScaleUpdate, Unit,
};
use serde_json::{Value, json};

#[test]
fn schedules_give_back_what_they_were_made_of() -> Result<(), ConfigError> {
    let it = ConstantLr::new(0.3, 0.25, 7)?;
    assert_eq!(
        (it.base_lr(), it.factor(), it.total_iters()),
        (0.3, 0.25, 7)
    );
    assert_eq!(Fixed::new(0.3)?.base_lr(), 0.3);
    let it = LinearLr::new(0.3, 0.25, 0.75, 7)?;
    assert_eq!((it.base_lr(), it.start_factor()), (0.3, 0.25));
    assert_eq!((it.end_factor(), it.total_iters()), (0.75, 7));
    let it = LinearDecay::new(0.3, 7)?;
    assert_eq!((it.base_lr(), it.total_iters()), (0.3, 7));
    let it = CosineAnnealingLr::new(0.3, 7, 0.02)?;
    assert_eq!((it.base_lr(), it.t_max(), it.eta_min()), (0.3, 7, 0.02));
    let it = CosineWarmRestarts::new(0.3, 7, 2, 0.02)?;
    assert_eq!((it.base_lr(), it.t_0()), (0.3, 7));
    assert_eq!((it.t_mult(), it.eta_min()), (2, 0.02));
    let it = StepLr::new(0.3, 7, 0.2)?;
    assert_eq!((it.base_lr(), it.step_size(), it.gamma()), (0.3, 7, 0.2));
    let it = MultiStepLr::new(0.3, vec![9, 4], 0.2)?;
    assert_eq!((it.base_lr(), it.gamma()), (0.3, 0.2));
    assert_eq!(it.milestones(), [4, 9]);
    let it = ExponentialLr::new(0.3, 0.2)?;
    assert_eq!((it.base_lr(), it.gamma()), (0.3, 0.2));
    let it = PolynomialLr::new(0.3, 7, 1.5)?;
    assert_eq!((it.base_lr(), it.total_iters(), it.power()), (0.3, 7, 1.5));
    Ok(())
}

#[test]
fn one_cycle_gives_back_what_it_was_made_of() -> Result<(), ConfigError> {
    let it = OneCycleLr::new(0.3, 70)?
        .with_pct_start(0.4)?
        .with_anneal_strategy(AnnealStrategy::Linear)
        .with_three_phases(true)
        .with_div_factors(10.0, 100.0)?;
    assert_eq!((it.max_lr(), it.total_steps()), (0.3, 70));
    assert_eq!((it.pct_start(), it.three_phase()), (0.4, true));
    assert_eq!(it.anneal_strategy(), AnnealStrategy::Linear);
    assert_eq!((it.div_factor(), it.final_div_factor()), (10.0, 100.0));
    assert_eq!(it.initial_lr(), 0.3 / 10.0);
    assert_eq!(it.final_lr(), 0.3 / 10.0 / 100.0);
    let plain = OneCycleLr::new(0.3, 70)?;
    assert_eq!((plain.pct_start(), plain.three_phase()), (0.3, false));
    assert_eq!(plain.anneal_strategy(), AnnealStrategy::Cos);
    assert_eq!((plain.div_factor(), plain.final_div_factor()), (25.0, 1e4));
    Ok(())
}

#[test]
fn compositions_give_back_what_they_were_made_of() -> Result<(), ConfigError> {
    let (a, b) = (
        ScheduleConfig::from(Fixed::new(0.3)?),
        ScheduleConfig::from(StepLr::new(0.2, 7, 0.5)?),
    );
    let it = Sequential::new(vec![a.clone(), b.clone()], vec![5])?;
    assert_eq!(it.schedules(), [a.clone(), b.clone()]);
    assert_eq!(it.milestones(), [5]);
    assert_eq!(it.at(4), (&a, 4));
    assert_eq!(it.at(5), (&b, 0));
    let it = Product::new(vec![a.clone(), b.clone()])?;
    assert_eq!(it.schedules(), [a, b.clone()]);
    let it = WarmUp::new(5, 0.25, b.clone())?;
    assert_eq!((it.steps(), it.start_factor()), (5, 0.25));
    assert_eq!(it.schedule(), &b);
    Ok(())
}

fn rule() -> ScaleUpdate {
    ScaleUpdate::new(Factors::new(vec![2.0, 1.0, 0.5]).unwrap())
}

#[test]
fn a_configuration_gives_back_what_it_was_made_of() -> Result<(), ConfigError> {
    let plain = AutoLrConfig::new(0.3, rule())?;
    assert_eq!(plain.lr(), 0.3);
    assert_eq!(plain.base(), None);
    assert_eq!(plain.rule(), &rule());
    assert_eq!(plain.bounds(), (f64::MIN_POSITIVE, f64::MAX));
    assert_eq!(plain.edge_probes(), 0);
    assert_eq!(plain.groups(), [1.0]);
    let cadence = Cadence::new(3, Unit::Step)?;
    let it = plain
        .with_cadence(cadence)
        .with_bounds(0.01, 0.5)?
        .with_all_non_finite(AllNonFinite::Lower)?
        .with_edge_probes(2)
        .with_groups([1.0, 0.1], GroupProbing::InTurn)?;
    assert_eq!(it.cadence(), cadence);
    assert_eq!((it.cadence().every(), it.cadence().unit()), (3, Unit::Step));
    assert_eq!(it.bounds(), (0.01, 0.5));
    assert_eq!(it.all_non_finite(), AllNonFinite::Lower);
    assert_eq!(it.edge_probes(), 2);
    assert_eq!(it.groups(), [1.0, 0.1]);
    assert_eq!(it.group_probing(), GroupProbing::InTurn);
    let over = AutoLrConfig::over(StepLr::new(0.2, 7, 0.5)?, rule());
    assert_eq!(over.lr(), 0.2);
    assert_eq!(
        over.base(),
        Some(&ScheduleConfig::from(StepLr::new(0.2, 7, 0.5)?))
    );
    Ok(())
}

/// A lower and an upper bound that are one are a rate that stays.
#[test]
fn bounds_may_meet_but_not_cross() -> Result<(), ConfigError> {
    let config = || AutoLrConfig::new(0.3, rule());
    assert_eq!(config()?.with_bounds(0.3, 0.3)?.bounds(), (0.3, 0.3));
    assert!(config()?.with_bounds(0.3, 0.2).is_err());
    Ok(())
}

#[test]
fn what_is_as_by_default_is_not_written() -> Result<(), Box<dyn std::error::Error>> {
    let plain = AutoLrConfig::new(0.3, rule())?;
    let written = serde_json::to_value(&plain)?;
    let keys: Vec<&String> = written
        .as_object()
        .into_iter()
        .flat_map(|map| map.keys())
        .collect();
    for key in [
        "every",
        "groups",
        "group_probing",
        "edge_probes",
        "all_non_finite",
        "base",
    ] {
        assert!(!keys.iter().any(|written| *written == key), "{keys:?}");
    }
    let full = plain
        .clone()
        .with_cadence(Cadence::new(3, Unit::Step)?)
        .with_all_non_finite(AllNonFinite::Lower)?
        .with_edge_probes(2)
        .with_groups([1.0, 0.1], GroupProbing::InTurn)?;
    let written = serde_json::to_value(&full)?;
    assert_eq!(written["every"], 3);
    assert_eq!(written["groups"], json!([1.0, 0.1]));
    assert_eq!(written["edge_probes"], 2);
    assert_eq!(serde_json::from_value::<AutoLrConfig>(written)?, full);
    let read: AutoLrConfig =
        serde_json::from_value(json!({"lr": 0.3, "factors": [2.0, 1.0, 0.5]}))?;
    assert_eq!(read, plain);
    let score = ExponentialScore::new(2.0)?;
    let sharp = AutoLrConfig::new(
        0.3,
        rule()
            .with_score(score)
            .with_normalization(Normalization::Sum),
    )?;
    let written = serde_json::to_value(&sharp)?;
    assert_eq!(
        (&written["sharpness"], &written["normalization"]),
        (&json!(2.0), &json!("sum"))
    );
    Ok(())
}

#[test]
fn names_are_those_of_files() -> Result<(), serde_json::Error> {
    let written = |value: Value, name: &str| assert_eq!(value, name);
    for kind in [AllNonFinite::Hold, AllNonFinite::Lower, AllNonFinite::Fail] {
        written(serde_json::to_value(kind)?, kind.name());
    }
    for kind in [GroupProbing::Together, GroupProbing::InTurn] {
        written(serde_json::to_value(kind)?, kind.name());
    }
    for unit in [Unit::Step, Unit::Epoch] {
        written(serde_json::to_value(unit)?, unit.name());
    }
    for &kind in Normalization::ALL {
        written(serde_json::to_value(kind)?, kind.name());
    }
    Ok(())
}
