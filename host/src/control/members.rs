//! Several members that are added at once: all of them, or those that can be had.
//!
//! Which members cannot be had is told by the mistakes in the configuration that would have them all: each names its place
//! in the list of members, where the new ones stand behind the others. Those are left out, and the rest is tried again.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::command::Refusal;
use super::controller::Controller;
use super::parked::NotApplied;
use super::terms::{LeftOut, Terms};
use equipoise_config::source::{Edit, Settings};
use equipoise_config::{Diagnostics, member_of_key};

/// A member to be added.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NewMember {
    pub(crate) url: String,
    /// Its other keys.
    pub(crate) settings: Settings,
}

/// Members that are still to be added, each with its place among those asked for.
type Wanted = Vec<(usize, NewMember)>;

impl Controller {
    /// Adds members to a balancer, behind its others. Answers those that were left out, where they may be.
    ///
    /// # Errors
    /// Why nothing was added: one of them, or every one, cannot be had.
    pub(super) fn add_members(
        &mut self,
        balancer: &str,
        members: Vec<NewMember>,
        terms: &Terms,
    ) -> Result<Vec<LeftOut>, NotApplied> {
        let before = self.current.load();
        let (_, cluster) = before
            .cluster(balancer)
            .ok_or_else(|| Refusal::Unknown(format!("there is no balancer {balancer}")))?;
        let known: Vec<_> = cluster.balancer.members().iter().collect();
        let mut urls: BTreeSet<_> = known.iter().map(|it| it.settings.name.clone()).collect();
        let (mut wanted, mut left_out) = (Wanted::new(), Vec::new());
        for (place, member) in members.into_iter().enumerate() {
            if urls.insert(member.url.clone()) {
                wanted.push((place, member));
                continue;
            }
            let url = member.url;
            let reason = Refusal::Conflict(format!("{url} is a member of {balancer} already"));
            if !terms.is_partial {
                return Err(reason.into());
            }
            left_out.push(LeftOut { place, url, reason });
        }
        let edits = |wanted: &Wanted| {
            let add = |(_, NewMember { url, settings }): &(usize, NewMember)| Edit::AddMember {
                balancer: balancer.to_owned(),
                url: url.clone(),
                settings: settings.clone(),
            };
            wanted.iter().map(add).collect()
        };
        self.add_wanted(balancer, known.len(), wanted, left_out, terms, edits)
    }

    /// Adds a balancer, whose settings may have members. Answers those members that were left out, where they may be.
    ///
    /// # Errors
    /// Why it was not added.
    pub(super) fn add_balancer(
        &mut self,
        name: &str,
        mut settings: Settings,
        terms: &Terms,
    ) -> Result<Vec<LeftOut>, NotApplied> {
        let members = settings.remove("member");
        let edit = |settings: &Settings, members: Option<Value>| {
            let mut settings = settings.clone();
            settings.extend(members.map(|members| ("member".to_owned(), members)));
            vec![Edit::AddBalancer {
                name: name.to_owned(),
                settings,
            }]
        };
        let Some(wanted) = members
            .as_ref()
            .and_then(split)
            .filter(|_| terms.is_partial)
        else {
            let edits = edit(&settings, members);
            return self.edit_all(edits, terms).map(|()| Vec::new());
        };
        let edits = |wanted: &Wanted| edit(&settings, Some(joined(wanted)));
        self.add_wanted(name, 0, wanted, Vec::new(), terms, edits)
    }

    /// Makes the edits that add members behind the first `known` of a balancer. Where some may be left out, those are that
    /// stand in the way, until the rest can be had.
    fn add_wanted(
        &mut self,
        balancer: &str,
        known: usize,
        mut wanted: Wanted,
        mut left_out: Vec<LeftOut>,
        terms: &Terms,
        edits: impl Fn(&Wanted) -> Vec<Edit>,
    ) -> Result<Vec<LeftOut>, NotApplied> {
        while !wanted.is_empty() {
            let refusal = match self.edit_all(edits(&wanted), terms) {
                Ok(()) => {
                    left_out.sort_by_key(|it| it.place);
                    return Ok(left_out);
                }
                Err(NotApplied::Compiling(needs)) => return Err(NotApplied::Compiling(needs)),
                Err(NotApplied::Refused(refusal)) => refusal,
            };
            let at_fault = match terms.is_partial {
                true => at_fault(&refusal, balancer, known),
                false => BTreeMap::new(),
            };
            if at_fault.is_empty() {
                return Err(refusal.into());
            }
            leave_out(&mut wanted, &mut left_out, at_fault);
        }
        let first = left_out.into_iter().min_by_key(|it| it.place);
        let none = || Refusal::Unfit("there is no member to be added".to_owned());
        Err(first.map_or_else(none, |it| it.reason).into())
    }
}

/// Moves the members that are blamed to those that are left out.
fn leave_out(
    wanted: &mut Wanted,
    left_out: &mut Vec<LeftOut>,
    mut at_fault: BTreeMap<usize, Refusal>,
) {
    let mut rest = Wanted::new();
    for (number, (place, member)) in std::mem::take(wanted).into_iter().enumerate() {
        match at_fault.remove(&number) {
            Some(reason) => left_out.push(LeftOut {
                place,
                url: member.url,
                reason,
            }),
            None => rest.push((place, member)),
        }
    }
    *wanted = rest;
}

/// Which of the new members, that stand behind the first `known`, are to blame for a refusal, and why.
fn at_fault(refusal: &Refusal, balancer: &str, known: usize) -> BTreeMap<usize, Refusal> {
    let place = |key: &str| member_of_key(key, balancer)?.checked_sub(known);
    match refusal {
        Refusal::Mistaken(mistakes) => {
            let places = mistakes.iter().filter_map(|it| place(it.key.as_deref()?));
            let places: BTreeSet<_> = places.collect();
            let only = |number: usize| -> Diagnostics {
                mistakes.filtered(|it| it.key.as_deref().and_then(place) == Some(number))
            };
            let reason = |number| (number, Refusal::Mistaken(only(number)));
            places.into_iter().map(reason).collect()
        }
        Refusal::Unfit(reasons) => {
            let reason = |line: &str| Some((place(line)?, Refusal::Unfit(line.to_owned())));
            reasons.lines().filter_map(reason).collect()
        }
        _ => BTreeMap::new(),
    }
}

/// The members of a list, where every one has a URL.
fn split(members: &Value) -> Option<Wanted> {
    let member = |value: &Value| {
        let mut settings = value.as_object()?.clone();
        let url = settings.remove("url")?.as_str()?.to_owned();
        Some(NewMember { url, settings })
    };
    let members: Option<Vec<_>> = members.as_array()?.iter().map(member).collect();
    Some(members?.into_iter().enumerate().collect())
}

/// The same members as a list again.
fn joined(wanted: &Wanted) -> Value {
    let member = |(_, member): &(usize, NewMember)| {
        let mut settings = member.settings.clone();
        settings.insert("url".to_owned(), member.url.clone().into());
        Value::from(settings)
    };
    wanted.iter().map(member).collect()
}
