//! Heartbeats: servers report their idle and busy slots, for the members at their addresses.
//!
//! They come as datagrams ([`datagrams`]) or by HTTP ([`crate::admin`]), once a second or so from each server, on the
//! thread of [`crate::background`]. Every balancer is told, whatever its method: plugins go by them, too.

pub(crate) mod datagrams;
mod log_throttle;
mod message;

use std::cell::RefCell;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::time::Instant;

use thiserror::Error;

use equipoise_proxy::current::CurrentSnapshot;
use equipoise_proxy::snapshot::Snapshot;
use log_throttle::LogThrottle;

pub(crate) use message::{HeartbeatMessage, MAX_LENGTH, Malformed};

/// Receives heartbeats: checks the sender, and records them for the members.
pub(crate) struct Heartbeats {
    current: CurrentSnapshot,
    throttles: RefCell<Throttles>,
}

/// By the kinds of [`Rejection`].
#[derive(Default)]
struct Throttles {
    not_allowed: LogThrottle,
    malformed: LogThrottle,
    unknown: LogThrottle,
}

/// Why a heartbeat is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum Rejection {
    /// The sender is not allowed to send.
    #[error("its sender is not allowed by `from`")]
    NotAllowed,
    /// It is none.
    #[error("it is malformed: {0}")]
    Malformed(#[from] Malformed),
    /// No balancer has a member there.
    #[error("no member is at its sender's address and port")]
    Unknown,
}

impl Heartbeats {
    /// Receives for the members of the snapshot in force.
    pub(crate) fn new(current: CurrentSnapshot) -> Self {
        Self {
            current,
            throttles: RefCell::default(),
        }
    }

    /// Records a heartbeat from this address for the members there.
    ///
    /// # Errors
    /// Why it is rejected, which is logged, too, at a bounded rate.
    pub(crate) fn receive(&self, from: IpAddr, message: &[u8]) -> Result<(), Rejection> {
        // An IPv4 address and the same mapped into IPv6 are one address.
        let from = from.to_canonical();
        let outcome = self.record(from, message);
        if let Err(rejection) = outcome {
            self.log_rejection(from, rejection);
        }
        outcome
    }

    fn record(&self, from: IpAddr, message: &[u8]) -> Result<(), Rejection> {
        // Taken anew each time: kept, it would keep an old version of a plugin until the next heartbeat.
        let snapshot = self.current.load();
        if !is_allowed(from, &snapshot) {
            return Err(Rejection::NotAllowed);
        }
        let HeartbeatMessage { ready, busy, port } = HeartbeatMessage::parse(message)?;
        let (port, now) = (port.map(NonZeroU16::get), snapshot.now());
        let clusters = snapshot.clusters.iter();
        let told = clusters.map(|cluster| {
            cluster
                .balancer
                .record_heartbeat(from, port, ready, busy, now)
        });
        if told.sum::<usize>() == 0 {
            return Err(Rejection::Unknown);
        }
        tracing::debug!(%from, ready, busy, port, "heartbeat accepted");
        Ok(())
    }

    fn log_rejection(&self, from: IpAddr, rejection: Rejection) {
        let mut throttles = self.throttles.borrow_mut();
        let throttle = match rejection {
            Rejection::NotAllowed => &mut throttles.not_allowed,
            Rejection::Malformed(_) => &mut throttles.malformed,
            Rejection::Unknown => &mut throttles.unknown,
        };
        if let Some(count) = throttle.count(Instant::now()) {
            tracing::warn!(%from, count, "heartbeat rejected: {rejection}");
        }
    }
}

/// Whether heartbeats may come from there. Without `from`: from the members' own addresses.
fn is_allowed(from: IpAddr, snapshot: &Snapshot) -> bool {
    let heartbeat = snapshot.config.heartbeat.as_ref();
    match heartbeat.and_then(|heartbeat| heartbeat.from.as_ref()) {
        Some(networks) => networks.iter().any(|network| network.contains(&from)),
        None => has_member_at(from, snapshot),
    }
}

/// Whether any balancer has a member at the address, which is canonical.
fn has_member_at(from: IpAddr, snapshot: &Snapshot) -> bool {
    let mut clusters = snapshot.clusters.iter();
    clusters.any(|cluster| {
        let mut members = cluster.balancer.members().iter();
        members.any(|member| {
            let address = member.settings.address;
            address.is_some_and(|address| address.ip().to_canonical() == from)
        })
    })
}
