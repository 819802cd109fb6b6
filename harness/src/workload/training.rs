//! The training of any task: order, batches, splits, the optimiser's steps, the probe, evaluation.

use anyhow::{Context, Result, ensure};
use autolr_core::optimizer::{Flat, Groups, Optimizer, ScoringBatches, StepProbe, read_line};
use autolr_core::{Line, LineReading};
use ndarray::{ArrayView1, ArrayViewMut1};

use super::{Draw, EpochSums, Place, Workload};
use crate::data::batches::{Epoch, sample};
use crate::data::{Purpose, Split, SplitSpec, Stream, attempt_stream};
use crate::exit::BadInput;
use crate::experiment::sizes::{check_batches, check_subset, split_error};
use crate::experiment::{Cost, GradientBatch, ProbeSpec, RunSpec, ScoringBatch};
use crate::record::{DataProvenance, Evaluation};
use crate::task::{Metric, Part, Score, StateArray, StateValues, Sums, Task};

/// Scoring batches, and the batch that gives the gradient, if it is another.
type ProbeBatches<B> = (Vec<B>, Option<B>);

/// A task with its split and its optimiser.
pub struct Training<T: Task> {
    task: T,
    optimizer: Optimizer<T::Vector>,
    split: Split,
    test: Vec<u32>,
    probe: ProbeSpec,
    batch_size: usize,
    drop_last: bool,
    seed: u64,
    metric: Metric,
    /// The epoch at hand, once it has begun.
    order: Option<Epoch>,
    place: Place,
    steps: u64,
    tally: T::Tally,
    /// Whether the task holds a gradient that no step has used.
    has_gradient: bool,
    /// The batch that gave it, if it is one of the epoch's.
    batch: Option<T::Batch>,
}

impl<T: Task> Training<T>
where
    anyhow::Error: From<<T::Vector as Flat>::Error>,
{
    /// Of a specification, from the beginning.
    ///
    /// # Errors
    /// [`BadInput`] if a part of the split would be empty, or smaller than a batch.
    pub fn new(spec: &RunSpec, mut task: T) -> Result<Self> {
        let set = spec.data.set;
        let images = task.examples(Part::Train);
        let subset = check_subset("data.train_images", spec.data.train_images, images, set)?;
        let test = task.examples(Part::Test);
        let test = check_subset("data.test_images", spec.data.test_images, test, set)?;
        let split = Split::draw(
            &SplitSpec {
                images,
                subset: (!T::DRAWN_TO_SIZE).then_some(subset),
                validation_fraction: spec.data.validation_fraction,
                kind: spec.data.split,
            },
            spec.training.seed,
        )
        .map_err(|error| split_error(&error))?;
        check_batches(spec, &split, test)?;
        let groups = groups(spec, &task)?;
        let tensors = task.layers().into_iter().map(|(_, range)| range);
        let tensors = tensors.collect();
        let (weights, _) = task.vectors();
        let optimizer = Optimizer::new(spec.optimizer, weights)?
            .with_tensors(tensors)
            .with_groups(groups);
        Ok(Self {
            tally: task.tally(Sums::default())?,
            task,
            optimizer,
            split,
            test: (0..test as u32).collect(),
            probe: spec.probe.clone(),
            batch_size: spec.training.batch_size,
            drop_last: spec.data.drop_last,
            seed: spec.training.seed,
            metric: spec.network.metric(),
            order: None,
            place: Place::default(),
            steps: 0,
            has_gradient: false,
            batch: None,
        })
    }

    fn drawn(&self, size: usize, mut rng: Stream) -> Result<Vec<u32>> {
        let drawn = sample(&self.split.scoring, size, &mut rng);
        Ok(drawn.map_err(|error| BadInput(format!("probe.batch_size: {error}")))?)
    }

    fn scoring_batch(&self, draw: Draw, index: u64, size: usize) -> Result<T::Batch> {
        let rng = draw.stream(self.seed, Purpose::Scoring, index);
        let indices = self.drawn(size, rng)?;
        let mut rng = draw.stream(self.seed, Purpose::ScoringAugmentation, index);
        self.task.batch(Part::Train, &indices, Some(&mut rng))
    }

    /// The scoring batches of a probe of `candidates` rates, and the batch that gives the gradient, if it is another.
    fn draw_probe_batches(&self, draw: Draw, candidates: usize) -> Result<ProbeBatches<T::Batch>> {
        let count = match self.probe.batches {
            ScoringBatch::Shared => 1,
            ScoringBatch::PerCandidate => candidates as u64,
        };
        let scoring =
            (0..count).map(|index| self.scoring_batch(draw, index, self.probe.batch_size));
        let own = self.probe.gradient == GradientBatch::Own;
        let own = own.then(|| self.scoring_batch(draw, u64::MAX, self.batch_size));
        Ok((scoring.collect::<Result<_>>()?, own.transpose()?))
    }

    /// Refuses an optimiser that cannot take the steps of trials.
    fn check_trials(&self) -> Result<()> {
        let config = self.optimizer.config();
        if config.needs_loss() {
            let kind = config.kind();
            let what = "needs the loss of each step's batch, which a trial has not";
            return Err(BadInput(format!("optimizer.kind = \"{kind}\": {what}")).into());
        }
        Ok(())
    }

    /// Does `work` with the task at the weights at which the optimiser wants it evaluated; afterwards it is back at those
    /// that are trained, whatever came of it.
    fn at_evaluated<R>(&mut self, work: impl FnOnce(&mut Self) -> Result<R>) -> Result<R> {
        let (weights, _) = self.task.vectors();
        let Some(evaluated) = self.optimizer.evaluated(weights)? else {
            return work(self);
        };
        let mut trained = weights.zeros_like()?;
        trained.copy(weights)?;
        weights.copy(&evaluated)?;
        drop(evaluated);
        let outcome = work(self);
        let (weights, _) = self.task.vectors();
        weights.copy(&trained)?;
        outcome
    }

    /// Over the examples that count, at the task's weights: without the incomplete last batch, where that is left out.
    fn evaluate(&mut self, part: Part) -> Result<Evaluation> {
        let indices = match part {
            Part::Train => &self.split.validation,
            Part::Test => &self.test,
        };
        let batches = Epoch::in_order(indices, self.batch_size, self.drop_last)?;
        let indices: Vec<u32> = batches.batches().flatten().copied().collect();
        let Score { loss, accuracy } = self.task.evaluate(part, &indices)?;
        Ok(Evaluation {
            loss,
            accuracy: accuracy.filter(|_| self.metric == Metric::Accuracy),
            images: indices.len() as u64,
        })
    }
}

