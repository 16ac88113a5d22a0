//! openraft, tied to Kenger's types. No type of openraft leaves this crate.

pub(crate) mod types;
