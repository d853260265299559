//! How the file descriptors that the process may have (`ulimit -n`) are shared out, so that clients leave some for members,
//! operators and files.
//!
//! What is open in any case comes first. Of the rest, clients may have three eighths and operators one; half is left for
//! members: a client's request takes one of them, and idle connections and checks take some more.

/// What is open whatever the configuration is: standard streams, logs, what is watched, the threads beside workers; and files that are
/// read now and then.
const FIXED: usize = 24;

/// What a worker has: its runtime's.
const OF_WORKER: usize = 4;

/// What a worker has for each listener: its socket, the one that is kept to be handed over, and a connection that waits to be served.
const OF_SOCKET: usize = 3;

/// So many clients may be connected however few descriptors there are.
const LEAST_CLIENTS: usize = 2;

/// How many connections there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shares {
    /// Of clients.
    pub(crate) clients: usize,
    /// To the admin listener.
    pub(crate) admin: usize,
}

impl Shares {
    /// With so many workers and listeners, under the limit that the process has now.
    pub(crate) fn now(workers: usize, listeners: usize) -> Self {
        Self::under(limit(), workers, listeners)
    }

    fn under(limit: usize, workers: usize, listeners: usize) -> Self {
        let of_worker = OF_WORKER.saturating_add(listeners.saturating_mul(OF_SOCKET));
        let open = FIXED.saturating_add(workers.saturating_mul(of_worker));
        let eighth = limit.saturating_sub(open) / 8;
        Self {
            clients: eighth.saturating_mul(3).max(LEAST_CLIENTS),
            admin: eighth,
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
        let table = [
            (usize::MAX, 4, 1),
            (1_048_576, 64, 20),
            (65_536, 8, 2),
            (1024, 4, 2),
            (256, 2, 1),
            (128, 2, 1),
            (64, 1, 1),
        ];
        for (limit, workers, listeners) in table {
            let shares = Shares::under(limit, workers, listeners);
            let open = FIXED + workers * (OF_WORKER + listeners * OF_SOCKET);
            let for_members = limit - open - shares.clients - shares.admin;
            assert!(for_members > shares.clients, "{limit}: {shares:?}");
            assert!(shares.clients >= (limit - open) / 8, "{limit}: {shares:?}");
        }
    }

    #[test]
    fn some_clients_are_served_however_few_descriptors_there_are() {
        for (limit, workers, listeners) in [(0, 1, 1), (36, 1, 1), (128, 1024, 1000)] {
            let shares = Shares::under(limit, workers, listeners);
            assert_eq!(shares.clients, LEAST_CLIENTS, "{limit}");
        }
    }
}
