//! The data plane of Tollhouse: the path of a call.

pub mod settings;
