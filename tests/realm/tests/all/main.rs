//! Every test that starts a realm.

mod conformance;
mod ends;
mod linux;
mod misbehaviour;
