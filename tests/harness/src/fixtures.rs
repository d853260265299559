//! Plugins that go wrong in every way there is, and a few that do not, to compare with.
//!
//! A fault happens to the request whose header field [`FAULT`] names it; any other request gets a proper answer. So a
//! test can show that the fault stays with the request that met it.

use super::component::{
    Component, answer, endless, endless_loop, none, restrict_fallback, trap, with_long_text,
    with_text, with_texts,
};

/// The header field that asks for a fault. Its value is the function's name here.
pub const FAULT: &str = "x-fault";

/// The route that the session readers answer with otherwise.
pub const ROUTE: &str = "r2";

/// A fault's name, and what makes the component that has it.
pub type Fixture = (&'static str, fn() -> Component);

/// As [`Fixture`], for what can go wrong with either kind of answer.
pub type ReadFixture = (&'static str, fn(Affinity) -> Component);

/// What can go wrong in `select`. All choose position 0 otherwise.
pub const SELECT_FAULTS: [Fixture; 18] = [
    ("unreachable", unreachable),
    ("division_by_zero", division_by_zero),
    ("out_of_bounds", out_of_bounds),
    ("deep_recursion", deep_recursion),
    ("endless", endless_select),
    ("endless_copy", endless_copy),
    ("endless_fill", endless_fill),
    ("endless_realloc", endless_realloc),
    ("endless_return", endless_return),
    ("trapping_return", trapping_return),
    ("memory_bomb", memory_bomb),
    ("table_bomb", table_bomb),
    ("log_flood", log_flood),
    ("position_of_count", position_of_count),
    ("position_of_max", position_of_max),
    ("restrict_to_count", restrict_to_count),
    ("restrict_to_giant_list", restrict_to_giant_list),
    ("bogus_answer", bogus_answer),
];

/// What can be wrong with an answer of `read`. All answer [`ROUTE`] otherwise.
pub const READ_FAULTS: [ReadFixture; 9] = [
    ("empty", empty),
    ("invalid_utf_8", invalid_utf_8),
    ("line_break", line_break),
    ("nul", nul),
    ("escape", escape),
    ("oversized", oversized),
    ("giant", giant),
    ("giant_at_bogus_address", giant_at_bogus_address),
    ("unknown_kind", unknown_kind),
];

/// Why a component is not taken into service, though it is one and has what it needs.
pub const START_FAULTS: [Fixture; 6] = [
    ("configure_traps", configure_traps),
    ("configure_loops", configure_loops),
    ("configure_refuses", configure_refuses),
    ("configure_refuses_at_length", configure_refuses_at_length),
    ("start_traps", start_traps),
    ("start_loops", start_loops),
];

/// Why a component is not even started.
pub const LOAD_FAULTS: [Fixture; 3] = [
    ("of_another_version", of_another_version),
    ("without_role", without_role),
    ("importing_unknown", importing_unknown),
];

/// What can go wrong when state is handed over. All count their calls as [`counting`] does.
pub const STATE_FAULTS: [Fixture; 6] = [
    ("save_traps", save_traps),
    ("save_loops", save_loops),
    ("save_too_much", save_too_much),
    ("restore_traps", restore_traps),
    ("restore_loops", restore_loops),
    ("restore_refuses", restore_refuses),
];

// Selectors that do nothing wrong.

/// Always chooses this position. For positions below 64, two of these differ in one byte.
pub fn answering(position: u32) -> Component {
    Component::selector(&answer(position))
}

/// Leaves every request to the fallback.
pub fn answering_none() -> Component {
    Component::selector(&none())
}

/// Leaves the requests to the fallback, which may choose among these positions.
pub fn restricting(positions: &[u32]) -> Component {
    Component::selector(&restrict_fallback(positions))
}

/// Answers by this body, which is handed these columns with the question, at `$values`; traps when it is not.
pub fn prefetching(columns: &[&str], select: &str) -> Component {
    let columns = with_texts(columns, "call $list");
    Component::selector(&trap())
        .also("prefetch")
        .function("prefetch#columns", &columns)
        .function("prefetch#select", select)
}

/// Counts its calls from 0 and chooses the position `calls % count`. The next instance goes on counting.
pub fn counting() -> Component {
    Component::selector(
        "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (call $some (i32.rem_u (i32.sub (global.get $calls) (i32.const 1)) (local.get $count)))",
    )
    .also("state")
    .declaring("(global $calls (mut i32) (i32.const 0))")
    .function(
        "state#save",
        "(i32.store (i32.const 1024) (global.get $calls)) (call $list (i32.const 1024) (i32.const 4))",
    )
    .function(
        "state#restore",
        "(if (i32.ne (local.get $blob-length) (i32.const 4)) (then unreachable))
        (global.set $calls (i32.load (local.get $blob)))
        call $ok",
    )
}

/// Logs a line that would look like two, and a colour, if it were written as it is; chooses position 0.
pub fn forging_log() -> Component {
    let log = with_text(b"one\r\nERROR two \x1b[31m\0", "call $log");
    Component::selector(&format!("(i32.const 2) {log} {}", answer(0)))
}

/// A body that keeps a processor busy for so many turns of a loop, of a nanosecond or so, and leaves nothing.
pub fn burning(turns: u32) -> String {
    format!(
        "(local.set $i (i32.const {turns}))
        (loop $again
            (br_if $again (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))"
    )
}

// Selectors that go wrong.

/// Traps as a panic does.
pub fn unreachable() -> Component {
    faulty("unreachable", &trap())
}

/// Divides by zero.
pub fn division_by_zero() -> Component {
    let divide = "(call $some (i32.div_u (local.get $count) (local.get $i)))";
    faulty("division_by_zero", divide)
}

/// Reads beyond its memory.
pub fn out_of_bounds() -> Component {
    faulty("out_of_bounds", "(i32.load (i32.const -4))")
}

/// Calls itself until there is no stack left.
pub fn deep_recursion() -> Component {
    faulty("deep_recursion", "(call $deep (i32.const 0))").declaring(
        "(func $deep (param i32) (result i32)
            (i32.add (call $deep (i32.add (local.get 0) (i32.const 1))) (local.get 0)))",
    )
}

/// Runs for ever.
pub fn endless_select() -> Component {
    faulty("endless", &endless_loop())
}

/// Copies 8 MiB for ever: an instruction that takes long, over and over.
pub fn endless_copy() -> Component {
    let copy = "(memory.copy (i32.const 0) (i32.const 0) (i32.shl (memory.size) (i32.const 16)))";
    faulty("endless_copy", &format!("{GROW} {}", endless(copy)))
}

/// Fills 8 MiB for ever.
pub fn endless_fill() -> Component {
    let fill = "(memory.fill (i32.const 0) (i32.const 0) (i32.shl (memory.size) (i32.const 16)))";
    faulty("endless_fill", &format!("{GROW} {}", endless(fill)))
}

/// Grows its memory to 8 MiB, if it may.
const GROW: &str = "(drop (memory.grow (i32.const 126)))";

/// Asks for a header field and never says where to put it.
pub fn endless_realloc() -> Component {
    let ask = with_text(FAULT.as_bytes(), "(i32.const 48) call $header");
    let armed = format!("(global.set $armed (i32.const 1)) {ask} call $none");
    armed_by(faulty("endless_realloc", &armed)).on_realloc(&when_armed(&endless_loop()))
}

/// Chooses position 0, and runs for ever when the answer has been read.
pub fn endless_return() -> Component {
    let armed = format!("(global.set $armed (i32.const 1)) {}", answer(0));
    armed_by(faulty("endless_return", &armed)).on_return(&when_armed(&endless_loop()))
}

/// Chooses position 0, and traps when the answer has been read.
pub fn trapping_return() -> Component {
    let armed = format!("(global.set $armed (i32.const 1)) {}", answer(0));
    armed_by(faulty("trapping_return", &armed)).on_return(&when_armed(&trap()))
}

fn armed_by(component: Component) -> Component {
    component.declaring("(global $armed (mut i32) (i32.const 0))")
}

fn when_armed(body: &str) -> String {
    format!("(if (global.get $armed) (then {body}))")
}

/// Grows its memory for ever, whether or not it gets more.
pub fn memory_bomb() -> Component {
    faulty(
        "memory_bomb",
        &endless("(drop (memory.grow (i32.const 1)))"),
    )
}

/// Grows a table for ever, whether or not it gets more.
pub fn table_bomb() -> Component {
    let grow = endless("(drop (table.grow $table (ref.null func) (i32.const 1000)))");
    faulty("table_bomb", &grow).declaring("(table $table 1 funcref)")
}

/// Logs for ever.
pub fn log_flood() -> Component {
    let log = format!("(i32.const 2) {}", with_text(b"again", "call $log"));
    faulty("log_flood", &endless(&log))
}

/// Chooses the position behind the last.
pub fn position_of_count() -> Component {
    faulty("position_of_count", "(call $some (local.get $count))")
}

/// Chooses the largest position that can be said.
pub fn position_of_max() -> Component {
    faulty("position_of_max", &answer(u32::MAX))
}

/// Narrows the candidates to the position behind the last.
pub fn restrict_to_count() -> Component {
    faulty(
        "restrict_to_count",
        "(i32.store (i32.const 1024) (local.get $count))
        (call $restrict-fallback (i32.const 1024) (i32.const 1))
        call $none",
    )
}

/// Narrows the candidates to a list of 2³¹ positions, more than its memory holds.
pub fn restrict_to_giant_list() -> Component {
    faulty(
        "restrict_to_giant_list",
        "(call $restrict-fallback (i32.const 64) (i32.const 0x80000000)) call $none",
    )
}

/// Answers at an address beyond its memory.
pub fn bogus_answer() -> Component {
    faulty("bogus_answer", "(i32.const 0x7ffffff0)")
}

/// Needs 64 KiB more with every call and never gives them back; traps when it gets no more. No header field is needed.
pub fn leak() -> Component {
    let grow = "(if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then unreachable))";
    Component::selector(&format!("{grow} {}", answer(0)))
}

/// Chooses position 0, unless the request asks for the fault.
fn faulty(kind: &str, body: &str) -> Component {
    answering(0).when_header(FAULT, kind, body)
}

// Session readers.

/// What a session reader answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Affinity {
    /// The session names its member.
    Route,
    /// The session has a key.
    Key,
}

impl Affinity {
    fn call(self) -> &'static str {
        match self {
            Self::Route => "call $route",
            Self::Key => "call $key",
        }
    }
}

