//! Benchmarks: how fast, and how good, beside a peer in the same run. Each is a file beside this one.
