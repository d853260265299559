//! A loaded configuration and its source, before it is in use.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Error, Result, anyhow};

use super::persistence;
use super::startup::persist;
use super::static_settings::StaticSettings;
use crate::apache::{self, Apache};
use crate::span_exporter;
use equipoise_apache_import::Options;
use equipoise_balancer::PluginVersion;
use equipoise_config::Source;
use equipoise_config::{self as config, Config, Diagnostics, Plugin};
use equipoise_proxy::snapshot::{self, Inputs, OnRefusal, Snapshot, Versions};
use equipoise_text::bounded;
use equipoise_tls::FileContents;
use equipoise_wasm::{Cache, Compiler, PluginVersions, Sandbox};

/// A configuration and where it comes from.
#[derive(Debug, Clone)]
pub struct LoadedConfig {
    pub(crate) config: Arc<Config>,
    pub(crate) source: Arc<Source>,
    /// Whether `source` is a file that is watched.
    pub(super) is_file: bool,
    /// Where `source` is imported from, if it is Apache's.
    pub(super) apache: Option<Apache>,
    /// What the text says of what cannot change.
    pub(super) wanted: StaticSettings,
}

impl LoadedConfig {
    /// What a configuration file says, ours or Apache's.
    ///
    /// # Errors
    /// Every mistake in the file, or what of Apache's cannot be carried over; or options that are for Apache's, and the file is ours.
    pub fn read_any(path: &Path, options: Options) -> Result<Self> {
        match Apache::at(path, options)? {
            Some(apache) => Self::import(apache),
            None => Ok(Self::read(path)?),
        }
    }

    /// What Apache's configuration says. What is not carried over is said in the log.
    fn import(mut apache: Apache) -> Result<Self> {
        let import = apache.import();
        apache::tell(&import.report);
        let text = apache::text(import)?;
        let mut loaded_config = Self::parse(&text, apache.file())?;
        loaded_config.is_file = true;
        loaded_config.apache = Some(apache);
        Ok(loaded_config)
    }

    /// What a configuration file of ours says, with the run-time changes that it keeps.
    ///
    /// # Errors
    /// Every mistake in the file.
    pub fn read(path: &Path) -> Result<Self, Diagnostics> {
        let text = Config::read_text(path)?;
        let mut loaded_config = Self::parse(&text, path)?;
        loaded_config.is_file = true;
        let Some(persist) = persist(&loaded_config.config).cloned() else {
            return Ok(loaded_config);
        };
        // It may be another program's: what is of no use is set aside by the one that writes it.
        let changes = match persistence::read(&persist) {
            Ok(changes) => changes,
            Err(reason) => {
                let persist = persist.display();
                tracing::warn!(
                    "persist: {persist} cannot be used: {reason}; no run-time change is in force"
                );
                return Ok(loaded_config);
            }
        };
        match Source::new(path, &text, &changes) {
            Ok((source, config, lost)) => {
                log_dropped(&lost);
                loaded_config.config = Arc::new(config);
                loaded_config.source = Arc::new(source);
            }
            Err(unusable) => tracing::warn!(
                "persist: the changes in {} do not fit {} any more: {unusable}; no run-time change is in force",
                persist.display(),
                path.display(),
            ),
        }
        Ok(loaded_config)
    }

    /// What a text says that is in no file: mistakes name `path`.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn parse(text: &str, path: &Path) -> Result<Self, Diagnostics> {
        let (source, config) = Source::from_file(path, text)?;
        Ok(Self {
            wanted: StaticSettings::of(&config),
            config: Arc::new(config),
            source: Arc::new(source),
            is_file: false,
            apache: None,
        })
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The same with what cannot be written in a file.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(Arc::make_mut(&mut self.config));
        self
    }
}

