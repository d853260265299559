//! Components made of a few lines of WebAssembly text, for tests that need a plugin of a certain kind: mostly a bad
//! one.
//!
//! A [`Component`] names the interfaces of the contract it exports. Each of their functions answers none, no error, an
//! empty list or 0, unless it is given a body. A body is WebAssembly text that leaves what the function returns, and may
//! use:
//!
//! - the parameters by their names in `wit/` (`$count`); a string or list is two, such as `$blob` and `$blob-length`;
//! - the locals `$i` and `$j`;
//! - every function of the contract that can be imported, by its name there and with its canonical ABI's signature, such
//!   as `(call $header-hash (address of the name) (its length) (address of the answer))`;
//! - what the prelude below offers: `$some`, `$none`, `$list`, `$ok`, `$error`, `$route`, `$key`, `$issued`, `$allocate`.
//!
//! The functions of this file write the common bodies.
//!
//! Neither this file nor `fixtures` needs the rest of the harness, so that others can include the two as well.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use equipoise_sdk::hash;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::abi::{AbiVariant, WasmType};
use wit_parser::{Function, InterfaceId, Resolve, SourceMap, World, WorldId, WorldItem};

/// The package of the contract.
const PACKAGE: &str = "equipoise:balancer";

/// The version of the contract in `wit/`.
const VERSION: &str = "0.1.0";

/// What every component has, and where it keeps what in memory.
///
/// | address | content |
/// |---|---|
/// | 16 | what an exported function answers with |
/// | 48 | what an imported function answers with |
/// | 1 024 | the text of the body that runs |
/// | 65 536 | what was allocated in this call; given back when its answer was read |
const PRELUDE: &str = r#"
(memory (export "memory") 2)
(global $free (mut i32) (i32.const 65536))

(func $allocate (param $size i32) (result i32)
    (local $start i32) (local $missing i32)
    (local.set $start (global.get $free))
    (global.set $free (i32.and (i32.add (i32.add (local.get $start) (local.get $size)) (i32.const 7)) (i32.const -8)))
    (local.set $missing
        (i32.sub (i32.shr_u (i32.add (global.get $free) (i32.const 65535)) (i32.const 16)) (memory.size)))
    (if (i32.gt_s (local.get $missing) (i32.const 0))
        (then (if (i32.eq (memory.grow (local.get $missing)) (i32.const -1)) (then unreachable))))
    (local.get $start))

(func $nothing (result i32)
    (memory.fill (i32.const 16) (i32.const 0) (i32.const 16))
    (i32.const 16))
(func $none (result i32) (call $nothing))
(func $ok (result i32) (call $nothing))
(func $some (param $value i32) (result i32)
    (i32.store (i32.const 16) (i32.const 1))
    (i32.store (i32.const 20) (local.get $value))
    (i32.const 16))
(func $list (param $address i32) (param $length i32) (result i32)
    (i32.store (i32.const 16) (local.get $address))
    (i32.store (i32.const 20) (local.get $length))
    (i32.const 16))
(func $error (param $address i32) (param $length i32) (result i32)
    (i32.store (i32.const 16) (i32.const 1))
    (i32.store (i32.const 20) (local.get $address))
    (i32.store (i32.const 24) (local.get $length))
    (i32.const 16))
(func $issued (param $address i32) (param $length i32) (result i32)
    (call $error (local.get $address) (local.get $length)))
(func $affinity (param $kind i32) (param $address i32) (param $length i32) (result i32)
    (i32.store (i32.const 16) (i32.const 1))
    (i32.store (i32.const 20) (local.get $kind))
    (i32.store (i32.const 24) (local.get $address))
    (i32.store (i32.const 28) (local.get $length))
    (i32.const 16))
(func $route (param $address i32) (param $length i32) (result i32)
    (call $affinity (i32.const 0) (local.get $address) (local.get $length)))
(func $key (param $address i32) (param $length i32) (result i32)
    (call $affinity (i32.const 1) (local.get $address) (local.get $length)))
"#;

/// Where a body puts its text.
const TEXT: usize = 1_024;

/// A component being described.
#[derive(Debug, Clone)]
pub struct Component {
    /// The exported interfaces of the contract.
    interfaces: Vec<String>,
    /// The bodies that were given, by interface and function, such as `selector#select`.
    bodies: BTreeMap<String, String>,
    /// What the functions that are asked about a request do first.
    first: String,
    declarations: String,
    on_realloc: String,
    on_return: String,
    version: String,
    imports_unknown: bool,
    padding: usize,
}

impl Component {
    /// A component that exports these interfaces of the contract.
    pub fn exporting(interfaces: &[&str]) -> Self {
        Self {
            interfaces: interfaces.iter().map(ToString::to_string).collect(),
            bodies: BTreeMap::new(),
            first: String::new(),
            declarations: String::new(),
            on_realloc: String::new(),
            on_return: String::new(),
            version: VERSION.to_owned(),
            imports_unknown: false,
            padding: 0,
        }
    }

