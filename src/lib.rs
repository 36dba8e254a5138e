//! placeholder
pub mod boot;
pub mod bus;
pub mod cli;
pub mod daemon;
pub mod model;
pub mod ops;
pub mod sys;