/// Looks whether the files that a configuration names could serve where it names them: those for TLS and for bodies, and plugins.
///
/// # Errors
/// Every one that could not, with the reason, one a line.
pub(crate) fn check_files(loaded_config: &LoadedConfig) -> Result<()> {
    let config = &loaded_config.config;
    let mut mistakes =
        snapshot::unusable(config, &FileContents::read(snapshot::files(config)), None);
    mistakes.extend(unusable_plugins(loaded_config)?);
    match mistakes.is_empty() {
        true => Ok(()),
        false => Err(anyhow!(bounded::list(&mistakes, "\n"))),
    }
}

/// The plugins that could not serve, with the reason.
fn unusable_plugins(loaded_config: &LoadedConfig) -> Result<Vec<String>> {
    let config = &loaded_config.config;
    if config.plugins.is_empty() {
        return Ok(Vec::new());
    }
    let sandbox = sandbox(&config.compiler)?;
    let mut versions = Versions::new();
    let mut mistakes = Vec::new();
    for plugin in &config.plugins {
        let loaded = PluginVersions::new(plugin).load_file(&sandbox);
        if let Err(error) = &loaded {
            mistakes.push(cannot_serve(plugin, error));
        }
        versions.push(
            loaded
                .ok()
                .map(|loaded| loaded.version as Arc<dyn PluginVersion>),
        );
    }
    let source = &loaded_config.source;
    let mut inputs = Inputs::of(without_tls(config), source.clone());
    if let Ok(empty) = Snapshot::new(inputs.clone(), span_exporter::start) {
        inputs.versions = versions;
        let unfit = unfit(&empty, &inputs, OnRefusal::Refuse);
        mistakes.extend(unfit.into_iter().map(|unfit| unfit.words));
    }
    Ok(mistakes)
}

/// Where plugins run that are compiled in this way. A cache that cannot be used is told of in the log.
///
/// # Errors
/// There is no engine for this machine.
pub(super) fn sandbox(config: &config::Compiler) -> Result<Arc<Sandbox>> {
    let cache = config.cache.path().and_then(|folder| {
        let cache = Cache::open(&folder);
        let warn = |error: &Error| {
            tracing::warn!("plugin cache: not used, every start compiles all plugins: {error:#}");
        };
        cache.inspect_err(warn).ok()
    });
    Sandbox::new(Compiler::new(config), cache)
}

/// A plugin that cannot serve where a configuration names it.
pub(super) struct Unfit {
    pub(super) plugin: String,
    /// Which, where and why.
    pub(super) words: String,
}

/// The plugins whose versions cannot serve where the configuration names them, as what comes after `before`.
pub(super) fn unfit(before: &Snapshot, inputs: &Inputs, on_refusal: OnRefusal<'_>) -> Vec<Unfit> {
    let nothing = Inputs {
        config: without_tls(&inputs.config),
        versions: vec![None; inputs.versions.len()],
        ..inputs.clone()
    };
    let plugins = inputs.config.plugins.iter().zip(&inputs.versions);
    let unfit = plugins
        .enumerate()
        .filter_map(|(place, (plugin, version))| {
            let mut alone = nothing.clone();
            alone.versions[place] = Some(version.clone()?);
            let draft = before.prepare(alone, on_refusal);
            Some(Unfit {
                plugin: plugin.name.clone(),
                words: cannot_serve(plugin, &draft.err()?),
            })
        });
    unfit.collect()
}

/// The same but for members' TLS, whose files are not the plugins' fault.
fn without_tls(config: &Arc<Config>) -> Arc<Config> {
    let mut config = Config::clone(config);
    let members = config.balancers.iter_mut().flat_map(|it| &mut it.members);
    members.for_each(|member| member.tls = None);
    Arc::new(config)
}

/// Says that a plugin cannot serve.
pub(super) fn cannot_serve(plugin: &Plugin, error: &Error) -> String {
    let (name, file) = (&plugin.name, plugin.file.display());
    let reason = bounded::error(error);
    format!("plugin.{name}: {file} cannot serve: {reason}")
}

/// Logs runtime changes that are dropped, since what they change is gone.
pub(super) fn log_dropped(lost: &[String]) {
    for what in bounded::list(lost, "\n").lines() {
        tracing::warn!("dropped runtime change to {what}: not in the configuration file any more");
    }
}
