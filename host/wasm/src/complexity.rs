//! What a component is made of, counted before it is compiled.
//!
//! A few bytes can ask for any amount of work: a component that instantiates another twice, which instantiates another twice,
//! and so on for 28 levels, has 2^28 instances and fits into 2 KB. So each definition is weighed once, by what one instance of
//! it brings with it, and what instantiates it adds that weight: linear in the size of the file, whatever it says. The
//! compiler validates the rest; what is not understood here is left for it to refuse, in its own words.
//!
//! Before that, what people put into plugin files by mistake is reported apart.

use std::ops::AddAssign;

use anyhow::{Result, bail, ensure};
use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind,
    ComponentTypeRef, Instance, Parser, Payload,
};

use super::limits::MAX_PARTS;

/// Component instances, those within instances included.
const MAX_COMPONENT_INSTANCES: u64 = 1000;

/// Components within components.
const MAX_NESTING: usize = 16;

/// Functions of all modules. Python and JavaScript have the most, some 30 000.
const MAX_FUNCTIONS: u64 = 200_000;

/// Imports and exports of all components. The largest of the contract's worlds has fewer than 100.
const MAX_NAMES: u64 = 10_000;

/// Components and modules that one component has at hand, aliases included.
const MAX_DEFINITIONS: usize = 10_000;

/// Bytes of the name of an import or export.
const MAX_NAME: usize = 1024;

/// What one instance of a definition brings with it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Weight {
    component_instances: u64,
    core_instances: u64,
    memories: u64,
    tables: u64,
}

impl AddAssign for Weight {
    /// Saturates: more than there may be stays more.
    fn add_assign(&mut self, other: Self) {
        let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        add(&mut self.component_instances, other.component_instances);
        add(&mut self.core_instances, other.core_instances);
        add(&mut self.memories, other.memories);
        add(&mut self.tables, other.tables);
    }
}

/// A component or module whose end was not read yet.
#[derive(Debug, Default)]
struct Definition {
    is_module: bool,
    weight: Weight,
    /// Its index spaces; `None` for what it is given from outside, whose weight is not known.
    components: Vec<Option<Weight>>,
    modules: Vec<Option<Weight>>,
}

/// Refuses what is no component, and one that is made of more than a plugin needs.
///
/// # Errors
/// What it is instead, or what there is too much of, with the bound.
pub(super) fn check(bytes: &[u8]) -> Result<()> {
    check_preamble(bytes)?;
    let mut open: Vec<Definition> = Vec::new();
    let (mut functions, mut names) = (0, 0);
    for payload in Parser::new(0).parse_all(bytes) {
        let Ok(payload) = payload else {
            return Ok(());
        };
        match payload {
            Payload::Version { encoding, .. } => {
                open.push(Definition {
                    is_module: encoding == wasmparser::Encoding::Module,
                    ..Definition::default()
                });
                let depth = open.iter().filter(|it| !it.is_module).count();
                ensure!(
                    depth <= MAX_NESTING,
                    "components are nested in more than {MAX_NESTING} levels"
                );
            }
            Payload::FunctionSection(section) => {
                functions += u64::from(section.count());
                ensure!(
                    functions <= MAX_FUNCTIONS,
                    "it has more than {MAX_FUNCTIONS} functions"
                );
            }
            Payload::ComponentImportSection(section) => {
                count_names(&mut names, section.count())?;
                for import in section.into_iter().flatten() {
                    check_name(import.name.name)?;
                    note_import(&mut open, import.ty);
                }
            }
            Payload::ComponentExportSection(section) => {
                count_names(&mut names, section.count())?;
                for export in section.into_iter().flatten() {
                    check_name(export.name.name)?;
                    note_export(&mut open, export.kind, export.index);
                }
            }
            Payload::End(_) => {
                let Some(ended) = open.pop() else {
                    return Ok(());
                };
                if let Some(outer) = open.last_mut() {
                    match ended.is_module {
                        true => outer.modules.push(Some(ended.weight)),
                        false => outer.components.push(Some(ended.weight)),
                    }
                }
            }
            payload => {
                weigh(&mut open, payload)?;
            }
        }
    }
    Ok(())
}

/// Tells apart what people put into plugin files by mistake.
fn check_preamble(bytes: &[u8]) -> Result<()> {
    const MAGIC: &[u8] = b"\0asm";
    const COMPONENT: &[u8] = b"\x0d\0\x01\0";
    const MODULE: &[u8] = b"\x01\0\0\0";
    ensure!(!bytes.is_empty(), "the file is empty");
    let shown = &bytes[..bytes.len().min(MAGIC.len())];
    ensure!(
        MAGIC.starts_with(shown),
        "it is no WebAssembly: it begins with {:?}",
        String::from_utf8_lossy(shown)
    );
    match bytes.get(4..8) {
        None => bail!("it is cut off after {} bytes", bytes.len()),
        Some(COMPONENT) => Ok(()),
        Some(MODULE) => bail!(
            "it is a core module, not a component: build it for wasm32-wasip2, or make it one by `wasm-tools component new`"
        ),
        Some(other) => bail!("it is of a WebAssembly version that is not known: {other:02x?}"),
    }
}

