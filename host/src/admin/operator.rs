//! What an operator changes by the API: each request that is no GET becomes a command to control.

use std::fmt;
use std::sync::Arc;

use http::header::IF_MATCH;
use http::request::Parts;
use http::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, de};
use serde_json::Value;
use tokio::task::spawn_blocking;

use super::answer::{Answer, made, not_allowed, nothing, problem, refused};
use super::api::{Api, Outcome, no_balancer, no_member, no_plugin, place_of};
use super::body::{self, Bounds};
use super::endpoint::Endpoint;
use crate::control::{Command, Edit, Refusal, Resource, Settings};
use crate::server::ClientBody;
use crate::snapshot::Snapshot;
use crate::watcher::Content;

/// How deep tables and lists may stand in each other.
const DEEPEST: usize = 8;

/// Somebody who changes what runs.
pub(super) struct Operator<'request> {
    pub(super) api: &'request Api,
    /// What the log calls them.
    pub(super) by: &'request str,
}

/// A new balancer.
#[derive(Deserialize)]
struct NewBalancer {
    name: String,
    #[serde(flatten)]
    settings: Settings,
}

/// A new member.
#[derive(Deserialize)]
struct NewMember {
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

impl Operator<'_> {
    /// Changes what is at an endpoint, and shows what it is then.
    pub(super) async fn change(
        &self,
        endpoint: Endpoint<'_>,
        parts: &Parts,
        body: ClientBody,
    ) -> Outcome {
        let expected = |resource| expected(parts, resource);
        match endpoint {
            Endpoint::Reload => {
                self.order(Command::Reload, None).await?;
                self.api.show(&Endpoint::Configuration)
            }
            Endpoint::Changes => {
                let expected = expected(Resource::Configuration);
                let command = Command::TakeBack(key_asked_for(parts));
                self.order(command, expected).await?;
                self.api.show(&Endpoint::Configuration)
            }
            Endpoint::Balancers => self.add_balancer(read(body).await?).await,
            Endpoint::Balancer(name) => {
                let expected = expected(Resource::Balancer(name.to_string()));
                if parts.method == Method::DELETE {
                    return self.remove_balancer(&name, expected).await;
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
                self.order(Command::Edit(edit), expected).await?;
                self.api.show(&Endpoint::Balancer(name))
            }
            Endpoint::Members(name) => self.add_member(&name, read(body).await?).await,
            Endpoint::Member(name, id) => {
                let expected = expected(Resource::Member(name.to_string(), id));
                if parts.method == Method::DELETE {
                    let (balancer, url) = self.member(&name, id)?;
                    let edit = Edit::RemoveMember { balancer, url };
                    self.order(Command::Edit(edit), expected).await?;
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
                self.order(Command::Edit(edit), expected).await?;
                self.api.show(&Endpoint::Member(name, id))
            }
            Endpoint::Plugin(name) => {
                let expected = expected(Resource::Plugin(name.to_string()));
                place_of(&self.api.live.load(), &name).ok_or_else(|| no_plugin(&name))?;
                let Ok(_place) = self.api.uploads.try_acquire() else {
                    return Err(Box::new(refused(&Refusal::Busy)));
                };
                let bytes = body::whole(body, &Bounds::UPLOAD).await?;
                let plugin = name.to_string();
                // Hashing takes long for a large one.
                let content = spawn_blocking(|| Arc::new(Content::of(bytes))).await;
                let content = content.map_err(|_| Box::new(refused(&Refusal::Busy)))?;
                let command = Command::Upload { plugin, content };
                self.order(command, expected).await?;
                self.api.show(&Endpoint::Plugin(name))
            }
            Endpoint::Rollback(name) => {
                let expected = expected(Resource::Plugin(name.to_string()));
                let Rollback { version } = read_or_default(body).await?;
                let plugin = name.to_string();
                let command = Command::RollBack { plugin, version };
                self.order(command, expected).await?;
                self.api.show(&Endpoint::Plugin(name))
            }
            Endpoint::Configuration | Endpoint::Plugins | Endpoint::Explain => {
                Ok(not_allowed(endpoint.allowed()))
            }
        }
    }

    async fn add_balancer(&self, new: NewBalancer) -> Outcome {
        let NewBalancer { name, settings } = new;
        if self.api.live.load().cluster(&name).is_some() {
            let detail = format!("there is a balancer {name} already");
            return Err(Box::new(problem(StatusCode::CONFLICT, detail)));
        }
        let edit = Edit::AddBalancer {
            name: name.clone(),
            settings,
        };
        self.order(Command::Edit(edit), None).await?;
        let path = format!("/api/v1/balancers/{}", encoded(&name));
        Ok(made(
            self.api.show(&Endpoint::Balancer(name.into()))?,
            &path,
        ))
    }

    async fn remove_balancer(&self, name: &str, expected: Option<(Resource, String)>) -> Outcome {
        self.balancer(name)?;
        let edit = Edit::RemoveBalancer {
            name: name.to_owned(),
        };
        let outcome = self
            .api
            .control
            .order(self.by, Command::Edit(edit), expected)
            .await;
        match outcome {
            Ok(()) => Ok(nothing()),
            // There is nothing in the request that could be wrong: what stands against it is the rest.
            Err(Refusal::Mistaken(mistakes)) => {
                Err(Box::new(refused(&Refusal::Conflict(mistakes.to_string()))))
            }
            Err(refusal) => Err(Box::new(refused(&refusal))),
        }
    }

    async fn add_member(&self, name: &str, new: NewMember) -> Outcome {
        self.balancer(name)?;
        let NewMember { url, settings } = new;
        let snapshot = self.api.live.load();
        let known = snapshot.cluster(name).is_some_and(|(_, cluster)| {
            let mut members = cluster.balancer.members().iter();
            members.any(|member| member.settings.name == url)
        });
        if known {
            let detail = format!("{url} is a member of {name} already");
            return Err(Box::new(problem(StatusCode::CONFLICT, detail)));
        }
        let edit = Edit::AddMember {
            balancer: name.to_owned(),
            url: url.clone(),
            settings,
        };
        self.order(Command::Edit(edit), None).await?;
        let snapshot = self.api.live.load();
        let id = snapshot.cluster(name).and_then(|(_, cluster)| {
            let mut members = cluster.balancer.members().iter();
            Some(members.find(|member| member.settings.name == url)?.id)
        });
        let Some(id) = id else {
            // Somebody has removed it again.
            return Ok(nothing());
        };
        let path = format!("/api/v1/balancers/{}/members/{id}", encoded(name));
        let answer = self.api.show(&Endpoint::Member(name.into(), id))?;
        Ok(made(answer, &path))
    }

    /// Has a command carried out.
    async fn order(
        &self,
        command: Command,
        expected: Option<(Resource, String)>,
    ) -> Result<(), Box<Answer>> {
        let outcome = self.api.control.order(self.by, command, expected).await;
        outcome.map_err(|refusal| Box::new(refused(&refusal)))
    }

    fn balancer(&self, name: &str) -> Result<Arc<Snapshot>, Box<Answer>> {
        let snapshot = self.api.live.load();
        match snapshot.cluster(name) {
            Some(_) => Ok(snapshot),
            None => Err(no_balancer(name)),
        }
    }

    /// What control knows a member by.
    fn member(&self, name: &str, id: u32) -> Result<(String, String), Box<Answer>> {
        let snapshot = self.balancer(name)?;
        let (_, cluster) = snapshot.cluster(name).ok_or_else(|| no_balancer(name))?;
        let (_, member) = cluster.member(id).ok_or_else(|| no_member(name, &id))?;
        Ok((name.to_owned(), member.settings.name.clone()))
    }
}

/// What the operator has seen, where the request says so.
fn expected(parts: &Parts, resource: Resource) -> Option<(Resource, String)> {
    let seen = parts.headers.get(IF_MATCH)?.to_str().unwrap_or_default();
    if seen.trim() == "*" {
        return None;
    }
    let tag = seen.trim().trim_matches('"');
    Some((resource, tag.to_owned()))
}

/// The `key` in the query.
fn key_asked_for(parts: &Parts) -> Option<String> {
    let query = parts.uri.query()?;
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs.find_map(|(name, value)| (name == "key").then(|| value.into_owned()))
}

/// The keys of a patch, which may not hold this one.
fn patch(patch: Settings, forbidden: &str, why: &str) -> Result<Settings, Box<Answer>> {
    match patch.contains_key(forbidden) {
        true => {
            let detail = format!("{forbidden} cannot be changed here: {why}");
            Err(Box::new(problem(StatusCode::UNPROCESSABLE_ENTITY, detail)))
        }
        false => Ok(patch),
    }
}

/// Whether a value holds others in others, more than so many deep.
fn is_deeper(value: &Value, most: usize) -> bool {
    let is_deeper = |inner: &Value| most == 0 || is_deeper(inner, most - 1);
    match value {
        Value::Object(entries) => entries.values().any(is_deeper),
        Value::Array(elements) => elements.iter().any(is_deeper),
        _ => false,
    }
}

/// The body as JSON.
async fn read<T: DeserializeOwned>(body: ClientBody) -> Result<T, Box<Answer>> {
    let bytes = body::whole(body, &Bounds::CHANGE).await?;
    parse(&bytes)
}

/// The same of a body that may be missing.
async fn read_or_default<T: DeserializeOwned + Default>(
    body: ClientBody,
) -> Result<T, Box<Answer>> {
    let bytes = body::whole(body, &Bounds::CHANGE).await?;
    match bytes.is_empty() {
        true => Ok(T::default()),
        false => parse(&bytes),
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Box<Answer>> {
    // An object is what all of them are; said so before serde tells it in its own words.
    let value: Result<Value, _> = serde_json::from_slice(bytes);
    let object = value.and_then(|value| match value {
        Value::Object(_) if is_deeper(&value, DEEPEST) => Err(de::Error::custom(
            "the body has tables in tables in tables beyond what any configuration has",
        )),
        Value::Object(_) => serde_json::from_value(value),
        _ => Err(de::Error::custom("the body must be a JSON object")),
    });
    object.map_err(|error| Box::new(problem(StatusCode::BAD_REQUEST, error.to_string())))
}

fn encoded(name: &str) -> impl fmt::Display {
    percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC)
}
