//! Changes by the API: each request but GET becomes a command to control.

use std::fmt;
use std::sync::Arc;

use http::request::Parts;
use http::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::task::spawn_blocking;

use super::added::Added;
use super::api::{Api, Caller, Outcome, no_balancer, no_member, no_plugin, place_of};
use super::body::{self, AdminBody, BodyLimits};
use super::endpoint::Endpoint;
use super::json;
use super::response::{self, AdminResponse, made, not_allowed, nothing, problem, refused};
use super::terms::terms;
use crate::control::{Command, LeftOut, NewMember, Refusal, Resource, Terms};
use equipoise_config::source::{Edit, Settings};
use equipoise_file_watch::Content;
use equipoise_proxy::snapshot::Snapshot;

/// How many members may be added at once.
const MAX_MEMBERS: usize = 1_000;

/// The changes of one request.
pub(super) struct Mutations<'request> {
    pub(super) api: &'request Api,
    pub(super) caller: &'request Caller<'request>,
}

/// A new balancer.
#[derive(Deserialize)]
struct NewBalancer {
    name: String,
    #[serde(flatten)]
    settings: Settings,
}

/// A new member, as it is written.
#[derive(Deserialize)]
struct Member {
    url: String,
    #[serde(flatten)]
    settings: Settings,
}

/// Which version to put back.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rollback {
    version: Option<String>,
}

impl Mutations<'_> {
    /// Changes what is at an endpoint, and shows what it is then.
    pub(super) async fn change(
        &self,
        endpoint: Endpoint<'_>,
        parts: &Parts,
        body: AdminBody,
    ) -> Outcome {
        let about = |resource| terms(parts, Some(resource));
        match endpoint {
            Endpoint::Reload => {
                self.execute(Command::Reload, Terms::default()).await?;
                self.api.show(&Endpoint::Configuration)
            }
            Endpoint::Changes => {
                let terms = about(Resource::Configuration);
                let command = Command::Revert(key_asked_for(parts));
                self.execute(command, terms).await?;
                self.api.show(&Endpoint::Configuration)
            }
            Endpoint::Balancers => {
                let new = read(body).await?;
                self.add_balancer(new, terms(parts, None)).await
            }
            Endpoint::Balancer(name) => {
                let terms = about(Resource::Balancer(name.to_string()));
                if parts.method == Method::DELETE {
                    return self.remove_balancer(&name, terms).await;
                }
                let patch = patch(
                    read(body).await?,
                    "member",
                    "members have paths of their own",
                )?;
                self.balancer(&name)?;
                let edit = Edit::Balancer {
                    name: name.to_string(),
                    patch,
                };
                self.execute(Command::Edit(edit), terms).await?;
                self.api.show(&Endpoint::Balancer(name))
            }
            Endpoint::Members(name) => {
                let bytes = body::whole(body, &BodyLimits::CHANGE).await?;
                self.balancer(&name)?;
                let (members, are_listed) = json::one_or_more(&bytes, MAX_MEMBERS)?;
                let terms = terms(parts, None);
                match are_listed {
                    true => self.add_members(&name, members, terms).await,
                    false => self.add_member(&name, members, terms).await,
                }
            }
            Endpoint::Member(name, id) => {
                let terms = about(Resource::Member(name.to_string(), id));
                if parts.method == Method::DELETE {
                    let (balancer, url) = self.member(&name, id)?;
                    let edit = Edit::RemoveMember { balancer, url };
                    self.execute(Command::Edit(edit), terms).await?;
                    return Ok(nothing());
                }
                let patch = patch(
                    read(body).await?,
                    "url",
                    "a member at another URL is another one: add that and remove this",
                )?;
                let (balancer, url) = self.member(&name, id)?;
                let edit = Edit::Member {
                    balancer,
                    url,
                    patch,
                };
                self.execute(Command::Edit(edit), terms).await?;
                self.api.show(&Endpoint::Member(name, id))
            }
            Endpoint::Plugin(name) => {
                let terms = about(Resource::Plugin(name.to_string()));
                place_of(&self.api.current.load(), &name).ok_or_else(|| no_plugin(&name))?;
                let Ok(_place) = self.api.uploads.try_acquire() else {
                    return Err(Box::new(refused(&Refusal::Busy)));
                };
                let bytes = body::whole(body, &BodyLimits::UPLOAD).await?;
                let plugin = name.to_string();
                // Hashing takes long for a large one.
                let content = spawn_blocking(|| Arc::new(Content::of(bytes))).await;
                let content = content.map_err(|_| Box::new(refused(&Refusal::Busy)))?;
                let command = Command::Upload { plugin, content };
                self.execute(command, terms).await?;
                self.api.show(&Endpoint::Plugin(name))
            }
            Endpoint::Rollback(name) => {
                let terms = about(Resource::Plugin(name.to_string()));
                let Rollback { version } = read_or_default(body).await?;
                let plugin = name.to_string();
                let command = Command::RollBack { plugin, version };
                self.execute(command, terms).await?;
                self.api.show(&Endpoint::Plugin(name))
            }
            Endpoint::Configuration | Endpoint::Plugins | Endpoint::Explain => {
                Ok(not_allowed(endpoint.allowed()))
            }
        }
    }

    async fn add_balancer(&self, new: NewBalancer, terms: Terms) -> Outcome {
        let NewBalancer { name, settings } = new;
        if self.api.current.load().cluster(&name).is_some() {
            let detail = format!("there is a balancer {name} already");
            return Err(Box::new(problem(StatusCode::CONFLICT, detail)));
        }
        let command = Command::AddBalancer {
            name: name.clone(),
            settings,
        };
        let left_out = self.execute(command, terms).await?;
        let path = format!("/api/v1/balancers/{}", encoded(&name));
        let response = match left_out.is_empty() {
            true => self.api.show(&Endpoint::Balancer(name.into()))?,
            false => {
                let snapshot = self.balancer(&name)?;
                let added = Added::balancer(&snapshot, &name, &left_out);
                response::json(StatusCode::CREATED, &added)
            }
        };
        Ok(made(response, &path))
    }

    async fn remove_balancer(&self, name: &str, terms: Terms) -> Outcome {
        self.balancer(name)?;
        let edit = Edit::RemoveBalancer {
            name: name.to_owned(),
        };
        match self.carried_out(Command::Edit(edit), terms).await {
            Ok(_) => Ok(nothing()),
            // There is nothing in the request that could be wrong: what stands against it is the rest.
            Err(Refusal::Mistaken(mistakes)) => {
                Err(Box::new(refused(&Refusal::Conflict(mistakes.to_string()))))
            }
            Err(refusal) => Err(Box::new(refused(&refusal))),
        }
    }

    /// Adds the one member of a list, and shows it.
    async fn add_member(&self, name: &str, members: Vec<Member>, terms: Terms) -> Outcome {
        let url = members
            .first()
            .map_or_else(String::new, |it| it.url.clone());
        // There is nothing that could be added without it.
        let terms = Terms {
            is_partial: false,
            ..terms
        };
        self.execute(adding(name, members), terms).await?;
        let snapshot = self.api.current.load();
        let id = snapshot.cluster(name).and_then(|(_, cluster)| {
            let mut members = cluster.balancer.members().iter();
            Some(members.find(|member| member.settings.name == url)?.id)
        });
        let Some(id) = id else {
            // Somebody has removed it again.
            return Ok(nothing());
        };
        let path = format!("/api/v1/balancers/{}/members/{id}", encoded(name));
        let response = self.api.show(&Endpoint::Member(name.into(), id))?;
        Ok(made(response, &path))
    }

    /// Adds several members, and shows those that were added and those that were left out.
    async fn add_members(&self, name: &str, members: Vec<Member>, terms: Terms) -> Outcome {
        let urls: Vec<_> = members.iter().map(|member| member.url.clone()).collect();
        let left_out = self.execute(adding(name, members), terms).await?;
        let snapshot = self.balancer(name)?;
        let added = Added::members(&snapshot, name, &urls, &left_out);
        Ok(response::json(StatusCode::CREATED, &added))
    }

    /// Has a command carried out. Answers what was left out, where the terms allow that.
    async fn execute(
        &self,
        command: Command,
        terms: Terms,
    ) -> Result<Vec<LeftOut>, Box<AdminResponse>> {
        let outcome = self.carried_out(command, terms).await;
        outcome.map_err(|refusal| Box::new(refused(&refusal)))
    }

    async fn carried_out(&self, command: Command, terms: Terms) -> Result<Vec<LeftOut>, Refusal> {
        let Caller { name, connection } = self.caller;
        // The client has said all that it has to say, and waits for us.
        let _work = connection.map(|connection| connection.work());
        self.api.control.execute(name, command, terms).await
    }

    fn balancer(&self, name: &str) -> Result<Arc<Snapshot>, Box<AdminResponse>> {
        let snapshot = self.api.current.load();
        match snapshot.cluster(name) {
            Some(_) => Ok(snapshot),
            None => Err(no_balancer(name)),
        }
    }

    /// What control knows a member by.
    fn member(&self, name: &str, id: u32) -> Result<(String, String), Box<AdminResponse>> {
        let snapshot = self.balancer(name)?;
        let (_, cluster) = snapshot.cluster(name).ok_or_else(|| no_balancer(name))?;
        let (_, member) = cluster.member(id).ok_or_else(|| no_member(name, &id))?;
        Ok((name.to_owned(), member.settings.name.clone()))
    }
}

