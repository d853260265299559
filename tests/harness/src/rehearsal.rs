//! The fixtures tested on themselves, in an engine without anything of our host: each does what its name says.
//!
//! Instead of a clock, fuel ends what would run for ever.

use std::collections::BTreeSet;

use wasmtime::component::{Component, Instance, Linker, Val};
use wasmtime::{
    Config, Engine, OptLevel, Result, Store, StoreContextMut, StoreLimits, StoreLimitsBuilder,
};

use super::component;
use super::fixtures::{self, Affinity};

/// What a call may use up: an instruction or a byte that is filled costs one.
const FUEL: u64 = 4_000_000;

/// What is behind the imports that the fixtures use.
struct World {
    limits: StoreLimits,
    /// The value of the header field that asks for a fault.
    fault: &'static str,
    restricted_to: Vec<u32>,
    logged: Vec<String>,
}

/// A component that runs.
struct Stage {
    store: Store<World>,
    instance: Instance,
}

impl Stage {
    fn open(component: &component::Component) -> Result<Self> {
        let mut config = Config::new();
        config.consume_fuel(true).max_wasm_stack(32 << 10);
        config.cranelift_opt_level(OptLevel::None);
        let engine = Engine::new(&config)?;
        let component = Component::new(&engine, component.build())?;
        let limits = StoreLimitsBuilder::new().memory_size(4 << 20);
        let mut store = Store::new(
            &engine,
            World {
                limits: limits.table_elements(10_000).build(),
                fault: "",
                restricted_to: Vec::new(),
                logged: Vec::new(),
            },
        );
        store.limiter(|world| &mut world.limits);
        store.set_fuel(FUEL)?;
        let instance = linker(&engine)?.instantiate(&mut store, &component)?;
        Ok(Self { store, instance })
    }

    /// Calls a function such as `selector#select`.
    fn call(&mut self, name: &str, parameters: &[Val]) -> Result<Val> {
        let (interface, function) = name.split_once('#').expect("two names");
        let interface = format!("equipoise:balancer/{interface}@0.1.0");
        let Self { store, instance } = self;
        let interface = instance.get_export_index(&mut *store, None, &interface);
        let interface = interface.expect("the interface is exported");
        let function = instance.get_export_index(&mut *store, Some(&interface), function);
        let function = instance.get_func(&mut *store, function.expect("a function"));
        let mut results = [Val::Bool(false)];
        store.set_fuel(FUEL)?;
        function
            .expect("a function")
            .call(&mut *store, parameters, &mut results)?;
        let [result] = results;
        Ok(result)
    }

    /// Chooses among three candidates for a request that asks for this fault.
    fn select(&mut self, fault: &'static str) -> Result<Val> {
        self.store.data_mut().fault = fault;
        self.call("selector#select", &[Val::U32(3)])
    }

    fn read(&mut self, fault: &'static str) -> Result<Val> {
        self.store.data_mut().fault = fault;
        self.call("session#read", &[])
    }

    fn configure(&mut self) -> Result<Val> {
        let nothing = || Val::List(Vec::new());
        self.call("selector#configure", &[nothing(), nothing()])
    }
}

/// The imports that the fixtures use.
fn linker(engine: &Engine) -> Result<Linker<World>> {
    let mut linker = Linker::<World>::new(engine);
    let mut request = linker.instance("equipoise:balancer/request@0.1.0")?;
    request.func_wrap(
        "header-hash",
        |store: StoreContextMut<'_, World>, (name,): (String,)| {
            assert_eq!(name, fixtures::FAULT);
            let value = store.data().fault.as_bytes();
            Ok(((!value.is_empty()).then(|| equipoise_sdk::hash::bytes(value)),))
        },
    )?;
    request.func_wrap(
        "header",
        |store: StoreContextMut<'_, World>, (_,): (String,)| Ok((Some(store.data().fault),)),
    )?;
    let mut candidates = linker.instance("equipoise:balancer/candidates@0.1.0")?;
    candidates.func_wrap(
        "restrict-fallback",
        |mut store: StoreContextMut<'_, World>, (positions,): (Vec<u32>,)| {
            store.data_mut().restricted_to = positions;
            Ok(())
        },
    )?;
    let mut env = linker.instance("equipoise:balancer/env@0.1.0")?;
    env.func_new("log", |mut store, _, parameters, _| {
        let Val::String(message) = &parameters[1] else {
            unreachable!("a level and a text");
        };
        store.data_mut().logged.push(message.clone());
        Ok(())
    })?;
    Ok(linker)
}

