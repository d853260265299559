//! The configuration in force as operators see it.

use serde::Serialize;

use super::balancers::seconds;
use super::response::Problem;
use crate::control::Handle;
use equipoise_config::source::Difference;
use equipoise_proxy::snapshot::Snapshot;

/// The configuration in force, and where it comes from.
#[derive(Debug, Serialize)]
pub(super) struct ConfigurationView<'snapshot> {
    file: String,
    revision: String,
    /// Since when it is in force.
    loaded: f64,
    /// The file's text with what was changed at run time laid over it.
    text: &'snapshot str,
    /// What is not as the file says.
    changes: Vec<Difference>,
    /// The last version of the file that was refused, unless another one was taken since.
    refused: Option<RefusedView>,
}

#[derive(Debug, Serialize)]
struct RefusedView {
    at: f64,
    #[serde(flatten)]
    problem: Problem,
}

impl<'snapshot> ConfigurationView<'snapshot> {
    pub(super) fn of(snapshot: &'snapshot Snapshot, control: &Handle) -> Self {
        let source = &snapshot.source;
        Self {
            file: source.path.display().to_string(),
            revision: source.revision(),
            loaded: seconds(source.since),
            text: &source.text,
            changes: source.differences(),
            refused: control.refused().map(|refused| RefusedView {
                at: seconds(refused.at),
                problem: Problem::of(&refused.reason),
            }),
        }
    }
}
