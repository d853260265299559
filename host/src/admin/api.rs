//! What runs, as JSON, and how it is changed: `/api/v1`.
//!
//! What is shown is read from the snapshot in force. What is to change is a command to control, which answers when it is in
//! force; then that is shown.

use http::request::Parts;
use http::{Method, StatusCode};
use tokio::sync::Semaphore;

use super::balancers::{BalancerView, Balancers, MemberView};
use super::body::AdminBody;
use super::configuration::ConfigurationView;
use super::connections::Connection;
use super::endpoint::Endpoint;
use super::explain;
use super::mutations::Mutations;
use super::plugins::{PluginView, Plugins};
use super::response::{AdminResponse, json, problem, tagged};
use crate::background::EvaluatorHandle;
use crate::control::{Handle, Resource};
use equipoise_proxy::current::CurrentSnapshot;
use equipoise_proxy::snapshot::Snapshot;

/// How many plugins may be uploaded at once.
const MAX_UPLOADS: usize = 2;

/// The API, with what it reads and changes.
pub(super) struct Api {
    pub(super) current: CurrentSnapshot,
    pub(super) control: Handle,
    evaluator: EvaluatorHandle,
    /// Places for uploads, which are large.
    pub(super) uploads: Semaphore,
}

/// Who asks.
pub(super) struct Caller<'connection> {
    /// What the log calls them.
    pub(super) name: String,
    /// Their connection to the admin listener; none where they come by another.
    pub(super) connection: Option<&'connection Connection>,
}

/// A response, or the problem instead.
pub(super) type Outcome = Result<AdminResponse, Box<AdminResponse>>;

impl Api {
    pub(super) fn new(
        current: CurrentSnapshot,
        control: Handle,
        evaluator: EvaluatorHandle,
    ) -> Self {
        Self {
            current,
            control,
            evaluator,
            uploads: Semaphore::new(MAX_UPLOADS),
        }
    }

    /// Whether a version of a plugin is being compiled.
    pub(super) fn is_being_compiled(&self, plugin: &str) -> bool {
        let book = self.control.book(plugin);
        book.is_some_and(|book| book.state().compiling.is_some())
    }

    /// Responds to an operator's request for this endpoint, which knows its method.
    pub(super) async fn respond(
        &self,
        caller: &Caller<'_>,
        endpoint: Endpoint<'_>,
        parts: &Parts,
        body: AdminBody,
    ) -> AdminResponse {
        let outcome = match parts.method {
            Method::GET | Method::HEAD if endpoint == Endpoint::Explain => {
                explain::respond(&self.current.load(), parts)
            }
            Method::GET | Method::HEAD => {
                self.refresh_loads(&endpoint).await;
                self.show(&endpoint)
            }
            _ => {
                let operator = Mutations { api: self, caller };
                operator.change(endpoint, parts, body).await
            }
        };
        outcome.unwrap_or_else(|response| *response)
    }

    /// Has it asked anew where the members stand that are to be shown.
    async fn refresh_loads(&self, endpoint: &Endpoint<'_>) {
        let snapshot = self.current.load();
        let name = match endpoint {
            Endpoint::Balancers => None,
            Endpoint::Balancer(name) | Endpoint::Member(name, _) => Some(name),
            _ => return,
        };
        let clusters = snapshot.clusters.iter();
        let shown = clusters.filter(|cluster| name.is_none_or(|name| cluster.name() == name));
        self.evaluator.refresh_loads(shown).await;
    }

    /// What is at an endpoint.
    pub(super) fn show(&self, endpoint: &Endpoint<'_>) -> Outcome {
        // Taken anew each time: kept, it would keep an old version of a plugin until the next request.
        let snapshot = &*self.current.load();
        let ok = StatusCode::OK;
        let (response, resource) = match endpoint {
            Endpoint::Balancers => return Ok(json(ok, &Balancers::of(snapshot))),
            Endpoint::Plugins => return Ok(json(ok, &Plugins::of(snapshot, &self.control))),
            Endpoint::Balancer(name) => {
                let (place, cluster) = snapshot.cluster(name).ok_or_else(|| no_balancer(name))?;
                let view = BalancerView::of(snapshot, place, cluster);
                (json(ok, &view), Resource::Balancer(name.to_string()))
            }
            Endpoint::Member(name, id) => {
                let (_, cluster) = snapshot.cluster(name).ok_or_else(|| no_balancer(name))?;
                let (place, member) = cluster.member(*id).ok_or_else(|| no_member(name, id))?;
                let endpoint = &cluster.endpoints[place];
                let view = MemberView::of(snapshot, cluster, place, member, endpoint);
                (json(ok, &view), Resource::Member(name.to_string(), *id))
            }
            Endpoint::Plugin(name) => {
                let place = place_of(snapshot, name).ok_or_else(|| no_plugin(name))?;
                let view = PluginView::of(snapshot, &self.control, place);
                (json(ok, &view), Resource::Plugin(name.to_string()))
            }
            _ => {
                let view = ConfigurationView::of(snapshot, &self.control);
                (json(ok, &view), Resource::Configuration)
            }
        };
        Ok(tagged(response, resource.etag(snapshot)))
    }
}

pub(super) fn place_of(snapshot: &Snapshot, plugin: &str) -> Option<usize> {
    let mut plugins = snapshot.config.plugins.iter();
    plugins.position(|it| it.name == plugin)
}

pub(super) fn no_balancer(name: &str) -> Box<AdminResponse> {
    let detail = format!("there is no balancer {name}: GET /api/v1/balancers lists them");
    Box::new(problem(StatusCode::NOT_FOUND, detail))
}

pub(super) fn no_member(name: &str, id: &u32) -> Box<AdminResponse> {
    let detail = format!("balancer {name} has no member {id}: GET /api/v1/balancers lists them");
    Box::new(problem(StatusCode::NOT_FOUND, detail))
}

pub(super) fn no_plugin(name: &str) -> Box<AdminResponse> {
    let detail =
        format!("there is no plugin {name}: write [plugin.{name}] in the configuration file first");
    Box::new(problem(StatusCode::NOT_FOUND, detail))
}
