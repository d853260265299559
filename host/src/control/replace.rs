//! Replacing a file: the new content is written whole to a file beside it, which then takes its name, so that the file has
//! either what it had before or all of the new, whenever the power goes.
//!
//! The file beside it has a name of ours and is locked while it is written. So one that a program left when it died can be
//! told from one that is being written, and from what is not ours: [`sweep`] removes the first alone.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{XattrFlags, fsetxattr, getxattr, listxattr};
use rustix::io::Errno;
use tempfile::Builder;

use equipoise_file_watch as file_watch;

/// What stands between a file's name and random letters in the name of the file beside it, and behind them.
const INFIX: &str = ".equipoise-";
const SUFFIX: &str = ".tmp";

/// Random letters and digits in the name of the file beside it.
const RANDOM: usize = 6;

/// So much of a file's name is in the name of the file beside it, in bytes: a name may have 255.
const MAX_NAME: usize = 200;

/// How many links may lead to a file, one after the other; as Linux has it.
const MAX_LINKS: usize = 40;

/// Bytes of the names of a file's extended attributes, and of the value of one: what Linux allows.
const MAX_ATTRIBUTE: usize = 64 * 1024;

/// A file that was replaced.
#[derive(Debug, Default)]
pub(super) struct Replaced {
    /// What the file before had and this one has not, such as its owner: each with the reason.
    pub(super) lost: Vec<String>,
    /// Why the file before may come back after a power failure; none where it will not.
    pub(super) unsure: Option<io::Error>,
}

/// Replaces the content of a regular file, or makes one. Owner, mode and extended attributes stay, as far as this program may
/// give them; where a link stands in its place, it is what that leads to that is replaced.
///
/// # Errors
/// The content cannot be written, or something else than a file has the name: everything is as before then.
pub(super) fn replace(file: &Path, bytes: &[u8]) -> io::Result<Replaced> {
    replace_by(file, bytes, |folder| File::open(folder)?.sync_all())
}

/// The same, where `sync` makes the names in a folder last.
fn replace_by(
    file: &Path,
    bytes: &[u8],
    sync: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<Replaced> {
    let file = target(file);
    let before = match fs::symlink_metadata(&file) {
        Ok(before) => Some(before),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    if let Some(before) = &before {
        file_watch::check_type(before.file_type())?;
    }
    let mut whole = Builder::new()
        .prefix(&prefix(&file))
        .suffix(SUFFIX)
        .rand_bytes(RANDOM)
        .tempfile_in(folder(&file))?;
    // No other process knows it yet. Where files cannot be locked, it is swept a little too early at worst.
    let _ = whole.as_file().try_lock();
    whole.write_all(bytes)?;
    let mut replaced = Replaced::default();
    if let Some(before) = &before {
        replaced.lost = keep(&file, before, whole.as_file());
    }
    whole.as_file().sync_all()?;
    whole.persist(&file)?;
    replaced.unsure = sync(folder(&file)).err();
    Ok(replaced)
}

/// Gives a new file what the one before has besides its content. Answers what could not be given.
fn keep(file: &Path, before: &Metadata, new: &File) -> Vec<String> {
    let mut lost = Vec::new();
    let mut note = |what: &str, outcome: io::Result<()>| {
        if let Err(error) = outcome {
            lost.push(format!("{what}: {error}"));
        }
    };
    // The owner first: a change of owner clears bits of the mode.
    note("its owner", keep_owner(before, new));
    note("its mode", new.set_permissions(before.permissions()));
    let mut names = Vec::with_capacity(MAX_ATTRIBUTE);
    match listxattr(file, rustix::buffer::spare_capacity(&mut names)) {
        Ok(_) => {}
        // There are none.
        Err(Errno::NOTSUP) => return lost,
        Err(error) => note("its attributes", Err(error.into())),
    }
    for name in names.split(|byte| *byte == 0).filter(|it| !it.is_empty()) {
        let shown = format!("its attribute {}", String::from_utf8_lossy(name));
        note(&shown, keep_attribute(file, OsStr::from_bytes(name), new));
    }
    lost
}

fn keep_owner(before: &Metadata, new: &File) -> io::Result<()> {
    let (is, was) = (new.metadata()?, before);
    if (is.uid(), is.gid()) == (was.uid(), was.gid()) {
        return Ok(());
    }
    fchown(new, Some(was.uid()), Some(was.gid())).inspect_err(|_| {
        // A group that this program belongs to can be given without the right to give files away.
        let _ = fchown(new, None, Some(was.gid()));
    })
}

fn keep_attribute(file: &Path, name: &OsStr, new: &File) -> io::Result<()> {
    let mut value = Vec::with_capacity(MAX_ATTRIBUTE);
    getxattr(file, name, rustix::buffer::spare_capacity(&mut value))?;
    fsetxattr(new, name, &value, XattrFlags::empty())?;
    Ok(())
}

/// Removes what programs left beside a file that died while they replaced it.
pub(super) fn sweep(file: &Path) {
    let file = target(file);
    let Ok(entries) = fs::read_dir(folder(&file)) else {
        return;
    };
    let prefix = prefix(&file);
    for entry in entries.filter_map(Result::ok) {
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if !is_file || !is_ours(&entry.file_name(), &prefix) {
            continue;
        }
        // A process that writes it holds its lock.
        let is_left = File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok());
        if is_left && fs::remove_file(entry.path()).is_ok() {
            let path = entry.path();
            tracing::info!("{} is removed: a program left it that died", path.display());
        }
    }
}

/// Whether a name is one that [`replace`] gives to the file beside another.
fn is_ours(name: &OsStr, prefix: &OsStr) -> bool {
    let name = name.as_bytes().strip_prefix(prefix.as_bytes());
    let random = name.and_then(|name| name.strip_suffix(SUFFIX.as_bytes()));
    random.is_some_and(|it| it.len() == RANDOM && it.iter().all(u8::is_ascii_alphanumeric))
}

/// The file that a path leads to over links, whether it is there or not.
pub(super) fn target(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        match fs::read_link(&path) {
            Ok(target) => path = path.with_file_name("").join(target),
            Err(_) => break,
        }
    }
    path
}

