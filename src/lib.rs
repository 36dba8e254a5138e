//! placeholder
pub mod model;
pub mod sys;
