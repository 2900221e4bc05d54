//! Small processes in the place of the product.

pub mod leaky;
pub mod naive;
