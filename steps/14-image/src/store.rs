//! The store on disk: an OCI image layout (image-spec, image-layout.md) with two more directories.
//! Content stands under its digest, so what is there is right, and what is missing is known. All is
//! written beside its place and renamed into it: whoever is killed leaves nothing that is half
//! done.
//!
//! ```text
//! oci-layout, index.json   which images there are: manifests, by name
//! blobs/sha256/HEX         manifests, configs and layers as they came
//! layers/HEX               each layer unpacked, under its chain id
//! partial/, locks/         what is being fetched or unpacked, and by whom
//! ```

mod blob;
mod index;
mod lock;
mod prune;

use std::env;
use std::fs::{self, DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use chroot::Hint;

use crate::config::{self, Config};
use crate::digest::Digest;
use crate::manifest::{self, Descriptor, Document, Manifest};
use crate::source;

pub use index::Named;
pub use lock::{Lock, use_directory};
pub use prune::Pruned;

/// The directory of the workshop among those of other programs.
const OURS: &str = "container-workshop";
const DIRECTORIES: [&str; 5] = ["blobs", "blobs/sha256", "layers", "partial", "locks"];
const LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// Where images are kept.
pub struct Store {
    path: PathBuf,
}

/// An image that is in the store.
pub struct Image {
    pub named: Named,
    pub manifest: Manifest,
    pub config: Config,
    /// The names of its unpacked layers, from the bottom up.
    pub chain: Vec<Digest>,
}

/// Root's images are the machine's, others' are their own: the XDG Base Directory Specification.
pub fn default_path() -> PathBuf {
    let home = || PathBuf::from(env::var_os("HOME").unwrap_or("/".into())).join(".local/share");
    let data = match rustix::process::geteuid().is_root() {
        true => "/var/lib".into(),
        false => env::var_os("XDG_DATA_HOME")
            .map(PathBuf::from)
            .filter(|it| it.is_absolute())
            .unwrap_or_else(home),
    };
    data.join(OURS).join("images")
}

impl Store {
    /// Opens the store at `path`, made if it is missing.
    pub fn open(path: &Path) -> Result<Store> {
        let private =
            |path: &Path| {
                DirBuilder::new().recursive(true).mode(0o700).create(path).with_context(|| {
                    format!("cannot make the store's directory {}", path.display())
                })
            };
        private(path)?;
        let path =
            path.canonicalize().with_context(|| format!("cannot find {}", path.display()))?;
        check_private(&path)?;
        for name in DIRECTORIES {
            private(&path.join(name))?;
        }
        let store = Store { path };
        if !store.path.join("oci-layout").exists() {
            store.replace("oci-layout", LAYOUT.as_bytes())?;
        }
        Ok(store)
    }

    /// The directory of an unpacked layer.
    pub fn layer(&self, chain: &Digest) -> PathBuf {
        self.path.join("layers").join(chain.hex())
    }

    /// Where a layer is unpacked before it gets its place.
    pub fn unfinished(&self, chain: &Digest) -> PathBuf {
        self.path.join("partial").join(format!("layer-{}", chain.hex()))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.path.join("blobs/sha256").join(digest.hex())
    }

    /// Opens a blob that is there, all of it.
    pub fn blob(&self, descriptor: &Descriptor) -> Result<Option<File>> {
        let path = self.blob_path(&descriptor.digest);
        match File::open(&path) {
            // A machine that lost power may have kept the name and lost the content.
            Ok(file) if file.metadata().is_ok_and(|it| it.len() == descriptor.size) => {
                Ok(Some(file))
            }
            Ok(_) => Ok(None),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot open {}", path.display())),
        }
    }

    /// A document of at most `most` bytes, checked again: a disk may have changed it.
    pub fn document(&self, descriptor: &Descriptor, most: u64) -> Result<Vec<u8>> {
        let act = || format!("cannot read blob {} of the store", descriptor.digest);
        ensure!(descriptor.size <= most, "the document {} is too large", descriptor.digest);
        let file = self.blob(descriptor)?.context("it is missing").with_context(act)?;
        source::read(Box::new(file), descriptor, most).with_context(act)
    }

    /// Keeps a document that we have in memory.
    pub fn keep(&self, bytes: &[u8]) -> Result<()> {
        self.replace(&format!("blobs/sha256/{}", Digest::of(bytes).hex()), bytes)
    }

    /// Writes a file beside its place, then gives it its name, rename(2).
    fn replace(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let (path, id) = (self.path.join(name), std::process::id());
        let beside = self.path.join("partial").join(format!("{}-{id}", name.replace('/', "+")));
        let act = || format!("cannot write {}", path.display());
        let mut options = fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&beside)
            .with_context(act)?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        written.and_then(|()| fs::rename(&beside, &path)).with_context(act).inspect_err(|_| {
            let _ = fs::remove_file(&beside);
        })
    }

    /// The image that `named` points to.
    pub fn load(&self, named: Named) -> Result<Image> {
        let act = || format!("cannot use the image {}", named.title());
        let bytes = self.document(&named.descriptor, manifest::LARGEST).with_context(act)?;
        let Document::Manifest(manifest) = Document::parse(&bytes, None).with_context(act)? else {
            bail!("the store holds an index in the place of the image {}", named.title());
        };
        let bytes = self.document(&manifest.config, config::LARGEST).with_context(act)?;
        let config = Config::parse(&bytes, manifest.layers.len()).with_context(act)?;
        let chain = config.chain_ids();
        Ok(Image { named, manifest, config, chain })
    }
}

/// Unpacked images hold other people's setuid programs and, for root, device nodes: nobody else may
/// come near them.
fn check_private(path: &Path) -> Result<()> {
    let status =
        fs::metadata(path).with_context(|| format!("cannot look at {}", path.display()))?;
    let act = format!("cannot keep images in {}", path.display());
    let own = rustix::process::geteuid().as_raw();
    ensure!(status.uid() == own, "{act}: it belongs to somebody else, uid {}", status.uid());
    let mode = status.mode() & 0o777;
    if mode & 0o077 != 0 {
        let hint = format!("its mode is {mode:o}: chmod 700 {}", path.display());
        return Err(anyhow!("{act}: others may enter it").context(Hint(hint)));
    }
    Ok(())
}
