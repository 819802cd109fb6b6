//! Images as examples for a network of libtorch.

use anyhow::Result;
use autolr_tch::Batch;
use tch::Device;

use super::resident::Resident;
use super::torch::Examples;
use super::{DataIdentity, Part, StateArray, StateValues};
use crate::data::augment::{augment_into, normalize_into};
use crate::data::{DataSet, IMAGE_BYTES, ImageSet, SIDE, Stream};

/// Images of a data set, flipped and rotated at random if wanted.
#[derive(Debug)]
pub struct Images {
    set: DataSet,
    augment: bool,
    downsample: bool,
    /// Training and test images where the network is, if that is a GPU.
    resident: Option<[Resident; 2]>,
}

impl Images {
    /// The images of `set`; `augment`: flipped and rotated in training, `downsample`: halved in height and width
    /// afterwards. On a GPU they are put there as bytes, once, and batches are made there.
    ///
    /// # Errors
    /// If libtorch refuses: memory.
    pub fn new(set: DataSet, augment: bool, downsample: bool, device: Device) -> Result<Self> {
        let images = Self {
            set,
            augment,
            downsample,
            resident: None,
        };
        if device.is_cuda() {
            return images.resident_on(device);
        }
        Ok(images)
    }

    fn resident_on(mut self, device: Device) -> Result<Self> {
        let DataSet { train, test } = &self.set;
        self.resident = Some([Resident::new(train, device)?, Resident::new(test, device)?]);
        Ok(self)
    }

    fn of(&self, part: Part) -> &ImageSet {
        match part {
            Part::Train => &self.set.train,
            Part::Test => &self.set.test,
        }
    }
}

impl Examples for Images {
    const DRAWN_TO_SIZE: bool = false;

    fn identity(&self) -> DataIdentity {
        let DataSet { train, test } = &self.set;
        DataIdentity {
            name: train.name().title().to_owned(),
            synthetic: train.is_synthetic(),
            digest: format!("{}+{}", train.digest(), test.digest()),
        }
    }

    fn count(&self, part: Part) -> usize {
        self.of(part).len()
    }

    fn batch(
        &self,
        part: Part,
        indices: &[u32],
        random: Option<&mut Stream>,
        device: Device,
    ) -> Result<Batch> {
        let mut random = random.filter(|_| self.augment);
        if let Some([train, test]) = &self.resident {
            let images = match part {
                Part::Train => train,
                Part::Test => test,
            };
            return images.batch(indices, random, self.downsample);
        }
        let set = self.of(part);
        let mut images = vec![0.0; indices.len() * IMAGE_BYTES];
        let mut labels = Vec::with_capacity(indices.len());
        for (&index, out) in indices.iter().zip(images.chunks_exact_mut(IMAGE_BYTES)) {
            let image = set.image(index as usize);
            match &mut random {
                Some(random) => augment_into(image, random, out),
                None => normalize_into(image, out),
            }
            labels.push(i64::from(set.label(index as usize)));
        }
        if self.downsample {
            images = images.chunks_exact(SIDE * SIDE).flat_map(halved).collect();
        }
        Ok(Batch::new(&images, &labels, device)?)
    }

    fn arrays(&self, name: &str, batch: &Batch) -> Result<Vec<StateArray>> {
        let images: Vec<f32> = Vec::try_from(batch.images.f_to(Device::Cpu)?.f_flatten(0, -1)?)?;
        let labels: Vec<i64> = Vec::try_from(batch.labels.f_to(Device::Cpu)?)?;
        Ok(vec![
            StateArray {
                name: format!("{name}.images"),
                shape: batch.images.size().iter().map(|&n| n as usize).collect(),
                values: StateValues::F32(images),
            },
            StateArray {
                name: format!("{name}.labels"),
                shape: vec![labels.len()],
                values: StateValues::I64(labels),
            },
        ])
    }
}

/// Means of the 2 × 2 squares of a channel.
fn halved(channel: &[f32]) -> Vec<f32> {
    let rows = channel.chunks_exact(2 * SIDE);
    let means = rows.flat_map(|rows| {
        let (upper, lower) = rows.split_at(SIDE);
        let pairs = upper.chunks_exact(2).zip(lower.chunks_exact(2));
        pairs.map(|(a, b)| (a[0] + a[1] + b[0] + b[1]) / 4.0)
    });
    means.collect()
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;
    use crate::data::synthetic;
    use crate::data::{Purpose, stream};

    fn images(augment: bool, downsample: bool) -> Images {
        Images::new(
            synthetic::images(0, 40, 10),
            augment,
            downsample,
            Device::Cpu,
        )
        .unwrap()
    }

    #[test]
    fn halved_images_are_means_of_four_pixels() {
        let batch = |downsample| {
            let batch = images(false, downsample).batch(Part::Train, &[2, 0], None, Device::Cpu);
            batch.unwrap().images
        };
        let (whole, half) = (batch(false), batch(true));
        assert_eq!(whole.size(), [2, 3, 32, 32]);
        let pooled = whole.avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None);
        assert_eq!(half.size(), [2, 3, 16, 16]);
        let difference = (half - pooled).abs().max().double_value(&[]);
        assert!(difference < 1e-6, "{difference}");
    }

    /// The way through a GPU's memory, on the CPU.
    #[test]
    fn batches_made_where_the_images_are_have_the_same_bits() {
        let indices: Vec<u32> = (0..40).rev().collect();
        for (augment, downsample) in [(false, false), (false, true), (true, false), (true, true)] {
            for part in [Part::Train, Part::Test] {
                let indices = match part {
                    Part::Train => &indices[..],
                    Part::Test => &[3, 3, 9, 0],
                };
                let batch = |images: Images| {
                    let mut random = stream(0, Purpose::Augmentation, 0, 0);
                    let batch = images.batch(part, indices, Some(&mut random), Device::Cpu);
                    (batch.unwrap(), random.next_u64())
                };
                let host = batch(images(augment, downsample));
                let resident = images(augment, downsample).resident_on(Device::Cpu);
                let resident = batch(resident.unwrap());
                assert_eq!(host.1, resident.1, "draws");
                assert_eq!(host.0.labels, resident.0.labels);
                assert_eq!(host.0.images.size(), resident.0.images.size());
                assert!(
                    host.0.images.equal(&resident.0.images),
                    "{augment} {downsample} {part:?}"
                );
            }
        }
    }
}