    /// A selector whose `select` has this body.
    pub fn selector(select: &str) -> Self {
        Self::exporting(&["selector"]).function("selector#select", select)
    }

    /// A session reader whose `read` has this body.
    pub fn session(read: &str) -> Self {
        Self::exporting(&["session"]).function("session#read", read)
    }

    /// Exports one more interface.
    pub fn also(mut self, interface: &str) -> Self {
        self.interfaces.push(interface.to_owned());
        self
    }

    /// Gives an exported function a body, such as `state#save`.
    pub fn function(mut self, name: &str, body: &str) -> Self {
        self.bodies.insert(name.to_owned(), body.to_owned());
        self
    }

    /// Gives the `configure` of every role a body.
    pub fn configure(mut self, body: &str) -> Self {
        for interface in &self.interfaces {
            if matches!(interface.as_str(), "selector" | "session" | "health") {
                let name = format!("{interface}#configure");
                self.bodies.insert(name, body.to_owned());
            }
        }
        self
    }

    /// Lets every `configure` refuse with this text.
    pub fn configure_error(self, says: &str) -> Self {
        let body = with_text(says.as_bytes(), "call $error");
        self.configure(&body)
    }

    /// Lets `select`, `read` and `issue` answer by another body if the request has a header field with this value.
    pub fn when_header(mut self, name: &str, value: &str, body: &str) -> Self {
        let answer = "(i32.const 48)";
        let call = with_text(name.as_bytes(), &format!("{answer} call $header-hash"));
        let hash = hash::bytes(value.as_bytes()).cast_signed();
        let _ = write!(
            self.first,
            "{call}
            (if (i32.and
                    (i32.load8_u {answer})
                    (i32.eq (i32.load offset=4 {answer}) (i32.const {hash})))
                (then {body} return))"
        );
        self
    }

    /// Declares more functions, globals, tables, data or a start function.
    pub fn declaring(mut self, declarations: &str) -> Self {
        let _ = writeln!(self.declarations, "{declarations}");
        self
    }

    /// Runs this whenever the host asks for memory to hand something over; it leaves nothing.
    pub fn on_realloc(mut self, body: &str) -> Self {
        body.clone_into(&mut self.on_realloc);
        self
    }

    /// Runs this whenever the host has read an answer; it leaves nothing.
    pub fn on_return(mut self, body: &str) -> Self {
        body.clone_into(&mut self.on_return);
        self
    }

    /// Is made against another version of the contract, otherwise equal to ours.
    pub fn of_version(mut self, version: &str) -> Self {
        version.clone_into(&mut self.version);
        self
    }

    /// Imports `test:fixture/secrets`, which is never granted.
    pub fn importing_unknown(mut self) -> Self {
        self.imports_unknown = true;
        self
    }

    /// Carries so many bytes more that mean nothing.
    pub fn padded(mut self, bytes: usize) -> Self {
        self.padding = bytes;
        self
    }

    /// The component.
    #[track_caller]
    pub fn build(&self) -> Vec<u8> {
        let mut encoder = ComponentEncoder::default()
            .validate(true)
            .module(&self.core_module())
            .unwrap_or_else(|error| panic!("{error:#}:\n{}", self.wat()));
        let mut component = encoder
            .encode()
            .unwrap_or_else(|error| panic!("{error:#}:\n{}", self.wat()));
        if self.padding > 0 {
            component.extend(custom_section(self.padding));
        }
        component
    }

    /// The first half of the component: a file that is still being written.
    pub fn truncated(&self) -> Vec<u8> {
        let mut component = self.build();
        component.truncate(component.len() / 2);
        component
    }

    /// The module that was to become a component: what an author has who forgot the last step.
    #[track_caller]
    pub fn core_module(&self) -> Vec<u8> {
        let (resolve, world) = self.world();
        let wat = self.module(&resolve, &resolve.worlds[world]);
        let mut module = wat::parse_str(&wat).unwrap_or_else(|error| panic!("{error}:\n{wat}"));
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
            .expect("the world is whole");
        module
    }

    fn wat(&self) -> String {
        let (resolve, world) = self.world();
        self.module(&resolve, &resolve.worlds[world])
    }

