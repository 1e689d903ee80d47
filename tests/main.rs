//! Integration tests: one binary, one module a subject.

mod architecture;
mod cli;
mod found_wrong;
