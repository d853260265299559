//! A headless Chromium, driven by the DevTools protocol over a pipe: JSON with a NUL behind every message.
//!
//! What is on a page is found as a screen reader finds it, by role and accessible name, and pressed with a mouse or with
//! keys, as a person would.

use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use equipoise_harness::process::STOPPING;
use equipoise_harness::{Process, WAIT_TIMEOUT, program};
use serde_json::{Value, json};
use tempfile::TempDir;

const NEED: &str = "these tests need Chromium (Debian: apt-get install chromium)";

/// Hands the pipes on as the browser expects them: it reads from 3 and writes to 4.
const PIPED: &str = "exec chromium \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1";

/// How the browser is started: without a window, without asking its maker for anything, and as root, too, where tests run in
/// a container: it sees no pages but the tests' own.
const ARGUMENTS: &[&str] = &[
    "--headless",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--hide-scrollbars",
];

/// A browser with one page. Its files go with it.
pub(crate) struct Browser {
    input: ChildStdin,
    messages: Receiver<Value>,
    /// Events up to now that were not read.
    events: Vec<Value>,
    next: u64,
    session: Option<String>,
    _process: Process,
    _directory: TempDir,
}

/// How a page is looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    /// Pixels.
    pub(crate) width: u32,
    /// Pixels.
    pub(crate) height: u32,
    pub(crate) is_dark: bool,
}

/// A window on a desk, by day.
pub(crate) const DESK: Look = Look {
    width: 1360,
    height: 860,
    is_dark: false,
};

