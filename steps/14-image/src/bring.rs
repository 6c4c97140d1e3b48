//! The image to run, by its name: from the store, or fetched if the store has none that runs.

use std::path::Path;

use anyhow::{Error, Result};

use crate::commands::{PullArgs, fetch, get};
use crate::namespace::with_ids;
use crate::platform::Platform;
use crate::reference::Reference;
use crate::store::{Image, Store};

/// The image to run, fetched if it is not there, or is there for another machine than `--platform`
/// says.
pub fn bring(path: &Path, name: &str, args: &PullArgs) -> Result<(Store, Image)> {
    let store = Store::open(path)?;
    let wanted = args.bounds.platform.as_ref();
    let found = store.find(name)?;
    let fits = |it: &Image| wanted.is_none_or(|wanted| wanted.runs(&it.config.platform));
    if let Some(image) = found.filter(fits) {
        note_machine(&image, wanted);
        return Ok((store, image));
    }
    name.parse::<Reference>().map_err(|error| no_reference(error, name))?;
    let code = with_ids(|| fetch(&Store::open(path)?, name, args).map(|()| 0))?;
    if code != 0 {
        // The child has said why.
        std::process::exit(code.into());
    }
    let image = get(&store, name)?;
    Ok((store, image))
}

/// The kernel will say no more than that it cannot execute what is for another machine.
fn note_machine(image: &Image, wanted: Option<&Platform>) {
    let (is, here) = (&image.config.platform, Platform::host());
    if wanted.is_none() && !here.runs(is) && !is.architecture.is_empty() {
        chroot::tell(&format!("note: the image is for {is}, this machine is {here}"));
    }
}

/// Whoever comes from step 9 has a directory at hand.
fn no_reference(error: Error, name: &str) -> Error {
    let hint = "the steps before this one take a directory; `import` takes images from files";
    if Path::new(name).is_dir() { error.context(chroot::Hint(hint.into())) } else { error }
}
