//! BatchNorm whose running statistics a probe cannot touch.

use tch::{Device, Kind, TchError, Tensor};

use crate::ffi::{NormAct, norm_act};
use crate::network::Mode;
use crate::parameters::{Init, ParameterSpec};

/// Weight of the newest batch in the running statistics: PyTorch's default.
const MOMENTUM: f64 = 0.1;
/// Added to the variance: PyTorch's default.
const EPSILON: f64 = 1e-5;

/// `BatchNorm2d` as PyTorch defines it: where its parameters and buffers stand in the network's lists.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchNorm {
    weight: usize,
    running_mean: usize,
}

impl BatchNorm {
    /// Appends weight and bias to `parameters`, running mean and variance to `buffers`.
    pub(crate) fn new(
        name: &str,
        channels: i64,
        parameters: &mut Vec<ParameterSpec>,
        buffers: &mut Vec<ParameterSpec>,
    ) -> Self {
        let spec = |suffix: &str, value: f64| ParameterSpec {
            name: format!("{name}.{suffix}"),
            shape: vec![channels],
            init: Init::Constant(value),
        };
        let (weight, running_mean) = (parameters.len(), buffers.len());
        parameters.extend([spec("weight", 1.0), spec("bias", 0.0)]);
        buffers.extend([spec("running_mean", 0.0), spec("running_var", 1.0)]);
        Self {
            weight,
            running_mean,
        }
    }

    /// BatchNorm of `x`, shape `[batch, channels, height, width]`, plus the residual, and ReLU if asked for. `x` may be
    /// overwritten.
    pub(crate) fn forward(
        self,
        x: &Tensor,
        (parameters, buffers): (&[Tensor], &[Tensor]),
        mode: Mode,
        post_ops: PostOps<'_>,
    ) -> Result<Tensor, TchError> {
        let running = match mode {
            // Momentum 0 would not do: 0 · NaN poisons the buffers.
            Mode::Probe => None,
            Mode::Train | Mode::Eval => {
                Some((&buffers[self.running_mean], &buffers[self.running_mean + 1]))
            }
        };
        let training = mode != Mode::Eval;
        let (weight, bias) = (&parameters[self.weight], &parameters[self.weight + 1]);
        if x.device() == Device::Cpu && x.kind() == Kind::Float {
            let how = NormAct {
                weight,
                bias,
                running,
                training,
                momentum: MOMENTUM,
                eps: EPSILON,
                residual: post_ops.residual,
                relu: post_ops.relu,
            };
            return norm_act(x, &how).map_err(|error| TchError::Torch(error.to_string()));
        }
        let y = x.f_batch_norm(
            Some(weight),
            Some(bias),
            running.map(|(mean, _)| mean),
            running.map(|(_, variance)| variance),
            training,
            MOMENTUM,
            EPSILON,
            true,
        )?;
        post_ops.apply(y)
    }
}

/// What follows a convolution and its BatchNorm.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PostOps<'a> {
    /// Added.
    pub(crate) residual: Option<&'a Tensor>,
    /// Whether ReLU follows.
    pub(crate) relu: bool,
}

