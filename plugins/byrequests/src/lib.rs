//! The built-in policy `byrequests`.
