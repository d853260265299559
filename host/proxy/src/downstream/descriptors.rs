//! How the file descriptors that the process may have (`ulimit -n`) are shared out, so that clients leave some for members,
//! operators and files.
//!
//! What is open in any case comes first. Of the rest, operators may have an eighth, up to what they ever use. Half is left for
//! members, so that every client can have a request under way, and for checks and files; but of many clients most are idle, so
//! that of what is beyond [`MANY`], three eighths are. Clients may have what remains.

/// What is open whatever the configuration is: standard streams, logs, what is watched, the threads beside workers; and files that are
/// read now and then.
const FIXED: usize = 24;

/// What a worker has: its runtime's.
const OF_WORKER: usize = 4;

/// What a worker has for each listener: its socket, the one that is kept to be handed over, and a connection that waits to be served.
const OF_SOCKET: usize = 3;

/// The most that the admin listener uses.
const MOST_ADMIN: usize = 320;

/// So many descriptors are many.
const MANY: usize = 8192;

/// So many clients may be connected however few descriptors there are.
const LEAST_CLIENTS: usize = 2;

/// How many connections there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    /// Of clients.
    pub clients: usize,
    /// To the admin listener.
    pub admin: usize,
}

impl Shares {
    /// With so many workers and listeners, under the limit that the process has now.
    pub fn now(workers: usize, listeners: usize) -> Self {
        Self::under(limit(), workers, listeners)
    }

    fn under(limit: usize, workers: usize, listeners: usize) -> Self {
        let of_worker = OF_WORKER.saturating_add(listeners.saturating_mul(OF_SOCKET));
        let open = FIXED.saturating_add(workers.saturating_mul(of_worker));
        let rest = limit.saturating_sub(open);
        let admin = (rest / 8).min(MOST_ADMIN);
        let members = rest.min(MANY) / 2 + rest.saturating_sub(MANY) / 8 * 3;
        Self {
            clients: (rest - admin - members).max(LEAST_CLIENTS),
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
            let shares = Shares::under(limit, workers, listeners);
            let rest = limit - FIXED - workers * (OF_WORKER + listeners * OF_SOCKET);
            let members = rest - shares.clients - shares.admin;
            let each_has_one = members > shares.clients;
            assert!(each_has_one || limit > MANY, "{limit}: {shares:?}");
            assert!(members >= rest / 8 * 3, "{limit}: {shares:?}");
            assert!(shares.clients >= rest / 8 * 3, "{limit}: {shares:?}");
            assert!(shares.admin == MOST_ADMIN || shares.admin >= rest / 8);
        }
    }

    /// A limit of twice the connections is what operators are used to.
    #[test]
    fn twice_as_many_descriptors_do_for_the_default_of_connections() {
        let default = equipoise_config::Limits::default().connections;
        assert!(Shares::under(2 * default, 32, 2).clients >= default);
    }

    #[test]
    fn some_clients_are_served_however_few_descriptors_there_are() {
        for (limit, workers, listeners) in [(0, 1, 1), (34, 1, 1), (128, 1024, 1000)] {
            let shares = Shares::under(limit, workers, listeners);
            assert_eq!(shares.clients, LEAST_CLIENTS, "{limit}");
        }
    }
}
