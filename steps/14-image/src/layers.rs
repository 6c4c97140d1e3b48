//! Several layers at once: each is fetched, then unpacked beside its place. It gets its place when
//! all that are below it have theirs, so that what is in the store is always whole. Memory is
//! bounded by the number of workers, not by the size or the number of layers.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result, ensure};

use crate::config::Config;
use crate::digest::Digest;
use crate::manifest::{Descriptor, Manifest};
use crate::progress::Bar;
use crate::pull::Options;
use crate::source::Source;
use crate::store::{Lock, Store};
use crate::unpack::{self, Layer, Notes, Stopped, Watch};

/// As many as Docker fetches at a time.
const WORKERS: usize = 3;

struct Work<'a> {
    store: &'a Store,
    source: &'a dyn Source,
    layers: &'a [Descriptor],
    diff_ids: &'a [Digest],
    chain: Vec<Digest>,
    options: &'a Options<'a>,
    next: AtomicUsize,
    failed: AtomicBool,
    settled: Mutex<Settled>,
}

/// How many layers have their place, and which wait for it.
#[derive(Default)]
struct Settled {
    count: usize,
    waiting: BTreeMap<usize, Option<(Layer, Lock, Bar)>>,
    notes: Notes,
}

/// Fetches and unpacks what is missing of an image's layers.
pub fn bring(
    store: &Store,
    source: &dyn Source,
    manifest: &Manifest,
    config: &Config,
    options: &Options,
) -> Result<()> {
    let work = Work {
        store,
        source,
        layers: &manifest.layers,
        diff_ids: &config.rootfs.diff_ids,
        chain: config.chain_ids(),
        options,
        next: AtomicUsize::new(0),
        failed: AtomicBool::new(false),
        settled: Mutex::default(),
    };
    let first_error = thread::scope(|scope| {
        let workers = WORKERS.min(work.layers.len());
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(|| work.worker())).collect();
        let results = workers.into_iter().map(|it| it.join().expect("a worker has panicked"));
        // The others were only told to stop.
        results.flat_map(Result::err).min_by_key(|error| error.is::<Stopped>())
    });
    first_error.map_or(Ok(()), Err)?;
    options.progress.notes(work.settled.into_inner().unwrap().notes);
    Ok(())
}

impl Work<'_> {
    fn worker(&self) -> Result<()> {
        loop {
            let at = self.next.fetch_add(1, Ordering::Relaxed);
            if at >= self.layers.len() || self.has_failed() {
                return Ok(());
            }
            let done = self
                .one(at)
                .with_context(|| format!("cannot get layer {}", self.layers[at].digest));
            done.inspect_err(|_| self.failed.store(true, Ordering::Relaxed))?;
        }
    }

    fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    fn one(&self, at: usize) -> Result<()> {
        let (layer, chain) = (&self.layers[at], &self.chain[at]);
        let bar = self.options.progress.layer(&layer.digest, layer.size);
        let lock = self.store.lock_layer(chain)?;
        let blob = self.store.fetch(layer, self.source, &|bytes| {
            bar.fetched(bytes);
            if self.has_failed() { Err(Stopped.into()) } else { Ok(()) }
        })?;
        if self.store.layer(chain).exists() {
            bar.end("is there");
            return self.settle(at, None);
        }
        let unpacked = self.unpack(at, blob, &bar).inspect_err(|error| self.clean(at, error))?;
        self.settle(at, Some((unpacked, lock, bar)))
    }

    fn unpack(&self, at: usize, blob: File, bar: &Bar) -> Result<Layer> {
        let path = self.store.unfinished(&self.chain[at]);
        let name = format!("layer-{}", self.chain[at].hex());
        // Somebody who was killed may have left it.
        self.store.remove_tree("partial", &name)?;
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        let root = OwnedFd::from(
            File::open(&path).with_context(|| format!("cannot open {}", path.display()))?,
        );
        bar.unpacking();
        let watch = Watch {
            limits: self.options.limits,
            progress: &|bytes| bar.unpacked(bytes),
            stopped: &|| self.has_failed(),
        };
        unpack::layer(blob, &self.diff_ids[at], root, at == 0, &watch)
    }

    /// Nothing of a layer that cannot be unpacked stays; its blob does if that may work another
    /// time.
    fn clean(&self, at: usize, error: &anyhow::Error) {
        let name = format!("layer-{}", self.chain[at].hex());
        let _ = self.store.remove_tree("partial", &name);
        if !self.has_failed() && !is_of_the_machine(error) {
            self.store.forget(&self.layers[at]);
        }
    }

    /// Gives layer `at` its place, and those that waited for it, if all below have theirs.
    fn settle(&self, at: usize, unpacked: Option<(Layer, Lock, Bar)>) -> Result<()> {
        let mut settled = self.settled.lock().unwrap();
        settled.waiting.insert(at, unpacked);
        loop {
            let at = settled.count;
            let Some(next) = settled.waiting.remove(&at) else { return Ok(()) };
            if let Some((layer, lock, bar)) = next {
                settled.notes += self.place(at, layer)?;
                drop(lock);
                bar.end("fetched and unpacked");
            }
            settled.count += 1;
        }
    }

    fn place(&self, at: usize, layer: Layer) -> Result<Notes> {
        ensure!(!self.has_failed(), Stopped);
        let below = self.chain[..at].iter().rev().map(|chain| {
            let path = self.store.layer(chain);
            File::open(&path)
                .map(OwnedFd::from)
                .with_context(|| format!("cannot open {}", path.display()))
        });
        let below = if layer.is_complete() { Vec::new() } else { below.collect::<Result<_>>()? };
        let notes = layer.settle(&below)?;
        let (from, to) =
            (self.store.unfinished(&self.chain[at]), self.store.layer(&self.chain[at]));
        fs::rename(&from, &to)
            .with_context(|| format!("cannot give {} its place", from.display()))?;
        Ok(notes)
    }
}

/// Whether it is this machine that cannot, and not the layer that is wrong.
fn is_of_the_machine(error: &anyhow::Error) -> bool {
    use rustix::io::Errno as E;
    let cause = error.root_cause();
    let io = || E::from_io_error(cause.downcast_ref::<std::io::Error>()?);
    let errno = cause.downcast_ref().copied().or_else(io);
    let ours = [E::NOSPC, E::DQUOT, E::ROFS, E::IO, E::MFILE, E::NFILE, E::NOMEM, E::ACCESS];
    errno.is_some_and(|errno: E| ours.contains(&errno))
}
