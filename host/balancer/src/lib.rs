//! The rules of balancing, as a pure core: no socket, no clock, no async, no unsafe.
//!
//! `now` and random numbers are parameters, so that every rule can be tested as a table and a decision replays exactly.
//! [`Balancer::choose`] ties the rules together; which members are eligible is decided here, which of them is chosen by an
//! [`equipoise_sdk::Selector`].

mod atomic_instant;
mod balancer;
mod cache_validity;
mod candidate_columns;
mod counters;
mod eligible;
mod explanation;
mod generation;
mod health;
mod health_evaluator;
mod member;
mod observer;
mod picker;
mod plugin;
mod recovery;
mod rendezvous;
mod roster;
mod slow_start;
mod status;
mod sticky;

pub use balancer::{
    AttemptOutcome, Balancer, BalancerSettings, NoMember, PickArgs, Selection, SelectorWithFallback,
};
pub use counters::{Counters, HeartbeatReport, Lease};
pub use explanation::{Eligibility, Explanation, PickReason};
pub use health_evaluator::{HealthEvaluator, PluginHealthPolicy};
pub use member::{Member, MemberSettings};
pub use observer::{Observer, StateChange};
pub use plugin::{FaultKind, PluginVersion, RenewableSelector, Renewal, Role};
pub use status::{ParseStatusError, Status};
