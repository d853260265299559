//! Observes one request: access log entry, decision record, trace and metrics.

use std::fmt::Display;
use std::time::{Duration, Instant};

use equipoise_balancer::{Balancer, NoMember, PickArgs, Selection};
use equipoise_http::{Edit, Head, Name};

use super::{ClientError, ForwardedRequest, ProxyError};
use crate::downstream::Client;
use crate::observe::access_log::Entry;
use crate::observe::explain::DecisionRecord;
use crate::observe::traces::Trace;
use crate::snapshot::{Cluster, Snapshot};
use equipoise_config::{ErrorPage, Route};

/// Records one request. Each part is none where it is not configured.
pub(crate) struct RequestObserver<'request> {
    snapshot: &'request Snapshot,
    /// When its head was there.
    pub(super) begun: Instant,
    /// The number of its route, and the balancer behind that, if there is one; none before it is found.
    place: Option<(usize, Option<&'request Cluster>)>,
    /// Its line in the access log.
    entry: Option<Box<Entry>>,
    /// Why it went where it went.
    decision_record: Option<Box<DecisionRecord>>,
    /// Its place in a trace.
    trace: Option<Box<Trace>>,
    /// Whether the manager serves it.
    is_for_manager: bool,
    is_closed: bool,
}

impl<'request> RequestObserver<'request> {
    /// A request that begins now.
    #[inline(always)]
    pub(super) fn begin(client: &Client, snapshot: &'request Snapshot, request: &Head) -> Self {
        let log = client.worker.access_log.as_ref();
        let explain = snapshot.explain.as_ref();
        let traces = snapshot.traces.as_ref();
        Self {
            snapshot,
            begun: Instant::now(),
            place: None,
            entry: log.map(|log| Box::new(Entry::new(log, client, request))),
            decision_record: explain.map(|_| {
                // Of another request.
                snapshot.take_fault();
                Box::new(DecisionRecord::begin(client, request))
            }),
            trace: traces.map(|traces| Box::new(Trace::begin(traces, client, request))),
            is_for_manager: false,
            is_closed: false,
        }
    }

    /// The manager serves it.
    pub(super) fn record_manager(&mut self) {
        self.is_for_manager = true;
    }

    /// Its route is found.
    pub(super) fn record_route(&mut self, number: usize, cluster: Option<&'request Cluster>) {
        self.place = Some((number, cluster));
        if let Some(trace) = &mut self.trace {
            let balancer = cluster.map(|it| &*it.balancer.settings().name);
            trace.record_route(&self.snapshot.config.routes[number], balancer);
        }
    }

    /// Its route has no balancer.
    pub(super) fn record_local(&mut self, route: &Route) {
        if let Some(decision_record) = &mut self.decision_record {
            decision_record.record_local(route);
        }
    }

    /// The route that it takes, and the page there for an error with this status.
    pub(super) fn error_page(&self, status: u16) -> Option<(&'request Route, &'request ErrorPage)> {
        let (number, _) = self.place?;
        let route = &self.snapshot.config.routes[number];
        Some((route, route.error_pages.as_ref()?.page(status)?))
    }