/// The command that adds these members.
fn adding(balancer: &str, members: Vec<Member>) -> Command {
    let members = members.into_iter();
    let member = |Member { url, settings }| NewMember { url, settings };
    Command::AddMembers {
        balancer: balancer.to_owned(),
        members: members.map(member).collect(),
    }
}

/// The `key` in the query.
fn key_asked_for(parts: &Parts) -> Option<String> {
    let query = parts.uri.query()?;
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs.find_map(|(name, value)| (name == "key").then(|| value.into_owned()))
}

/// The keys of a patch, which may not hold this one.
fn patch(patch: Settings, forbidden: &str, why: &str) -> Result<Settings, Box<AdminResponse>> {
    match patch.contains_key(forbidden) {
        true => {
            let detail = format!("{forbidden} cannot be changed here: {why}");
            Err(Box::new(problem(StatusCode::UNPROCESSABLE_ENTITY, detail)))
        }
        false => Ok(patch),
    }
}

/// The body as JSON.
async fn read<T: DeserializeOwned>(body: AdminBody) -> Result<T, Box<AdminResponse>> {
    let bytes = body::whole(body, &BodyLimits::CHANGE).await?;
    json::object(&bytes)
}

/// The same of a body that may be missing.
async fn read_or_default<T: DeserializeOwned + Default>(
    body: AdminBody,
) -> Result<T, Box<AdminResponse>> {
    let bytes = body::whole(body, &BodyLimits::CHANGE).await?;
    match bytes.is_empty() {
        true => Ok(T::default()),
        false => json::object(&bytes),
    }
}

fn encoded(name: &str) -> impl fmt::Display {
    percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC)
}
