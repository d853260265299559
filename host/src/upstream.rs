//! Connections to members.
//!
//! Each worker thread has a [`Pool`] of its own for each member, so that no connection ever crosses threads. What all
//! workers share about a member's connections, its `max`, is in [`Slots`].

mod connection;
mod metered;
mod pool;
mod slots;

pub(crate) use connection::{ConnectError, Connection, MIN_BUFFER};
pub(crate) use metered::Traffic;
pub(crate) use pool::Pool;
pub(crate) use slots::{Slot, Slots};
