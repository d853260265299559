//! Inspects a plugin's file: `equipoise plugin check`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use equipoise_sdk::PolicyConfig;

use super::compiler::Compiler;
use super::engine::Sandbox;
use super::plugin_versions::PluginVersions;
use super::smoke_test::{sample_config, smoke_test};
use super::version::Version;
use equipoise_balancer::Role;
use equipoise_config::{self as config, Plugin};

/// The result for a component that can serve.
pub struct Inspection {
    /// The component, checked.
    pub version: Arc<Version>,
    /// How long it took to read, compile and check.
    pub compile_time: Duration,
    /// The interfaces it imports.
    pub imports: Vec<String>,
    /// Each role it can take, with the bytes of memory that an instance had after a smoke test in it.
    pub smoke_tests: Vec<(Role, usize)>,
}

impl Inspection {
    /// Loads a plugin's file, and calls it with sample members in every role.
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
        // Without a cache: the compile time is part of the result.
        let sandbox = Sandbox::new(compiler, None)?;
        let start = Instant::now();
        let version = PluginVersions::new(plugin).load_file(&sandbox)?.version;
        let compile_time = start.elapsed();
        let config = Arc::new(PolicyConfig {
            settings: plugin.settings.clone(),
            ..sample_config(3)
        });
        let smoke_tests = version.roles().into_iter().map(|role| {
            let memory = smoke_test(&version, role, &config)?;
            Ok((role, memory))
        });
        Ok(Self {
            smoke_tests: smoke_tests.collect::<Result<_>>()?,
            imports: version.imports(),
            compile_time,
            version,
        })
    }
}
