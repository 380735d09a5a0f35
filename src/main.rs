//! The router's binary.

fn main() {}
