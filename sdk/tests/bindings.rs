//! The bindings that are committed are those that wit-bindgen makes of the contract. `EQUIPOISE_WRITE_BINDINGS=1` writes them.

use std::path::Path;

use wit_bindgen_core::wit_parser::Resolve;
use wit_bindgen_core::{Files, WorldGenerator as _};
use wit_bindgen_rust::{Opts, WithOption};

/// Worlds of `sdk/wit`, and whether they use the types of the imports.
const WORLDS: [(&str, bool); 8] = [
    ("imports", false),
    ("selector", true),
    ("prefetch", false),
    ("schedule", false),
    ("session", true),
    ("session-cookie", false),
    ("health", true),
    ("state", false),
];

const TYPES: &str = "equipoise:balancer/types@0.1.0";
const TYPES_OF_IMPORTS: &str = "crate::component::bindings::imports::equipoise::balancer::types";

fn generate(world: &str, uses_types_of_imports: bool) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut resolve = Resolve::default();
    resolve.push_path(root.join("../wit/v0.1")).unwrap();
    let (package, _) = resolve.push_path(root.join("wit")).unwrap();
    let id = resolve.select_world(&[package], Some(world)).unwrap();
    let path = WithOption::Path(TYPES_OF_IMPORTS.to_owned());
    let with = uses_types_of_imports.then(|| (TYPES.to_owned(), path));
    let options = Opts {
        format: true,
        with: with.into_iter().collect(),
        generate_all: true,
        generate_unused_types: world == "imports",
        pub_export_macro: world != "imports",
        ..Opts::default()
    };
    let mut files = Files::default();
    let mut generator = options.build();
    generator.generate(&mut resolve, id, &mut files).unwrap();
    let (_, source) = files.iter().next().unwrap();
    String::from_utf8(source.to_vec()).unwrap()
}

#[test]
fn bindings_are_those_of_the_contract() {
    for (world, uses_types_of_imports) in WORLDS {
        let file = format!("src/component/bindings/{}.rs", world.replace('-', "_"));
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let generated = generate(world, uses_types_of_imports);
        if std::env::var_os("EQUIPOISE_WRITE_BINDINGS").is_some() {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, &generated).unwrap();
        }
        let committed = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            committed == generated,
            "{world}: the contract has changed; run EQUIPOISE_WRITE_BINDINGS=1 cargo test -p equipoise-sdk --test bindings"
        );
    }
}
