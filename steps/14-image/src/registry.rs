//! A registry, by the OCI distribution protocol: documents under /v2/NAME/manifests, content under
//! /v2/NAME/blobs. distribution-spec, spec.md, "Pull". It is asked over https, and over http only
//! where nobody else can listen.

mod answer;
mod auth;
mod credentials;
mod http;
mod resume;

use std::io::Read;
use std::path::PathBuf;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ureq::http::Response;
use ureq::{Agent, Body};

use crate::digest::Digest;
use crate::manifest::{self, Descriptor};
use crate::media;
use crate::reference::Reference;
use crate::source::Source;
use answer::Verdict;
use credentials::Login;
use resume::Resuming;

/// How a registry may be spoken to.
#[derive(clap::Args, Clone)]
#[group(skip)]
pub struct Args {
    /// Speak http, and take any certificate; by default only to this machine
    #[arg(long)]
    pub insecure: bool,

    /// Trust the certificate authorities in this file too
    #[arg(long, value_name = "PEM")]
    pub ca_file: Option<PathBuf>,

    /// Give up when a registry says nothing for so long
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub timeout: Duration,
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) if (1..=3600).contains(&seconds) => Ok(Duration::from_secs(seconds)),
        _ => Err("it is 1 to 3600 seconds".into()),
    }
}

/// One repository of a registry.
pub struct Registry {
    agent: Agent,
    /// `https://HOST/v2/NAME`
    base: String,
    reference: Reference,
    login: Option<Login>,
    insecure: bool,
    /// What we show to be let in, once we know what the registry wants to see.
    authorization: Mutex<Option<String>>,
}

impl Registry {
    /// Finds out how to speak to the registry of `reference`.
    pub fn new(reference: &Reference, args: &Args) -> Result<Registry> {
        let host = reference.host();
        let plain = args.insecure || http::is_loopback(host);
        let agent = http::agent(args, host, plain)?;
        let scheme = if plain && http::speaks_http(&agent, host) { "http" } else { "https" };
        let base = format!("{scheme}://{host}/v2/{}", reference.path);
        let login = credentials::find(&reference.registry, &reference.path)?;
        let (reference, insecure) = (reference.clone(), args.insecure);
        Ok(Registry { agent, base, reference, login, insecure, authorization: Mutex::new(None) })
    }

    /// GET of `path` below the repository, from byte `offset` on. A registry that is busy or broken
    /// is asked again, one that wants to know who we are is told.
    fn get(&self, path: &str, offset: u64) -> Result<Response<Body>> {
        let (mut told, mut attempt) = (false, 0);
        loop {
            match answer::judge(self.once(path, offset), attempt, &self.reference) {
                Verdict::Fine(response) => return Ok(response),
                Verdict::Unauthorized(response) if !told => {
                    let shown = auth::authorization(self, &response)?;
                    *self.authorization.lock().unwrap() = Some(shown);
                    told = true;
                }
                Verdict::Unauthorized(response) => {
                    return Err(answer::explain(response, &self.reference));
                }
                Verdict::Again(wait) => {
                    thread::sleep(wait);
                    attempt += 1;
                }
                Verdict::Never(error) => return Err(error),
            }
        }
    }

    fn once(&self, path: &str, offset: u64) -> Result<Response<Body>, ureq::Error> {
        let mut request = self.agent.get(format!("{}/{path}", self.base));
        if let Some(authorization) = &*self.authorization.lock().unwrap() {
            request = request.header("Authorization", authorization);
        }
        for media_type in media::ACCEPTED {
            request = request.header("Accept", media_type);
        }
        if offset > 0 {
            request = request.header("Range", format!("bytes={offset}-"));
        }
        request.call()
    }
}

impl Source for Registry {
    fn root(&self) -> Result<(Vec<u8>, Option<String>)> {
        let act = || format!("cannot ask {}", self.reference.host());
        let path = format!("manifests/{}", self.reference.wanted());
        let response = self.get(&path, 0).with_context(act)?;
        let kind = response.headers().get("content-type").and_then(|it| it.to_str().ok());
        let kind = kind.map(|it| it.split(';').next().unwrap_or_default().trim().to_string());
        // Some answer with a type that says nothing.
        let kind = kind.filter(|it| media::ACCEPTED.contains(&it.as_str()));
        let mut bytes = Vec::new();
        let mut body = response.into_body().into_reader().take(manifest::LARGEST + 1);
        body.read_to_end(&mut bytes).context("cannot receive the manifest").with_context(act)?;
        if let Some(digest) = &self.reference.digest {
            let found = Digest::of(&bytes);
            ensure!(found == *digest, "the registry has {found} in the place of {digest}");
        }
        Ok((bytes, kind))
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>> {
        let response = self.get(&format!("manifests/{}", descriptor.digest), 0)?;
        Ok(Box::new(response.into_body().into_reader()))
    }

    fn blob(&self, descriptor: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(Resuming::start(self, descriptor, offset)?))
    }
}
