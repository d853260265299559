//! The adapter between the contract in `wit/` and the traits.
//!
//! For the export macros, which are the only part that authors use. Each interface of the contract is implemented here once,
//! for every [`Instance`] whose policy has the trait; a macro makes the instance and names the interfaces to export.

pub mod bindings;
mod call_context;
mod config;
mod health;
mod instance;
mod selector;
mod session;
mod state;

pub use instance::Instance;
