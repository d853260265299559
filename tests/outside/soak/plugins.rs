//! What plugins' files are replaced by: good components, hostile ones, slow ones, and what is none.

use std::time::{Duration, Instant};

use equipoise_harness::program;
use wasmtime::{Config, Engine, Instance, Module, Store};

use super::component::{Component, answer, endless_loop, none, trap};
use super::fixtures::{
    Affinity, LOAD_FAULTS, READ_FAULTS, ROUTE, SELECT_FAULTS, START_FAULTS, answering,
    answering_none, counting, forging_log, large, leak, nested_bomb, reading, restricting,
};

/// How long a call of a slow one takes: just less than the usual deadline.
const SLOW: Duration = Duration::from_millis(4);

/// A content of a plugin's file, and what it is called.
pub(super) type Content = (String, Vec<u8>);

/// A plugin, and what its file is replaced by, in turn.
pub(super) type Plugin = (&'static str, Vec<Content>);

/// What they are called.
pub(super) const NAMES: [&str; 4] = ["chooser", "spread", "reader", "judge"];

/// All plugins.
pub(super) fn all() -> [Plugin; 4] {
    let slow = busy_loop(turns_within(SLOW));
    NAMES.map(|name| {
        let contents = match name {
            "reader" => readers(&slow),
            "judge" => judges(&slow),
            _ => selectors(&slow),
        };
        (name, with_junk(contents))
    })
}

/// What they begin with.
pub(super) fn first(name: &str) -> Vec<u8> {
    match name {
        "reader" => reading(Affinity::Route, ROUTE).build(),
        "judge" => silent_judge().build(),
        _ => answering_none().build(),
    }
}

/// Good ones and others by turns, so that every other one is replaced while it makes faults.
fn selectors(slow: &str) -> Vec<Content> {
    let good = [
        ("counting", counting()),
        ("answering", answering(1)),
        ("restricting", restricting(&[0, 1])),
        ("answering_none", answering_none()),
        ("leak", leak()),
        ("forging_log", forging_log()),
        ("long to compile", large(1, 300)),
    ];
    let slow = Component::selector(&format!("{slow} {}", answer(0)));
    let select = SELECT_FAULTS
        .iter()
        .chain(&START_FAULTS)
        .chain(&LOAD_FAULTS);
    let hostile = select.map(|(name, make)| ((*name).to_owned(), make().build()));
    let slow = ("slow".to_owned(), slow.build());
    by_turns(built(&good), hostile.chain([slow]).collect())
}

fn readers(slow: &str) -> Vec<Content> {
    let good = [
        ("reading a route", reading(Affinity::Route, ROUTE)),
        ("reading a key", reading(Affinity::Key, "tenant")),
        ("reading none", Component::session(&none())),
    ];
    let slow = Component::session(&format!("{slow} {}", none()));
    let hostile = READ_FAULTS
        .iter()
        .zip([Affinity::Key, Affinity::Route].into_iter().cycle());
    let hostile =
        hostile.map(|((name, make), affinity)| ((*name).to_owned(), make(affinity).build()));
    let slow = ("slow".to_owned(), slow.build());
    by_turns(built(&good), hostile.chain([slow]).collect())
}

fn judges(slow: &str) -> Vec<Content> {
    let good = vec![
        ("silent".to_owned(), silent_judge().build()),
        ("the rule".to_owned(), exported("health")),
    ];
    let doing = |name: &str, body: &str| {
        let judge = silent_judge().function("health#on-requests", body);
        (name.to_owned(), judge.build())
    };
    let nothing = "(call $list (i32.const 0) (i32.const 0))";
    let hostile = vec![
        doing("trapping", &trap()),
        doing("endless", &endless_loop()),
        doing("slow", &format!("{slow} {nothing}")),
        doing(
            "raving",
            "(call $list (i32.const 0) (i32.const 0x7fffffff))",
        ),
    ];
    by_turns(good, hostile)
}

/// A judge that has nothing to say.
fn silent_judge() -> Component {
    Component::exporting(&["health"])
}

/// The same, and files that are no components.
fn with_junk(contents: Vec<Content>) -> Vec<Content> {
    let whole = counting().build();
    let junk = [
        ("a component that multiplies", nested_bomb(14)),
        ("nothing", Vec::new()),
        ("text", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("half a component", counting().truncated()),
        ("a core module", counting().core_module()),
        ("noise", (0..20_000).map(|_| fastrand::u8(..)).collect()),
        ("damage", damaged(whole)),
    ];
    let junk = junk.map(|(name, bytes)| (name.to_owned(), bytes));
    by_turns(contents, junk.to_vec())
}

/// A component with some bytes of its middle turned round.
fn damaged(mut component: Vec<u8>) -> Vec<u8> {
    let middle = component.len() / 2;
    component[middle..middle + 16].reverse();
    component
}

/// One of these, one of those, and so on to the end of the longer, the shorter again and again.
fn by_turns(one: Vec<Content>, other: Vec<Content>) -> Vec<Content> {
    let count = one.len().max(other.len());
    let pairs = one.into_iter().cycle().zip(other.into_iter().cycle());
    pairs
        .take(count)
        .flat_map(|(one, other)| [one, other])
        .collect()
}

fn built(components: &[(&str, Component)]) -> Vec<Content> {
    let built = |(name, component): &(&str, Component)| ((*name).to_owned(), component.build());
    components.iter().map(built).collect()
}

/// A default plugin.
fn exported(name: &str) -> Vec<u8> {
    let output = program(&["plugin", "export", name, "-"])
        .output()
        .expect("the program starts");
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

/// Counts down from so much.
fn busy_loop(turns: i32) -> String {
    format!(
        "(local.set $i (i32.const {turns}))
        (loop $again
            (local.set $i (i32.sub (local.get $i) (i32.const 1)))
            (br_if $again (local.get $i)))"
    )
}

/// How many turns of that loop take so long on this machine.
fn turns_within(time: Duration) -> i32 {
    const TURNS: i32 = 20_000_000;
    let mut config = Config::new();
    config.epoch_interruption(true);
    let engine = Engine::new(&config).expect("an engine");
    let body = busy_loop(TURNS);
    let text = format!("(module (func (export \"run\") (local $i i32) {body}))");
    let module = wat::parse_str(&text).expect("a module");
    let module = Module::new(&engine, module).expect("a module");
    let mut store = Store::new(&engine, ());
    store.set_epoch_deadline(u64::MAX / 2);
    let instance = Instance::new(&mut store, &module, &[]).expect("an instance");
    let run = instance.get_typed_func::<(), ()>(&mut store, "run");
    let run = run.expect("a function");
    let took = |store: &mut Store<()>| {
        let begun = Instant::now();
        run.call(store, ()).expect("no trap");
        begun.elapsed()
    };
    // The shortest is the one that others disturbed least.
    let shortest = (0..3).map(|_| took(&mut store)).min();
    let a_turn = shortest.unwrap_or_default().as_secs_f64() / f64::from(TURNS);
    (time.as_secs_f64() / a_turn) as i32
}