impl PostOps<'_> {
    /// As operations of libtorch; `y` is overwritten.
    pub(crate) fn apply(self, mut y: Tensor) -> Result<Tensor, TchError> {
        if let Some(residual) = self.residual {
            y = y.f_add_(residual)?;
        }
        if self.relu {
            y = y.f_relu_()?;
        }
        Ok(y)
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Everything that a pass gives: output, gradients, running statistics.
    fn pass(kind: Kind, shape: [i64; 4], mode: Mode, residual: bool, relu: bool) -> Vec<Tensor> {
        let count: i64 = shape.iter().product();
        let numbers = |n: i64, step: i64| {
            let numbers: Vec<f64> = (0..n)
                .map(|i| (i * step % 1009) as f64 / 200.0 - 2.5)
                .collect();
            Tensor::from_slice(&numbers).to_kind(kind)
        };
        let leaf = |tensor: Tensor| tensor.set_requires_grad(true);
        let channels = shape[1];
        let x = leaf(numbers(count, 7919).reshape(shape));
        let added = leaf(numbers(count, 104_729).reshape(shape));
        let weights = [leaf(numbers(channels, 31)), leaf(numbers(channels, 17))];
        let buffers = [numbers(channels, 3), numbers(channels, 5).square() + 0.5];
        let post_ops = PostOps {
            residual: residual.then_some(&added),
            relu,
        };
        // As after a convolution: no leaf, and nobody else's memory.
        let y = NORM.forward(&(&x * 1.0), (&weights, &buffers), mode, post_ops);
        let y = y.unwrap();
        (&y * numbers(count, 13).reshape(shape))
            .sum(kind)
            .backward();
        let mut all = vec![y, x.grad()];
        all.extend(weights.iter().map(Tensor::grad));
        all.extend(residual.then(|| added.grad()));
        all.extend(buffers);
        all
    }

    #[test]
    fn in_one_operation_it_is_what_libtorchs_operations_give_in_double_precision() {
        let channels = [1, 2, 3, 4, 7, 8, 16, 20, 24, 64, 130];
        for (index, &channels) in channels.iter().enumerate() {
            for mode in [Mode::Train, Mode::Probe, Mode::Eval] {
                for (residual, relu) in [(false, false), (false, true), (true, false), (true, true)]
                {
                    let shape = [3 + index as i64, channels, 5, 9];
                    let [ours, theirs] = [Kind::Float, Kind::Double]
                        .map(|kind| pass(kind, shape, mode, residual, relu));
                    for (what, (a, b)) in ours.iter().zip(&theirs).enumerate() {
                        let size = b.abs().max().double_value(&[]);
                        let difference =
                            (a.to_kind(Kind::Double) - b).abs().max().double_value(&[]);
                        // Float32 rounds to 6e-8; the sums have some hundred terms.
                        assert!(
                            difference <= 5e-6 * size.max(1.0),
                            "{shape:?} {mode:?} residual {residual} relu {relu}: value {what} is {difference:e} off"
                        );
                    }
                }
            }
        }
    }

    const NORM: BatchNorm = BatchNorm {
        weight: 0,
        running_mean: 0,
    };
    const RELU: PostOps<'static> = PostOps {
        residual: None,
        relu: true,
    };

    fn ones(shape: &[i64]) -> Tensor {
        Tensor::ones(shape, (Kind::Float, Device::Cpu))
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let refused = |x: &Tensor, channels: i64, residual: Option<&Tensor>| {
            let of_channels = || [ones(&[channels]), ones(&[channels])];
            let post_ops = PostOps { residual, ..RELU };
            let y = NORM.forward(x, (&of_channels(), &of_channels()), Mode::Train, post_ops);
            y.err().map(|error| error.to_string()).unwrap_or_default()
        };
        let x = ones(&[2, 64, 4, 4]);
        assert_eq!(refused(&x, 64, None), "");
        assert!(refused(&x, 3, None).contains("do not fit 64 channels"));
        let narrow = ones(&[2, 64, 4, 3]);
        assert!(refused(&x, 64, Some(&narrow)).contains("residual does not fit"));
        for shape in [&[0, 64, 4, 4][..], &[2, 0, 4, 4], &[2, 64, 4]] {
            assert!(refused(&ones(shape), shape[1], None).contains("the input has shape"));
        }
    }

    #[test]
    fn a_second_derivative_is_refused_instead_of_wrong() {
        let x = Tensor::randn([2, 8, 4, 4], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let y = NORM.forward(&x, (&[ones(&[8]), ones(&[8])], &[]), Mode::Probe, RELU);
        let first = Tensor::f_run_backward(&[y.unwrap().sum(Kind::Float)], &[&x], true, true);
        let error = first.unwrap_err().to_string();
        assert!(error.contains("no second derivative"), "{error}");
    }

    #[test]
    fn nan_is_not_hidden_by_the_relu() {
        let x = ones(&[2, 3, 2, 2]) * f64::NAN;
        let y = NORM.forward(&x, (&[ones(&[3]), ones(&[3])], &[]), Mode::Probe, RELU);
        assert!(y.unwrap().isnan().all().int64_value(&[]) == 1);
    }

    const CHILD: &str = "batch_norm::tests::bits_for_the_parent";

    /// Not a test by itself: the one below runs it in other processes and compares what it prints.
    #[test]
    #[ignore = "run by another test"]
    fn bits_for_the_parent() {
        let mut bits = 0_u64;
        for threads in [1, 2, 3] {
            tch::set_num_threads(threads);
            let of_threads: u64 = [3, 8, 20, 64]
                .iter()
                .flat_map(|&channels| {
                    pass(Kind::Float, [9, channels, 16, 17], Mode::Train, true, true)
                })
                .flat_map(|tensor| {
                    Vec::<f32>::try_from(tensor.contiguous().flatten(0, -1)).unwrap()
                })
                .fold(0, |bits: u64, x| {
                    bits.wrapping_mul(31).wrapping_add(u64::from(x.to_bits()))
                });
            assert!(bits == 0 || bits == of_threads, "{threads} threads");
            bits = of_threads;
        }
        println!("bits {bits:016x}");
    }

    #[test]
    fn processors_and_numbers_of_threads_give_the_same_bits() {
        let bits = |capability| {
            let mut child = Command::new(std::env::current_exe().unwrap());
            child
                .args([CHILD, "--exact", "--ignored", "--nocapture"])
                .env("ATEN_CPU_CAPABILITY", capability);
            let output = child.output().unwrap();
            assert!(output.status.success(), "{output:?}");
            let text = String::from_utf8(output.stdout).unwrap();
            let line = text.lines().find(|line| line.contains("bits "));
            line.unwrap_or_else(|| panic!("{text}")).to_owned()
        };
        // libtorch does not check that the processor has what it is told to use.
        let mut capabilities = vec![];
        #[cfg(target_arch = "x86_64")]
        {
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            capabilities.extend(avx2.then_some("avx2"));
            capabilities.extend(avx512.then_some("avx512"));
        }
        let default = bits("default");
        for capability in capabilities {
            assert_eq!(bits(capability), default, "{capability}");
        }
    }
}