    /// A world of what every plugin may import and what this one exports.
    fn world(&self) -> (Resolve, WorldId) {
        let mut resolve = Resolve::default();
        let group = contract(&self.version).parse();
        let contract = group.unwrap_or_else(|(map, error)| panic!("{}", error.render(&map)));
        resolve.push_group(contract).expect("wit/ is a package");
        let version = &self.version;
        let exports: String = self
            .interfaces
            .iter()
            .map(|interface| format!("export {PACKAGE}/{interface}@{version};\n"))
            .collect();
        let world = format!(
            "package test:fixture;
            interface secrets {{ reveal: func() -> u32; }}
            world fixture {{ include {PACKAGE}/plugin@{version}; import secrets;\n{exports}}}"
        );
        let package = resolve
            .push_str("fixture.wit", &world)
            .unwrap_or_else(|error| panic!("{error:#}: {world}"));
        let world = resolve
            .select_world(&[package], Some("fixture"))
            .expect("it was just made");
        (resolve, world)
    }

    /// The module's text.
    fn module(&self, resolve: &Resolve, world: &World) -> String {
        let mut unused = self.bodies.clone();
        let mut exports = self.realloc();
        for (interface, function) in functions(resolve, world.exports.values()) {
            let name = resolve.interfaces[interface].name.as_deref();
            let name = format!("{}#{}", name.unwrap_or_default(), function.name);
            let body = unused.remove(&name);
            exports += &self.export(resolve, interface, function, body.as_deref());
        }
        assert!(unused.is_empty(), "not exported: {:?}", unused.keys());
        let declarations = &self.declarations;
        let reveal = if self.imports_unknown {
            "(func (result i32) call $reveal)"
        } else {
            ""
        };
        let own = format!("{declarations}\n{exports}\n{reveal}");
        let imports: String = functions(resolve, world.imports.values())
            .filter(|(_, function)| calls(&own, &function.name))
            .map(|(interface, function)| import(resolve, interface, function))
            .collect();
        format!("(module\n{imports}{PRELUDE}{own})")
    }

    /// What the host calls before it hands something over, and what gives that back.
    fn realloc(&self) -> String {
        let Self {
            on_realloc,
            on_return,
            ..
        } = self;
        format!(
            "(func (export \"cabi_realloc\") (param i32 i32 i32) (param $size i32) (result i32)
                {on_realloc}
                (call $allocate (local.get $size)))
            (func $returned (param i32)
                {on_return}
                (global.set $free (i32.const 65536)))\n"
        )
    }

    /// An exported function, and the one that follows when its answer was read.
    fn export(
        &self,
        resolve: &Resolve,
        interface: InterfaceId,
        function: &Function,
        body: Option<&str>,
    ) -> String {
        let name = format!("{}#{}", id(resolve, interface), function.name);
        let signature = resolve.wasm_signature(AbiVariant::GuestExport, function);
        let results = types("result", &signature.results);
        let is_asked = matches!(function.name.as_str(), "select" | "read" | "issue");
        let first = if is_asked { &*self.first } else { "" };
        let (default, after) = if signature.retptr {
            let after = format!("(export \"cabi_post_{name}\" (func $returned))\n");
            ("call $nothing", after)
        } else if signature.results.is_empty() {
            ("", String::new())
        } else {
            ("i64.const 0", String::new())
        };
        format!(
            "(func (export \"{name}\") {} {results} (local $i i32) (local $j i32)\n{first}\n{})\n{after}",
            parameters(resolve, function),
            body.unwrap_or(default),
        )
    }
}

/// A body that answers with this position.
pub fn answer(position: u32) -> String {
    format!("(call $some (i32.const {}))", position.cast_signed())
}

/// A body that answers none.
pub fn none() -> String {
    "call $none".to_owned()
}

/// A body that traps.
pub fn trap() -> String {
    "unreachable".to_owned()
}

/// A body that never comes to an end.
pub fn endless_loop() -> String {
    endless("")
}

/// A body that does this over and over.
pub fn endless(what: &str) -> String {
    format!("(loop $forever {what} (br $forever)) unreachable")
}

/// A body that restricts the fallback to these positions and returns none.
pub fn restrict_fallback(positions: &[u32]) -> String {
    let bytes: Vec<u8> = positions.iter().flat_map(|it| it.to_le_bytes()).collect();
    let store = store(&bytes);
    let length = positions.len();
    format!("{store} (call $restrict-fallback (i32.const {TEXT}) (i32.const {length})) call $none")
}

/// A body that puts text into memory, its address and length on the stack, and goes on as `then` says: `call $route`.
pub fn with_text(text: &[u8], then: &str) -> String {
    let length = text.len();
    format!(
        "{} (i32.const {TEXT}) (i32.const {length}) {then}",
        store(text)
    )
}

/// As [`with_text`], for so many letters.
pub fn with_long_text(length: usize, then: &str) -> String {
    format!(
        "(memory.fill
            (local.tee $i (call $allocate (i32.const {length}))) (i32.const 97) (i32.const {length}))
        (local.get $i) (i32.const {length}) {then}"
    )
}

