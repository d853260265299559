//! The data of a store: an instance's limits, logger and WASI, and the imports of the contract.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use equipoise_sdk::{Candidates, LogLevel, Request};
use wasmtime::Result;
use wasmtime::component::{Linker, WasmStr};

use super::call_context::{self, milliseconds, with_context};
use super::fault::HostCallError;
use super::limits::{CpuDeadline, MemoryLimiter};
use super::plugin_log::PluginLogger;
use super::since_v0_1_0::equipoise::balancer::{candidates, env, request, types};
use super::wasi::{HasWasi, Services, Wasi};
use equipoise_config::Plugin;

/// The data of a store.
pub(super) struct HostState {
    pub(super) memory: MemoryLimiter,
    pub(super) cpu: CpuDeadline,
    pub(super) logger: Arc<PluginLogger>,
    /// Which of the request's header fields are hidden from it.
    plugin: Arc<Plugin>,
    wasi: Wasi,
}

impl HostState {
    pub(super) fn new(
        memory: MemoryLimiter,
        cpu: CpuDeadline,
        logger: Arc<PluginLogger>,
        plugin: Arc<Plugin>,
    ) -> Self {
        Self {
            memory,
            cpu,
            wasi: Wasi::new(logger.clone(), CALL_SERVICES.clone()),
            logger,
            plugin,
        }
    }

    /// Reads a header field of this name; `None` where that is hidden from the plugin.
    fn of_header<R>(
        &self,
        name: &str,
        read: impl FnOnce(&dyn Request) -> Option<R>,
    ) -> Result<Option<R>> {
        if self.plugin.hides(name) {
            return Ok(None);
        }
        of_request(read)
    }
}

impl HasWasi for HostState {
    fn wasi(&mut self) -> &mut Wasi {
        &mut self.wasi
    }
}

/// Clocks and random numbers for WASI: those of the current call.
struct CallServices;

static CALL_SERVICES: LazyLock<Arc<dyn Services>> = LazyLock::new(|| Arc::new(CallServices));

impl Services for CallServices {
    fn now(&self) -> Duration {
        call_context::now()
    }

    fn unix(&self) -> Duration {
        call_context::unix()
    }

    fn random(&self) -> u32 {
        call_context::random()
    }
}

/// Reads the request; the default where there is none.
fn of_request<R: Default>(read: impl FnOnce(&dyn Request) -> R) -> Result<R> {
    Ok(with_context(|call| {
        call.request.map(read).unwrap_or_default()
    }))
}

/// A column of the candidates, empty where there are none.
fn column<N: Copy>(column: impl FnOnce(&dyn Candidates) -> &[N]) -> Result<Vec<N>> {
    Ok(with_context(|call| match call.candidates {
        Some(candidates) => column(candidates).to_vec(),
        None => Vec::new(),
    }))
}

impl request::Host for HostState {
    fn method(&mut self) -> Result<String> {
        of_request(|request| request.method().into_owned())
    }

    fn path(&mut self) -> Result<String> {
        of_request(|request| request.path().into_owned())
    }

    fn query(&mut self) -> Result<Option<String>> {
        of_request(|request| Some(request.query()?.into_owned()))
    }

    fn header(&mut self, name: String) -> Result<Option<String>> {
        self.of_header(&name, |request| Some(request.header(&name)?.into_owned()))
    }

    fn cookie(&mut self, name: String) -> Result<Option<String>> {
        self.of_header("cookie", |request| request.cookie(&name))
    }

    fn header_hash(&mut self, name: String) -> Result<Option<u32>> {
        self.of_header(&name, |request| request.header_hash(&name))
    }

    fn client_address(&mut self) -> Result<String> {
        of_request(|request| request.client_address().to_string())
    }

    fn client_hash(&mut self) -> Result<u32> {
        of_request(|request| request.client_hash())
    }

    fn attempt(&mut self) -> Result<u32> {
        of_request(|request| request.attempt())
    }

    fn tried(&mut self) -> Result<Vec<u32>> {
        of_request(|request| request.tried().to_vec())
    }
}

/// Overrides `header-hash`, which policies call in every request, by one that does not copy the name.
///
/// # Errors
/// The contract has no such function.
pub(super) fn override_header_hash(linker: &mut Linker<HostState>) -> Result<()> {
    linker.allow_shadowing(true);
    let mut request = linker.instance("equipoise:balancer/request@0.1.0")?;
    request.func_wrap("header-hash", |store, (name,): (WasmStr,)| {
        let name = name.to_str(&store)?;
        let state = store.data();
        Ok((state.of_header(&name, |request| request.header_hash(&name))?,))
    })?;
    linker.allow_shadowing(false);
    Ok(())
}

impl candidates::Host for HostState {
    fn ids(&mut self) -> Result<Vec<u32>> {
        column(|candidates| candidates.ids())
    }

    fn weights(&mut self) -> Result<Vec<u32>> {
        column(|candidates| candidates.weights())
    }

    fn busy(&mut self) -> Result<Vec<u32>> {
        column(|candidates| candidates.busy())
    }

    fn elected(&mut self) -> Result<Vec<u64>> {
        column(|candidates| candidates.elected())
    }

    fn bytes_sent(&mut self) -> Result<Vec<u64>> {
        column(|candidates| candidates.bytes_sent())
    }

    fn bytes_received(&mut self) -> Result<Vec<u64>> {
        column(|candidates| candidates.bytes_received())
    }

    fn latency_us(&mut self) -> Result<Vec<u32>> {
        column(|candidates| candidates.latency_us())
    }

    fn consecutive_failures(&mut self) -> Result<Vec<u32>> {
        column(|candidates| candidates.consecutive_failures())
    }

    fn ready_slots(&mut self) -> Result<Vec<u32>> {
        column(|candidates| candidates.ready_slots())
    }

    fn busy_slots(&mut self) -> Result<Vec<u32>> {
        column(|candidates| candidates.busy_slots())
    }

    fn heartbeat_age_ms(&mut self) -> Result<Vec<u32>> {
        column(|candidates| candidates.heartbeat_age_ms())
    }

    fn restrict_fallback(&mut self, positions: Vec<u32>) -> Result<()> {
        with_context(|call| {
            let Some(candidates) = call.candidates else {
                return Ok(());
            };
            let positions: Vec<usize> = positions.iter().map(|&at| at as usize).collect();
            let count = candidates.len();
            if let Some(position) = positions.iter().find(|&&position| position >= count) {
                let message =
                    format!("restrict-fallback: position {position} of {count} candidates");
                return Err(HostCallError(message).into());
            }
            candidates.restrict_fallback(&positions);
            Ok(())
        })
    }
}

impl env::Host for HostState {
    fn log(&mut self, level: env::LogLevel, message: String) -> Result<()> {
        let level = match level {
            env::LogLevel::Error => LogLevel::Error,
            env::LogLevel::Warn => LogLevel::Warn,
            env::LogLevel::Info => LogLevel::Info,
            env::LogLevel::Debug => LogLevel::Debug,
        };
        self.logger.log(level, &message);
        Ok(())
    }

    fn random(&mut self) -> Result<u32> {
        Ok(call_context::random())
    }

    fn now_ms(&mut self) -> Result<u64> {
        Ok(milliseconds(call_context::now()))
    }

    fn unix_ms(&mut self) -> Result<u64> {
        Ok(milliseconds(call_context::unix()))
    }
}

impl types::Host for HostState {}
