//! The name of an image, as Docker reads it: `[REGISTRY/]PATH[:TAG][@DIGEST]`. A short name means
//! Docker Hub, and no tag means `latest`. The grammar is github.com/distribution/reference's.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Error, Result, bail, ensure};

use crate::digest::Digest;

const HUB: &str = "docker.io";
/// Where Docker Hub answers.
const HUB_HOST: &str = "registry-1.docker.io";
/// Docker Hub's images by Docker itself: `alpine` is `library/alpine`.
const OFFICIAL: &str = "library";

const LONGEST_NAME: usize = 255;
const LONGEST_TAG: usize = 128;

/// A name in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The registry, `HOST[:PORT]`.
    pub registry: String,
    pub path: String,
    pub tag: Option<String>,
    pub digest: Option<Digest>,
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Reference> {
        parse(text).with_context(|| format!("cannot use {text:?} as the name of an image"))
    }
}

fn parse(text: &str) -> Result<Reference> {
    ensure!(!text.contains("://"), "it is an address: a name has no `http://`");
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest.parse()?)),
        None => (text, None),
    };
    // A `:` before the last `/` belongs to the registry's port.
    let (name, tag) = match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag.to_string())),
        _ => (rest, None),
    };
    let (registry, path) = split(name);
    check_registry(&registry)?;
    check_path(&path)?;
    tag.as_deref().map_or(Ok(()), check_tag)?;
    ensure!(registry.len() + path.len() < LONGEST_NAME, "it is longer than {LONGEST_NAME} bytes");
    let tag = if tag.is_none() && digest.is_none() { Some("latest".into()) } else { tag };
    Ok(Reference { registry, path, tag, digest })
}

/// What stands before the first `/` is a registry if it looks like a host: it has a dot, a port or
/// a capital letter, or it is `localhost`.
fn split(name: &str) -> (String, String) {
    let is_host = |text: &str| {
        text.contains(['.', ':']) || text == "localhost" || text.to_lowercase() != text
    };
    let (registry, path) = match name.split_once('/') {
        Some((first, path)) if is_host(first) => (first, path),
        _ => (HUB, name),
    };
    let registry = if registry == "index.docker.io" { HUB } else { registry };
    let short = registry == HUB && !path.contains('/');
    let path = if short { format!("{OFFICIAL}/{path}") } else { path.to_string() };
    (registry.to_string(), path)
}

/// A host name, an address, or `[IPv6]`, then perhaps a port. Nothing in it may end the host in a
/// URL.
fn check_registry(registry: &str) -> Result<()> {
    let (host, port) = match registry.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (registry, None),
    };
    // `parse` alone would take `+80`.
    let is_port = |port: &str| {
        port.bytes().all(|it| it.is_ascii_digit()) && port.parse().is_ok_and(|it: u16| it > 0)
    };
    ensure!(port.is_none_or(is_port), "{registry:?} has a port that is none");
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        ensure!(address.parse::<std::net::Ipv6Addr>().is_ok(), "{address:?} is no IPv6 address");
        return Ok(());
    }
    let label = |label: &str| {
        let inner = |it: u8| it.is_ascii_alphanumeric() || it == b'-';
        !label.is_empty()
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    ensure!(host.split('.').all(label), "{host:?} is not the name of a host");
    Ok(())
}

/// Components of lower-case letters and digits, separated within by `.`, `_`, `__` or hyphens.
fn check_path(path: &str) -> Result<()> {
    ensure!(!path.is_empty() && path != "library/", "it is empty");
    for component in path.split('/') {
        ensure!(!component.is_empty(), "a part of it is empty");
        let words = component.split(['.', '_', '-']);
        let fits = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || b"._-".contains(&it);
        if !component.bytes().all(fits) {
            bail!("{component:?} has other characters than a-z, 0-9, `.`, `_` and `-`");
        }
        let ends = words.clone().next() != Some("") && words.clone().next_back() != Some("");
        let separators = ["..", "._", "_.", "-.", ".-", "_-", "-_", "___"];
        let apart = !separators.iter().any(|two| component.contains(two));
        ensure!(ends && apart, "{component:?} has a separator too many");
    }
    let is_id = path.len() == 64 + OFFICIAL.len() + 1
        && path[OFFICIAL.len() + 1..].bytes().all(|it| it.is_ascii_hexdigit());
    ensure!(!is_id, "64 hexadecimal digits are an id, not a name");
    Ok(())
}