    /// The configuration, from the request's beginning to its end.
    pub(super) fn snapshot(&self) -> &'request Snapshot {
        self.snapshot
    }

    /// What there is to know before a member is chosen.
    pub(super) fn record_session(&mut self, forwarded: &ForwardedRequest<'_>) {
        if let Some(decision_record) = &mut self.decision_record {
            let fault = self.snapshot.take_fault();
            let session = forwarded.session.as_ref();
            decision_record.record_route(forwarded.route, forwarded.cluster, session, fault);
        }
    }

    /// Has a member chosen.
    #[inline]
    pub(super) fn choose(
        &mut self,
        forwarded: &ForwardedRequest<'_>,
        query: &PickArgs<'_>,
    ) -> Result<Selection, NoMember> {
        let balancer: &Balancer = &forwarded.cluster.balancer;
        match &mut self.decision_record {
            None => balancer.choose(query),
            Some(decision_record) => {
                // Of another request.
                self.snapshot.take_fault();
                let (decision, explanation) = balancer.explain(query);
                decision_record.record_decision(
                    self.snapshot,
                    forwarded.cluster,
                    &decision,
                    explanation,
                    query.now,
                );
                decision
            }
        }
    }

    /// A member was selected.
    #[inline(always)]
    pub(super) fn record_selection(
        &mut self,
        forwarded: &ForwardedRequest<'_>,
        choice: &Selection,
    ) {
        let (cluster, session) = (forwarded.cluster, forwarded.session.as_ref());
        let metrics = &cluster.metrics;
        metrics.count_choice(choice, cluster.config.method, session);
        if let Some(entry) = &mut self.entry {
            entry.record_selection(choice, session);
        }
        if let Some(trace) = &mut self.trace {
            trace.start_attempt(
                choice,
                cluster.config.method,
                &forwarded.endpoint(choice).config,
            );
        }
    }

    /// The outcome of an attempt: the status, or the error.
    #[inline(always)]
    pub(super) fn record_outcome(&mut self, outcome: Result<u16, &ProxyError>) {
        if let Some(decision_record) = &mut self.decision_record {
            decision_record.record_outcome(outcome, self.snapshot.now());
        }
        if let Some(trace) = &mut self.trace {
            trace.end_attempt(outcome);
        }
    }

    /// Adds `traceparent` to the request to a member.
    pub(super) fn inject_trace(&self, edit: &mut Edit, request: &Head) {
        if let Some(trace) = &self.trace {
            trace.inject(edit, request);
        }
    }

    /// The request failed: no response of a member is forwarded.
    pub(super) fn record_error(&mut self, error: &ProxyError) {
        if let (Some((_, Some(cluster))), ProxyError::NoMember { .. }) = (self.place, error) {
            cluster.metrics.count_refusal();
        }
        self.snapshot.metrics.refusals.count(error);
        if let Some(entry) = &mut self.entry {
            entry.record_error(error);
        }
        if let Some(decision_record) = &mut self.decision_record {
            decision_record.record_error(error);
        }
    }

    /// The head of the response is there; it may get a field more.
    #[inline(always)]
    pub(super) fn record_response(&mut self, status: u16, edit: &mut Edit) {
        match self.place {
            Some((route, _)) => self.snapshot.route_metrics[route].count(status),
            None if self.is_for_manager => self.snapshot.metrics.manager.count(status),
            None => self.snapshot.metrics.unrouted.count(status),
        }
        if let (Some(mut decision_record), Some(explain)) =
            (self.decision_record.take(), &self.snapshot.explain)
        {
            decision_record.record_response(status);
            let id = explain.keep(decision_record);
            if let Some(trace) = &mut self.trace {
                trace.record_decision(&id);
            }
            if let Some(name) = &explain.config.header {
                edit.add(Name::of(name.as_str().as_bytes()), id.as_bytes());
            }
        }
        if let Some(trace) = &mut self.trace {
            trace.record_response(status);
        }
        if let Some(entry) = &mut self.entry {
            entry.record_response(status);
        }
    }

    /// So many bytes of the response's body went to the client.
    pub(super) fn count_bytes(&mut self, bytes: usize) {
        if let Some(entry) = &mut self.entry {
            entry.count_bytes(bytes);
        }
    }

    /// The response was aborted.
    pub(super) fn record_abort(&mut self, error: &dyn Display) {
        if let Some(entry) = &mut self.entry {
            entry.record_abort(error);
        }
        if let Some(trace) = &mut self.trace {
            trace.record_abort(error);
        }
    }

    /// The client does not take all of the response.
    pub(super) fn record_client_error(&mut self, fault: ClientError) {
        self.snapshot.metrics.refusals.count(&fault.into());
        self.record_abort(&fault);
    }

    /// The request is over, if that was not noted before.
    pub(super) fn close(&mut self) {
        if !self.is_closed {
            self.close_after(self.begun.elapsed());
        }
    }

    /// The request is over, and took so long: its line is written, and its span ends.
    pub(super) fn close_after(&mut self, took: Duration) {
        self.is_closed = true;
        if let Some((_, Some(cluster))) = self.place.take() {
            cluster.metrics.durations.observe(took);
        }
        self.entry = None;
        self.trace = None;
    }
}
