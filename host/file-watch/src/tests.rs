//! Every way in which files are changed, seen by each of the two mechanisms alone: by events with a poll that never
//! comes, and by the poll without any event.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

use super::*;

/// No test waits longer for something that must come.
const BOUND: Duration = Duration::from_secs(20);

const LARGEST: u64 = 1024 * 1024;

#[derive(Debug, Clone, Copy)]
enum By {
    Events,
    Poll,
}

/// Runs a test once with each mechanism.
fn by_each(test: impl Fn(By) + Sync) {
    thread::scope(|scope| {
        scope.spawn(|| test(By::Events));
        scope.spawn(|| test(By::Poll));
    });
}

/// A folder, and a watcher of its files `plugin` and `sentinel` at work in a thread.
struct Bench {
    folder: TempDir,
    changes: Receiver<Change<&'static str>>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl Bench {
    /// Starts when the folder has been filled.
    fn start(by: By, fill: impl FnOnce(&Path)) -> Self {
        Self::start_with(by, None, fill)
    }

    /// Starts with this content being known of `plugin`.
    fn start_knowing(by: By, known: &str, fill: impl FnOnce(&Path)) -> Self {
        Self::start_with(by, Some(Content::new(known.into()).hash), fill)
    }

    fn start_with(by: By, known: Option<Hash>, fill: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fill(folder.path());
        fs::write(folder.path().join("sentinel"), "0").unwrap();
        let files = [
            ("plugin", folder.path().join("plugin"), known),
            (
                "sentinel",
                folder.path().join("sentinel"),
                Some(Content::new("0".into()).hash),
            ),
        ];
        let mut watcher = match by {
            By::Events => Watcher::polling(files, LARGEST, Duration::from_secs(3600)),
            By::Poll => Watcher::polling(files, LARGEST, Duration::from_millis(20)),
        };
        if let By::Events = by {
            watcher.listen();
            assert!(watcher.events.is_some(), "the system has no events");
        }
        let (sender, changes) = mpsc::channel();
        let waker = watcher.waker();
        // Unlike `Watcher::wait`, this does not begin with a look but ends with one: what happens after a report can
        // only come to light by an event or the poll.
        let mut settled = settle(&mut watcher);
        let work = move || {
            while let Some(changes) = settled {
                for change in changes {
                    sender.send(change).unwrap();
                }
                let is_woken = watcher.sleep();
                settled = if is_woken { None } else { settle(&mut watcher) };
            }
        };
        Self {
            folder,
            changes,
            waker,
            thread: Some(thread::spawn(work)),
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn next(&self) -> Change<&'static str> {
        self.changes
            .recv_timeout(BOUND)
            .expect("nothing was reported")
    }

    /// What is reported next of `plugin`.
    fn next_result(&self) -> Result<Content, Unreadable> {
        let Change { key, content } = self.next();
        assert_eq!(key, "plugin");
        content
    }

    /// This content is reported. An empty or missing file may be reported before: when the machine is busy, a change
    /// in several steps can have a quiet moment in its middle.
    fn expect(&self, content: impl AsRef<[u8]>) {
        let content = content.as_ref();
        let reported = loop {
            match self.next_result() {
                Ok(reported) if reported.bytes.is_empty() && !content.is_empty() => {}
                Err(error) if is_missing(&error) => {}
                result => break result.unwrap(),
            }
        };
        assert_eq!(reported.bytes, content);
        assert_eq!(reported.hash, Content::new(content.to_vec()).hash);
    }

    fn expect_missing(&self) {
        let error = self.next_result().unwrap_err();
        assert!(is_missing(&error), "{error}");
    }

    /// Nothing more is reported of `plugin`: what changes after it is reported next.
    fn expect_silence(&self) {
        let sentinel = self.at("sentinel");
        let before = fs::read_to_string(&sentinel).unwrap();
        replace(&sentinel, format!("{before}0"));
        assert_eq!(self.next().key, "sentinel");
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.waker.wake();
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || matches!(ended, Some(Ok(()))));
    }
}

