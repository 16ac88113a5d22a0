//! `kengerctl`: shows and steers a Kenger cluster.
fn main() {}
