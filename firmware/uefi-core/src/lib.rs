//! The data structures behind UEFI boot services: pure, no hardware, no unsafe.
#![cfg_attr(not(test), no_std)]