impl Browser {
    /// Starts with an empty page.
    ///
    /// # Panics
    /// There is no Chromium; the message says what is needed.
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (process, input, output) = spawn(directory.path());
        let mut browser = Self {
            input,
            messages: listen(output),
            events: Vec::new(),
            next: 0,
            session: None,
            _process: process,
            _directory: directory,
        };
        browser.open_page();
        browser
    }

    fn open_page(&mut self) {
        let target = self.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = self.call("Target.attachToTarget", attach);
        self.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network", "DOM", "Accessibility"] {
            self.call(&format!("{domain}.enable"), json!({}));
        }
        self.look(DESK);
    }

    /// Looks at the page in another way.
    pub(crate) fn look(&mut self, look: Look) {
        let Look {
            width,
            height,
            is_dark,
        } = look;
        let metrics = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600,
        });
        self.call("Emulation.setDeviceMetricsOverride", metrics);
        let scheme = if is_dark { "dark" } else { "light" };
        // Without motion, so that a picture shows no half of a change of colours.
        let still = json!({ "name": "prefers-reduced-motion", "value": "reduce" });
        let colours = json!({ "name": "prefers-color-scheme", "value": scheme });
        let media = json!({ "features": [colours, still] });
        self.call("Emulation.setEmulatedMedia", media);
    }

    /// Opens an address, and waits until everything is loaded.
    #[track_caller]
    pub(crate) fn open(&mut self, url: &str) {
        let answer = self.call("Page.navigate", json!({ "url": url }));
        assert!(answer["errorText"].is_null(), "{url}: {answer}");
        let loader = answer["loaderId"].clone();
        self.eventually(&format!("{url} is loaded"), |browser| {
            let ready = browser.evaluate("document.readyState");
            (ready == "complete" && !loader.is_null()).then_some(())
        });
    }

    /// What a script gives, when its promise is kept if it gives one.
    #[track_caller]
    pub(crate) fn evaluate(&mut self, script: &str) -> Value {
        let question = json!({ "expression": script, "awaitPromise": true, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", question);
        let thrown = &answer["exceptionDetails"];
        assert!(thrown.is_null(), "{script}: {thrown}");
        answer["result"]["value"].clone()
    }

    /// Waits until the page has such text, and shows it.
    #[track_caller]
    pub(crate) fn await_text(&mut self, text: &str) {
        let script = format!("document.body.innerText.includes({})", json!(text));
        self.eventually(&format!("the text {text:?}"), |browser| {
            (browser.evaluate(&script) == true).then_some(())
        });
    }

    /// Presses what has this role and this accessible name, by the mouse.
    #[track_caller]
    pub(crate) fn click(&mut self, role: &str, name: &str) {
        let node = self.find(role, name);
        let target = json!({ "backendNodeId": node });
        self.call("DOM.scrollIntoViewIfNeeded", target.clone());
        let quads = self.call("DOM.getContentQuads", target);
        let at = |index: usize| quads["quads"][0][index].as_f64().unwrap_or_default();
        let (x, y) = ((at(0) + at(4)) / 2.0, (at(1) + at(5)) / 2.0);
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({ "type": kind, "x": x, "y": y, "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", event);
        }
    }

    /// Gives a file to the only field for files that the page shows. Its name is what Chromium makes of it and of the file
    /// that is chosen, so it is not found by that.
    #[track_caller]
    pub(crate) fn give_file(&mut self, file: &Path) {
        let field = "document.querySelector('input[type=file]')";
        let found = self.call("Runtime.evaluate", json!({ "expression": field }));
        let object = found["result"]["objectId"].clone();
        let files = json!({ "objectId": object, "files": [file] });
        self.call("DOM.setFileInputFiles", files);
    }

    /// Types a text where the focus is.
    pub(crate) fn write(&mut self, text: &str) {
        self.call("Input.insertText", json!({ "text": text }));
    }

    /// Presses a key: `Tab`, `Enter`, `Escape`, or one character.
    pub(crate) fn press(&mut self, key: &str) {
        let (code, text) = match key {
            "Tab" => (9, ""),
            "Enter" => (13, "\r"),
            "Escape" => (27, ""),
            " " => (32, " "),
            _ => (0, key),
        };
        for kind in ["keyDown", "keyUp"] {
            let mut event = json!({ "type": kind, "key": key, "windowsVirtualKeyCode": code });
            if kind == "keyDown" && !text.is_empty() {
                event["text"] = json!(text);
            }
            self.call("Input.dispatchKeyEvent", event);
        }
    }

    /// Presses Tab until the focus is on what has this accessible name, as a user without a mouse does.
    #[track_caller]
    pub(crate) fn tab_to(&mut self, name: &str) {
        const MAX_TABS: usize = 200;
        for _ in 0..MAX_TABS {
            let focused = self.evaluate(
                "(document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent).trim()",
            );
            if focused == name {
                return;
            }
            self.press("Tab");
        }
        panic!("{MAX_TABS} times Tab do not lead to {name:?}");
    }

    /// Whether something with this role and accessible name is there now.
    pub(crate) fn has(&mut self, role: &str, name: &str) -> bool {
        self.query(&json!({ "role": role, "accessibleName": name }))
            .is_some()
    }

    #[track_caller]
    fn find(&mut self, role: &str, name: &str) -> Value {
        let query = json!({ "role": role, "accessibleName": name });
        self.eventually(&format!("a {role} named {name:?}"), |browser| {
            browser.query(&query)
        })
    }

    /// The first that is not hidden.
    fn query(&mut self, query: &Value) -> Option<Value> {
        let root = self.call("DOM.getDocument", json!({ "depth": 0 }));
        let mut query = query.clone();
        query["nodeId"] = root["root"]["nodeId"].clone();
        let found = self.call("Accessibility.queryAXTree", query);
        let mut nodes = found["nodes"].as_array().into_iter().flatten();
        let node = nodes.find(|node| node["ignored"] != true)?;
        Some(node["backendDOMNodeId"].clone())
    }

    /// Looks until something is found: what a page does sends no event that all of this could wait for.
    #[track_caller]
    pub(crate) fn eventually<T>(
        &mut self,
        what: &str,
        mut found: impl FnMut(&mut Self) -> Option<T>,
    ) -> T {
        let start = Instant::now();
        loop {
            if let Some(found) = found(self) {
                return found;
            }
            if start.elapsed() > WAIT_TIMEOUT {
                let text = self.evaluate("document.body.innerText");
                panic!(
                    "waited in vain: {what}; the page says {text}; it met {:?}",
                    self.complaints()
                );
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Keeps a picture of the page in the folder of build artefacts.
    pub(crate) fn keep_picture(&mut self, name: &str) {
        let picture = self.call("Page.captureScreenshot", json!({ "format": "png" }));
        let bytes = from_base64(picture["data"].as_str().unwrap_or_default());
        let folder = pictures();
        fs::create_dir_all(&folder).expect("making a folder");
        fs::write(folder.join(format!("{name}.png")), bytes).expect("writing a file");
    }

    /// Where the page sent requests to, all of them.
    pub(crate) fn asked(&mut self) -> Vec<String> {
        self.settle();
        let requests = self
            .events
            .iter()
            .filter(|event| event["method"] == "Network.requestWillBeSent");
        let url = |event: &Value| {
            event["params"]["request"]["url"]
                .as_str()
                .map(str::to_owned)
        };
        requests.filter_map(url).collect()
    }

    /// What scripts threw, what they wrote as errors, and what the browser refused them. That an answer was an error is no
    /// complaint of the page's: it may show it well.
    pub(crate) fn complaints(&mut self) -> Vec<String> {
        self.settle();
        let is_complaint = |event: &&Value| match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            Some("Runtime.consoleAPICalled") => event["params"]["type"] == "error",
            Some("Log.entryAdded") => {
                let entry = &event["params"]["entry"];
                entry["level"] == "error" && entry["source"] != "network"
            }
            _ => false,
        };
        let complaints = self.events.iter().filter(is_complaint);
        complaints
            .map(|event| event["params"].to_string())
            .collect()
    }

    /// Takes what has happened up to now.
    fn settle(&mut self) {
        self.call("Runtime.evaluate", json!({ "expression": "0" }));
    }

    /// Calls a method of the protocol, and waits for its answer.
    #[track_caller]
    fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.next += 1;
        let id = self.next;
        let mut message = json!({ "id": id, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.input.write_all(&bytes).expect(NEED);
        loop {
            let message = self.messages.recv_timeout(WAIT_TIMEOUT);
            let message = message.unwrap_or_else(|error| panic!("{method}: {error}; {NEED}"));
            if message["id"] == id {
                let error = &message["error"];
                // A page that is just replaced has no nodes and no scripts for a moment; the next look finds the new.
                return if error.is_null() {
                    message["result"].clone()
                } else {
                    json!({ "errorText": error })
                };
            }
            self.events.push(message);
        }
    }
}

fn spawn(directory: &Path) -> (Process, ChildStdin, ChildStdout) {
    let mut command = Command::new("sh");
    command
        .args(["-c", PIPED, "sh"])
        .args(ARGUMENTS)
        .arg(format!("--user-data-dir={}", directory.display()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let process = Process::start_to_stop(&mut command, STOPPING);
    let mut process = process.expect("starting sh");
    let child = process.child();
    let input = child.stdin.take().expect("it is piped");
    let output = child.stdout.take().expect("it is piped");
    (process, input, output)
}

/// Reads messages until the browser is gone.
fn listen(output: ChildStdout) -> Receiver<Value> {
    let (sender, messages) = channel();
    thread::spawn(move || {
        let parts = BufReader::new(output).split(0);
        let told = parts
            .map_while(Result::ok)
            .filter_map(|bytes| serde_json::from_slice(&bytes).ok());
        for message in told {
            if sender.send(message).is_err() {
                return;
            }
        }
    });
    messages
}

/// The folder for pictures, below the folder that Cargo builds into.
fn pictures() -> PathBuf {
    program::target().join("screenshots")
}

/// The bytes that a text in Base64 stands for.
fn from_base64(text: &str) -> Vec<u8> {
    let value = |character: u8| match character {
        b'A'..=b'Z' => Some(character - b'A'),
        b'a'..=b'z' => Some(character - b'a' + 26),
        b'0'..=b'9' => Some(character - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let values: Vec<u8> = text.bytes().filter_map(value).collect();
    let mut bytes = Vec::with_capacity(values.len() * 3 / 4);
    for four in values.chunks(4) {
        let bits = four
            .iter()
            .fold(0_u32, |bits, value| bits << 6 | u32::from(*value));
        let bits = bits << (6 * (4 - four.len()));
        bytes.extend_from_slice(&bits.to_be_bytes()[1..four.len()]);
    }
    bytes
}
