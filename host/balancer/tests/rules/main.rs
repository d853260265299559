//! The rules of balancing, with the built-in policies: one file a subject.

mod apache;
mod caching;
mod counters;
mod eligible;
mod explaining;
mod health;
mod health_evaluator;
mod methods;
mod recovery;
mod site;
mod sticky;
mod threads;
mod tried;