/// Lets the watcher work until nothing is left to do, and gives what it had to report. `None` when woken.
fn settle<K: Clone + Eq + std::hash::Hash>(watcher: &mut Watcher<K>) -> Option<Vec<Change<K>>> {
    let mut changes = Vec::new();
    loop {
        watcher.look();
        changes.extend(watcher.read_due());
        if watcher
            .files
            .iter()
            .all(|(_, file)| file.read_at().is_none())
        {
            return Some(changes);
        }
        if watcher.sleep() {
            return None;
        }
    }
}

fn is_missing(error: &Unreadable) -> bool {
    matches!(error, Unreadable::Io(error) if error.kind() == ErrorKind::NotFound)
}

/// Puts a file with this content into the place of another, in one step.
fn replace(path: &Path, content: impl AsRef<[u8]>) {
    let new = path.with_extension("new");
    fs::write(&new, content).unwrap();
    fs::rename(new, path).unwrap();
}

/// Makes a symlink lead elsewhere, in one step.
fn point(link: &Path, target: impl AsRef<Path>) {
    let new = link.with_extension("new");
    symlink(target, &new).unwrap();
    fs::rename(new, link).unwrap();
}

#[test]
fn unknown_content_is_reported_at_once_and_known_content_never() {
    by_each(|by| {
        let fill = |folder: &Path| fs::write(folder.join("plugin"), "a").unwrap();
        Bench::start(by, fill).expect("a");
        Bench::start_knowing(by, "a", fill).expect_silence();
        Bench::start_knowing(by, "b", fill).expect("a");
    });
}

#[test]
fn file_written_in_place_is_reported() {
    by_each(|by| {
        let bench = Bench::start_knowing(by, "a", |folder| {
            fs::write(folder.join("plugin"), "a").unwrap();
        });
        for content in ["b", "a", "", "a longer one"] {
            fs::write(bench.at("plugin"), content).unwrap();
            bench.expect(content);
        }
        bench.expect_silence();
    });
}

#[test]
fn file_renamed_over_is_reported() {
    by_each(|by| {
        let bench = Bench::start_knowing(by, "a", |folder| {
            fs::write(folder.join("plugin"), "a").unwrap();
        });
        for content in ["b", "a", "c"] {
            replace(&bench.at("plugin"), content);
            bench.expect(content);
        }
        bench.expect_silence();
    });
}

#[test]
fn same_content_in_another_file_is_no_change() {
    by_each(|by| {
        let bench = Bench::start_knowing(by, "a", |folder| {
            fs::write(folder.join("plugin"), "a").unwrap();
        });
        replace(&bench.at("plugin"), "a");
        bench.expect_silence();
        let file = File::options().write(true).open(bench.at("plugin"));
        file.unwrap()
            .set_modified(std::time::SystemTime::UNIX_EPOCH)
            .unwrap();
        bench.expect_silence();
    });
}

#[test]
fn bytes_changed_with_the_old_time_set_back_are_reported() {
    by_each(|by| {
        let bench = Bench::start_knowing(by, "a", |folder| {
            fs::write(folder.join("plugin"), "a").unwrap();
        });
        let path = bench.at("plugin");
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        let mut file = File::options().write(true).open(&path).unwrap();
        file.write_all(b"b").unwrap();
        file.set_modified(modified).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), modified);
        bench.expect("b");
    });
}

