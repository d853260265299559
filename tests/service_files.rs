//! The files of examples/service.
