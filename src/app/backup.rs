//! A copy of the store, and the way back from one.

use super::running::{open_store, open_vault, rules};
use super::{audit, data_dir, failed};
use crate::config::Config;
use crate::domain::{Clock, Error, Result, SystemClock};
use crate::failpoint;
use crate::service::{Actor, SealedReport, Service};
use crate::store::{Access, Contents, Settled, Store, StoreFile};
use rustix::fs::{Mode, OFlags};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A store that was restored.
pub struct Restored {
    /// What the copy held.
    pub contents: Contents,
    /// What was changed in it.
    pub settled: Settled,
    /// Whether its secrets can be opened.
    pub sealed: SealedReport,
    /// Where the anchor of the audit trail went that stood there before.
    pub old_anchor: Option<PathBuf>,
}

/// Copies the store of a data directory into a new file (0600), also beside a running server, and
/// reads the whole copy before it gets its name.
///
/// # Errors
/// `Conflict` where something stands at that name already; those of the store.
pub fn back_up(config: &Config, to: &Path) -> Result<Contents> {
    data_dir::judge(&config.data)?;
    let key = audit::present_trail(config)?.key;
    if to.symlink_metadata().is_ok() {
        return Err(is_there(to));
    }
    let draft = Draft::beside(to)?;
    Store::copy_to(&config.data, &draft.path).map_err(failed)?;
    let contents = StoreFile::open(&draft.path).and_then(|file| file.prove(&key));
    let contents = contents.map_err(failed)?;
    failpoint::pass("backup.copied");
    draft.name(to)?;
    Ok(contents)
}

/// Makes the store of a data directory that has none from a copy. The copy is proved, and made fit
/// to be gone on with, before it gets its place: a kill in between leaves no store.
///
/// # Errors
/// `Conflict` where the data directory has a store; where the copy cannot be used, or the key of its
/// audit trail is not there.
pub fn restore(config: &Config, from: &Path) -> Result<Restored> {
    data_dir::ensure(&config.data)?;
    let place = config.data.join("wsexec.db");
    for suffix in ["db", "db-wal", "db-shm"] {
        let file = config.data.join("wsexec").with_extension(suffix);
        if file.symlink_metadata().is_ok() {
            return Err(Error::conflict(format!(
                "{} is there: nothing is overwritten. Restore into another data directory (--data), or \
                 move the old store away first, the server stopped.",
                file.display()
            )));
        }
    }
    let copy = (from, open(from)?);
    let staging = Staging::make(config, &config.data)?;
    let mut restored = staging.take_up(copy)?;
    let anchor = audit::anchor_path(config);
    if anchor.exists() {
        let aside = with_suffix(&anchor, &format!("before-restore-{}", SystemClock.now()));
        fs::rename(&anchor, &aside).map_err(|e| cannot("move", &anchor, &e))?;
        restored.old_anchor = Some(aside);
    }
    fs::copy(audit::anchor_path(&staging.config), &anchor)
        .and_then(|_| File::open(&anchor)?.sync_all())
        .map_err(|e| cannot("write", &anchor, &e))?;
    let draft = Draft {
        path: staging.config.data.join("wsexec.db"),
    };
    draft.name(&place)?;
    Ok(restored)
}

/// Does all that [`restore`] does, in a directory of its own beside the copy that is removed again:
/// shows that the copy can be restored with the keys that are configured.
///
/// # Errors
/// As [`restore`].
pub fn drill(config: &Config, from: &Path) -> Result<Restored> {
    let copy = (from, open(from)?);
    Staging::make(config, directory_of(from))?.take_up(copy)
}

/// A directory of our own (0700), with the configuration to work in it; removed in the end.
struct Staging {
    config: Config,
    _directory: tempfile::TempDir,
}

impl Staging {
    fn make(config: &Config, beside: &Path) -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix(".wsexec-restore-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(beside);
        let directory = directory.map_err(|e| cannot("make a directory in", beside, &e))?;
        let mut staged = config.clone();
        staged.data = directory.path().to_owned();
        staged.audit.key_file = Some(audit::key_path(config));
        staged.audit.anchor_file = Some(directory.path().join("audit.anchor"));
        Ok(Self {
            config: staged,
            _directory: directory,
        })
    }

    /// Copies a store here, proves it, brings it up to date and makes it fit to be gone on with.
    fn take_up(&self, (from, mut copy): (&Path, File)) -> Result<Restored> {
        let key = audit::present_trail(&self.config)?.key;
        let path = self.config.data.join("wsexec.db");
        let mut file = private(&path)?;
        io::copy(&mut copy, &mut file)
            .and_then(|_| file.sync_all())
            .map_err(|e| cannot("copy", from, &e))?;
        let contents = StoreFile::open(&path).and_then(|file| file.prove(&key));
        let contents = contents
            .map_err(|e| Error::conflict(format!("{} cannot be restored: {e}.", from.display())))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let (settled, sealed) = runtime.map_err(failed)?.block_on(async {
            let store = open_store(&self.config, Access::Server).await?;
            let settled = store
                .settle_restored(contents.last_task, SystemClock.now())
                .await?;
            let vault = open_vault(&self.config, &store).await?;
            let rules = rules(&self.config)?;
            let service = Service::new(store, vault, None, Arc::new(SystemClock), rules);
            let sealed = service.check_sealed(&Actor::local()).await?;
            Ok::<_, Error>((settled, sealed))
        })?;
        if path.with_extension("db-wal").exists() {
            return Err(failed("the log of the restored store is not empty"));
        }
        Ok(Restored {
            contents,
            settled,
            sealed,
            old_anchor: None,
        })
    }
}

/// A file that has not got its name yet; removed where it never does.
struct Draft {
    path: PathBuf,
}

impl Draft {
    /// Makes an empty one (0600).
    fn beside(name: &Path) -> Result<Self> {
        let path = with_suffix(name, &format!("part-{}", std::process::id()));
        private(&path)?;
        Ok(Self { path })
    }

    /// Gives it its name, on disk, where nothing has that yet.
    fn name(self, name: &Path) -> Result<()> {
        let named = File::open(&self.path)
            .and_then(|file| file.sync_all())
            .and_then(|()| fs::hard_link(&self.path, name))
            .and_then(|()| File::open(directory_of(name))?.sync_all());
        named.map_err(|e| match e.kind() {
            ErrorKind::AlreadyExists => is_there(name),
            _ => cannot("write", name, &e),
        })
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Whoever reads the directory sees what it is.
        let _ = data_dir::remove(&self.path);
    }
}

fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(|e| cannot("read", path, &e))
}

fn private(path: &Path) -> Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)
        .map(File::from)
        .map_err(|e| cannot("make", path, &e.into()))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

fn directory_of(path: &Path) -> &Path {
    path.parent()
        .filter(|it| !it.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

fn is_there(path: &Path) -> Error {
    let text = format!(
        "{} is there: nothing is overwritten. Choose another name.",
        path.display()
    );
    Error::conflict(text)
}

fn cannot(what: &str, path: &Path, why: &io::Error) -> Error {
    Error::unavailable(format!("Cannot {what} {}: {why}.", path.display()), 1)
}
