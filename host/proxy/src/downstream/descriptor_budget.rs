//! The budget of file descriptors (`ulimit -n`): how many connections of clients and operators leave enough for members and
//! files.
//!
//! What is open in any case comes first. Of the rest, operators may have an eighth, up to [`MAX_ADMIN`]. Half is left for members,
//! so that every client can have a request in flight, and for checks and files; but of many clients most are idle, so that of
//! what is beyond [`MANY`], three eighths are. Clients may have what remains.

/// What is open whatever the configuration is: standard streams, logs, what is watched, the threads beside workers; and files that are
/// read now and then.
const FIXED: usize = 24;

/// What a worker's runtime has.
const PER_WORKER: usize = 4;

/// What a worker has for each listener: its socket, the one that is kept to be handed over, and a connection that waits to be served.
const PER_LISTENER: usize = 3;

/// The most that the admin listener uses.
const MAX_ADMIN: usize = 320;

/// With more descriptors than these, most clients are taken to be idle.
const MANY: usize = 8192;

/// The least clients that may be connected, however few descriptors there are.
const MIN_CLIENTS: usize = 2;

/// How many connections may be open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DescriptorBudget {
    /// Of clients.
    pub clients: usize,
    /// To the admin listener.
    pub admin: usize,
}

impl DescriptorBudget {
    /// With so many workers and listeners, under the limit that the process has now.
    pub fn now(workers: usize, listeners: usize) -> Self {
        Self::under(limit(), workers, listeners)
    }

    fn under(limit: usize, workers: usize, listeners: usize) -> Self {
        let of_worker = PER_WORKER.saturating_add(listeners.saturating_mul(PER_LISTENER));
        let open = FIXED.saturating_add(workers.saturating_mul(of_worker));
        let rest = limit.saturating_sub(open);
        let admin = (rest / 8).min(MAX_ADMIN);
        let members = rest.min(MANY) / 2 + rest.saturating_sub(MANY) / 8 * 3;
        Self {
            clients: (rest - admin - members).max(MIN_CLIENTS),
            admin,
        }
    }
}

/// The most files that the process may have open.
pub(super) fn limit() -> usize {
    let limit = rlimit::getrlimit(rlimit::Resource::NOFILE).ok();
    let limit = limit.and_then(|(soft, _)| usize::try_from(soft).ok());
    limit.unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_leave_descriptors_for_members_and_operators() {
        for (limit, workers, listeners) in [
            (usize::MAX, 4, 1),
            (1_048_576, 64, 20),
            (65_536, 8, 2),
            (20_000, 16, 3),
            (8192, 4, 2),
            (1024, 4, 2),
            (256, 2, 1),
            (128, 2, 1),
            (64, 1, 1),
        ] {
            let budget = DescriptorBudget::under(limit, workers, listeners);
            let rest = limit - FIXED - workers * (PER_WORKER + listeners * PER_LISTENER);
            let members = rest - budget.clients - budget.admin;
            let each_has_one = members > budget.clients;
            assert!(each_has_one || limit > MANY, "{limit}: {budget:?}");
            assert!(members >= rest / 8 * 3, "{limit}: {budget:?}");
            assert!(budget.clients >= rest / 8 * 3, "{limit}: {budget:?}");
            assert!(budget.admin == MAX_ADMIN || budget.admin >= rest / 8);
        }
    }

    /// A limit of twice the connections is what operators are used to.
    #[test]
    fn twice_as_many_descriptors_do_for_the_default_of_connections() {
        let default = equipoise_config::Limits::default().connections;
        assert!(DescriptorBudget::under(2 * default, 32, 2).clients >= default);
    }

    #[test]
    fn some_clients_are_served_however_few_descriptors_there_are() {
        for (limit, workers, listeners) in [(0, 1, 1), (34, 1, 1), (128, 1024, 1000)] {
            let budget = DescriptorBudget::under(limit, workers, listeners);
            assert_eq!(budget.clients, MIN_CLIENTS, "{limit}");
        }
    }
}
