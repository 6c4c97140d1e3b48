//! The logins that docker, podman and skopeo have left: containers-auth.json(5) and docker's
//! config.json. They hold names and passwords, or name a program that keeps them.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use nix::errno::Errno;
use serde::Deserialize;

/// Docker's own name for Docker Hub, in such files.
const HUB: &str = "index.docker.io";

pub enum Login {
    Password {
        user: String,
        password: String,
    },
    /// For whoever gives out tokens, in the place of a password that is not kept anywhere.
    Identity(String),
}

impl Login {
    /// RFC 7617.
    pub fn basic(&self) -> Result<String> {
        let Login::Password { user, password } = self else {
            bail!("the login here is an identity token, and the registry wants a password");
        };
        Ok(format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}"))))
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct File {
    auths: BTreeMap<String, Auth>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Auth {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
}

/// The first login for `registry`, or for `path` in it.
pub fn find(registry: &str, path: &str) -> Result<Option<Login>> {
    for file in files() {
        let act = || format!("cannot read the logins in {}", file.display());
        let text = match fs::read(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                chroot::tell(&format!("note: {}: {}", act(), chroot::describe(Errno::EACCES)));
                continue;
            }
            Err(_) => continue,
        };
        let logins: File = serde_json::from_slice(&text).with_context(act)?;
        if let Some(login) = logins.find(registry, path).with_context(act)? {
            return Ok(Some(login));
        }
    }
    Ok(None)
}

/// In the order in which podman looks, then docker's.
fn files() -> Vec<PathBuf> {
    let variable = |name, rest: &str| Some(Path::new(&env::var_os(name)?).join(rest));
    let files = [
        env::var_os("REGISTRY_AUTH_FILE").map(PathBuf::from),
        variable("XDG_RUNTIME_DIR", "containers/auth.json"),
        variable("HOME", ".config/containers/auth.json"),
        variable("DOCKER_CONFIG", "config.json").or(variable("HOME", ".docker/config.json")),
    ];
    files.into_iter().flatten().collect()
}

impl File {
    fn find(&self, registry: &str, path: &str) -> Result<Option<Login>> {
        let whole = format!("{registry}/{path}");
        // From the repository up to the registry: the more exact login counts.
        let mut names: Vec<&str> = whole.match_indices('/').map(|(at, _)| &whole[..at]).collect();
        names.reverse();
        names.insert(0, &whole);
        if registry == "docker.io" {
            names.push(HUB);
        }
        for name in names {
            if let Some((server, helper)) = named(&self.cred_helpers, name) {
                return ask(helper, server).map(Some);
            }
            if let Some((server, auth)) = named(&self.auths, name) {
                return match (&self.creds_store, auth.login()?) {
                    (_, Some(login)) => Ok(Some(login)),
                    (Some(helper), None) => ask(helper, server).map(Some),
                    (None, None) => continue,
                };
            }
        }
        Ok(None)
    }
}

/// The entry for `name`: docker's keys may look like `https://index.docker.io/v1/`.
fn named<'a, T>(entries: &'a BTreeMap<String, T>, name: &str) -> Option<(&'a String, &'a T)> {
    entries.iter().find(|(key, _)| {
        let key = key.trim_start_matches("https://").trim_start_matches("http://");
        let key = key.trim_end_matches('/');
        key.strip_suffix("/v1").or(key.strip_suffix("/v2")).unwrap_or(key) == name
    })
}

impl Auth {
    fn login(&self) -> Result<Option<Login>> {
        if !self.identitytoken.is_empty() {
            return Ok(Some(Login::Identity(self.identitytoken.clone())));
        }
        if self.auth.is_empty() {
            let (user, password) = (self.username.clone(), self.password.clone());
            return Ok((!user.is_empty()).then_some(Login::Password { user, password }));
        }
        let bytes = BASE64_STANDARD.decode(&self.auth).context("a login is not in base64")?;
        let text = String::from_utf8(bytes).context("a login is not text")?;
        let (user, password) = text.split_once(':').context("a login has no password")?;
        // Some tools end it with NUL bytes.
        let password = password.trim_end_matches('\0');
        Ok(Some(Login::Password { user: user.into(), password: password.into() }))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// Asks `docker-credential-HELPER get`: github.com/docker/docker-credential-helpers.
fn ask(helper: &str, server: &str) -> Result<Login> {
    ensure!(!helper.contains('/'), "{helper:?} is no name of a credential helper");
    let program = format!("docker-credential-{helper}");
    let act = || format!("cannot get a login from {program}");
    let mut child = Command::new(&program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(act)?;
    let mut input = child.stdin.take().context("it has no input").with_context(act)?;
    input.write_all(server.as_bytes()).with_context(act)?;
    drop(input);
    let output = child.wait_with_output().with_context(act)?;
    ensure!(output.status.success(), "{program} has no login for {server}");
    let answer: Answer = serde_json::from_slice(&output.stdout).with_context(act)?;
    Ok(match answer.username.as_str() {
        // So it marks an identity token.
        "<token>" => Login::Identity(answer.secret),
        _ => Login::Password { user: answer.username, password: answer.secret },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(json: &str, registry: &str, path: &str) -> Option<String> {
        let file: File = serde_json::from_str(json).unwrap();
        file.find(registry, path).unwrap().map(|login| match login {
            Login::Password { user, password } => format!("{user}:{password}"),
            Login::Identity(token) => token,
        })
    }

    #[test]
    fn the_most_exact_login_counts() {
        let json = r#"{"auths": {"https://index.docker.io/v1/": {"auth": "aHViOmE6Yg=="},
            "localhost:5000": {"username": "host", "password": "x"},
            "localhost:5000/a": {"auth": "YTpi"}, "ghcr.io": {},
            "localhost:5002": {"auth": "YTo=", "identitytoken": "c"}}}"#;
        assert_eq!(user(json, "docker.io", "library/alpine").unwrap(), "hub:a:b");
        assert_eq!(user(json, "localhost:5000", "b/c").unwrap(), "host:x");
        assert_eq!(user(json, "localhost:5000", "a/c").unwrap(), "a:b");
        assert_eq!(user(json, "localhost:5001", "a/c"), None);
        assert_eq!(user(json, "localhost:5002", "a/c").unwrap(), "c");
        assert_eq!(user(json, "ghcr.io", "a/c"), None);
    }
}
