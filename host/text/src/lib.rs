//! Text that people read, in bounded space and without control characters: error messages, log fields, lists of names.
//!
//! - [`bounded`]: messages and lists of at most so many bytes and entries.
//! - [`sanitize`]: what clients and plugins send, made visible and safe to show.

pub mod bounded;
pub mod sanitize;