/// As options and results appear here.
fn some(value: Val) -> Val {
    Val::Option(Some(Box::new(value)))
}

fn position(position: u32) -> Val {
    some(Val::U32(position))
}

fn affinity(kind: &str, text: &str) -> Val {
    let text = Val::String(text.to_owned());
    some(Val::Variant(kind.to_owned(), Some(Box::new(text))))
}

const NONE: Val = Val::Option(None);

/// Checks that a call ended by a trap for this reason.
#[track_caller]
fn assert_trapped(result: Result<Val>, reason: &str, name: &str) {
    match result {
        Ok(value) => panic!("{name} answered {value:?}"),
        Err(error) => assert!(
            format!("{error:?}").contains(reason),
            "{name}: {error:?}, not {reason}"
        ),
    }
}

#[test]
fn a_select_fault_comes_when_it_is_asked_for_only() {
    for (name, fixture) in fixtures::SELECT_FAULTS {
        let mut stage = Stage::open(&fixture()).expect(name);
        for fault in ["", "another"] {
            let answer = stage.select(fault).expect(name);
            assert_eq!(answer, position(0), "{name}");
        }
        let faulted = stage.select(name);
        let reason = match name {
            "unreachable" | "trapping_return" => "unreachable",
            "division_by_zero" => "divide by zero",
            "out_of_bounds" => "out of bounds memory access",
            "deep_recursion" => "call stack exhausted",
            "bogus_answer" => "pointer out of bounds of memory",
            "restrict_to_giant_list" => "list",
            "position_of_count" => {
                assert_eq!(faulted.expect(name), position(3));
                continue;
            }
            "position_of_max" => {
                assert_eq!(faulted.expect(name), position(u32::MAX));
                continue;
            }
            "restrict_to_count" => {
                assert_eq!(faulted.expect(name), NONE);
                assert_eq!(stage.store.data().restricted_to, [3]);
                continue;
            }
            _ => "all fuel consumed",
        };
        assert_trapped(faulted, reason, name);
    }
}

#[test]
fn a_read_fault_comes_when_it_is_asked_for_only() {
    for (name, fixture) in fixtures::READ_FAULTS {
        for (kind, asked) in [("route", Affinity::Route), ("key", Affinity::Key)] {
            let mut stage = Stage::open(&fixture(asked)).expect(name);
            let answer = stage.read("").expect(name);
            assert_eq!(answer, affinity("route", fixtures::ROUTE), "{name}");
            let faulted = stage.read(name);
            let text = match name {
                "empty" => "".to_owned(),
                "line_break" => "r2\r\nX-Injected: yes".to_owned(),
                "nul" => "r2\0".to_owned(),
                "escape" => "\x1b[31mr2".to_owned(),
                "oversized" => "a".repeat(1 << 20),
                _ => {
                    assert_trapped(faulted, "", name);
                    continue;
                }
            };
            assert_eq!(faulted.expect(name), affinity(kind, &text));
        }
    }
    let mut stage = Stage::open(&fixtures::beyond_ascii(Affinity::Key)).expect("a component");
    let answer = stage.read("beyond_ascii").expect("a text");
    assert_eq!(answer, affinity("key", "rëd"));
}

#[test]
fn a_component_that_is_not_to_get_into_service_does_not() {
    for (name, fixture) in fixtures::START_FAULTS {
        let started = Stage::open(&fixture());
        let mut stage = match (name, started) {
            ("start_traps" | "start_loops", Err(_)) => continue,
            (_, started) => started.expect(name),
        };
        match (name, stage.configure()) {
            ("configure_traps", result) => assert_trapped(result, "unreachable", name),
            ("configure_loops", result) => assert_trapped(result, "all fuel consumed", name),
            ("configure_refuses", Ok(Val::Result(Err(Some(text))))) => {
                let expected = "`zone` is missing: say `zone = \"a\"`";
                assert_eq!(*text, Val::String(expected.to_owned()));
            }
            ("configure_refuses_at_length", Ok(Val::Result(Err(Some(text))))) => {
                assert_eq!(*text, Val::String("a".repeat(1 << 20)));
            }
            (_, result) => panic!("{name} answered {result:?}"),
        }
    }
}

