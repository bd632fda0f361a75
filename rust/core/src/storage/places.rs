//! Directories as places for stores: how they are made, and how files of one appear in another.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "this is a part of the door")]

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{AtFlags, OFlags, ioctl_ficlone, linkat, unlinkat};
use rustix::io::Errno;
use uuid::Uuid;

use super::disk::open_at;
use super::{Disk, Sharing};

/// Makes the directory and its parents where they do not exist, durably.
pub(super) fn make(path: &Path) -> io::Result<()> {
    let missing = path.ancestors().take_while(|path| *path != Path::new("") && !path.is_dir()).count();
    fs::create_dir_all(path)?;
    let path = path.canonicalize()?;
    path.ancestors().skip(1).take(missing).try_for_each(|parent| File::open(parent)?.sync_all())
}

impl Disk {
    /// Opens the directory at `path`, which has the file `marker` in it from the moment on at which it appears. One that
    /// exists is opened as it is.
    pub(crate) fn open_marked(path: &Path, marker: &str, text: &str) -> io::Result<Self> {
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => return Self::existing(path),
            Ok(_) => return Err(Errno::NOTDIR.into()),
            // A link to nowhere is not to be replaced.
            Err(error) if error.kind() != ErrorKind::NotFound || path.is_symlink() => return Err(error),
            Err(_) => {}
        }
        if path.file_name().is_none() {
            return Err(Errno::NOENT.into());
        }
        let parent = path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
        make(parent)?;
        let temporary = parent.join(format!(".counterpoint-{}.tmp", Uuid::new_v4().simple()));
        let made = make_marked(&temporary, marker, text).and_then(|()| fs::rename(&temporary, path));
        match made {
            Ok(()) => File::open(parent)?.sync_all()?,
            Err(error) => {
                drop(fs::remove_file(temporary.join(marker)));
                drop(fs::remove_dir(&temporary));
                // Somebody else was faster.
                let is_taken = [Errno::EXIST, Errno::NOTEMPTY].map(Errno::raw_os_error);
                if !error.raw_os_error().is_some_and(|number| is_taken.contains(&number)) {
                    return Err(error);
                }
            }
        }
        Self::existing(path)
    }
}

/// Whether the path, of which not all need exist, is this directory or lies below it.
pub(super) fn holds(directory: &File, path: &Path) -> io::Result<bool> {
    let identity = |found: fs::Metadata| (found.dev(), found.ino());
    let directory = identity(directory.metadata()?);
    let path = std::path::absolute(path)?;
    let existing = path.ancestors().find_map(|path| path.canonicalize().ok()).unwrap_or_default();
    Ok(existing.ancestors().any(|path| fs::metadata(path).is_ok_and(|found| identity(found) == directory)))
}

fn make_marked(directory: &Path, marker: &str, text: &str) -> io::Result<()> {
    fs::create_dir(directory)?;
    let mut file = File::create_new(directory.join(marker))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    File::open(directory)?.sync_all()
}

/// Makes the second file share the bytes of the first, each given by its directory and name; `false` where the file
/// system does not do that.
pub(super) fn share(from: (&File, &str), to: (&File, &str), how: Sharing) -> io::Result<bool> {
    match how {
        Sharing::Link => possible(linkat(from.0, from.1, to.0, to.1, AtFlags::empty())),
        Sharing::Clone => {
            let source = open_at(from.0, from.1, OFlags::RDONLY)?;
            let clone = open_at(to.0, to.1, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)?;
            let cloned = possible(ioctl_ficlone(&clone, &source));
            if !matches!(cloned, Ok(true)) {
                unlinkat(to.0, to.1, AtFlags::empty())?;
            }
            cloned
        }
    }
}

/// Tells what the file system, or its rules for links, do not allow from what went wrong.
fn possible(done: Result<(), Errno>) -> io::Result<bool> {
    const IMPOSSIBLE: [Errno; 9] = [
        Errno::XDEV,
        Errno::PERM,
        Errno::MLINK,
        Errno::OPNOTSUPP,
        Errno::NOSYS,
        Errno::NOTTY,
        Errno::INVAL,
        Errno::TXTBSY,
        Errno::BADF,
    ];
    match done {
        Ok(()) => Ok(true),
        Err(error) if IMPOSSIBLE.contains(&error) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Storage;
    use super::*;

    #[test]
    fn a_directory_appears_with_its_marker_and_nothing_is_left_beside_it() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a").join("b");
        let disk = Disk::open_marked(&path, "marker", "text").unwrap();
        assert_eq!(disk.list().unwrap(), ["marker"]);
        assert_eq!(fs::read(path.join("marker")).unwrap(), b"text");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        Disk::open_marked(&path, "other", "").unwrap();
        assert_eq!(disk.list().unwrap(), ["marker"]);
    }

    #[test]
    fn a_directory_holds_itself_and_what_is_below_it_also_through_links() {
        let home = tempfile::tempdir().unwrap();
        let disk = Disk::open(&home.path().join("store")).unwrap();
        std::os::unix::fs::symlink(home.path().join("store"), home.path().join("link")).unwrap();
        for (path, expected) in [
            ("store", true),
            ("store/a/b", true),
            ("link/a", true),
            ("link", true),
            (".", false),
            ("store2", false),
            ("a/store", false),
        ] {
            assert_eq!(disk.holds(&home.path().join(path)).unwrap(), expected, "{path}");
        }
    }

    #[test]
    fn a_link_shares_a_file_and_a_file_that_is_gone_is_an_error() {
        let home = tempfile::tempdir().unwrap();
        let directory = File::open(home.path()).unwrap();
        fs::write(home.path().join("from"), b"bytes").unwrap();
        assert!(share((&directory, "from"), (&directory, "to"), Sharing::Link).unwrap());
        assert_eq!(fs::read(home.path().join("to")).unwrap(), b"bytes");
        for how in [Sharing::Link, Sharing::Clone] {
            let gone = share((&directory, "gone"), (&directory, "other"), how).unwrap_err();
            assert_eq!(gone.kind(), ErrorKind::NotFound);
        }
    }
}
