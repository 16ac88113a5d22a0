//! `kenger`: one binary for every role.
fn main() {}