/// Answers with this route or key, always.
pub fn reading(affinity: Affinity, text: &str) -> Component {
    Component::session(&with_text(text.as_bytes(), affinity.call()))
}

/// Answers with nothing at all.
pub fn empty(affinity: Affinity) -> Component {
    misread("empty", &with_text(b"", affinity.call()))
}

/// Answers with bytes that are no UTF-8.
pub fn invalid_utf_8(affinity: Affinity) -> Component {
    misread("invalid_utf_8", &with_text(b"r\xe92\xff", affinity.call()))
}

/// Answers with a line break and what would be a header field behind it.
pub fn line_break(affinity: Affinity) -> Component {
    let text = b"r2\r\nX-Injected: yes";
    misread("line_break", &with_text(text, affinity.call()))
}

/// Answers with a NUL within.
pub fn nul(affinity: Affinity) -> Component {
    misread("nul", &with_text(b"r2\0", affinity.call()))
}

/// Answers with a sequence that colours a terminal.
pub fn escape(affinity: Affinity) -> Component {
    misread("escape", &with_text(b"\x1b[31mr2", affinity.call()))
}

/// Answers with a megabyte.
pub fn oversized(affinity: Affinity) -> Component {
    misread("oversized", &with_long_text(1 << 20, affinity.call()))
}