#[test]
fn symlink_that_leads_elsewhere_is_followed() {
    by_each(|by| {
        let bench = Bench::start_knowing(by, "a", |folder| {
            for name in ["a", "b", "c"] {
                fs::create_dir(folder.join(name)).unwrap();
                fs::write(folder.join(name).join("file"), name).unwrap();
            }
            symlink("a/file", folder.join("plugin")).unwrap();
        });
        fs::write(bench.at("a/file"), "in place").unwrap();
        bench.expect("in place");
        point(&bench.at("plugin"), "b/file");
        bench.expect("b");
        replace(&bench.at("b/file"), "renamed over");
        bench.expect("renamed over");
        point(&bench.at("plugin"), bench.at("c/file"));
        bench.expect("c");
        fs::write(bench.at("a/file"), "nobody looks here").unwrap();
        bench.expect_silence();
    });
}

#[test]
fn volume_swapped_as_by_kubernetes_is_followed() {
    by_each(|by| {
        let version = |folder: &Path, version: &str| {
            fs::create_dir(folder.join(version)).unwrap();
            fs::write(folder.join(version).join("plugin"), version).unwrap();
        };
        let bench = Bench::start_knowing(by, "..2026_1", |folder| {
            version(folder, "..2026_1");
            symlink("..2026_1", folder.join("..data")).unwrap();
            symlink("..data/plugin", folder.join("plugin")).unwrap();
        });
        for (old, new) in [("..2026_1", "..2026_2"), ("..2026_2", "..2026_3")] {
            version(bench.folder.path(), new);
            symlink(new, bench.at("..data_tmp")).unwrap();
            fs::rename(bench.at("..data_tmp"), bench.at("..data")).unwrap();
            fs::remove_dir_all(bench.at(old)).unwrap();
            bench.expect(new);
        }
        bench.expect_silence();
    });
}

#[test]
fn deleted_file_is_no_change_until_it_is_back_with_another_content() {
    by_each(|by| {
        let bench = Bench::start_knowing(by, "a", |folder| {
            fs::write(folder.join("plugin"), "a").unwrap();
        });
        for _ in 0..2 {
            fs::remove_file(bench.at("plugin")).unwrap();
            bench.expect_missing();
            bench.expect_silence();
            replace(&bench.at("plugin"), "a");
            bench.expect_silence();
        }
        fs::remove_file(bench.at("plugin")).unwrap();
        bench.expect_missing();
        fs::write(bench.at("plugin"), "b").unwrap();
        bench.expect("b");
    });
}

#[test]
fn folder_deleted_and_made_again_is_followed() {
    by_each(|by| {
        let bench = Bench::start_knowing(by, "a", |folder| {
            fs::create_dir_all(folder.join("x/y")).unwrap();
            fs::write(folder.join("x/y/file"), "a").unwrap();
            symlink("x/y/file", folder.join("plugin")).unwrap();
        });
        for content in ["b", "c"] {
            // At once, so that the new folders may have the inodes of the old ones.
            fs::remove_dir_all(bench.at("x")).unwrap();
            fs::create_dir_all(bench.at("x/y")).unwrap();
            fs::write(bench.at("x/y/file"), content).unwrap();
            bench.expect(content);
        }
        // Slowly.
        fs::remove_dir_all(bench.at("x")).unwrap();
        bench.expect_missing();
        fs::create_dir(bench.at("x")).unwrap();
        bench.expect_silence();
        fs::create_dir(bench.at("x/y")).unwrap();
        bench.expect_silence();
        fs::write(bench.at("x/y/file"), "d").unwrap();
        bench.expect("d");
        fs::write(bench.at("x/y/file"), "e").unwrap();
        bench.expect("e");
    });
}

#[test]
fn folder_renamed_over_is_followed() {
    by_each(|by| {
        let bench = Bench::start_knowing(by, "a", |folder| {
            fs::create_dir(folder.join("x")).unwrap();
            fs::write(folder.join("x/file"), "a").unwrap();
            symlink("x/file", folder.join("plugin")).unwrap();
        });
        for content in ["b", "c"] {
            fs::create_dir(bench.at("new")).unwrap();
            fs::write(bench.at("new/file"), content).unwrap();
            let old = bench.at(&format!("before_{content}"));
            fs::rename(bench.at("x"), &old).unwrap();
            fs::rename(bench.at("new"), bench.at("x")).unwrap();
            bench.expect(content);
            fs::remove_dir_all(old).unwrap();
            bench.expect_silence();
        }
        fs::write(bench.at("x/file"), "d").unwrap();
        bench.expect("d");
    });
}

