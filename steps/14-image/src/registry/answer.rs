//! What an answer means: it is what we wanted, or we ask again in a while, or it is an error that
//! says to a person what to do.

use std::io::Read;
use std::time::Duration;

use anyhow::{Error, anyhow};
use chroot::Hint;
use serde::Deserialize;
use ureq::http::{Response, StatusCode};
use ureq::{Body, Timeout};

use crate::reference::Reference;

pub enum Verdict {
    Fine(Response<Body>),
    Unauthorized(Response<Body>),
    Again(Duration),
    Never(Error),
}

const ATTEMPTS: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// Longer than a person wants to look at nothing.
const LONGEST_WAIT: Duration = Duration::from_secs(20);
const LONGEST_ERROR: u64 = 64 << 10;

/// What to do about an answer, or about none, after `attempt` attempts that were in vain.
pub fn judge(
    answer: Result<Response<Body>, ureq::Error>,
    attempt: u32,
    who: &Reference,
) -> Verdict {
    let last = attempt + 1 >= ATTEMPTS;
    match answer {
        Ok(response) if response.status().is_success() => Verdict::Fine(response),
        Ok(response) if response.status() == StatusCode::UNAUTHORIZED => {
            Verdict::Unauthorized(response)
        }
        Ok(response) if is_busy(response.status()) && !last => {
            Verdict::Again(asked(&response).unwrap_or(back_off(attempt)))
        }
        Ok(response) => Verdict::Never(explain(response, who)),
        Err(error) if may_pass(&error) && !last => Verdict::Again(back_off(attempt)),
        Err(error) => Verdict::Never(describe(error)),
    }
}

fn is_busy(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error()
}

/// Twice as long each time.
pub fn back_off(attempt: u32) -> Duration {
    (FIRST_WAIT * 2_u32.saturating_pow(attempt.min(16))).min(LONGEST_WAIT)
}

/// `Retry-After`, in seconds, RFC 9110 section 10.2.3.
fn asked(response: &Response<Body>) -> Option<Duration> {
    let seconds = response.headers().get("retry-after")?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_WAIT))
}

/// A connection that broke may hold the next time; one that nobody answers will not.
fn may_pass(error: &ureq::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    match error {
        ureq::Error::Io(error) => {
            [BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof].contains(&error.kind())
        }
        ureq::Error::ConnectionFailed => true,
        _ => false,
    }
}

/// A failure before there was an answer.
pub fn describe(error: ureq::Error) -> Error {
    match error {
        ureq::Error::Io(error) if error.raw_os_error().is_some() => {
            Error::new(error).context("cannot reach it")
        }
        ureq::Error::HostNotFound => no_host(),
        // The standard library has no kind for it.
        ureq::Error::Io(error) if error.to_string().starts_with("failed to lookup") => no_host(),
        ureq::Error::Timeout(Timeout::Connect | Timeout::Resolve) => {
            let hint = "is there a network, or a proxy to name in HTTPS_PROXY?";
            anyhow!("nobody answers there").context(Hint(hint.into()))
        }
        ureq::Error::Timeout(_) => anyhow!("it has said nothing for too long (--timeout)"),
        ureq::Error::RequireHttpsOnly(_) => {
            anyhow!("it leads from https to http, and so to whoever listens")
        }
        ureq::Error::Io(error) => no_tls(&error.to_string()),
        error => anyhow!("{error}"),
    }
}

/// What is wrong with the connection's encryption has no number, only words.
fn no_tls(said: &str) -> Error {
    let (what, hint) = if said.contains("InvalidContentType") {
        ("it does not speak TLS", "--insecure speaks http, which whoever is on the way can read")
    } else if said.contains("certificate") {
        ("its certificate is not trusted", "--ca-file names the authority that has signed it")
    } else {
        return anyhow!("the connection broke: {said}");
    };
    anyhow!("{what} ({said})").context(Hint(hint.into()))
}

fn no_host() -> Error {
    let hint = "is there a network? `getent hosts NAME` asks the same question";
    anyhow!("there is no host of that name, or no name server").context(Hint(hint.into()))
}

/// An answer that is an error.
pub fn explain(response: Response<Body>, who: &Reference) -> Error {
    let status = response.status();
    let said = message(response);
    let said = if said.is_empty() { String::new() } else { format!(" ({said})") };
    let registry = &who.registry;
    let (what, hint) = match status.as_u16() {
        401 => (
            "the registry does not let us in, or there is no such image",
            format!("log in to {registry} with docker, podman or skopeo: their login is found"),
        ),
        403 => ("the registry does not let us have it", String::new()),
        404 => ("there is no such image", format!("is it in another registry than {registry}?")),
        429 => (
            "the registry's rate limit is reached",
            format!("wait, or log in to {registry}: that raises the limit"),
        ),
        500.. => ("the registry has a problem of its own", String::new()),
        _ => ("the registry refuses", String::new()),
    };
    let error = anyhow!("{what}: {status}{said}");
    if hint.is_empty() { error } else { error.context(Hint(hint)) }
}

#[derive(Deserialize)]
struct Errors {
    errors: Vec<Message>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// What the registry says itself, in one line that cannot command a terminal.
fn message(response: Response<Body>) -> String {
    let mut text = Vec::new();
    let _ = response.into_body().into_reader().take(LONGEST_ERROR).read_to_end(&mut text);
    let errors = serde_json::from_slice(&text).map_or(Vec::new(), |it: Errors| it.errors);
    let first = errors.into_iter().next().map(|it| format!("{}: {}", it.code, it.message));
    let short: String = first.unwrap_or_default().chars().take(200).collect();
    short.escape_debug().to_string()
}