fn check_tag(tag: &str) -> Result<()> {
    let fits = |it: u8| it.is_ascii_alphanumeric() || b"_.-".contains(&it);
    let starts = tag.bytes().next().is_some_and(|it| it.is_ascii_alphanumeric() || it == b'_');
    let fine = starts && tag.bytes().all(fits) && tag.len() <= LONGEST_TAG;
    ensure!(fine, "{tag:?} is not a tag: at most {LONGEST_TAG} letters, digits, `_`, `.`, `-`");
    Ok(())
}

impl Reference {
    /// The host that answers for the registry.
    pub fn host(&self) -> &str {
        if self.registry == HUB { HUB_HOST } else { &self.registry }
    }

    /// What the registry is asked for: the digest if there is one, for it says more than the tag.
    pub fn wanted(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, tag) => tag.clone().unwrap_or_default(),
        }
    }

    /// As people write it: without what a short name means anyway.
    pub fn short(&self) -> String {
        let full = self.to_string();
        let path = full.strip_prefix(HUB).and_then(|it| it.strip_prefix('/'));
        let official = path.and_then(|it| it.strip_prefix(OFFICIAL)?.strip_prefix('/'));
        let means_us = |it: &&str| it.parse().is_ok_and(|it: Reference| it == *self);
        official.into_iter().chain(path).find(means_us).unwrap_or(&full).to_string()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.path)?;
        self.tag.as_ref().map_or(Ok(()), |tag| write!(f, ":{tag}"))?;
        self.digest.as_ref().map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(text: &str) -> String {
        text.parse::<Reference>().unwrap().to_string()
    }

    #[test]
    fn names_mean_what_docker_makes_of_them() {
        assert_eq!(full("alpine"), "docker.io/library/alpine:latest");
        assert_eq!(full("library/alpine:3.20"), "docker.io/library/alpine:3.20");
        assert_eq!(full("index.docker.io/a/b"), "docker.io/a/b:latest");
        assert_eq!(full("ghcr.io/a/b__c/d-e:x"), "ghcr.io/a/b__c/d-e:x");
        assert_eq!(full("localhost/a"), "localhost/a:latest");
        assert_eq!(full("localhost:5000/a/b:c"), "localhost:5000/a/b:c");
        assert_eq!(full("[::1]:5000/a"), "[::1]:5000/a:latest");
        assert_eq!(full("Host/a"), "Host/a:latest");
        assert_eq!(full("a--b/c"), "docker.io/a--b/c:latest");
        let digest = format!("sha256:{}", "a".repeat(64));
        assert_eq!(
            full(&format!("localhost:5000/a/b@{digest}")),
            format!("localhost:5000/a/b@{digest}")
        );
        assert_eq!(full(&format!("a:b@{digest}")), format!("docker.io/library/a:b@{digest}"));
    }

    #[test]
    fn what_docker_refuses_is_refused() {
        let id = "a".repeat(64);
        let long = "a/".repeat(130) + "a";
        let words = ": a: A a/ /a a//b a..b a__.b a___b -a a- a:.b a@b a@sha256:1 a@sha512:12 é \
            localhost:0/a localhost:65536/a localhost:+80/a [::1/a [::x]:1/a -x.y/a x..y/a user@host/a x.y:z/a \
            a:b:c http://localhost/a ../a a/../b a?b a#b a%2fb";
        for text in words.split_whitespace().chain(["", "a b", "a\n", &id, &long]) {
            assert!(text.parse::<Reference>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn short_names_are_for_people() {
        let short = |text: &str| text.parse::<Reference>().unwrap().short();
        assert_eq!(short("docker.io/library/alpine"), "alpine:latest");
        assert_eq!(short("a/b:c"), "a/b:c");
        assert_eq!(short("localhost:5000/library/x"), "localhost:5000/library/x:latest");
        assert_eq!(short("docker.io/library/localhost/x"), "library/localhost/x:latest");
    }
}
