//! Page tables and the division of RAM: pure, behind a trait for the memory the tables live in.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod page_table;
pub mod pages;
pub mod ram;
pub mod ranges;
