//! Components that use WASI, called as workers call them: synchronously, within a runtime.

use std::collections::HashSet;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use tokio::runtime::{Builder, LocalOptions};
use tracing_subscriber::filter::LevelFilter;
use wasmtime::component::{Component, ComponentNamedList, Instance, Lift, Lower};
use wasmtime::{Config, Engine, Store};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::super::log_capture::capture_log;
use super::*;

const MILLISECOND: u64 = 1_000_000;

/// Fake services: the clock stands still, and random numbers count up.
struct Given {
    now_ms: AtomicU64,
    numbers: AtomicU32,
}

impl Services for Given {
    fn now(&self) -> Duration {
        Duration::from_millis(self.now_ms.load(Ordering::Relaxed))
    }

    fn unix(&self) -> Duration {
        Duration::new(1_700_000_000, 5_000_000)
    }

    fn random(&self) -> u32 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }
}

struct State(Wasi);

impl HasWasi for State {
    fn wasi(&mut self) -> &mut Wasi {
        &mut self.0
    }
}

struct Guest {
    store: Store<State>,
    instance: Instance,
    services: Arc<Given>,
}

impl Guest {
    fn new() -> Self {
        let services = Arc::new(Given {
            now_ms: AtomicU64::new(60_000),
            numbers: AtomicU32::new(1),
        });
        let wasi = Wasi::new(Arc::new(PluginLogger::new("guest")), services.clone());
        let mut store = Store::new(COMPONENT.engine(), State(wasi));
        let instance = linker(COMPONENT.engine())
            .instantiate(&mut store, &COMPONENT)
            .unwrap();
        Self {
            store,
            instance,
            services,
        }
    }

    fn call<P, R>(&mut self, name: &str, parameters: P) -> Result<R>
    where
        P: ComponentNamedList + Lower,
        (R,): ComponentNamedList + Lift,
    {
        let function = self
            .instance
            .get_typed_func::<P, (R,)>(&mut self.store, name)?;
        Ok(function.call(&mut self.store, parameters)?.0)
    }

    /// Calls a function without a result.
    fn run<P: ComponentNamedList + Lower>(&mut self, name: &str, parameters: P) -> Result<()> {
        let function = self
            .instance
            .get_typed_func::<P, ()>(&mut self.store, name)?;
        function.call(&mut self.store, parameters)
    }

    /// Calls a function that must trap, and returns why.
    fn trap<P: ComponentNamedList + Lower>(&mut self, name: &str, parameters: P) -> String {
        let error = self.run(name, parameters).unwrap_err();
        error.root_cause().to_string()
    }
}

/// Compiled once for all tests.
static COMPONENT: LazyLock<Component> =
    LazyLock::new(|| Component::new(&engine(), guest_component()).unwrap());

fn engine() -> Engine {
    let mut config = Config::new();
    config.concurrency_support(false);
    Engine::new(&config).unwrap()
}

fn linker(engine: &Engine) -> Linker<State> {
    let mut linker = Linker::new(engine);
    add_to_linker(&mut linker).unwrap();
    linker
}

fn guest_component() -> Vec<u8> {
    let mut resolve = Resolve::default();
    let package = resolve
        .push_str("guest.wit", include_str!("guest.wit"))
        .unwrap();
    let world = resolve.select_world(&[package], None).unwrap();
    let mut module = wat::parse_str(include_str!("guest.wat")).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    let encoder = ComponentEncoder::default().validate(true);
    encoder.module(&module).unwrap().encode().unwrap()
}

/// Runs something as on a worker thread, and returns what was logged.
fn on_a_worker(run: impl FnOnce()) -> Vec<String> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .unwrap();
    capture_log(LevelFilter::DEBUG, || {
        runtime.block_on(async { run() });
    })
}

/// As `blocking_write_and_flush` of `wasmtime_wasi` would.
#[test]
#[should_panic(expected = "Cannot start a runtime from within a runtime")]
fn the_library_itself_panics_on_a_worker() {
    on_a_worker(|| wasmtime_wasi::runtime::in_tokio(async {}));
}

