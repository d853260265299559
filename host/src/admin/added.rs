//! What came of adding several members at once.

use std::collections::BTreeSet;

use serde::Serialize;

use super::balancers::{BalancerView, MemberView};
use super::response::Problem;
use crate::control::LeftOut;
use equipoise_proxy::snapshot::Snapshot;
use equipoise_text::bounded::LIST;

/// What was added, and what was not.
#[derive(Debug, Serialize)]
pub(super) struct Added<'snapshot> {
    #[serde(flatten)]
    what: What<'snapshot>,
    /// Those that were left out, in the order of the request; up to 100.
    refused: Vec<RefusedView<'snapshot>>,
    /// How many more were left out.
    more_refused: usize,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum What<'snapshot> {
    Balancer(Option<Box<BalancerView<'snapshot>>>),
    Members { members: Vec<MemberView<'snapshot>> },
}

/// A member that was left out.
#[derive(Debug, Serialize)]
struct RefusedView<'snapshot> {
    /// Which one of the request, from 0.
    place: usize,
    url: &'snapshot str,
    problem: Problem,
}

impl<'snapshot> Added<'snapshot> {
    /// A balancer with some of the members that it was to have.
    pub(super) fn balancer(
        snapshot: &'snapshot Snapshot,
        name: &str,
        left_out: &'snapshot [LeftOut],
    ) -> Self {
        let cluster = snapshot.cluster(name);
        let view = cluster.map(|(place, cluster)| BalancerView::of(snapshot, place, cluster));
        Self::of(What::Balancer(view.map(Box::new)), left_out)
    }

    /// The members of a balancer that have these URLs, but for those left out.
    pub(super) fn members(
        snapshot: &'snapshot Snapshot,
        name: &str,
        urls: &[String],
        left_out: &'snapshot [LeftOut],
    ) -> Self {
        let left: BTreeSet<_> = left_out.iter().map(|it| it.place).collect();
        let urls = urls.iter().enumerate();
        let urls = urls.filter(|(place, _)| !left.contains(place));
        let urls: BTreeSet<_> = urls.map(|(_, url)| &**url).collect();
        let cluster = snapshot.cluster(name).map(|(_, cluster)| &**cluster);
        let members = cluster.into_iter().flat_map(|cluster| {
            let members = cluster.balancer.members().iter().enumerate();
            members.map(move |(place, member)| (cluster, place, member))
        });
        let members = members
            .filter(|(_, _, member)| urls.contains(&*member.settings.name))
            .map(|(cluster, place, member)| {
                let endpoint = &cluster.endpoints[place];
                MemberView::of(snapshot, cluster, place, member, endpoint)
            });
        let members = members.collect();
        Self::of(What::Members { members }, left_out)
    }

    fn of(what: What<'snapshot>, left_out: &'snapshot [LeftOut]) -> Self {
        let refused = left_out.iter().take(LIST).map(|it| RefusedView {
            place: it.place,
            url: &it.url,
            problem: Problem::of(&it.reason),
        });
        Self {
            what,
            refused: refused.collect(),
            more_refused: left_out.len().saturating_sub(LIST),
        }
    }
}