/// Answers with 2³¹ bytes, which would begin within its memory.
pub fn giant(affinity: Affinity) -> Component {
    let text = "(i32.const 64) (i32.const 0x80000000)";
    misread("giant", &format!("{text} {}", affinity.call()))
}

/// Answers with a gigabyte beyond its memory.
pub fn giant_at_bogus_address(affinity: Affinity) -> Component {
    let text = "(i32.const 0x40000000) (i32.const 0x40000000)";
    misread(
        "giant_at_bogus_address",
        &format!("{text} {}", affinity.call()),
    )
}

/// Answers with neither a route nor a key, but a third kind.
pub fn unknown_kind(_affinity: Affinity) -> Component {
    let text = with_text(b"r2", "(local.set $j) (local.set $i)");
    let third = "(call $affinity (i32.const 2) (local.get $i) (local.get $j))";
    misread("unknown_kind", &format!("{text} {third}"))
}

/// Answers with letters beyond ASCII, as a session may have them.
pub fn beyond_ascii(affinity: Affinity) -> Component {
    let text = "rëd".as_bytes();
    misread("beyond_ascii", &with_text(text, affinity.call()))
}

/// Reads [`ROUTE`], unless the request asks for the fault.
fn misread(kind: &str, body: &str) -> Component {
    reading(Affinity::Route, ROUTE).when_header(FAULT, kind, body)
}

