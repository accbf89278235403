//! A number for every PoP.

use crate::topology::PopIndex;

/// A number for every PoP; 0 for one that is not known.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ByPop(Vec<f64>);

impl ByPop {
    pub(super) fn zero(pops: usize) -> Self {
        Self(vec![0.0; pops])
    }

    pub(super) fn at(&self, pop: PopIndex) -> f64 {
        self.0.get(pop.as_usize()).copied().unwrap_or(0.0)
    }

    pub(super) fn add(&mut self, pop: PopIndex, more: f64) {
        if let Some(value) = self.0.get_mut(pop.as_usize()) {
            *value += more;
        }
    }

    pub(super) fn set(&mut self, pop: PopIndex, to: f64) {
        if let Some(value) = self.0.get_mut(pop.as_usize()) {
            *value = to;
        }
    }

    pub(super) fn values(&self) -> &[f64] {
        &self.0
    }
}

impl FromIterator<f64> for ByPop {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}