/// What the parameter groups of a specification come to for each weight, if there are any.
fn groups<T: Task>(spec: &RunSpec, task: &T) -> Result<Option<Groups<T::Vector>>> {
    if spec.groups.is_empty() {
        return Ok(None);
    }
    let layers = task.layers();
    let n = layers.iter().map(|(_, range)| range.end).max().unwrap_or(0);
    let mut multiplier = vec![1.0; n];
    let mut decay = vec![spec.optimizer.weight_decay(); n];
    for group in &spec.groups {
        for (_, range) in layers.iter().filter(|(kind, _)| *kind == group.kind) {
            multiplier[range.clone()].fill(group.multiplier);
            if let Some(own) = group.weight_decay {
                decay[range.clone()].fill(own);
            }
        }
    }
    Ok(Some(Groups {
        multiplier: task.vector(&multiplier)?,
        decay: task.vector(&decay)?,
    }))
}

impl<T: Task> Workload for Training<T>
where
    anyhow::Error: From<<T::Vector as Flat>::Error>,
{
    fn data(&self) -> DataProvenance {
        let data = self.task.data();
        DataProvenance {
            name: data.name,
            synthetic: data.synthetic,
            digest: data.digest,
            train: self.split.train.len(),
            validation: self.split.validation.len(),
            scoring: self.split.scoring.len(),
            test: self.test.len(),
        }
    }

    fn parameters(&self) -> usize {
        self.task.parameters()
    }

    fn device(&self) -> String {
        self.task.device()
    }

    fn libtorch(&self) -> Option<String> {
        self.task.libtorch()
    }

    fn steps_per_epoch(&self) -> u64 {
        let n = self.split.train.len();
        let steps = if self.drop_last {
            n / self.batch_size
        } else {
            n.div_ceil(self.batch_size)
        };
        steps as u64
    }

    fn begin(&mut self, place: Place, sums: EpochSums) -> Result<()> {
        let Place { epoch, attempt } = place;
        let mut rng = attempt_stream(attempt, self.seed, Purpose::Order, epoch, 0);
        let (size, drop_last) = (self.batch_size, self.drop_last);
        let order = Epoch::shuffled(&self.split.train, size, drop_last, &mut rng)?;
        self.tally = self.task.tally(Sums {
            samples: sums.samples,
            loss: sums.loss,
            correct: sums.correct.unwrap_or(0),
        })?;
        (self.order, self.place, self.steps) = (Some(order), place, sums.steps);
        Ok(())
    }

    fn gradient(&mut self) -> Result<bool> {
        let looks = self.steps > 0 && self.steps.is_multiple_of(T::LOSS_READ_EVERY);
        if looks && !self.task.sums(&self.tally)?.loss.is_finite() {
            return Ok(false);
        }
        let Place { epoch, attempt } = self.place;
        let purpose = Purpose::Augmentation;
        let mut rng = attempt_stream(attempt, self.seed, purpose, epoch, self.steps);
        let batches = self.order.as_ref().map(Epoch::batches);
        let indices = batches.into_iter().flatten().nth(self.steps as usize);
        let indices = indices.context("the epoch has no further batch")?;
        let batch = self.task.batch(Part::Train, indices, Some(&mut rng))?;
        self.task.train(&batch, &mut self.tally)?;
        self.steps += 1;
        self.has_gradient = true;
        self.batch = Some(batch);
        Ok(true)
    }

    fn batch_loss(&self) -> Result<f64> {
        self.task.batch_loss()
    }

    fn squared_gradient_norm(&mut self) -> Result<f64> {
        let (_, gradient) = self.task.vectors();
        Ok(gradient.dot_product(gradient)?)
    }

    fn line(&mut self, line: &Line) -> Result<LineReading> {
        let batch = self.batch.as_ref().filter(|_| self.has_gradient);
        let batch = batch.context("a line without a gradient")?;
        read_line(&mut self.task, &self.optimizer, batch, line)
    }

    fn step(&mut self, lr: f64) -> Result<f64> {
        ensure!(self.has_gradient, "a step without a gradient");
        self.has_gradient = false;
        self.batch = None;
        let loss = match self.optimizer.config().needs_loss() {
            true => self.task.batch_loss()?,
            false => f64::NAN,
        };
        let (weights, gradient) = self.task.vectors();
        Ok(self.optimizer.step_at_loss(weights, gradient, lr, loss)?)
    }

    fn sums(&self) -> Result<EpochSums> {
        let sums = self.task.sums(&self.tally)?;
        Ok(EpochSums {
            steps: self.steps,
            samples: sums.samples,
            loss: sums.loss,
            correct: (self.metric == Metric::Accuracy).then_some(sums.correct),
        })
    }

    fn validate(&mut self) -> Result<Evaluation> {
        self.at_evaluated(|training| training.evaluate(Part::Train))
    }

    fn test(&mut self) -> Result<Evaluation> {
        self.at_evaluated(|training| training.evaluate(Part::Test))
    }

    fn save_evaluated(&mut self) -> Result<Vec<StateArray>> {
        self.at_evaluated(|training| training.task.save())
    }

    fn test_saved(&mut self, evaluated: &[StateArray]) -> Result<Evaluation> {
        self.task.load(evaluated)?;
        self.evaluate(Part::Test)
    }

    fn probe(
        &mut self,
        draw: Draw,
        lrs: ArrayView1<'_, f64>,
        mut losses: ArrayViewMut1<'_, f64>,
        cost: &mut Cost,
    ) -> Result<()> {
        self.check_trials()?;
        let (scoring, gradient) = self.draw_probe_batches(draw, lrs.len())?;
        let probe = StepProbe {
            gradient,
            scoring: match self.probe.batches {
                ScoringBatch::Shared => ScoringBatches::Shared(scoring),
                ScoringBatch::PerCandidate => ScoringBatches::PerCandidate(scoring),
            },
            loss: self.probe.loss,
            evaluate: self.probe.evaluate,
        };
        let mut found = vec![f64::NAN; lrs.len()];
        probe.run(&mut self.task, &self.optimizer, &lrs.to_vec(), &mut found)?;
        losses
            .iter_mut()
            .zip(found)
            .for_each(|(to, loss)| *to = loss);
        let evaluated = lrs.len() - self.probe.read_off(lrs, &losses).len();
        *cost += Cost::of_probe(&self.probe, evaluated, self.batch_size);
        Ok(())
    }

    fn trial_gradient(&mut self, draw: Draw, k: u64) -> Result<()> {
        self.check_trials()?;
        let mut rng = draw.stream(self.seed, Purpose::Trial, k);
        let indices = sample(&self.split.scoring, self.batch_size, &mut rng)?;
        let mut rng = draw.stream(self.seed, Purpose::TrialAugmentation, k);
        let batch = self.task.batch(Part::Train, &indices, Some(&mut rng))?;
        self.task.set_gradient(&[batch])?;
        self.has_gradient = true;
        self.batch = None;
        Ok(())
    }

    fn score(&mut self, draw: Draw, index: u64) -> Result<f64> {
        let batch = self.scoring_batch(draw, index, self.probe.batch_size)?;
        self.task.loss(&batch)
    }

    fn probe_batches(&self, draw: Draw, candidates: usize) -> Result<Vec<StateArray>> {
        let (scoring, gradient) = self.draw_probe_batches(draw, candidates)?;
        let mut arrays = Vec::new();
        for (index, batch) in scoring.iter().enumerate() {
            let name = format!("scoring.{index}");
            arrays.extend(self.task.batch_arrays(&name, batch)?);
        }
        if let Some(batch) = gradient {
            arrays.extend(self.task.batch_arrays("gradient", &batch)?);
        }
        Ok(arrays)
    }

    fn freeze_batch_norm(&mut self, frozen: bool) {
        self.task.freeze_batch_norm(frozen);
    }

    fn save(&self) -> Result<Vec<StateArray>> {
        let mut arrays = self.task.save()?;
        for (name, vector) in self.optimizer.state() {
            arrays.push(
                self.task
                    .save_vector(&format!("{OPTIMIZER}{name}"), vector)?,
            );
        }
        for (name, numbers) in self.optimizer.numbers() {
            let name = format!("{OPTIMIZER}{name}");
            arrays.push(StateArray::vector(name, numbers.to_vec()));
        }
        arrays.push(StateArray::counter(STEPS, self.optimizer.steps()));
        Ok(arrays)
    }

    fn load(&mut self, state: &[StateArray]) -> Result<()> {
        let mut loaded = None;
        if state.iter().any(|array| array.name.starts_with(OPTIMIZER)) {
            let names = self.optimizer.config().slots().iter();
            let vector = |name: &&str| {
                let array = StateArray::find(state, &format!("{OPTIMIZER}{name}"))?;
                self.task.load_vector(array)
            };
            let vectors = names.map(vector).collect::<Result<Vec<_>>>()?;
            let mut numbers = Vec::new();
            for (name, of) in self.optimizer.numbers() {
                let array = StateArray::find(state, &format!("{OPTIMIZER}{name}"))?;
                let StateValues::F64(values) = &array.values else {
                    anyhow::bail!("saved state: {} is not float64", array.name);
                };
                let (found, wanted) = (values.len(), of.len());
                ensure!(
                    found == wanted,
                    "saved state: {} has {found} entries, the optimiser {wanted}",
                    array.name
                );
                numbers.extend_from_slice(values);
            }
            let StateValues::I64(values) = &StateArray::find(state, STEPS)?.values else {
                anyhow::bail!("saved state: {STEPS} is not a counter");
            };
            let steps = values.first().and_then(|&steps| u64::try_from(steps).ok());
            let steps = steps.with_context(|| format!("saved state: {STEPS} = {values:?}"))?;
            loaded = Some((vectors, numbers, steps));
        }
        self.task.load(state)?;
        if let Some((vectors, numbers, steps)) = loaded {
            self.optimizer.numbers_mut().copy_from_slice(&numbers);
            let (count, slots) = self.optimizer.state_mut();
            *count = steps;
            slots.zip(vectors).for_each(|((_, to), from)| *to = from);
        }
        Ok(())
    }
}

/// What comes before the name of an array of the optimiser.
const OPTIMIZER: &str = "optimizer.";
/// The number of its steps.
const STEPS: &str = "optimizer.steps";
