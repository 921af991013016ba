//! Strongroom.
pub mod api;