/// Adds what a section brings to the definition that it is in.
fn weigh(open: &mut [Definition], payload: Payload<'_>) -> Result<()> {
    let Some((current, outer)) = open.split_last_mut() else {
        return Ok(());
    };
    match payload {
        Payload::MemorySection(section) => current.weight.memories += u64::from(section.count()),
        Payload::TableSection(section) => current.weight.tables += u64::from(section.count()),
        Payload::InstanceSection(section) => {
            for instance in section.into_iter().flatten() {
                if let Instance::Instantiate { module_index, .. } = instance {
                    current.weight += known(&current.modules, module_index, "module")?;
                    current.weight.core_instances = current.weight.core_instances.saturating_add(1);
                }
            }
        }
        Payload::ComponentInstanceSection(section) => {
            for instance in section.into_iter().flatten() {
                if let ComponentInstance::Instantiate {
                    component_index, ..
                } = instance
                {
                    current.weight += known(&current.components, component_index, "component")?;
                    let instances = &mut current.weight.component_instances;
                    *instances = instances.saturating_add(1);
                }
            }
        }
        Payload::ComponentAliasSection(section) => {
            for alias in section.into_iter().flatten() {
                note_alias(current, outer, &alias);
            }
        }
        _ => return Ok(()),
    }
    ensure!(
        current.components.len() + current.modules.len() <= MAX_DEFINITIONS,
        "a component has more than {MAX_DEFINITIONS} components and modules"
    );
    match current.is_module {
        true => Ok(()),
        false => bound(&current.weight),
    }
}

/// The weight of a definition that is instantiated.
fn known(space: &[Option<Weight>], index: u32, what: &str) -> Result<Weight> {
    match space.get(index as usize) {
        Some(Some(weight)) => Ok(*weight),
        // It is handed in from outside, and nothing outside hands over such.
        Some(None) => bail!("it instantiates a {what} that it imports"),
        // No such index: the compiler refuses it.
        None => Ok(Weight::default()),
    }
}

fn bound(weight: &Weight) -> Result<()> {
    let parts = MAX_PARTS as u64;
    for (count, most, what) in [
        (
            weight.component_instances,
            MAX_COMPONENT_INSTANCES,
            "component instances",
        ),
        (weight.core_instances, parts, "core instances"),
        (weight.memories, parts, "memories"),
        (weight.tables, parts, "tables"),
    ] {
        ensure!(
            count <= most,
            "one instance of it would have {count} {what}; {most} are the most"
        );
    }
    Ok(())
}

fn note_import(open: &mut [Definition], import: ComponentTypeRef) {
    let Some(current) = open.last_mut() else {
        return;
    };
    match import {
        ComponentTypeRef::Module(_) => current.modules.push(None),
        ComponentTypeRef::Component(_) => current.components.push(None),
        _ => {}
    }
}

/// What is exported gets an index of its own.
fn note_export(open: &mut [Definition], kind: ComponentExternalKind, index: u32) {
    let Some(current) = open.last_mut() else {
        return;
    };
    let space = match kind {
        ComponentExternalKind::Module => &mut current.modules,
        ComponentExternalKind::Component => &mut current.components,
        _ => return,
    };
    space.push(space.get(index as usize).copied().flatten());
}

fn note_alias(current: &mut Definition, outer: &[Definition], alias: &ComponentAlias<'_>) {
    match *alias {
        ComponentAlias::InstanceExport { kind, .. } => match kind {
            ComponentExternalKind::Module => current.modules.push(None),
            ComponentExternalKind::Component => current.components.push(None),
            _ => {}
        },
        ComponentAlias::Outer { kind, count, index } => {
            let from = match count {
                0 => Some(&*current),
                count => outer.len().checked_sub(count as usize).map(|at| &outer[at]),
            };
            let weight = |space: &[Option<Weight>]| space.get(index as usize).copied().flatten();
            match kind {
                ComponentOuterAliasKind::CoreModule => {
                    let weight = from.and_then(|from| weight(&from.modules));
                    current.modules.push(weight);
                }
                ComponentOuterAliasKind::Component => {
                    let weight = from.and_then(|from| weight(&from.components));
                    current.components.push(weight);
                }
                _ => {}
            }
        }
        ComponentAlias::CoreInstanceExport { .. } => {}
    }
}

fn count_names(names: &mut u64, more: u32) -> Result<()> {
    *names += u64::from(more);
    ensure!(
        *names <= MAX_NAMES,
        "it has more than {MAX_NAMES} imports and exports"
    );
    Ok(())
}

