//! Plugins' files, and what the program's log says of them.

use std::fmt::Write as _;
use std::fs;

use sha2::{Digest as _, Sha256};

use super::Proxy;
use super::component::Component;
use super::proxy::Start;

/// What the log calls this content of a plugin's file.
pub fn version(content: &[u8]) -> String {
    let hash = Sha256::digest(content);
    hash[..6].iter().fold(String::new(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

impl Start {
    /// Adds a plugin with more keys and puts this component into its file.
    pub fn component(self, name: &str, component: &Component, keys: &str) -> Self {
        self.plugin(name, keys)
            .file(&format!("{name}.wasm"), component.build())
    }
}

impl Proxy {
    /// Replaces a plugin's file by one with this content. In place, a busy machine would let half of it be seen.
    #[track_caller]
    pub fn write(&self, plugin: &str, content: &[u8]) {
        let path = self.path(&format!("{plugin}.wasm"));
        let new = path.with_extension("new");
        fs::write(&new, content).expect("a file can be written");
        fs::rename(new, path).expect("a file can be renamed");
    }

    /// Replaces a plugin's file and waits until it serves. Answers what the log calls it.
    #[track_caller]
    pub fn install(&self, plugin: &str, content: &[u8]) -> String {
        self.await_serving(plugin, content, || self.write(plugin, content))
    }

    /// Brings this content into a plugin's file in some way and waits until it serves. Answers what the log calls it.
    #[track_caller]
    pub fn await_serving(&self, plugin: &str, content: &[u8], bring: impl FnOnce()) -> String {
        let version = version(content);
        let line = format!("plugin {plugin}: version {version} serves (");
        let before = self.stderr.count(&line);
        bring();
        self.stderr.when(&line, |lines| {
            let count = lines.iter().filter(|it| it.contains(&line)).count();
            (count > before).then_some(())
        });
        version
    }

    /// Waits for a line that tells of a plugin's fault, and answers it.
    #[track_caller]
    pub fn await_fault(&self, plugin: &str, version: &str, kind: &str) -> String {
        let said = format!("version {version}: fault as ");
        let (kind, name) = (format!(": {kind}: "), format!("plugin=\"{plugin}\""));
        self.stderr.when(&format!("{said}… {kind}{name}"), |lines| {
            let is_it = |line: &&String| {
                line.contains(&said) && line.contains(&kind) && line.contains(&name)
            };
            lines.iter().find(is_it).cloned()
        })
    }
}