#[test]
fn poll_notices_what_no_folder_tells() {
    let bench = Bench::start_knowing(By::Poll, "a", |folder| {
        for (name, content) in [("x", "a"), ("z", "b")] {
            fs::create_dir_all(folder.join(name).join("y/y")).unwrap();
            fs::write(folder.join(name).join("y/y/file"), content).unwrap();
        }
        symlink("x/y/y/file", folder.join("plugin")).unwrap();
    });
    fs::rename(bench.at("x"), bench.at("old")).unwrap();
    fs::rename(bench.at("z"), bench.at("x")).unwrap();
    bench.expect("b");
}

#[test]
fn missing_file_is_reported_once_and_its_content_when_it_is_there() {
    by_each(|by| {
        let bench = Bench::start(by, |_| ());
        bench.expect_missing();
        bench.expect_silence();
        fs::write(bench.at("plugin"), "a").unwrap();
        bench.expect("a");
    });
}

#[test]
fn last_of_a_thousand_files_renamed_over_is_reported_and_none_in_parts() {
    by_each(|by| {
        let content = |version: u32| version.to_le_bytes().repeat(10_000);
        let bench = Bench::start(by, |_| ());
        bench.expect_missing();
        for version in 1..=1000 {
            replace(&bench.at("plugin"), content(version));
        }
        loop {
            let bytes = bench.next_result().unwrap().bytes;
            let version = u32::from_le_bytes(*bytes.first_chunk().unwrap());
            assert!(bytes == content(version), "parts of several versions");
            if version == 1000 {
                break;
            }
        }
        bench.expect_silence();
    });
}

#[test]
fn last_of_a_thousand_contents_written_in_place_is_reported() {
    by_each(|by| {
        let content = |version: u32| version.to_le_bytes().repeat(10_000);
        let bench = Bench::start(by, |_| ());
        bench.expect_missing();
        for version in 1..=1000 {
            fs::write(bench.at("plugin"), content(version)).unwrap();
        }
        while bench.next_result().unwrap().bytes != content(1000) {}
        bench.expect_silence();
    });
}

#[test]
fn files_changed_together_are_all_reported() {
    by_each(|by| {
        let bench = Bench::start(by, |_| ());
        bench.expect_missing();
        replace(&bench.at("plugin"), "a");
        replace(&bench.at("sentinel"), "b");
        let mut files = [bench.next().key, bench.next().key];
        files.sort_unstable();
        assert_eq!(files, ["plugin", "sentinel"]);
    });
}

#[test]
fn too_large_file_is_refused_with_both_sizes() {
    by_each(|by| {
        let bench = Bench::start_knowing(by, "a", |folder| {
            fs::write(folder.join("plugin"), "a").unwrap();
        });
        // Without blocks on the disk; reading it would take long nevertheless.
        let file = File::create(bench.at("new")).unwrap();
        file.set_len(1 << 40).unwrap();
        fs::rename(bench.at("new"), bench.at("plugin")).unwrap();
        let error = bench.next_result().unwrap_err();
        assert_eq!(
            error.to_string(),
            "it has 1099511627776 bytes, but up to 1048576 are allowed"
        );
        bench.expect_silence();
        file.set_len(LARGEST).unwrap();
        bench.expect(vec![0; 1 << 20]);
    });
}

