//! Entry, relocation and exception vectors: what Rust cannot do.
#![no_std]
