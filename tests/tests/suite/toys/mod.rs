//! Small processes in the place of the product.

pub mod naive;
