//! What can be done with images besides running them. Whatever changes the store is done by a child
//! that may give files to all ids of an image.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Subcommand;
use indicatif::HumanBytes;

use crate::files::Files;
use crate::namespace::with_ids;
use crate::platform::Platform;
use crate::progress::{Progress, counted};
use crate::pull::{self, Options};
use crate::reference::Reference;
use crate::registry::{self, Registry};
use crate::show;
use crate::store::{Image, Named, Store};
use crate::unpack::Limits;
use crate::{export, flatten, import};

#[derive(Subcommand)]
pub enum Command {
    /// Fetch an image from a registry
    Pull {
        #[command(flatten)]
        pull: PullArgs,
        /// [REGISTRY/]PATH[:TAG][@DIGEST]
        #[arg(required = true, value_name = "IMAGE")]
        names: Vec<String>,
    },
    /// List the images
    List,
    /// Show what an image is, as JSON
    Inspect { image: String },
    /// Show how the layers of an image came about
    History { image: String },
    /// Remove images
    Rm {
        #[arg(required = true, value_name = "IMAGE")]
        images: Vec<String>,
    },
    /// Remove what no image needs
    Prune {
        /// And the images, and the store, but for what containers use
        #[arg(long)]
        all: bool,
    },
    /// Put the files of an image into a new directory
    Unpack { image: String, directory: PathBuf },
    /// Take images from an OCI layout, or from an archive that `docker save` wrote
    Import {
        #[command(flatten)]
        bounds: Bounds,
        path: PathBuf,
        /// What to call the image
        name: Option<String>,
    },
    /// Write an image to a new OCI layout, or to an archive if PATH ends in .tar
    Export { image: String, path: PathBuf },
}

/// How an image is fetched.
#[derive(clap::Args)]
#[group(skip)]
pub struct PullArgs {
    #[command(flatten)]
    pub registry: registry::Args,
    #[command(flatten)]
    pub bounds: Bounds,
}

/// Which image of several, and how large it may become.
#[derive(clap::Args)]
#[group(skip)]
pub struct Bounds {
    /// The image for another machine: OS/ARCHITECTURE[/VARIANT]
    #[arg(long)]
    pub platform: Option<Platform>,

    /// The most that one layer may unpack to: 64m, 32g, or bytes
    #[arg(long, value_name = "SIZE", default_value = "32g", value_parser = size)]
    pub max_size: u64,

    /// The most files that one layer may have
    #[arg(long, value_name = "COUNT", default_value = "1000000")]
    pub max_files: u64,
}

fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(['k', 'm', 'g', 'K', 'M', 'G']);
    let shift = match text[digits.len()..].to_lowercase().as_str() {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        _ => return Err("a size is a number, or one with k, m or g".into()),
    };
    let number = digits.parse::<u64>().ok().and_then(|it| it.checked_mul(1 << shift));
    number.ok_or("a size is a number, or one with k, m or g".into())
}

impl Bounds {
    fn options<'a>(&self, progress: &'a Progress) -> Options<'a> {
        let limits = Limits { bytes: self.max_size, files: self.max_files };
        Options { platform: self.platform.clone(), limits, progress }
    }
}

/// Carries out one command.
pub fn run(command: Command, path: &Path) -> Result<u8> {
    match command {
        Command::Pull { pull, names } => with_ids(|| {
            let store = Store::open(path)?;
            names.iter().try_for_each(|name| fetch(&store, name, &pull))?;
            Ok(0)
        }),
        Command::List => show::list(&Store::open(path)?),
        Command::Inspect { image } => show::inspect(&get(&Store::open(path)?, &image)?),
        Command::History { image } => show::history(&get(&Store::open(path)?, &image)?),
        Command::Rm { images } => with_ids(|| remove(&Store::open(path)?, &images)),
        Command::Prune { all: true } if !path.exists() => Ok(0),
        Command::Prune { all } => with_ids(|| prune(Store::open(path)?, all)),
        Command::Unpack { image, directory } => with_ids(|| {
            let store = Store::open(path)?;
            let _lock = store.lock_shared()?;
            flatten::unpack(&store, &get(&store, &image)?, &directory)?;
            Ok(0)
        }),
        Command::Import { bounds, path: from, name } => {
            with_ids(|| take(&Store::open(path)?, &from, name.as_deref(), &bounds))
        }
        Command::Export { image, path: to } => {
            let store = Store::open(path)?;
            let _lock = store.lock_shared()?;
            export::export(&store, &get(&store, &image)?, &to)?;
            Ok(0)
        }
    }
}

/// Fetches one image and prints its name.
pub fn fetch(store: &Store, name: &str, args: &PullArgs) -> Result<()> {
    let reference: Reference = name.parse()?;
    let act = || format!("cannot pull {}", reference.short());
    let registry = Registry::new(&reference, &args.registry).with_context(act)?;
    let progress = Progress::new();
    let options = args.bounds.options(&progress);
    let pulled =
        pull::pull(store, &registry, &reference.to_string(), &options).with_context(act)?;
    progress.say(&format!("pulled {} {}", reference.short(), pulled.digest));
    Ok(())
}

/// The image of that name or id.
pub fn get(store: &Store, name: &str) -> Result<Image> {
    store.find(name)?.with_context(|| format!("cannot find an image called {name:?} in the store"))
}

/// All of `names`, or none if one of them is not there.
fn remove(store: &Store, names: &[String]) -> Result<u8> {
    let named = names.iter().map(|name| one_name(store, name)).collect::<Result<Vec<_>>>()?;
    store.change(|images| images.retain(|it| !named.contains(it)))?;
    store.sweep()?;
    Ok(0)
}

/// An id may stand for an image with several names: which of them is to go?
fn one_name(store: &Store, text: &str) -> Result<Named> {
    if let Some(named) = store.called(text)? {
        return Ok(named);
    }
    let found = get(store, text)?.named;
    let same = store.images()?.into_iter();
    let same = same.filter(|it| it.descriptor.digest == found.descriptor.digest);
    let names: Vec<String> = same.filter_map(|it| it.name).collect();
    ensure!(names.len() < 2, "cannot remove {text}: it has several names: {}", names.join(", "));
    Ok(found)
}

fn prune(store: Store, all: bool) -> Result<u8> {
    let pruned = store.prune(all)?;
    let images = counted(pruned.images, "image");
    let layers = counted(pruned.layers, "unpacked layer");
    println!("removed: {images}, {layers}, {} of blobs", HumanBytes(pruned.bytes));
    if pruned.kept > 0 {
        println!("kept: {}, in use by containers", counted(pruned.kept, "layer"));
    } else if all {
        let path = store.path().display().to_string();
        store.remove()?;
        println!("removed: the store {path}");
    }
    Ok(0)
}

fn take(store: &Store, path: &Path, name: Option<&str>, bounds: &Bounds) -> Result<u8> {
    let act = || format!("cannot import {}", path.display());
    let files = Files::open(path).with_context(act)?;
    let images = import::images(&files).with_context(act)?;
    let several = images.len() > 1 && name.is_some();
    ensure!(!several, "{}: it holds {} images, which keep their names", act(), images.len());
    let progress = Progress::new();
    for image in &images {
        let name = name.or(image.name.as_deref()).context("the image has no name: give one");
        let reference: Reference = name.with_context(act)?.parse()?;
        let (name, options) = (reference.to_string(), bounds.options(&progress));
        let pulled = pull::pull(store, image.source.as_ref(), &name, &options).with_context(act)?;
        progress.say(&format!("imported {} {}", reference.short(), pulled.digest));
    }
    Ok(0)
}
