//! Who takes note of a request while it is served: the access log, the story that explains its decisions, its trace, and
//! counters.

use std::fmt::Display;
use std::time::{Duration, Instant};

use equipoise_balancer::{Balancer, NoMember, PickArgs, Selection};
use equipoise_http::{Edit, Head, Name};

use super::{ClientError, Exchange, ProxyError};
use crate::downstream::Client;
use crate::observe::access_log::Record;
use crate::observe::explain::Story;
use crate::observe::traces::Trace;
use crate::snapshot::{Cluster, Snapshot};

/// What is noted of one request. Each part is none where it is not configured.
pub(crate) struct Notes<'request> {
    snapshot: &'request Snapshot,
    /// When its head was there.
    pub(super) begun: Instant,
    /// The number of its route, and the balancer behind that; none before they are found.
    place: Option<(usize, &'request Cluster)>,
    /// Its line in the access log.
    record: Option<Box<Record>>,
    /// Why it went where it went.
    story: Option<Box<Story>>,
    /// Its place in a trace.
    trace: Option<Box<Trace>>,
    /// Whether all of that is noted.
    /// Whether the manager answers it.
    is_for_manager: bool,
    is_closed: bool,
}

impl<'request> Notes<'request> {
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
            record: log.map(|log| Box::new(Record::new(log, client, request))),
            story: explain.map(|_| {
                // Of another request.
                snapshot.take_fault();
                Box::new(Story::begin(client, request))
            }),
            trace: traces.map(|traces| Box::new(Trace::begin(traces, client, request))),
            is_for_manager: false,
            is_closed: false,
        }
    }

    /// The manager answers it.
    pub(super) fn note_manager(&mut self) {
        self.is_for_manager = true;
    }

    /// Its route is found.
    pub(super) fn note_route(&mut self, number: usize, cluster: &'request Cluster) {
        self.place = Some((number, cluster));
        if let Some(trace) = &mut self.trace {
            let balancer = &cluster.balancer.settings().name;
            trace.note_route(&self.snapshot.config.routes[number], balancer);
        }
    }

    /// What there is to know before a member is chosen.
    pub(super) fn note_session(&mut self, exchange: &Exchange<'_>) {
        if let Some(story) = &mut self.story {
            let fault = self.snapshot.take_fault();
            let session = exchange.session.as_ref();
            story.note_route(exchange.route, exchange.cluster, session, fault);
        }
    }

    /// Has a member chosen.
    #[inline]
    pub(super) fn choose(
        &mut self,
        exchange: &Exchange<'_>,
        query: &PickArgs<'_>,
    ) -> Result<Selection, NoMember> {
        let balancer: &Balancer = &exchange.cluster.balancer;
        match &mut self.story {
            None => balancer.choose(query),
            Some(story) => {
                // Of another request.
                self.snapshot.take_fault();
                let (decision, explanation) = balancer.explain(query);
                story.note_decision(
                    self.snapshot,
                    exchange.cluster,
                    &decision,
                    explanation,
                    query.now,
                );
                decision
            }
        }
    }

    /// A member is asked.
    #[inline(always)]
    pub(super) fn note_choice(&mut self, exchange: &Exchange<'_>, choice: &Selection) {
        let (cluster, session) = (exchange.cluster, exchange.session.as_ref());
        let meters = &cluster.meters;
        meters.count_choice(choice, cluster.config.method, session);
        if let Some(record) = &mut self.record {
            record.note_choice(choice, session);
        }
        if let Some(trace) = &mut self.trace {
            trace.begin_try(
                choice,
                cluster.config.method,
                &exchange.upstream(choice).config,
            );
        }
    }

    /// The member answered with this status, or did not, for this reason.
    #[inline(always)]
    pub(super) fn note_outcome(&mut self, outcome: Result<u16, &ProxyError>) {
        if let Some(story) = &mut self.story {
            story.note_outcome(outcome, self.snapshot.now());
        }
        if let Some(trace) = &mut self.trace {
            trace.end_try(outcome);
        }
    }

    /// Tells a member what it has to know of the request's trace.
    pub(super) fn mark(&self, edit: &mut Edit, request: &Head) {
        if let Some(trace) = &self.trace {
            trace.mark(edit, request);
        }
    }

    /// The request failed: nothing of a member's is passed on.
    pub(super) fn record_error(&mut self, error: &ProxyError) {
        if let (Some((_, cluster)), ProxyError::NoMember { .. }) = (self.place, error) {
            cluster.meters.count_refusal();
        }
        self.snapshot.meters.refusals.count(error);
        if let Some(record) = &mut self.record {
            record.note_failure(error);
        }
        if let Some(story) = &mut self.story {
            story.note_failure(error);
        }
    }

    /// The head of the response is there; it may get a field more.
    #[inline(always)]
    pub(super) fn note_answer(&mut self, status: u16, edit: &mut Edit) {
        match self.place {
            Some((route, _)) => self.snapshot.route_meters[route].count(status),
            None if self.is_for_manager => self.snapshot.meters.manager.count(status),
            None => self.snapshot.meters.unrouted.count(status),
        }
        if let (Some(mut story), Some(explain)) = (self.story.take(), &self.snapshot.explain) {
            story.note_answer(status);
            let id = explain.keep(story);
            if let Some(trace) = &mut self.trace {
                trace.note_decision(&id);
            }
            if let Some(name) = &explain.config.header {
                edit.add(Name::of(name.as_str().as_bytes()), id.as_bytes());
            }
        }
        if let Some(trace) = &mut self.trace {
            trace.note_answer(status);
        }
        if let Some(record) = &mut self.record {
            record.note_answer(status);
        }
    }

    /// So many bytes of the response's body went to the client.
    pub(super) fn count_bytes(&mut self, bytes: usize) {
        if let Some(record) = &mut self.record {
            record.count_bytes(bytes);
        }
    }

    /// The response broke off.
    pub(super) fn note_break(&mut self, error: &dyn Display) {
        if let Some(record) = &mut self.record {
            record.note_break(error);
        }
        if let Some(trace) = &mut self.trace {
            trace.note_break(error);
        }
    }

    /// The client does not take all of the response.
    pub(super) fn note_client_fault(&mut self, fault: ClientError) {
        self.snapshot.meters.refusals.count(&fault.into());
        self.note_break(&fault);
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
        if let Some((_, cluster)) = self.place.take() {
            cluster.meters.durations.observe(took);
        }
        self.record = None;
        self.trace = None;
    }
}
