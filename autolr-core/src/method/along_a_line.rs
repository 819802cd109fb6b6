//! A problem that methods are tried on which read the loss along the direction of a step.

use std::convert::Infallible;

use ndarray::Array1;

use super::{Budget, Event, Line, Method, MethodConfig, Plan, Record, Request};
use crate::optimizer::{Flat, Objective, Optimizer, OptimizerConfig, Sgd, read_line};
use crate::{Answer, Probing, Training, drive};

/// f(x) = Σ hᵢ xᵢ² / 2 + xᵢ⁴ / 4: no parabola.
#[derive(Debug, Clone)]
pub(super) struct Bowl {
    pub(super) x: [f64; 3],
}

const CURVATURE: [f64; 3] = [1.0, 5.0, 20.0];

impl Bowl {
    pub(super) fn new() -> Self {
        Self {
            x: [1.0, -0.7, 0.5],
        }
    }

    pub(super) fn loss(&self) -> f64 {
        let parts = self.x.iter().zip(CURVATURE);
        parts.map(|(x, h)| h * x * x / 2.0 + x.powi(4) / 4.0).sum()
    }

    pub(super) fn gradient(&self) -> Vec<f64> {
        let parts = self.x.iter().zip(CURVATURE);
        parts.map(|(x, h)| h * x + x.powi(3)).collect()
    }

    /// A step of `lr` along `direction`.
    pub(super) fn after(&self, lr: f64, direction: &[f64]) -> Self {
        let mut after = self.clone();
        for (x, d) in after.x.iter_mut().zip(direction) {
            *x -= lr * d;
        }
        after
    }
}

/// The same as an optimiser has it.
struct Model {
    x: Array1<f64>,
    gradient: Array1<f64>,
}

impl Model {
    fn bowl(&self) -> Bowl {
        Bowl {
            x: [self.x[0], self.x[1], self.x[2]],
        }
    }
}

impl Objective for Model {
    type Vector = Array1<f64>;
    type Batch = ();
    type Random = ();
    type Error = Infallible;

    fn vectors(&mut self) -> (&mut Array1<f64>, &mut Array1<f64>) {
        (&mut self.x, &mut self.gradient)
    }

    fn set_gradient(&mut self, _: &[()]) -> Result<(), Infallible> {
        self.gradient = self.bowl().gradient().into();
        Ok(())
    }

    fn loss(&mut self, (): &()) -> Result<f64, Infallible> {
        Ok(self.bowl().loss())
    }

    fn random(&self) -> Result<(), Infallible> {
        Ok(())
    }

    fn set_random(&mut self, (): &()) -> Result<(), Infallible> {
        Ok(())
    }
}

struct Reader<'a> {
    model: &'a mut Model,
    optimizer: &'a Optimizer<Array1<f64>>,
}

impl Training for Reader<'_> {
    type Error = Infallible;

    fn budget(&self) -> Budget {
        Budget::default()
    }

    fn carry_out(&mut self, request: &Request, method: &dyn Method) -> Result<Answer, Infallible> {
        assert_eq!(method.pending().as_ref(), Some(request));
        let Request::Line(line) = request else {
            panic!("{request:?}");
        };
        let (x, gradient) = (self.model.x.clone(), self.model.gradient.clone());
        let Ok(reading) = read_line(self.model, self.optimizer, &(), line);
        assert_eq!((&self.model.x, &self.model.gradient), (&x, &gradient));
        Ok(Answer::Line(reading))
    }

    fn record(&mut self, _: Record) -> Result<(), Infallible> {
        Ok(())
    }
}

fn tell(
    method: &mut dyn Method,
    event: Event<'_>,
    model: &mut Model,
    optimizer: &Optimizer<Array1<f64>>,
) {
    drive(method, &event, &mut Reader { model, optimizer }).unwrap();
}

/// The rates of a training in epochs of five steps, and where it ends. The method goes through its state as text between
/// every two steps.
pub(super) fn trained(text: &str, optimizer: OptimizerConfig, steps: u64) -> (Vec<f64>, Vec<f64>) {
    let config: MethodConfig = serde_json::from_str(text).unwrap();
    let mut method = config.build();
    let mut model = Model {
        x: Bowl::new().x.to_vec().into(),
        gradient: Array1::zeros(3),
    };
    let Ok(mut optimizer) = Optimizer::new(optimizer, &model.x);
    let plan = Plan {
        steps,
        steps_per_epoch: 5,
    };
    let mut rates = Vec::new();
    tell(method.as_mut(), Event::Start(plan), &mut model, &optimizer);
    for _ in 0..steps {
        let Ok(()) = model.set_gradient(&[()]);
        let Ok(squared_norm) = model.gradient.dot_product(&model.gradient);
        let event = Event::Gradient {
            loss: model.bowl().loss(),
            squared_norm,
        };
        tell(method.as_mut(), event, &mut model, &optimizer);
        rates.push(method.lr());
        let Ok(_) = optimizer.step(&mut model.x, &mut model.gradient, method.lr());
        let event = Event::Step { loss: None };
        tell(method.as_mut(), event, &mut model, &optimizer);
        let text = serde_json::to_string(&method.state()).unwrap();
        let state = serde_json::from_str(&text).unwrap();
        method = config.resume(&state).unwrap();
    }
    (rates, model.x.to_vec())
}

/// Slopes are those of the losses, whatever the optimiser, and nothing is left behind.
#[test]
fn a_reading_is_of_the_optimisers_own_direction() {
    let nesterov = Sgd {
        momentum: 0.9,
        nesterov: true,
        weight_decay: 0.01,
    };
    for config in [
        OptimizerConfig::PLAIN_SGD,
        OptimizerConfig::Sgd(nesterov),
        OptimizerConfig::ADAM_W,
    ] {
        let mut model = Model {
            x: Bowl::new().x.to_vec().into(),
            gradient: Array1::zeros(3),
        };
        let Ok(mut optimizer) = Optimizer::new(config, &model.x);
        for _ in 0..4 {
            let Ok(()) = model.set_gradient(&[()]);
            let h = 1e-5;
            let line = Line {
                lrs: vec![0.0, -h, h, 0.01],
                slopes: vec![0.0, h],
            };
            let before = (model.x.clone(), model.gradient.clone());
            let Ok(reading) = read_line(&mut model, &optimizer, &(), &line);
            assert_eq!(before, (model.x.clone(), model.gradient.clone()));
            assert_eq!(reading.losses[0], model.bowl().loss());
            assert_eq!(reading.slopes[0], reading.slope);
            let slope = (reading.losses[2] - reading.losses[1]) / (2.0 * h);
            assert!(
                (slope - reading.slope).abs() <= 1e-6 * slope.abs(),
                "{config:?}"
            );
            assert!(reading.slopes[1] > reading.slope, "the bowl is convex");
            let Ok(_) = optimizer.step(&mut model.x, &mut model.gradient, 0.01);
            // To the bit: a reading is of the step that is taken.
            assert_eq!(reading.losses[3], model.bowl().loss(), "{config:?}");
        }
    }
}

#[test]
fn a_back_end_that_reads_no_line_is_refused() {
    let config: MethodConfig = serde_json::from_str(r#"{"kind": "armijo"}"#).unwrap();
    let mut method = config.build();
    let event = Event::Gradient {
        loss: 1.0,
        squared_norm: 1.0,
    };
    let mut probing = Probing::new(crate::testkit::Quadratic::new(3));
    let error = drive(method.as_mut(), &event, &mut probing).unwrap_err();
    assert!(
        error.to_string().ends_with("the back end has no `line`"),
        "{error}"
    );
}
