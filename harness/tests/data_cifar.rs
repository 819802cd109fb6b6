//! The real CIFAR sets, where they are found.

use harness::data::{Cifar, Location, cifar};

/// Digests of the content, so that a change in decoding shows: labels and pixels of both parts.
fn check(set: Cifar, classes: usize, first_labels: [u8; 4], train_digest: &str, test_digest: &str) {
    let location = Location::from_process(None).unwrap();
    let root = match location.find(set) {
        Ok(root) => root,
        Err(error) if error.is_not_found() => {
            println!("skipped: {error}");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let data = cifar::load(set, root).unwrap();
    assert_eq!((data.train.len(), data.test.len()), (50_000, 10_000));
    for (part, per_class) in [
        (&data.train, 50_000 / classes),
        (&data.test, 10_000 / classes),
    ] {
        let mut counts = vec![0; classes];
        part.labels()
            .iter()
            .for_each(|&label| counts[usize::from(label)] += 1);
        assert_eq!(counts, vec![per_class; classes], "images per class");
    }
    assert_eq!(data.train.labels()[..4], first_labels);
    assert_eq!(
        (data.train.digest(), data.test.digest()),
        (train_digest, test_digest)
    );
}

#[test]
fn cifar10() {
    check(
        Cifar::Cifar10,
        10,
        [6, 9, 9, 4],
        "028962541f8a88ca9b30cf8851d11cd3fddd0465a7f2e353af0d2dbc3df8fcb0",
        "4147c3b415039d8bd579a791e8ea775868ddd7e23e2580dd2e92c8f57ed1cb6c",
    );
}

#[test]
fn cifar100() {
    check(
        Cifar::Cifar100,
        100,
        [19, 29, 0, 11],
        "c23a1e38949b4f3bf3cd1f1f21ebf997d6e1e65c72cf9f6abc4c2bb2c98a4bc7",
        "bfc14ebfcfcbe8b139d2b030d29f706af32fbaf744f41e85edc43212100c4dda",
    );
}
