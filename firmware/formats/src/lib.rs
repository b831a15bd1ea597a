//! Formats and parsers of everything the firmware reads: pure, no hardware, no unsafe.
#![cfg_attr(not(test), no_std)]
