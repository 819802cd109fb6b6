//! Images and ResNet-18 through libtorch.

use std::rc::Rc;

use anyhow::{Context, Result, bail};
use autolr_core::ProbeBackend;
use autolr_core::optimizer::StepProbe;
use autolr_tch::{
    Batch, DeviceChoice, Mode, Model, ModelProbe, NamedArray, Optimizer, ResNet18, ResNetConfig,
    ScoringBatches, Tally,
};
use ndarray::{ArrayView1, ArrayViewMut1};
use tch::{Device, Tensor};

use super::{Draw, EpochSums, Place, StateArray, StateValues, Workload, load_images};
use crate::data::augment::{augment_into, normalize_into};
use crate::data::batches::{Epoch, sample};
use crate::data::{
    DataSet, IMAGE_BYTES, ImageSet, Location, Purpose, Split, SplitSpec, Stream, attempt_stream,
};
use crate::exit::BadInput;
use crate::experiment::Cost;
use crate::experiment::sizes::{check_batches, check_subset, split_error};
use crate::experiment::{DeviceName, GradientBatch, NetworkSpec, RunSpec, ScoringBatch};
use crate::record::{DataProvenance, Evaluation};

/// Images sent through at once where no gradient is taken.
const EVALUATION_BATCH: usize = 256;
/// Steps between two looks at the loss, each of which waits for a GPU.
const CHECK_EVERY: u64 = 32;

/// ResNet-18 with its data and optimiser.
pub struct ImageWorkload {
    spec: RunSpec,
    data: Rc<DataSet>,
    split: Split,
    test: Vec<u32>,
    model: Model<ResNet18>,
    optimizer: Optimizer,
    frozen: bool,
    device: Device,
    /// The epoch at hand, once it has begun.
    order: Option<Epoch>,
    place: Place,
    steps: u64,
    tally: Tally,
    /// Mean loss of the last batch.
    loss: Option<Tensor>,
}

/// What a probe looks at: the scoring batches, and the batch that gives the gradient, if it is another.
struct ProbeBatches {
    scoring: Vec<Batch>,
    gradient: Option<Batch>,
}

impl ImageWorkload {
    /// Loads the data, makes the network on its device.
    ///
    /// # Errors
    /// [`BadInput`] or [`crate::data::DataError`] if data, device or sizes do not fit.
    pub fn new(spec: &RunSpec, location: &Location, threads: usize) -> Result<Self> {
        let NetworkSpec::ResNet18 { width, batch_norm } = spec.network else {
            bail!("network: not one for images");
        };
        let device = match spec.training.device {
            DeviceName::Cpu => DeviceChoice::Cpu,
            DeviceName::Cuda => DeviceChoice::Cuda,
            DeviceName::Auto => DeviceChoice::Auto,
        };
        let device = autolr_tch::select(device).map_err(BadInput::from_error)?;
        tch::set_num_threads(i32::try_from(threads).unwrap_or(1).max(1));
        autolr_tch::set_numerics(true, false)?;
        let data = load_images(spec, location)?;
        let set = spec.data.set;
        let subset = check_subset(
            "data.train_images",
            spec.data.train_images,
            data.train.len(),
            set,
        )?;
        let test = check_subset(
            "data.test_images",
            spec.data.test_images,
            data.test.len(),
            set,
        )?;
        let split = Split::draw(
            &SplitSpec {
                images: data.train.len(),
                subset: Some(subset),
                validation_fraction: spec.data.validation_fraction,
                kind: spec.data.split,
            },
            spec.training.seed,
        )
        .map_err(|error| split_error(&error))?;
        let network = ResNet18::new(ResNetConfig {
            width: i64::from(width),
            classes: spec.classes() as i64,
            batch_norm,
        })?;
        let model = Model::new(network, spec.training.seed, device)?;
        let optimizer = Optimizer::new(spec.optimizer, model.parameters())?;
        let workload = Self {
            spec: spec.clone(),
            data: Rc::new(data),
            split,
            test: (0..test as u32).collect(),
            model,
            optimizer,
            frozen: false,
            device,
            order: None,
            place: Place::default(),
            steps: 0,
            tally: Tally::new(device)?,
            loss: None,
        };
        check_batches(spec, &workload.split, workload.test.len())?;
        Ok(workload)
    }

