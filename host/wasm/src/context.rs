//! What an instance has beside it: its bounds, its voice, its WASI, and the contract's functions.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use equipoise_sdk::{Candidates, LogLevel, Request};
use wasmtime::Result;
use wasmtime::component::{Linker, WasmStr};

use super::ambient::{self, ask, milliseconds};
use super::fault::Misuse;
use super::limits::{Space, Time};
use super::since_v0_1_0::equipoise::balancer::{candidates, env, request, types};
use super::voice::Voice;
use super::wasi::{HasWasi, Services, Wasi};
use equipoise_config::Plugin;

/// The data of a store.
pub(super) struct Context {
    pub(super) space: Space,
    pub(super) time: Time,
    pub(super) voice: Arc<Voice>,
    /// Which of the request's header fields are hidden from it.
    plugin: Arc<Plugin>,
    wasi: Wasi,
}

impl Context {
    pub(super) fn new(space: Space, time: Time, voice: Arc<Voice>, plugin: Arc<Plugin>) -> Self {
        Self {
            space,
            time,
            wasi: Wasi::new(voice.clone(), AMBIENT_SERVICES.clone()),
            voice,
            plugin,
        }
    }

    /// What the request says of a header field of this name; nothing where that is hidden from the plugin.
    fn of_header<R>(
        &self,
        name: &str,
        question: impl FnOnce(&dyn Request) -> Option<R>,
    ) -> Result<Option<R>> {
        if self.plugin.hides(name) {
            return Ok(None);
        }
        of_request(question)
    }
}

impl HasWasi for Context {
    fn wasi(&mut self) -> &mut Wasi {
        &mut self.wasi
    }
}

/// Time and chance for WASI: those of the call at hand.
struct AmbientServices;

static AMBIENT_SERVICES: LazyLock<Arc<dyn Services>> = LazyLock::new(|| Arc::new(AmbientServices));

impl Services for AmbientServices {
    fn now(&self) -> Duration {
        ambient::now()
    }

    fn unix(&self) -> Duration {
        ambient::unix()
    }

    fn random(&self) -> u32 {
        ambient::random()
    }
}

/// What the request answers, or what stands for that where there is none.
fn of_request<R: Default>(question: impl FnOnce(&dyn Request) -> R) -> Result<R> {
    Ok(ask(|call| call.request.map(question).unwrap_or_default()))
}

/// A column of the candidates, empty where there are none.
fn column<N: Copy>(column: impl FnOnce(&dyn Candidates) -> &[N]) -> Result<Vec<N>> {
    Ok(ask(|call| match call.candidates {
        Some(candidates) => column(candidates).to_vec(),
        None => Vec::new(),
    }))
}

impl request::Host for Context {
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

/// Exchanges `header-hash`, which policies ask for in every request, for one that does not copy the name.
///
/// # Errors
/// The contract has no such function.
pub(super) fn spare_copies(linker: &mut Linker<Context>) -> Result<()> {
    linker.allow_shadowing(true);
    let mut request = linker.instance("equipoise:balancer/request@0.1.0")?;
    request.func_wrap("header-hash", |store, (name,): (WasmStr,)| {
        let name = name.to_str(&store)?;
        let context = store.data();
        Ok((context.of_header(&name, |request| request.header_hash(&name))?,))
    })?;
    linker.allow_shadowing(false);
    Ok(())
}

impl candidates::Host for Context {
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
        ask(|call| {
            let Some(candidates) = call.candidates else {
                return Ok(());
            };
            let positions: Vec<usize> = positions.iter().map(|&at| at as usize).collect();
            let count = candidates.len();
            if let Some(position) = positions.iter().find(|&&position| position >= count) {
                let misuse =
                    format!("restrict-fallback: position {position} of {count} candidates");
                return Err(Misuse(misuse).into());
            }
            candidates.restrict_fallback(&positions);
            Ok(())
        })
    }
}

impl env::Host for Context {
    fn log(&mut self, level: env::LogLevel, message: String) -> Result<()> {
        let level = match level {
            env::LogLevel::Error => LogLevel::Error,
            env::LogLevel::Warn => LogLevel::Warn,
            env::LogLevel::Info => LogLevel::Info,
            env::LogLevel::Debug => LogLevel::Debug,
        };
        self.voice.say(level, &message);
        Ok(())
    }

    fn random(&mut self) -> Result<u32> {
        Ok(ambient::random())
    }

    fn now_ms(&mut self) -> Result<u64> {
        Ok(milliseconds(ambient::now()))
    }

    fn unix_ms(&mut self) -> Result<u64> {
        Ok(milliseconds(ambient::unix()))
    }
}

impl types::Host for Context {}
