//! Commands for control, and why they may be refused.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use super::members::NewMember;
use super::terms::{LeftOut, Terms};
use equipoise_config::Diagnostics;
use equipoise_config::source::SourceError;
use equipoise_config::source::{Edit, Settings};
use equipoise_file_watch::Content;
use equipoise_text::sanitize;

/// The most characters of a name in a log line.
const MAX_NAME: usize = 300;

/// A command.
#[derive(Debug)]
pub(crate) enum Command {
    /// Read the configuration file again.
    Reload,
    /// Change the configuration.
    Edit(Edit),
    /// Add a balancer: its settings, with a list of members under `member`.
    AddBalancer { name: String, settings: Settings },
    /// Add members to a balancer.
    AddMembers {
        balancer: String,
        members: Vec<NewMember>,
    },
    /// Take a change back: the one that differences call so, or all.
    Revert(Option<String>),
    /// Put this content into a plugin's file, and into service.
    Upload {
        plugin: String,
        content: Arc<Content>,
    },
    /// Put back a version of a plugin that served before: the one with this beginning of its hash, or the last.
    RollBack {
        plugin: String,
        version: Option<String>,
    },
}

impl Refusal {
    /// The same, for those who may think that a part was done.
    pub(super) fn with_nothing_changed(self) -> Self {
        match self {
            Self::Conflict(reason) => Self::Conflict(format!("{reason}; nothing has changed")),
            Self::Failed(reason) => Self::Failed(format!("{reason}; nothing has changed")),
            other => other,
        }
    }
}

impl Command {
    /// Whether what it changes is kept in the state file.
    pub(super) fn is_kept(&self) -> bool {
        match self {
            Self::Reload | Self::Upload { .. } | Self::RollBack { .. } => false,
            Self::Edit(_)
            | Self::AddBalancer { .. }
            | Self::AddMembers { .. }
            | Self::Revert(_) => true,
        }
    }
}

impl From<SourceError> for Refusal {
    fn from(unusable: SourceError) -> Self {
        match unusable {
            SourceError::File(mistakes) | SourceError::Changed(mistakes) => {
                Self::Mistaken(mistakes)
            }
            SourceError::Unchangeable(reason) => Self::Unfit(reason),
        }
    }
}

impl fmt::Display for Command {
    /// What has happened when it is carried out, for the log; nothing where that says so itself.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reload => Ok(()),
            Self::Edit(edit) => write!(f, "{edit}"),
            Self::AddBalancer { name, .. } => {
                write!(f, "balancer {} is added", sanitize::text(name, MAX_NAME))
            }
            Self::AddMembers { balancer, members } => {
                let balancer = sanitize::text(balancer, MAX_NAME);
                match &members[..] {
                    [member] => {
                        let url = sanitize::text(&member.url, MAX_NAME);
                        write!(f, "balancer {balancer}: member {url} is added")
                    }
                    members => {
                        write!(
                            f,
                            "balancer {balancer}: {} members are added",
                            members.len()
                        )
                    }
                }
            }
            Self::Revert(Some(key)) => {
                write!(
                    f,
                    "{} is as in the file again",
                    sanitize::text(key, MAX_NAME)
                )
            }
            Self::Revert(None) => f.write_str("everything is as in the file again"),
            Self::Upload { plugin, content } => {
                let bytes = content.bytes.len();
                write!(f, "plugin {plugin}: {bytes} bytes were uploaded")
            }
            Self::RollBack { plugin, .. } => {
                write!(f, "plugin {plugin}: a version of before was put back")
            }
        }
    }
}

/// A command, on its way to control.
pub(super) struct PendingCommand {
    pub(super) command: Command,
    /// The operator's name in the log; empty where there is none.
    pub(super) by: String,
    pub(super) terms: Terms,
    /// How often it had to wait for plugins to be compiled.
    pub(super) tries: u8,
    /// Called with what became of it: what was left out, where that may be, or why it was not carried out. Must not wait.
    pub(super) reply: Box<dyn FnOnce(Result<Vec<LeftOut>, Refusal>) + Send>,
}

/// Why a command was not carried out. Nothing has changed then.
#[derive(Debug, Error)]
pub(crate) enum Refusal {
    /// The configuration that it asks for has mistakes.
    #[error("{0}")]
    Mistaken(Diagnostics),
    /// The configuration file was refused.
    #[error("{0}")]
    Refused(Arc<Self>),
    /// What it asks for cannot serve: why.
    #[error("{0}")]
    Unfit(String),
    /// What it is about does not exist: what.
    #[error("{0}")]
    Unknown(String),
    /// Something stands against it: what.
    #[error("{0}")]
    Conflict(String),
    /// What it is about is no longer as the operator has seen it.
    #[error("it has been changed meanwhile: read it again")]
    Stale,
    /// It could not be done: a file cannot be written, an address not be bound.
    #[error("{0}")]
    Failed(String),
    /// Too many commands wait, or control is gone.
    #[error("too many changes are under way: try again")]
    Busy,
}