    fn scoring_indices(&self, draw: Draw, index: u64, size: usize) -> Result<Vec<u32>> {
        let mut rng = draw.stream(self.spec.training.seed, Purpose::Scoring, index);
        let drawn = sample(&self.split.scoring, size, &mut rng);
        Ok(drawn.map_err(|error| BadInput(format!("probe.batch_size: {error}")))?)
    }

    fn scoring_batch(&self, draw: Draw, index: u64, size: usize) -> Result<Batch> {
        let indices = self.scoring_indices(draw, index, size)?;
        let seed = self.spec.training.seed;
        let mut rng = draw.stream(seed, Purpose::ScoringAugmentation, index);
        self.batch(&indices, &mut rng)
    }

    /// The images that count: without the incomplete last batch, where that is left out.
    fn evaluation_indices(&self, indices: &[u32]) -> Result<Vec<u32>> {
        let (size, drop_last) = (self.spec.training.batch_size, self.spec.data.drop_last);
        let batches = Epoch::in_order(indices, size, drop_last)?;
        Ok(batches.batches().flatten().copied().collect())
    }

    /// A batch of training images, augmented from `rng` if the specification says so.
    fn batch(&self, indices: &[u32], rng: &mut Stream) -> Result<Batch> {
        let augment = self.spec.data.augment;
        self.assemble(&self.data.train, indices, |image, out| {
            if augment {
                augment_into(image, rng, out);
            } else {
                normalize_into(image, out);
            }
        })
    }

    fn assemble(
        &self,
        set: &ImageSet,
        indices: &[u32],
        mut write: impl FnMut(&[u8], &mut [f32]),
    ) -> Result<Batch> {
        let mut images = vec![0.0; indices.len() * IMAGE_BYTES];
        let mut labels = Vec::with_capacity(indices.len());
        for (&index, out) in indices.iter().zip(images.chunks_exact_mut(IMAGE_BYTES)) {
            write(set.image(index as usize), out);
            labels.push(i64::from(set.label(index as usize)));
        }
        Ok(Batch::new(&images, &labels, self.device)?)
    }

    fn evaluate(&self, set: &ImageSet, indices: &[u32]) -> Result<Evaluation> {
        let indices = self.evaluation_indices(indices)?;
        let mut tally = Tally::new(self.device)?;
        for chunk in indices.chunks(EVALUATION_BATCH) {
            let batch = self.assemble(set, chunk, normalize_into)?;
            self.model.evaluate(&batch, Mode::Eval, &mut tally)?;
        }
        Ok(Evaluation {
            loss: tally.loss()?,
            accuracy: tally.accuracy()?,
            images: tally.images(),
        })
    }

    fn mode(&self, unfrozen: Mode) -> Mode {
        if self.frozen { Mode::Eval } else { unfrozen }
    }

    /// The batches of a probe of `candidates` rates.
    fn draw_probe_batches(&self, draw: Draw, candidates: usize) -> Result<ProbeBatches> {
        let probe = &self.spec.probe;
        let count = match probe.batches {
            ScoringBatch::Shared => 1,
            ScoringBatch::PerCandidate => candidates as u64,
        };
        let own = probe.gradient == GradientBatch::Own;
        let own_size = self.spec.training.batch_size;
        Ok(ProbeBatches {
            scoring: (0..count)
                .map(|index| self.scoring_batch(draw, index, probe.batch_size))
                .collect::<Result<_>>()?,
            gradient: own
                .then(|| self.scoring_batch(draw, u64::MAX, own_size))
                .transpose()?,
        })
    }
}