// Components that do not get into service.

/// Traps when it is configured.
pub fn configure_traps() -> Component {
    answering(0).configure(&trap())
}

/// Is never done with being configured.
pub fn configure_loops() -> Component {
    answering(0).configure(&endless_loop())
}

/// Refuses its settings.
pub fn configure_refuses() -> Component {
    answering(0).configure_error("`zone` is missing: say `zone = \"a\"`")
}

/// Refuses its settings in a megabyte.
pub fn configure_refuses_at_length() -> Component {
    answering(0).configure(&with_long_text(1 << 20, "call $error"))
}

/// Traps before it is asked anything.
pub fn start_traps() -> Component {
    answering(0).declaring("(func $start unreachable) (start $start)")
}

/// Runs for ever before it is asked anything.
pub fn start_loops() -> Component {
    let start = format!("(func $start {}) (start $start)", endless_loop());
    answering(0).declaring(&start)
}

/// Is made against a version of the contract that is not there yet.
pub fn of_another_version() -> Component {
    answering(0).of_version("0.2.0")
}

/// Exports nothing that the host could ask.
pub fn without_role() -> Component {
    Component::exporting(&["state"])
}

/// Wants what no plugin is granted.
pub fn importing_unknown() -> Component {
    answering(0).importing_unknown()
}

// State that is not handed over.

/// Traps when it is to be replaced.
pub fn save_traps() -> Component {
    counting().function("state#save", &trap())
}

/// Never says what it remembers.
pub fn save_loops() -> Component {
    counting().function("state#save", &endless_loop())
}

/// Remembers 2 MiB.
pub fn save_too_much() -> Component {
    counting().function("state#save", &with_long_text(2 << 20, "call $list"))
}

/// Traps over what the one before remembered.
pub fn restore_traps() -> Component {
    counting().function("state#restore", &trap())
}

/// Reads for ever what the one before remembered.
pub fn restore_loops() -> Component {
    counting().function("state#restore", &endless_loop())
}

/// Refuses what the one before remembered.
pub fn restore_refuses() -> Component {
    let says = with_text(b"written by a stranger", "call $error");
    counting().function("state#restore", &says)
}

/// A component that chooses this position, and takes long to compile.
pub fn large(position: u32, functions: usize) -> Component {
    let step = "(local.set 0 (i32.mul (i32.add (local.get 0) (i32.const 7)) (local.get 0)))";
    let steps = step.repeat(20);
    let function = format!("(func (param i32) (result i32) {steps} (local.get 0))");
    answering(position).declaring(&function.repeat(functions))
}

/// A component that would have 2^`levels` instances, each level nested in the next.
pub fn nested_bomb(levels: u32) -> Vec<u8> {
    let mut text = "(core module $m) (core instance (instantiate $m))".to_owned();
    for level in 0..levels {
        text = format!(
            "(component $c{level} {text}) (instance (instantiate $c{level})) (instance (instantiate $c{level}))"
        );
    }
    wat::parse_str(format!("(component {text})")).expect("a component")
}
