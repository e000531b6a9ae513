//! Tasks for those who work on Kiln.
fn main() {}
