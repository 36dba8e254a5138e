//! placeholder
pub mod model;
pub mod ops;
pub mod sys;
