//! A policy as a component of its own: what stands between the contract in `wit/` and the traits.
//!
//! For the export macros, which are all of it that authors see. Each interface of the contract is implemented here once,
//! for every [`Instance`] whose policy has the trait; a macro makes the instance and names the interfaces to export.

mod ambient;
pub mod bindings;
mod health;
mod instance;
mod selector;
mod session;
mod setup;
mod state;

pub use instance::Instance;
