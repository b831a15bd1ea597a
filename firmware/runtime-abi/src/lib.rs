//! The layout shared by the firmware and its runtime services image.
#![cfg_attr(not(test), no_std)]
