//! Parameter groups: a rate and a weight decay for each kind of parameter.

/// What each parameter has of its own, by its group: vectors as long as the weights, shape `[n]`.
#[derive(Debug, Clone)]
pub struct Groups<F> {
    /// Its rate is the optimiser's, times this.
    pub multiplier: F,
    /// Its weight decay λ, instead of the optimiser's.
    pub decay: F,
}
