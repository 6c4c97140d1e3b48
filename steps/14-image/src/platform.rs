//! Which machine an image is for, and which of an index's images suits this one.
//! image-spec, image-index.md, "platform".

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Error, Result, bail};
use serde::{Deserialize, Serialize};

use crate::manifest::Descriptor;

/// As Go names them: `linux/amd64`, `linux/arm/v7`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    pub os: String,
    pub architecture: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// This machine's.
    pub fn host() -> Platform {
        let (architecture, variant) = match std::env::consts::ARCH {
            "x86_64" => ("amd64", None),
            "aarch64" => ("arm64", None),
            "arm" => ("arm", Some("v7".into())),
            "x86" => ("386", None),
            "powerpc64" => ("ppc64le", None),
            other => (other, None),
        };
        Platform { os: "linux".into(), architecture: architecture.into(), variant }
    }

    /// How well an image for `offered` runs here: the lower the better, `None` not at all. An ARM
    /// processor runs what is for an older one too; other variants must be the one asked for.
    fn distance(&self, offered: &Platform) -> Option<u32> {
        if (&self.os, &self.architecture) != (&offered.os, &offered.architecture) {
            return None;
        }
        let (wanted, offered) = (self.level(), offered.level());
        match self.architecture.as_str() {
            _ if wanted == offered => Some(0),
            "arm" if offered < wanted => Some(wanted - offered),
            _ => None,
        }
    }

    /// The number of the variant; without one it is what the architecture began with.
    fn level(&self) -> u32 {
        let stated = self.variant.as_ref().map(|it| it.trim_start_matches('v').parse());
        let usual = match self.architecture.as_str() {
            "arm" => 7,
            "arm64" => 8,
            "amd64" => 1,
            _ => 0,
        };
        stated.map_or(usual, |level| level.unwrap_or(u32::MAX))
    }

    /// Whether an image for `offered` runs here.
    pub fn runs(&self, offered: &Platform) -> bool {
        self.distance(offered).is_some()
    }
}

impl FromStr for Platform {
    type Err = String;

    fn from_str(text: &str) -> Result<Platform, String> {
        let mut parts = text.split('/').map(str::to_string);
        let (os, architecture, variant) = (parts.next(), parts.next(), parts.next());
        match (os, architecture, parts.next()) {
            (Some(os), Some(architecture), None) if !os.is_empty() && !architecture.is_empty() => {
                Ok(Platform { os, architecture, variant })
            }
            _ => Err("a platform is OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT".into()),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

/// The one of an index's images that suits `platform` best; the first of equal ones.
///
/// An index may also hold what is no image (an attestation, with the platform `unknown/unknown`).
/// Where a single image does not say what it is for, it is taken.
pub fn choose<'a>(
    manifests: &'a [Descriptor],
    platform: &Platform,
) -> Result<&'a Descriptor, Error> {
    let distance = |it: &&Descriptor| platform.distance(it.platform.as_ref()?);
    let fitting = manifests.iter().filter(|it| distance(it).is_some()).min_by_key(distance);
    match (fitting, manifests) {
        (Some(found), _) => Ok(found),
        (None, [only]) if only.platform.is_none() => Ok(only),
        (None, []) => bail!("the index is empty"),
        (None, _) => {
            let offered = manifests.iter().filter_map(|it| it.platform.as_ref());
            let known = offered.filter(|it| it.os != "unknown").take(20).map(Platform::to_string);
            let known = known.collect::<Vec<_>>().join(", ");
            None.with_context(|| format!("there is no image for {platform} but for: {known}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    fn index(platforms: &[&str]) -> Vec<Descriptor> {
        let descriptor = |text: &&str| {
            let mut it = Descriptor::new("type", Digest::of(text.as_bytes()), 1);
            it.platform = (!text.is_empty()).then(|| text.parse().unwrap());
            it
        };
        platforms.iter().map(descriptor).collect()
    }

    fn chosen(wanted: &str, offered: &[&str]) -> Option<String> {
        let index = index(offered);
        let found = choose(&index, &wanted.parse().unwrap()).ok()?;
        Some(found.platform.as_ref().map(Platform::to_string).unwrap_or_default())
    }

    #[test]
    fn the_nearest_that_runs() {
        let arms =
            ["linux/amd64", "linux/arm/v5", "linux/arm/v6", "linux/arm/v7", "linux/arm64/v8"];
        assert_eq!(chosen("linux/amd64", &arms).unwrap(), "linux/amd64");
        assert_eq!(chosen("linux/arm64", &arms).unwrap(), "linux/arm64/v8");
        assert_eq!(chosen("linux/arm", &arms).unwrap(), "linux/arm/v7");
        assert_eq!(chosen("linux/arm/v6", &arms).unwrap(), "linux/arm/v6");
        assert_eq!(chosen("linux/arm/v8", &arms[..3]).unwrap(), "linux/arm/v6");
        assert_eq!(chosen("linux/arm/v5", &arms[2..]), None);
        assert_eq!(chosen("linux/amd64", &["linux/amd64/v3", "windows/amd64"]), None);
        assert_eq!(chosen("linux/amd64", &[""]).unwrap(), "");
        assert_eq!(chosen("linux/amd64", &["", ""]), None);
        assert_eq!(chosen("linux/amd64", &[]), None);
    }
}