#[test]
fn a_component_that_does_not_fit_is_a_component() {
    let engine = Engine::default();
    for (name, fixture) in fixtures::LOAD_FAULTS {
        let component = Component::new(&engine, fixture().build()).expect(name);
        let type_ = component.component_type();
        let exports: Vec<_> = type_.exports(&engine).map(|(name, _)| name).collect();
        let imports: Vec<_> = type_.imports(&engine).map(|(name, _)| name).collect();
        let expected: (&[&str], &[&str]) = match name {
            "of_another_version" => (&[], &["equipoise:balancer/selector@0.2.0"]),
            "without_role" => (&[], &["equipoise:balancer/state@0.1.0"]),
            _ => (
                &["test:fixture/secrets"],
                &["equipoise:balancer/selector@0.1.0"],
            ),
        };
        let imports: Vec<_> = imports
            .into_iter()
            .filter(|name| !name.starts_with("equipoise:balancer/types@"))
            .collect();
        assert_eq!((&*imports, &*exports), expected, "{name}");
    }
}

#[test]
fn the_count_of_one_instance_goes_on_in_another() {
    let mut first = Stage::open(&fixtures::counting()).expect("a component");
    for expected in [0, 1, 2, 0] {
        assert_eq!(first.select("").expect("an answer"), position(expected));
    }
    let saved = first.call("state#save", &[]).expect("a state");
    let mut second = Stage::open(&fixtures::counting()).expect("a component");
    let restored = second.call("state#restore", &[saved]).expect("an answer");
    assert_eq!(restored, Val::Result(Ok(None)));
    for expected in [1, 2] {
        assert_eq!(second.select("").expect("an answer"), position(expected));
    }
}

#[test]
fn a_state_fault_is_in_one_of_the_two_functions() {
    for (name, fixture) in fixtures::STATE_FAULTS {
        let mut stage = Stage::open(&fixture()).expect(name);
        assert_eq!(stage.select("").expect(name), position(0));
        let saved = stage.call("state#save", &[]);
        let mut stage = Stage::open(&fixture()).expect(name);
        let given = Val::List([1, 0, 0, 0].map(Val::U8).to_vec());
        let restored = stage.call("state#restore", &[given]);
        match name {
            "save_traps" => assert_trapped(saved, "unreachable", name),
            "save_loops" => assert_trapped(saved, "all fuel consumed", name),
            "save_too_much" => match saved {
                Ok(Val::List(bytes)) => assert_eq!(bytes.len(), 2 << 20),
                result => panic!("{name} answered {result:?}"),
            },
            "restore_traps" => assert_trapped(restored, "unreachable", name),
            "restore_loops" => assert_trapped(restored, "all fuel consumed", name),
            _ => match restored {
                Ok(Val::Result(Err(Some(text)))) => {
                    assert_eq!(*text, Val::String("written by a stranger".to_owned()));
                }
                result => panic!("{name} answered {result:?}"),
            },
        }
    }
}

#[test]
fn a_proper_fixture_answers_as_told() {
    let mut stage = Stage::open(&fixtures::answering_none()).expect("a component");
    assert_eq!(stage.configure().expect("no trap"), Val::Result(Ok(None)));
    assert_eq!(stage.select("").expect("no trap"), NONE);

    let mut stage = Stage::open(&fixtures::restricting(&[0, 2])).expect("a component");
    assert_eq!(stage.select("").expect("no trap"), NONE);
    assert_eq!(stage.store.data().restricted_to, [0, 2]);

    let mut stage = Stage::open(&fixtures::forging_log()).expect("a component");
    assert_eq!(stage.select("").expect("no trap"), position(0));
    let logged = &stage.store.data().logged;
    assert_eq!(logged, &["one\r\nERROR two \x1b[31m\0"]);

    let mut stage = Stage::open(&fixtures::leak()).expect("a component");
    let answers = (0..100).map_while(|_| stage.select("").ok()).count();
    assert_eq!(answers, 62, "4 MiB are 64 pages, of which it begins with 2");
}

#[test]
fn versions_of_a_fixture_differ_in_one_byte() {
    let versions: BTreeSet<_> = (0..5).map(|it| fixtures::answering(it).build()).collect();
    assert_eq!(versions.len(), 5);
    let [one, other] = [0, 1].map(|position| fixtures::answering(position).build());
    let differences = one.iter().zip(&other).filter(|(one, other)| one != other);
    assert_eq!((differences.count(), one.len()), (1, other.len()));
}

#[test]
fn damage_is_damage_and_padding_is_none() {
    let engine = Engine::default();
    let component = fixtures::answering(0);
    assert!(Component::new(&engine, component.truncated()).is_err());
    assert!(Component::new(&engine, component.core_module()).is_err());
    for padding in [1, 100, 127, 128, 1 << 20] {
        let padded = component.clone().padded(padding);
        let mut stage = Stage::open(&padded).expect("a component");
        assert_eq!(stage.select("").expect("no trap"), position(0));
        assert!(padded.build().len() > component.build().len() + padding);
    }
}