fn check_name(name: &str) -> Result<()> {
    ensure!(
        name.len() <= MAX_NAME,
        "the name of an import or export has {} bytes; {MAX_NAME} are the most",
        name.len()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::builtin_components;

    fn verdict(text: &str) -> Result<(), String> {
        let bytes = wat::parse_str(text).expect("a component");
        check(&bytes).map_err(|error| error.to_string())
    }

    /// `levels` components, each of which instantiates the one within it twice; the innermost has a module.
    fn bomb(levels: u32) -> String {
        let mut text = "(core module $m) (core instance (instantiate $m))".to_owned();
        for level in 0..levels {
            text = format!(
                "(component $c{level} {text}) (instance (instantiate $c{level})) (instance (instantiate $c{level}))"
            );
        }
        format!("(component {text})")
    }

    #[test]
    fn default_plugins_are_within_every_bound() {
        for plugin in builtin_components::all() {
            check(plugin.component).unwrap();
        }
        check(builtin_components::DEMO).unwrap();
    }

    #[test]
    fn nested_instantiation_multiplies() {
        assert_eq!(verdict(&bomb(3)), Ok(()));
        assert_eq!(
            verdict(&bomb(7)).unwrap_err(),
            "one instance of it would have 128 core instances; 100 are the most"
        );
        assert_eq!(
            verdict(&bomb(28)).unwrap_err(),
            "components are nested in more than 16 levels"
        );
    }

    /// The same without nesting: each component instantiates its sibling of before, through an alias.
    #[test]
    fn instantiation_of_siblings_multiplies() {
        let mut text =
            "(component $c0 (core module $m) (core instance (instantiate $m)))".to_owned();
        for level in 1..29 {
            let before = level - 1;
            let _ = write!(
                text,
                "(component $c{level} (alias outer 1 $c{before} (component $b)) \
                 (instance (instantiate $b)) (instance (instantiate $b)))"
            );
        }
        let refusal = verdict(&format!("(component {text})")).unwrap_err();
        assert_eq!(
            refusal,
            "one instance of it would have 128 core instances; 100 are the most"
        );
    }

    #[test]
    fn what_one_instance_has_is_counted() {
        let repeated = |what: &str, count: usize| what.repeat(count);
        let table = [
            (
                "(core module $m (memory 1))",
                "(core instance (instantiate $m))",
                101,
                "101 core instances",
            ),
            (
                "(core module $m (memory 1) (memory 1) (memory 1))",
                "(core instance (instantiate $m))",
                34,
                "102 memories",
            ),
            (
                "(core module $m (table 1 funcref) (table 1 funcref))",
                "(core instance (instantiate $m))",
                51,
                "102 tables",
            ),
            (
                "(component $m)",
                "(instance (instantiate $m))",
                1001,
                "1001 component instances",
            ),
        ];
        for (definition, instance, count, what) in table {
            let with = |count| {
                verdict(&format!(
                    "(component {definition} {})",
                    repeated(instance, count)
                ))
            };
            assert_eq!(with(count - 1), Ok(()), "{what}");
            assert!(with(count).unwrap_err().contains(what), "{what}");
        }
    }

    #[test]
    fn functions_are_counted_over_all_modules() {
        let module =
            |name: &str, count: usize| format!("(core module ${name} {})", "(func)".repeat(count));
        let both = |count| {
            verdict(&format!(
                "(component {} {})",
                module("a", 100_000),
                module("b", count)
            ))
        };
        assert_eq!(both(100_000), Ok(()));
        assert_eq!(
            both(100_001).unwrap_err(),
            "it has more than 200000 functions"
        );
    }

    #[test]
    fn long_names_are_refused() {
        let named = |length: usize| {
            let name = "a".repeat(length);
            verdict(&format!(
                "(component (component $c) (instance $i (instantiate $c)) (export \"{name}\" (instance $i)))"
            ))
        };
        assert_eq!(named(1024), Ok(()));
        assert_eq!(
            named(1025).unwrap_err(),
            "the name of an import or export has 1025 bytes; 1024 are the most"
        );
    }

    #[test]
    fn what_comes_from_outside_cannot_be_instantiated() {
        let refusal =
            verdict("(component (import \"c\" (component $c)) (instance (instantiate $c)))");
        assert_eq!(
            refusal.unwrap_err(),
            "it instantiates a component that it imports"
        );
    }

    #[test]
    fn what_is_malformed_is_left_to_the_compiler() {
        for rest in [
            &b""[..],
            b"\x07",
            b"\xff\xff\xff",
            b"\x04\x08\0asm\x0d\0\x01\0",
        ] {
            check(&[b"\0asm\x0d\0\x01\0", rest].concat()).unwrap();
        }
    }
}
