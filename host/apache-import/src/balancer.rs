//! Balancers as they are defined, before they are written.

use super::directive::Directive;
use super::parameters::Parameters;
use super::pass;
use super::report::Report;

/// A balancer of one server.
#[derive(Debug, Clone)]
pub(crate) struct Definition<'d> {
    /// In lower case.
    pub(crate) name: String,
    pub(crate) parameters: Parameters<'d>,
    pub(crate) members: Vec<MemberDefinition<'d>>,
    /// The directive that names it first.
    pub(crate) by: &'d Directive,
}

/// A member.
#[derive(Debug, Clone)]
pub(crate) struct MemberDefinition<'d> {
    pub(crate) url: String,
    pub(crate) parameters: Parameters<'d>,
    pub(crate) by: &'d Directive,
}

/// The balancers of one server, and parameters of members that are no balancer's.
#[derive(Debug, Clone, Default)]
pub(crate) struct Definitions<'d> {
    pub(crate) all: Vec<Definition<'d>>,
    /// `ProxySet http://member …`.
    pub(crate) lone: Vec<(String, Parameters<'d>)>,
}

impl<'d> Definitions<'d> {
    /// The balancer of this URL, which is there from now on.
    pub(crate) fn define(&mut self, url: &str, by: &'d Directive) -> Option<&mut Definition<'d>> {
        let name = pass::balancer(url)?;
        let at = match self.all.iter().position(|it| it.name == name) {
            Some(at) => at,
            None => {
                self.all.push(Definition {
                    name,
                    parameters: Parameters::default(),
                    members: Vec::new(),
                    by,
                });
                self.all.len() - 1
            }
        };
        self.all.get_mut(at)
    }

    /// Reads `BalancerMember` or `ProxySet`; `around`: the URL of the `<Proxy>` that it stands in.
    pub(crate) fn read(
        &mut self,
        directive: &'d Directive,
        around: Option<&str>,
        report: &mut Report,
    ) {
        let (parameters, others) = Parameters::of(&directive.words, directive);
        let urls: Vec<&str> = others.iter().map(|it| &**it).collect();
        let is_member = directive.key == "balancermember";
        let (whose, url) = match (&urls[..], around) {
            ([whose, url], _) if is_member => (*whose, Some(*url)),
            ([url], Some(around)) if is_member => (around, Some(*url)),
            ([whose], _) if !is_member => (*whose, None),
            ([], Some(whose)) if !is_member => (whose, None),
            _ => {
                let text = "has not as many words as it needs";
                return report.left_out(directive, text);
            }
        };
        report.carried(directive);
        let balancer = self.define(whose, directive);
        match (balancer, url) {
            (Some(balancer), Some(url)) => balancer.add(url, parameters, directive),
            (Some(balancer), None) => balancer.parameters.extend(parameters),
            (None, None) => self.lone.push((whose.to_owned(), parameters)),
            (None, Some(_)) => report.left_out(directive, "belongs to no balancer"),
        }
    }

    /// What `ProxySet` says of a member that is no balancer's.
    pub(crate) fn of_lone(&self, url: &str) -> Parameters<'d> {
        let origin = |url: &str| pass::split(url).0.to_ascii_lowercase();
        let mut parameters = Parameters::default();
        for (whose, more) in &self.lone {
            if origin(whose) == origin(url) {
                parameters.extend(more.clone());
            }
        }
        parameters
    }
}

impl<'d> Definition<'d> {
    /// Adds a member, or says more of one.
    pub(crate) fn add(&mut self, url: &str, parameters: Parameters<'d>, by: &'d Directive) {
        let same = |it: &&mut MemberDefinition<'d>| {
            it.url.trim_end_matches('/') == url.trim_end_matches('/')
        };
        match self.members.iter_mut().find(same) {
            Some(member) => member.parameters.extend(parameters),
            None => self.members.push(MemberDefinition {
                url: url.to_owned(),
                parameters,
                by,
            }),
        }
    }
}
