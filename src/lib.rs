//! placeholder
pub mod boot;
pub mod model;
pub mod ops;
pub mod sys;
