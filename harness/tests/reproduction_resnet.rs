//! The paper's experiments on a ResNet-18 of width 2 and a few synthetic images, as a person reads them: a snapshot an
//! experiment and protocol, of what does not depend on the processor.
#![cfg(feature = "tch")]

mod support;

use harness::experiment::Protocol;
use harness::report::ExperimentName;
use support::reading::{Reading, experiment, in_outline};

/// The scoring batch of 512 fits.
const OVERLAY: &str = r#"
    [data]
    set = "synthetic"
    train_images = 660
    test_images = 64
    [network]
    width = 2
    [training]
    epochs = 3
    device = "cpu"
"#;

fn loss_is_not_finite(reading: &Reading) -> bool {
    let epochs = reading.log.epochs.iter();
    epochs.clone().any(|record| !record.train_loss.is_finite())
}

macro_rules! snapshots {
    ($($name:ident: $experiment:ident, $protocol:ident;)*) => {$(
        #[test]
        fn $name() {
            let readings = experiment(ExperimentName::$experiment, Protocol::$protocol, OVERLAY);
            assert!(readings.len() >= 2);
            if stringify!($name) == "divergence_published" {
                // From a rate of 1, without BatchNorm: the paper's one case of divergence.
                assert!(readings.iter().any(loss_is_not_finite), "nothing diverged");
            }
            insta::assert_snapshot!(stringify!($name), in_outline(&readings));
        }
    )*};
}

snapshots! {
    table1_published: Table1, Published;
    table1_released: Table1, Released;
    fig2_published: Fig2, Published;
    fig2_released: Fig2, Released;
    fig3_published: Fig3, Published;
    fig3_released: Fig3, Released;
    divergence_published: Divergence, Published;
    divergence_released: Divergence, Released;
}