impl Workload for ImageWorkload {
    fn data(&self) -> DataProvenance {
        DataProvenance {
            name: self.data.train.name().title().to_owned(),
            synthetic: self.data.train.is_synthetic(),
            digest: format!("{}+{}", self.data.train.digest(), self.data.test.digest()),
            train: self.split.train.len(),
            validation: self.split.validation.len(),
            scoring: self.split.scoring.len(),
            test: self.test.len(),
        }
    }

    fn parameters(&self) -> usize {
        self.model.parameters().count()
    }

    fn device(&self) -> String {
        match self.device {
            Device::Cuda(index) => format!("cuda:{index}"),
            _ => "cpu".into(),
        }
    }

    fn libtorch(&self) -> Option<String> {
        Some(autolr_tch::libtorch_version())
    }

    fn steps_per_epoch(&self) -> u64 {
        let (n, size) = (self.split.train.len(), self.spec.training.batch_size);
        let steps = if self.spec.data.drop_last {
            n / size
        } else {
            n.div_ceil(size)
        };
        steps as u64
    }

    fn begin(&mut self, place: Place, sums: EpochSums) -> Result<()> {
        let Place { epoch, attempt } = place;
        let seed = self.spec.training.seed;
        let mut rng = attempt_stream(attempt, seed, Purpose::Order, epoch, 0);
        let (size, drop_last) = (self.spec.training.batch_size, self.spec.data.drop_last);
        self.order = Some(Epoch::shuffled(
            &self.split.train,
            size,
            drop_last,
            &mut rng,
        )?);
        self.place = place;
        self.steps = sums.steps;
        self.tally = Tally::of(sums.loss, sums.correct, sums.samples, self.device)?;
        Ok(())
    }

    fn gradient(&mut self) -> Result<bool> {
        let looks = self.steps > 0 && self.steps.is_multiple_of(CHECK_EVERY);
        if looks && !self.tally.loss_sum()?.is_finite() {
            return Ok(false);
        }
        let Place { epoch, attempt } = self.place;
        let seed = self.spec.training.seed;
        let mut rng = attempt_stream(attempt, seed, Purpose::Augmentation, epoch, self.steps);
        let mut batches = self
            .order
            .as_ref()
            .map(Epoch::batches)
            .into_iter()
            .flatten();
        let indices = batches.nth(self.steps as usize);
        let indices = indices.context("the epoch has no further batch")?;
        let batch = self.batch(indices, &mut rng)?;
        let mode = self.mode(Mode::Train);
        let loss = self
            .model
            .loss_and_gradient(&batch, mode, Some(&mut self.tally))?;
        self.loss = Some(loss);
        self.steps += 1;
        Ok(true)
    }

    fn batch_loss(&self) -> Result<f64> {
        match &self.loss {
            Some(loss) => Ok(loss.f_double_value(&[])?),
            None => Ok(f64::NAN),
        }
    }

    fn squared_gradient_norm(&self) -> Result<f64> {
        let gradient = self.model.parameters().grad();
        Ok(gradient.f_dot(gradient)?.f_double_value(&[])?)
    }

    fn step(&mut self, lr: f64) -> Result<f64> {
        Ok(self.optimizer.step(self.model.parameters(), lr)?)
    }

    fn sums(&self) -> Result<EpochSums> {
        Ok(EpochSums {
            steps: self.steps,
            samples: self.tally.images(),
            loss: self.tally.loss_sum()?,
            correct: self.tally.correct()?,
        })
    }

    fn validate(&mut self) -> Result<Evaluation> {
        self.evaluate(&self.data.train, &self.split.validation)
    }

    fn test(&mut self) -> Result<Evaluation> {
        self.evaluate(&self.data.test, &self.test)
    }