#[test]
fn what_is_not_a_file_is_refused_without_waiting_for_it() {
    by_each(|by| {
        let bench = Bench::start_knowing(by, "a", |folder| {
            fs::write(folder.join("plugin"), "a").unwrap();
        });
        let new = bench.at("new");
        let refused = |what| {
            fs::rename(&new, bench.at("plugin")).unwrap();
            let error = bench.next_result().unwrap_err();
            assert_eq!(error.to_string(), format!("it is {what}, not a file"));
            bench.expect_silence();
        };

        mknodat(CWD, &new, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        refused("a pipe");
        let _socket = UnixListener::bind(&new).unwrap();
        refused("a socket");
        symlink("/dev/zero", &new).unwrap();
        refused("a device");
        fs::remove_file(bench.at("plugin")).unwrap();
        bench.expect_missing();
        fs::create_dir(&new).unwrap();
        refused("a directory");

        fs::remove_dir(bench.at("plugin")).unwrap();
        bench.expect_missing();
        replace(&bench.at("plugin"), "a");
        bench.expect_silence();
    });
}

#[test]
fn symlink_to_itself_is_unreadable_until_it_leads_somewhere() {
    by_each(|by| {
        let bench = Bench::start(by, |folder| {
            symlink("plugin", folder.join("plugin")).unwrap();
        });
        assert!(matches!(bench.next_result(), Err(Unreadable::Io(_))));
        bench.expect_silence();
        fs::write(bench.at("a"), "a").unwrap();
        point(&bench.at("plugin"), "a");
        bench.expect("a");
    });
}

#[test]
fn waker_ends_the_wait_even_when_it_was_earlier() {
    let mut watcher = Watcher::<()>::new([], LARGEST);
    let waker = watcher.waker();
    waker.wake();
    waker.wake();
    assert!(watcher.wait().is_none());

    watcher.poll = Duration::from_secs(3600);
    let thread = thread::spawn(move || watcher.wait().is_none());
    waker.wake();
    assert!(thread.join().unwrap());
}

#[test]
fn both_mechanisms_together_report_a_change_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plugin");
    fs::write(&path, "a").unwrap();
    let known = read(&path, LARGEST).unwrap().hash;
    let mut watcher = Watcher::new([((), path.clone(), Some(known))], LARGEST);
    assert!(settle(&mut watcher).unwrap().is_empty());
    replace(&path, "b");
    let change = watcher.wait().unwrap();
    assert_eq!(change.content.unwrap().bytes, b"b");
    assert!(settle(&mut watcher).unwrap().is_empty());
}

#[test]
fn reading_once_tells_why_it_cannot() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plugin");
    let why = || read(&path, 3).unwrap_err().to_string();
    assert_eq!(why(), "No such file or directory (os error 2)");
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR, 0).unwrap();
    assert_eq!(why(), "it is a pipe, not a file");
    fs::remove_file(&path).unwrap();
    fs::write(&path, "four").unwrap();
    assert_eq!(why(), "it has 4 bytes, but up to 3 are allowed");
    assert_eq!(read(&path, 4).unwrap().bytes, b"four");
}

#[test]
fn files_are_known_by_their_keys_wherever_they_stand() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["a", "b", "c"] {
        fs::write(path(name), name).unwrap();
    }
    let known = |name: &str| Some(Content::new(name.into()).hash);
    let mut watcher = Watcher::new(["a", "b"].map(|it| (it, path(it), known(it))), LARGEST);
    assert!(settle(&mut watcher).unwrap().is_empty());
    // One goes, one comes before what stays.
    watcher.follow(["c", "b"].map(|it| (it, path(it), None)));
    let news = settle(&mut watcher).unwrap();
    assert_eq!(news.iter().map(|it| it.key).collect::<Vec<_>>(), ["c"]);
    // The same key leads to another file.
    watcher.follow([("b", path("a"), None)]);
    let news = settle(&mut watcher).unwrap();
    assert_eq!(news[0].content.as_ref().unwrap().bytes, b"a");
    // What is not watched is passed over.
    watcher.mark_known(&"c", Hash::default());
    watcher.forget(&"a");
    assert!(settle(&mut watcher).unwrap().is_empty());
}