/// A body that puts a list of texts into memory, its address and length on the stack, and goes on as `then` says: `call $list`.
pub fn with_texts(texts: &[&str], then: &str) -> String {
    let (mut list, mut address) = (Vec::new(), TEXT + 8 * texts.len());
    for text in texts {
        for number in [address, text.len()] {
            let number = u32::try_from(number).expect("an address in the memory");
            list.extend(number.to_le_bytes());
        }
        address += text.len();
    }
    list.extend(texts.concat().bytes());
    let length = texts.len();
    format!(
        "{} (i32.const {TEXT}) (i32.const {length}) {then}",
        store(&list)
    )
}

/// Writes bytes where texts are.
fn store(bytes: &[u8]) -> String {
    assert!(TEXT + bytes.len() <= 65_536, "more than there is room for");
    let addressed = bytes.iter().zip(TEXT..);
    addressed
        .map(|(byte, address)| format!("(i32.store8 (i32.const {address}) (i32.const {byte}))\n"))
        .collect()
}

/// The contract as it stands in `wit/`, by another version where one is wanted.
fn contract(version: &str) -> SourceMap {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit/v0.1");
    let entries = fs::read_dir(directory).expect("a directory");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a file").path()).collect();
    paths.sort();
    let mut map = SourceMap::new();
    for path in paths
        .iter()
        .filter(|path| path.extension().is_some_and(|it| it == "wit"))
    {
        let text = fs::read_to_string(path).expect("a text");
        let package = format!("{PACKAGE}@");
        let own = format!("{package}{VERSION}");
        map.push(path, text.replace(&own, &format!("{package}{version}")));
    }
    map
}

/// The functions of the interfaces among a world's items.
fn functions<'a>(
    resolve: &'a Resolve,
    items: impl Iterator<Item = &'a WorldItem>,
) -> impl Iterator<Item = (InterfaceId, &'a Function)> {
    let interfaces = items.filter_map(|item| match item {
        WorldItem::Interface { id, .. } => Some(*id),
        _ => None,
    });
    interfaces.flat_map(|id| {
        let functions = resolve.interfaces[id].functions.values();
        functions.map(move |function| (id, function))
    })
}

fn import(resolve: &Resolve, interface: InterfaceId, function: &Function) -> String {
    let module = id(resolve, interface);
    let name = &function.name;
    let signature = resolve.wasm_signature(AbiVariant::GuestImport, function);
    let parameters = types("param", &signature.params);
    let results = types("result", &signature.results);
    format!("(import \"{module}\" \"{name}\" (func ${name} {parameters} {results}))\n")
}

/// Whether this name occurs as a whole.
fn calls(text: &str, name: &str) -> bool {
    let is_delimiter = |letter: char| letter.is_whitespace() || matches!(letter, '(' | ')');
    text.split(is_delimiter)
        .any(|word| word.strip_prefix('$') == Some(name))
}

/// The parameters of an exported function, by name. A string or list is an address and a length.
fn parameters(resolve: &Resolve, function: &Function) -> String {
    let mut text = String::new();
    for parameter in &function.params {
        let name = &parameter.name;
        let types = flat(resolve, &parameter.ty);
        for (type_, suffix) in types.iter().zip(["", "-length"]) {
            let _ = write!(text, "(param ${name}{suffix} {}) ", type_name(*type_));
        }
    }
    text
}

fn flat(resolve: &Resolve, type_: &wit_parser::Type) -> Vec<WasmType> {
    let mut storage = [WasmType::I32; 16];
    let mut flat = wit_parser::abi::FlatTypes::new(&mut storage);
    resolve.push_flat(type_, &mut flat);
    flat.to_vec()
}

fn types(keyword: &str, types: &[WasmType]) -> String {
    let names: String = types
        .iter()
        .map(|type_| format!(" {}", type_name(*type_)))
        .collect();
    format!("({keyword}{names})")
}

fn type_name(type_: WasmType) -> &'static str {
    match type_ {
        WasmType::I64 | WasmType::PointerOrI64 => "i64",
        WasmType::F32 => "f32",
        WasmType::F64 => "f64",
        WasmType::I32 | WasmType::Pointer | WasmType::Length => "i32",
    }
}

fn id(resolve: &Resolve, interface: InterfaceId) -> String {
    let id = resolve.id_of(interface);
    id.expect("every interface of the contract has a name")
}

/// A section that means nothing: its length, which includes its name's, comes in groups of 7 bits.
fn custom_section(size: usize) -> Vec<u8> {
    const NAME: &[u8] = b"\x07padding";
    let mut section = vec![0];
    let mut length = NAME.len() + size;
    while length >= 0x80 {
        section.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    section.push(length as u8);
    section.extend(NAME);
    section.resize(section.len() + size, 0);
    section
}