    fn probe(
        &mut self,
        draw: Draw,
        lrs: ArrayView1<'_, f64>,
        losses: ArrayViewMut1<'_, f64>,
        cost: &mut Cost,
    ) -> Result<()> {
        let batches = self.draw_probe_batches(draw, lrs.len())?;
        let mode = self.mode(Mode::Probe);
        ModelProbe {
            model: &mut self.model,
            optimizer: &self.optimizer,
            probe: StepProbe {
                gradient: batches.gradient,
                scoring: match self.spec.probe.batches {
                    ScoringBatch::Shared => ScoringBatches::Shared(batches.scoring),
                    ScoringBatch::PerCandidate => ScoringBatches::PerCandidate(batches.scoring),
                },
                loss: self.spec.probe.loss,
            },
            mode,
        }
        .probe(lrs, losses)?;
        *cost += Cost::of_probe(&self.spec.probe, lrs.len(), self.spec.training.batch_size);
        Ok(())
    }

    fn trial_gradient(&mut self, draw: Draw, k: u64) -> Result<()> {
        let seed = self.spec.training.seed;
        let mut rng = draw.stream(seed, Purpose::Trial, k);
        let size = self.spec.training.batch_size;
        let indices = sample(&self.split.scoring, size, &mut rng)?;
        let mut rng = draw.stream(seed, Purpose::TrialAugmentation, k);
        let batch = self.batch(&indices, &mut rng)?;
        self.model.gradient(&batch, self.mode(Mode::Probe), None)?;
        Ok(())
    }

    fn score(&mut self, draw: Draw, index: u64) -> Result<f64> {
        let batch = self.scoring_batch(draw, index, self.spec.probe.batch_size)?;
        Ok(self.model.loss(&batch, self.mode(Mode::Probe))?)
    }

    fn probe_batches(&self, draw: Draw, candidates: usize) -> Result<Vec<StateArray>> {
        let batches = self.draw_probe_batches(draw, candidates)?;
        let named = batches.scoring.iter().enumerate();
        let named = named.map(|(index, batch)| (format!("scoring.{index}"), batch));
        let gradient = batches
            .gradient
            .iter()
            .map(|batch| ("gradient".to_owned(), batch));
        let mut arrays = Vec::new();
        for (name, batch) in named.chain(gradient) {
            let images: Vec<f32> =
                Vec::try_from(batch.images.f_to(Device::Cpu)?.f_flatten(0, -1)?)?;
            let labels: Vec<i64> = Vec::try_from(batch.labels.f_to(Device::Cpu)?)?;
            arrays.push(StateArray {
                name: format!("{name}.images"),
                shape: vec![labels.len(), 3, 32, 32],
                values: StateValues::F32(images),
            });
            arrays.push(StateArray {
                name: format!("{name}.labels"),
                shape: vec![labels.len()],
                values: StateValues::I64(labels),
            });
        }
        Ok(arrays)
    }

    fn freeze_batch_norm(&mut self, frozen: bool) {
        self.frozen = frozen;
    }

    fn save(&self) -> Result<Vec<StateArray>> {
        let mut arrays = self.model.export()?;
        arrays.extend(self.optimizer.export()?);
        let mut state: Vec<StateArray> = arrays
            .into_iter()
            .map(|array| StateArray {
                name: array.name,
                shape: array.shape.iter().map(|&side| side as usize).collect(),
                values: StateValues::F32(array.values),
            })
            .collect();
        state.push(StateArray::counter(
            "optimizer.steps",
            self.optimizer.steps(),
        ));
        Ok(state)
    }

    fn load(&mut self, state: &[StateArray]) -> Result<()> {
        let arrays: Vec<NamedArray> = state
            .iter()
            .filter_map(|array| match &array.values {
                StateValues::F32(values) => Some(NamedArray {
                    name: array.name.clone(),
                    shape: array.shape.iter().map(|&side| side as i64).collect(),
                    values: values.clone(),
                }),
                _ => None,
            })
            .collect();
        self.model.import(&arrays)?;
        if let Ok(steps) = StateArray::find(state, "optimizer.steps") {
            let StateValues::I64(values) = &steps.values else {
                bail!("saved state: optimizer.steps is not a counter");
            };
            let steps = values.first().and_then(|&steps| u64::try_from(steps).ok());
            let Some(steps) = steps else {
                bail!("saved state: optimizer.steps = {values:?}");
            };
            self.optimizer.import(&arrays, steps)?;
        }
        Ok(())
    }
}