#[test]
fn what_is_printed_reaches_the_log() {
    let lines = on_a_worker(|| {
        let mut guest = Guest::new();
        let is_failed = guest.call::<_, bool>("print", ("hello\nwor",)).unwrap();
        assert!(!is_failed);
        assert!(!guest.call::<_, bool>("print-error", ("oh\n",)).unwrap());
        assert!(
            !guest
                .call::<_, bool>("print-step-by-step", ("ld\nrest",))
                .unwrap()
        );
    });
    assert_eq!(
        lines,
        [
            r#"INFO hello plugin="guest""#,
            r#"WARN oh plugin="guest""#,
            r#"INFO world plugin="guest""#,
            r#"INFO rest plugin="guest""#,
        ]
    );
}

#[test]
fn a_plugin_needs_no_runtime_either() {
    let lines = capture_log(LevelFilter::DEBUG, || {
        let mut guest = Guest::new();
        assert!(!guest.call::<_, bool>("print", ("hello\n",)).unwrap());
        assert_eq!(guest.call::<_, u32>("read-input", ()).unwrap(), 4);
        assert!(
            guest
                .trap("sleep", (MILLISECOND,))
                .contains("tried to wait")
        );
    });
    assert_eq!(lines, [r#"INFO hello plugin="guest""#]);
}

#[test]
fn a_plugin_may_not_print_much_at_once() {
    on_a_worker(|| {
        let most = "x".repeat(MAX_WRITE);
        assert!(!Guest::new().call::<_, bool>("print", (&*most,)).unwrap());
        let too_much = format!("{most}x");
        for function in ["print", "print-error"] {
            let error = Guest::new()
                .call::<_, bool>(function, (&*too_much,))
                .unwrap_err();
            assert_eq!(
                error.root_cause().to_string(),
                "the plugin wrote 4097 bytes at once; the most is 4096"
            );
        }
        // This one asks first how much it may.
        let error = Guest::new()
            .call::<_, bool>("print-step-by-step", (&*too_much,))
            .unwrap_err();
        assert!(error.root_cause().to_string().contains("unreachable"));
        assert!(
            !Guest::new()
                .call::<_, bool>("print-zeroes", (4096_u64,))
                .unwrap()
        );
        assert!(
            Guest::new()
                .call::<_, bool>("print-zeroes", (4097_u64,))
                .is_err()
        );
        assert!(
            Guest::new()
                .call::<_, bool>("print-zeroes", (u64::MAX,))
                .is_err()
        );
    });
}

#[test]
fn the_input_is_at_its_end() {
    on_a_worker(|| {
        let mut guest = Guest::new();
        assert_eq!(guest.call::<_, u32>("read-input", ()).unwrap(), 4);
        assert_eq!(guest.call::<_, u32>("splice-input", ()).unwrap(), 2);
    });
}

#[test]
fn a_plugin_that_sleeps_is_stopped() {
    const WHY: &str = "the plugin tried to wait; plugins must not sleep";
    on_a_worker(|| {
        for nanoseconds in [1, MILLISECOND, u64::MAX] {
            assert_eq!(Guest::new().trap("sleep", (nanoseconds,)), WHY);
        }
        let error = Guest::new()
            .call::<_, u32>("poll-alarm", (MILLISECOND,))
            .unwrap_err();
        assert_eq!(error.root_cause().to_string(), WHY);
    });
}

#[test]
fn what_is_ready_needs_no_wait() {
    on_a_worker(|| {
        let mut guest = Guest::new();
        guest.run("sleep", (0_u64,)).unwrap();
        assert_eq!(guest.call::<_, u32>("poll-alarm", (0_u64,)).unwrap(), 1);
        let mut ready = |nanoseconds: u64| {
            guest
                .call::<_, u32>("poll-alarm-and-output", (nanoseconds,))
                .unwrap()
        };
        assert_eq!(ready(MILLISECOND), 1);
        assert_eq!(ready(0), 2);
    });
}

#[test]
fn the_clocks_are_those_of_the_host() {
    on_a_worker(|| {
        let mut guest = Guest::new();
        assert_eq!(
            guest.call::<_, u64>("now", ()).unwrap(),
            60_000 * MILLISECOND
        );
        assert_eq!(
            guest.call::<_, u64>("unix-seconds", ()).unwrap(),
            1_700_000_000
        );
        assert_eq!(
            guest.call::<_, u32>("unix-nanoseconds", ()).unwrap(),
            5_000_000
        );

        let later = 60_001 * MILLISECOND;
        assert!(!guest.call::<_, bool>("has-passed", (later,)).unwrap());
        guest.services.now_ms.store(60_001, Ordering::Relaxed);
        assert!(guest.call::<_, bool>("has-passed", (later,)).unwrap());
    });
}

/// Goal: a plugin's keys and seeds cannot be guessed by a client that knows the host's numbers (here they are always the same),
/// and every instance has its own.
#[test]
fn secret_random_numbers_never_come_again() {
    on_a_worker(|| {
        let mut seen = HashSet::new();
        let mut draw = |guest: &mut Guest| {
            assert!(seen.insert(guest.call::<_, u64>("random", ()).unwrap()));
            let bytes = guest.call::<_, u64>("random-bytes", (8_u64,)).unwrap();
            assert!(seen.insert(bytes));
            assert!(seen.insert(guest.call::<_, u64>("seed", ()).unwrap()));
        };
        for _ in 0..50 {
            let mut guest = Guest::new();
            draw(&mut guest);
            draw(&mut guest);
            assert_eq!(guest.services.numbers.load(Ordering::Relaxed), 1);
        }
    });
}

#[test]
fn insecure_random_numbers_are_those_of_the_host() {
    on_a_worker(|| {
        let mut guest = Guest::new();
        assert_eq!(guest.call::<_, u64>("insecure", ()).unwrap(), 1 << 32 | 2);
        assert_eq!(
            guest.call::<_, u64>("insecure-bytes", (9_u64,)).unwrap(),
            4 << 32 | 3
        );
    });
}

#[test]
fn a_plugin_may_not_ask_for_many_random_bytes_at_once() {
    on_a_worker(|| {
        for function in ["random-bytes", "insecure-bytes"] {
            let mut guest = Guest::new();
            for count in [0, 1, MAX_RANDOM_BYTES] {
                guest.call::<_, u64>(function, (count,)).unwrap();
            }
            for count in [MAX_RANDOM_BYTES + 1, u64::MAX] {
                let error = Guest::new().call::<_, u64>(function, (count,)).unwrap_err();
                let why =
                    format!("the plugin asked for {count} random bytes at once; the most is 65536");
                assert_eq!(error.root_cause().to_string(), why);
            }
        }
    });
}

#[test]
fn there_are_no_arguments_variables_directories_or_terminals() {
    on_a_worker(|| assert_eq!(Guest::new().call::<_, u32>("surroundings", ()).unwrap(), 0));
}

#[test]
fn a_plugin_cannot_exit() {
    on_a_worker(|| assert_eq!(Guest::new().trap("exit", ()), "the plugin called exit"));
}

#[test]
fn a_plugin_cannot_hold_handles_without_end() {
    on_a_worker(|| {
        let why = Guest::new().trap("open-for-ever", ());
        assert_eq!(why, "resource table has no free keys");
    });
}

#[test]
fn what_is_not_there_is_named() {
    let engine = engine();
    for import in [
        "wasi:sockets/network@0.2.6",
        "wasi:sockets/tcp@0.2.6",
        "wasi:http/types@0.2.6",
    ] {
        let text = format!(
            r#"(component (import "{import}" (instance (export "thing" (type (sub resource))))))"#
        );
        let component = Component::new(&engine, wat::parse_str(text).unwrap()).unwrap();
        let error = linker(&engine).instantiate_pre(&component).err().unwrap();
        assert!(format!("{error:#}").contains(import), "{error:#}");
    }
}
