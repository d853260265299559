//! The scratch folder of the demo: a plugin to change, with all that is needed to build it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use equipoise_wasm::builtin_components;

/// The root of the workspace that the SDK takes its versions from.
const WORKSPACE: &str = include_str!("../../../Cargo.toml");

const MANIFEST: &str = include_str!("../../../examples/plugins/demo/Cargo.toml");
const SOURCE: &str = include_str!("../../../examples/plugins/demo/src/lib.rs");

/// A folder with a plugin in source and as a component.
pub(super) struct SampleProject {
    folder: PathBuf,
}

impl SampleProject {
    /// Writes a new folder among the system's temporary ones. It stays when the demo has ended: it may have been edited
    /// it.
    ///
    /// # Errors
    /// What cannot be written.
    pub(super) fn write() -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("equipoise-demo-")
            .tempdir()
            .context("making a scratch folder")?
            .keep();
        let project = Self { folder };
        project.put("Cargo.toml", manifest())?;
        project.put("src/lib.rs", SOURCE)?;
        project.put("equipoise/Cargo.toml", workspace())?;
        for (path, content) in builtin_components::SDK {
            project.put(&format!("equipoise/{path}"), content)?;
        }
        project.put(COMPONENT, builtin_components::DEMO)?;
        Ok(project)
    }

    /// The folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The plugin's source.
    pub(super) fn source(&self) -> PathBuf {
        self.folder.join("src/lib.rs")
    }

    /// The component, where a build puts it.
    pub(super) fn component(&self) -> PathBuf {
        self.folder.join(COMPONENT)
    }

    /// Writes the balancer's configuration, to be changed while it runs, and says where.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn write_configuration(&self, text: &str) -> Result<PathBuf> {
        self.put(CONFIGURATION, text)?;
        Ok(self.folder.join(CONFIGURATION))
    }

    fn put(&self, path: &str, content: impl AsRef<[u8]>) -> Result<()> {
        let path = self.folder.join(path);
        let put = || {
            fs::create_dir_all(path.parent().unwrap_or(&self.folder))?;
            fs::write(&path, content)
        };
        put().with_context(|| format!("writing {}", path.display()))
    }
}

/// The configuration below the folder.
const CONFIGURATION: &str = "demo.toml";

/// The component below the folder.
const COMPONENT: &str = "target/wasm32-wasip2/release/demo_plugin.wasm";

/// The plugin's manifest, with the builtin_components::SDK beside it and a workspace of its own.
fn manifest() -> String {
    let here = MANIFEST.replace("../../../sdk", "equipoise/sdk");
    format!("{here}\n[profile.release]\nstrip = true\n\n[workspace]\nexclude = [\"equipoise\"]\n")
}

/// The manifest of the builtin_components::SDK's workspace, without the members that are not there.
fn workspace() -> String {
    let members = |line: &str| match line {
        line if line.starts_with("members =") => Some("members = [\"sdk\"]".to_owned()),
        line if line.starts_with("default-members =") => None,
        line => Some(line.to_owned()),
    };
    let lines: Vec<String> = WORKSPACE.lines().filter_map(members).collect();
    lines.join("\n")
}
