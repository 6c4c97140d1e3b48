//! The image to run, by its name: from the store, or fetched if the store has none that runs.

use std::path::Path;

use anyhow::{Error, Result, ensure};

use crate::commands::{PullArgs, fetch, get};
use crate::namespace::with_ids;
use crate::platform::Platform;
use crate::reference::Reference;
use crate::store::{Image, Store};

/// The image to run, fetched if it is not there, or is there for another machine than `--platform`
/// says.
pub fn bring(path: &Path, name: &str, args: &PullArgs) -> Result<(Store, Image)> {
    let store = Store::open(path)?;
    if let Some(image) = store.find(name)? {
        if fits(&image, args.bounds.platform.as_ref()) {
            return Ok((store, image));
        }
        let is = &image.config.platform;
        // Another could have the name, but not the id.
        ensure!(
            store.called(name)?.is_some(),
            "cannot run the image {name}: it is for {is}, and for nothing else"
        );
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

/// Whether an image is for the machine that is asked for. Without one it is taken, with a note: the
/// kernel will say no more than that it cannot execute what is for another machine.
fn fits(image: &Image, wanted: Option<&Platform>) -> bool {
    let (is, here) = (&image.config.platform, Platform::host());
    if is.architecture.is_empty() || wanted.unwrap_or(&here).runs(is) {
        return true;
    }
    if wanted.is_none() {
        chroot::tell(&format!("note: the image is for {is}, this machine is {here}"));
    }
    wanted.is_none()
}

/// Whoever comes from step 9 has a directory at hand.
fn no_reference(error: Error, name: &str) -> Error {
    let hint = "the steps before this one take a directory; `import` takes images from files";
    if Path::new(name).is_dir() { error.context(chroot::Hint(hint.into())) } else { error }
}
