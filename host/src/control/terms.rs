//! The terms under which a command is carried out, and what comes of it.

use super::command::Refusal;
use super::resource::Resource;

/// What is to hold for a command, or need not.
#[derive(Debug, Clone, Default)]
pub(crate) struct Terms {
    /// It is carried out only if this is as the operator has seen it.
    pub(crate) expected: Option<(Resource, String)>,
    /// Of several members, those that cannot be had are left out.
    pub(crate) is_partial: bool,
    /// Plugins that are set aside where they refuse what is asked for.
    pub(crate) set_aside: Vec<String>,
}

/// A member that was left out.
#[derive(Debug)]
pub(crate) struct LeftOut {
    /// Which of those asked for, from 0.
    pub(crate) place: usize,
    pub(crate) url: String,
    pub(crate) reason: Refusal,
}
