//! The augmentation gives the same bytes as Pillow, on the fixture that
//! `fixtures/augmentation/make.py` makes.

use std::path::Path;

use harness::data::IMAGE_BYTES;
use harness::data::augment::{normalize_into, transform_into};

#[derive(serde::Deserialize)]
struct Fixture {
    images: usize,
    angles: Vec<f64>,
}

#[test]
fn flip_and_rotation_are_pillows_bit_for_bit() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/augmentation");
    let fixture: Fixture =
        serde_json::from_slice(&std::fs::read(folder.join("rotated.json")).unwrap()).unwrap();
    let images = std::fs::read(folder.join("images.bin")).unwrap();
    let rotated = std::fs::read(folder.join("rotated.bin")).unwrap();
    assert_eq!(images.len(), fixture.images * IMAGE_BYTES);
    assert_eq!(
        rotated.len(),
        fixture.images * 2 * fixture.angles.len() * IMAGE_BYTES
    );

    let mut expected = rotated.chunks_exact(IMAGE_BYTES);
    let (mut ours, mut pillows) = (vec![0.0; IMAGE_BYTES], vec![0.0; IMAGE_BYTES]);
    for (i, image) in images.chunks_exact(IMAGE_BYTES).enumerate() {
        for flip in [false, true] {
            for &degrees in &fixture.angles {
                transform_into(image, flip, degrees, &mut ours);
                normalize_into(expected.next().unwrap(), &mut pillows);
                let wrong = ours.iter().zip(&pillows).filter(|(a, b)| a != b).count();
                assert_eq!(
                    wrong, 0,
                    "image {i}, flip {flip}, {degrees} degrees: pixels that differ"
                );
            }
        }
    }
}
