//! The built-in policy `session`.