fn prefix(file: &Path) -> OsString {
    let name = file.file_name().unwrap_or_default().as_bytes();
    let mut prefix = OsString::from(".");
    prefix.push(OsStr::from_bytes(&name[..name.len().min(MAX_NAME)]));
    prefix.push(INFIX);
    prefix
}

fn folder(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// Tells what is not as it should be of a file that was replaced.
pub(super) fn log_replaced(file: &Path, replaced: &Replaced) {
    let file = file.display();
    for lost in &replaced.lost {
        tracing::warn!("{file} was replaced, but does not keep {lost}");
    }
    if let Some(error) = &replaced.unsure {
        tracing::error!(
            "{file} was replaced, but may be as it was before after a power failure: {error}"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
    use std::os::unix::net::UnixListener;

    use rustix::fs::{CWD, FileType, Mode, mknodat, setxattr};

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
        let mut names: Vec<_> = entries
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn owner_mode_and_attributes_stay() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "before").unwrap();
        let attribute = setxattr(&file, "user.equipoise", b"kept", XattrFlags::empty());
        // Who is not root may not give files away, and there is nothing to keep then.
        let is_root = chown(&file, Some(12_345), Some(23_456)).is_ok();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o4751)).unwrap();
        let before = fs::metadata(&file).unwrap();
        let replaced = replace(&file, b"after").unwrap();
        assert!(
            replaced.lost.is_empty() && replaced.unsure.is_none(),
            "{replaced:?}"
        );
        let after = fs::metadata(&file).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"after");
        assert_eq!(after.mode(), before.mode());
        assert_eq!((after.uid(), after.gid()), (before.uid(), before.gid()));
        assert!(!is_root || after.uid() == 12_345);
        if attribute.is_ok() {
            let mut value = [0; 4];
            getxattr(&file, "user.equipoise", &mut value).unwrap();
            assert_eq!(&value, b"kept");
        }
        assert_eq!(names(folder.path()), ["file"]);
    }

    #[test]
    fn links_stay_links_and_what_they_lead_to_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("inner")).unwrap();
        symlink("inner/file", at("link")).unwrap();
        symlink("link", at("other")).unwrap();
        // Even before there is anything.
        for content in ["first", "second"] {
            replace(&at("other"), content.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(at("inner/file")).unwrap(), content);
        }
        for link in ["link", "other"] {
            assert!(fs::symlink_metadata(at(link)).unwrap().is_symlink());
        }
        assert_eq!(names(&at("inner")), ["file"]);
    }

    #[test]
    fn what_is_no_file_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("directory")).unwrap();
        let _socket = UnixListener::bind(at("socket")).unwrap();
        mknodat(CWD, at("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        symlink("/dev/null", at("device")).unwrap();
        for name in ["directory", "socket", "pipe", "device"] {
            let before = fs::metadata(at(name)).unwrap().ino();
            let error = replace(&at(name), b"after").unwrap_err();
            assert_eq!(error.to_string(), format!("it is a {name}, not a file"));
            assert_eq!(fs::metadata(at(name)).unwrap().ino(), before);
        }
        assert_eq!(
            names(folder.path()),
            ["device", "directory", "pipe", "socket"]
        );
    }

    /// The file has the new content then, so the error must not say that nothing has changed.
    #[test]
    fn a_folder_that_cannot_be_synced_leaves_the_file_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "before").unwrap();
        let replaced = replace_by(&file, b"after", |_| Err(io::ErrorKind::Other.into())).unwrap();
        assert!(replaced.unsure.is_some());
        assert_eq!(fs::read(&file).unwrap(), b"after");
    }

    #[test]
    fn only_what_is_ours_and_left_is_swept() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in [
            "state",
            ".state.equipoise-abC123.tmp",
            ".state.equipoise-locked.tmp",
            ".state.equipoise-toolong.tmp",
            ".state.equipoise-a_b_c_.tmp",
            ".state.equipoise-abC123.tmp~",
            ".other.equipoise-abC123.tmp",
            "state.equipoise-abC123.tmp",
            ".tmpabC123",
        ] {
            fs::write(at(name), "x").unwrap();
        }
        fs::create_dir(at(".state.equipoise-folder.tmp")).unwrap();
        let written = File::open(at(".state.equipoise-locked.tmp")).unwrap();
        written.try_lock().unwrap();
        let mut expected = names(folder.path());
        expected.retain(|name| name != ".state.equipoise-abC123.tmp");
        sweep(&at("state"));
        assert_eq!(names(folder.path()), expected);
    }

    #[test]
    fn what_cannot_be_written_leaves_everything_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        assert!(replace(&folder.path().join("missing").join("file"), b"x").is_err());
        assert_eq!(names(folder.path()), [""; 0]);
    }
}
