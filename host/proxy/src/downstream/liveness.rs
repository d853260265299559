//! Liveness of the threads and tasks that the program cannot do without.

use std::sync::{Arc, OnceLock};
use std::thread;

use tokio::sync::Notify;

/// The first of them that died, if one has. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Liveness(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// What died first.
    first: OnceLock<String>,
    /// Told of it.
    died: Notify,
}

/// Reports a part of the program as dead if it is dropped by a panic.
#[derive(Debug)]
pub struct LivenessGuard {
    liveness: Liveness,
    part: String,
}

impl Liveness {
    /// What died first, for people to read; `None` as long as everything lives.
    pub fn dead(&self) -> Option<&str> {
        self.0.first.get().map(String::as_str)
    }

    /// A part that lives from now on: the thread or task keeps the guard to its end.
    pub fn guard(&self, part: impl Into<String>) -> LivenessGuard {
        LivenessGuard {
            liveness: self.clone(),
            part: part.into(),
        }
    }

    /// The same for a task of an async runtime, which catches its panic.
    pub async fn guarded<T>(self, part: &'static str, task: impl Future<Output = T>) -> T {
        let _guard = self.guard(part);
        task.await
    }

    /// A part is dead from now on.
    pub fn report_dead(&self, part: &str) {
        tracing::error!("{part} is dead: restart the program");
        // What died first is the cause.
        let _ = self.0.first.set(part.to_owned());
        self.0.died.notify_one();
    }

    /// Waits until something has died, for one that waits at a time.
    pub async fn death(&self) -> &str {
        loop {
            if let Some(part) = self.dead() {
                return part;
            }
            self.0.died.notified().await;
        }
    }
}

impl Drop for LivenessGuard {
    fn drop(&mut self) {
        if thread::panicking() {
            self.liveness.report_dead(&self.part);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Builder;
    use tokio::task::{spawn, yield_now};

    use super::*;

    #[test]
    fn a_thread_that_ends_is_not_dead_and_one_that_panics_is() {
        let liveness = Liveness::default();
        let life = |part: &str, panics: bool| {
            let guard = liveness.guard(part);
            let thread = thread::spawn(move || {
                let _guard = guard;
                assert!(!panics, "as is to be shown");
            });
            assert_eq!(thread.join().is_err(), panics);
        };
        life("worker-0", false);
        assert_eq!(liveness.dead(), None);
        life("control", true);
        life("worker-1", true);
        assert_eq!(liveness.dead(), Some("control"));
    }

    /// A runtime catches the panic of a task, and goes on.
    #[test]
    fn a_task_that_panics_is_dead_and_one_that_ends_or_is_aborted_is_not() {
        let runtime = Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let liveness = Liveness::default();
            let guarded = |part, panics: bool| {
                let task = async move {
                    yield_now().await;
                    assert!(!panics, "as is to be shown");
                };
                spawn(liveness.clone().guarded(part, task))
            };
            guarded("ends", false).await.unwrap();
            let aborted = guarded("is aborted", false);
            yield_now().await;
            aborted.abort();
            assert!(aborted.await.unwrap_err().is_cancelled());
            assert_eq!(liveness.dead(), None);
            assert!(guarded("checks", true).await.unwrap_err().is_panic());
            assert_eq!(liveness.dead(), Some("checks"));
        });
    }
}
