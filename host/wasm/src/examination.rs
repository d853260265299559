//! A plugin looked at before it serves anywhere: what `equipoise plugin check` tells its author.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use equipoise_sdk::PolicyConfig;

use super::compiler::Compiler;
use super::engine::Sandbox;
use super::rehearsal::{rehearse, sample_config};
use super::shelf::Shelf;
use super::version::Version;
use equipoise_balancer::Role;
use equipoise_config::{self as config, Plugin};

/// What was found of a component that may serve.
pub struct Examination {
    /// The component, checked.
    pub version: Arc<Version>,
    /// How long it took to read, compile and check.
    pub compile_time: Duration,
    /// The interfaces it imports.
    pub imports: Vec<String>,
    /// Each role it can take, with the bytes of memory that an instance had after a rehearsal in it.
    pub rehearsals: Vec<(Role, usize)>,
}

impl Examination {
    /// Loads a plugin's file, and rehearses with sample members in every role it can take.
    ///
    /// # Errors
    /// Why it could not serve.
    pub fn of_file(plugin: &Plugin) -> Result<Self> {
        Self::compiled_by(Compiler::new(&config::Compiler::default()), plugin)
    }

    /// As [`of_file`](Self::of_file), compiled in this process: tools that count instructions do not let the program start
    /// itself.
    ///
    /// # Errors
    /// Why it could not serve.
    pub fn of_file_here(plugin: &Plugin) -> Result<Self> {
        Self::compiled_by(Compiler::Here, plugin)
    }

    fn compiled_by(compiler: Compiler, plugin: &Plugin) -> Result<Self> {
        // Without a cache: how long it takes is one of the answers.
        let sandbox = Sandbox::new(compiler, None)?;
        let start = Instant::now();
        let version = Shelf::new(plugin).load_file(&sandbox)?.version;
        let compile_time = start.elapsed();
        let setup = Arc::new(PolicyConfig {
            settings: plugin.settings.clone(),
            ..sample_config(3)
        });
        let rehearsals = version.roles().into_iter().map(|role| {
            let memory = rehearse(&version, role, &setup)?;
            Ok((role, memory))
        });
        Ok(Self {
            rehearsals: rehearsals.collect::<Result<_>>()?,
            imports: version.imports(),
            compile_time,
            version,
        })
    }
}
