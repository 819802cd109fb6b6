//! Parameter groups: a rate and a weight decay for each kind of parameter.

/// What a group of parameters has of its own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GroupSetting {
    /// Its rate is the optimiser's, times this.
    pub multiplier: f64,
    /// Its weight decay; the optimiser's where it has none of its own.
    pub weight_decay: Option<f64>,
}

/// Settings of groups, spread over the parameters they are of: vectors as long as the weights.
#[derive(Debug, Clone)]
pub struct Groups<F> {
    /// The rate of each parameter, as a multiple of the optimiser's.
    pub multiplier: F,
    /// The weight decay of each parameter.
    pub decay: F,
}
