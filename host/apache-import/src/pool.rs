//! The balancers of all servers, by names of ours.

use std::collections::HashSet;

use super::balancer::Definition;
use super::directive::Directive;
use super::parameters::Parameters;
use super::pass;
use super::server::Server;
use super::sticky::StickyCookie;

/// The balancers of a configuration.
#[derive(Debug, Default)]
pub(crate) struct Pool<'d> {
    pub(crate) all: Vec<Pooled<'d>>,
    names: HashSet<String>,
}

/// A balancer.
#[derive(Debug)]
pub(crate) struct Pooled<'d> {
    /// Ours.
    pub(crate) name: String,
    /// The server that defines it.
    pub(crate) server: usize,
    pub(crate) definition: Definition<'d>,
    /// What tells members that are no balancer's apart.
    lone: Option<String>,
    pub(crate) websockets: Option<&'d Directive>,
    pub(crate) sticky: Option<(StickyCookie, &'d Directive)>,
    /// The server that first sends requests there.
    pub(crate) user: Option<usize>,
}

impl<'d> Pool<'d> {
    /// Those that the servers define.
    pub(crate) fn of(servers: &[Server<'d>]) -> Self {
        let mut pool = Self::default();
        for (server, it) in servers.iter().enumerate() {
            for definition in &it.balancers.all {
                let wished = match (it.name, server) {
                    (_, 0) | (None, _) => definition.name.clone(),
                    (Some(_), _) if !pool.names.contains(&definition.name) => {
                        definition.name.clone()
                    }
                    (Some(host), _) => format!("{}-{host}", definition.name),
                };
                pool.add(&wished, server, definition.clone(), None);
            }
        }
        pool
    }

    fn add(
        &mut self,
        wished: &str,
        server: usize,
        definition: Definition<'d>,
        lone: Option<String>,
    ) -> usize {
        let plain = wished.chars().map(|it| match it {
            it if it.is_ascii_alphanumeric() || "-_.".contains(it) => it,
            _ => '-',
        });
        let mut plain: String = plain.take(200).collect();
        if plain.is_empty() {
            plain = "balancer".to_owned();
        }
        let mut name = plain.clone();
        let mut number = 2;
        while !self.names.insert(name.clone()) {
            name = format!("{plain}-{number}");
            number += 1;
        }
        self.all.push(Pooled {
            name,
            server,
            definition,
            lone,
            websockets: None,
            sticky: None,
            user: None,
        });
        self.all.len() - 1
    }

    /// The balancer that this URL means to a server: one of the main server's, if those are inherited, before its own; or one
    /// member by itself. What is said behind the URL holds for it.
    pub(crate) fn resolve(
        &mut self,
        servers: &[Server<'d>],
        server: usize,
        url: &str,
        parameters: &Parameters<'d>,
        by: &'d Directive,
    ) -> usize {
        let (origin, _) = pass::split(url);
        let place = match pass::balancer(origin) {
            Some(name) => self.named(servers, server, &name, by),
            None => self.lone(servers, server, origin, parameters, by),
        };
        let pooled = &mut self.all[place];
        if pooled.lone.is_none() {
            pooled.definition.parameters.extend(parameters.clone());
        }
        pooled.user.get_or_insert(server);
        place
    }

    fn named(
        &mut self,
        servers: &[Server<'d>],
        server: usize,
        name: &str,
        by: &'d Directive,
    ) -> usize {
        let off = |key: &str| {
            let said = servers[server]
                .single(key)
                .or_else(|| servers[0].single(key));
            said.is_some_and(|it| it.switch() == Some(false))
        };
        let inherits = !off("balancerinherit") && !off("proxypassinherit");
        let whose = if inherits {
            vec![0, server]
        } else {
            vec![server]
        };
        let find = |pool: &Self, whose: usize| {
            let is_it = |it: &Pooled<'_>| {
                it.server == whose && it.lone.is_none() && it.definition.name == name
            };
            pool.all.iter().position(is_it)
        };
        if let Some(place) = whose.into_iter().find_map(|whose| find(self, whose)) {
            return place;
        }
        let definition = Definition {
            name: name.to_owned(),
            parameters: Parameters::default(),
            members: Vec::new(),
            by,
        };
        self.add(name, server, definition, None)
    }

    fn lone(
        &mut self,
        servers: &[Server<'d>],
        server: usize,
        origin: &str,
        parameters: &Parameters<'d>,
        by: &'d Directive,
    ) -> usize {
        let said = parameters
            .iter()
            .map(|it| format!(" {}={}", it.key, it.value));
        let key = format!("{origin}{}", said.collect::<String>());
        let is_it = |it: &Pooled<'_>| it.server == server && it.lone.as_ref() == Some(&key);
        if let Some(place) = self.all.iter().position(is_it) {
            return place;
        }
        let mut definition = Definition {
            name: origin.to_owned(),
            parameters: Parameters::default(),
            members: Vec::new(),
            by,
        };
        let mut own = servers[0].balancers.of_lone(origin);
        own.extend(servers[server].balancers.of_lone(origin));
        own.extend(parameters.clone());
        definition.add(origin, own, by);
        let host = origin.rsplit("://").next().unwrap_or_default();
        let name = host.replace([':', '[', '.'], "-").replace(']', "");
        self.add(&name, server, definition, Some(key))
    }
}
