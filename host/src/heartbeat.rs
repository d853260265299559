//! Heartbeats: servers report how many slots they have idle and busy, and the members at their addresses learn it.
//!
//! They come as datagrams ([`datagrams`]) or by HTTP ([`crate::admin`]), once a second or so from each server, on the
//! thread of [`crate::health`]. Every balancer is told, whatever its method: plugins go by them, too.

mod beat;
mod complaint;
pub(crate) mod datagrams;

use std::cell::RefCell;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::time::Instant;

use thiserror::Error;

use complaint::Complaint;
use equipoise_proxy::current::CurrentSnapshot;
use equipoise_proxy::snapshot::Snapshot;

pub(crate) use beat::{Beat, LONGEST, Malformed};

/// Whoever hears heartbeats: decides which count, and tells the members.
pub(crate) struct Heartbeats {
    current: CurrentSnapshot,
    complaints: RefCell<Complaints>,
}

/// By the kinds of [`Rejection`].
#[derive(Default)]
struct Complaints {
    foreign: Complaint,
    malformed: Complaint,
    unknown: Complaint,
}

/// Why a heartbeat counts for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum Rejection {
    /// The sender is none of those who may send.
    #[error("its sender is not among those it may come from")]
    Foreign,
    /// It is none.
    #[error("it is malformed: {0}")]
    Malformed(#[from] Malformed),
    /// No balancer has a member there.
    #[error("no member is at its sender's address and port")]
    Unknown,
}

impl Heartbeats {
    /// Hears for the members of the snapshot in force, as that says.
    pub(crate) fn new(current: CurrentSnapshot) -> Self {
        Self {
            current,
            complaints: RefCell::default(),
        }
    }

    /// A heartbeat came from this address: the members there are told.
    ///
    /// # Errors
    /// Why it counts for nothing, which is logged, too, now and then.
    pub(crate) fn hear(&self, from: IpAddr, message: &[u8]) -> Result<(), Rejection> {
        // An IPv4 address and the same mapped into IPv6 are one address.
        let from = from.to_canonical();
        let heard = self.tell(from, message);
        if let Err(rejection) = heard {
            self.complain(from, rejection);
        }
        heard
    }

    fn tell(&self, from: IpAddr, message: &[u8]) -> Result<(), Rejection> {
        // Taken anew each time: kept, it would keep an old version of a plugin until the next heartbeat.
        let snapshot = self.current.load();
        if !may_send(from, &snapshot) {
            return Err(Rejection::Foreign);
        }
        let Beat { ready, busy, port } = Beat::parse(message)?;
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
        tracing::debug!(%from, ready, busy, port, "a heartbeat counts");
        Ok(())
    }

    fn complain(&self, from: IpAddr, rejection: Rejection) {
        let mut complaints = self.complaints.borrow_mut();
        let complaint = match rejection {
            Rejection::Foreign => &mut complaints.foreign,
            Rejection::Malformed(_) => &mut complaints.malformed,
            Rejection::Unknown => &mut complaints.unknown,
        };
        if let Some(count) = complaint.count(Instant::now()) {
            tracing::warn!(%from, count, "a heartbeat counts for nothing: {rejection}");
        }
    }
}

/// Whether heartbeats may come from there: where nothing is said, from the members' own addresses.
fn may_send(from: IpAddr, snapshot: &Snapshot) -> bool {
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
