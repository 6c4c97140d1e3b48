//! How to be let in. A registry that says 401 says in `WWW-Authenticate` what it wants to see: a
//! name and a password (RFC 7617), or a token that somebody else gives out, to anyone or to whoever
//! logs in: github.com/distribution/distribution, docs/content/spec/auth/token.md.

use std::collections::HashMap;
use std::io::Read;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use ureq::Body;
use ureq::http::{Response, Uri};

use super::credentials::Login;
use super::http::is_loopback;
use super::{Registry, answer};

const LONGEST_TOKEN: u64 = 1 << 20;

/// What to send as `Authorization` after `response`, a 401.
pub fn authorization(registry: &Registry, response: &Response<Body>) -> Result<String> {
    let challenges = response.headers().get_all("www-authenticate");
    let challenges: Vec<Challenge> =
        challenges.iter().filter_map(|it| it.to_str().ok()).filter_map(parse).collect();
    let of = |scheme: &str| challenges.iter().find(|it| it.scheme.eq_ignore_ascii_case(scheme));
    if let Some(challenge) = of("bearer") {
        return token(registry, challenge).context("cannot get a token for the registry");
    }
    if of("basic").is_some() {
        let login = registry.login.as_ref();
        let login = login
            .with_context(|| format!("there is no login for {} here", registry.reference.registry));
        return login.map_err(|it| it.context(hint(registry)))?.basic();
    }
    bail!("the registry wants to know who we are in a way that is not known here")
}

fn hint(registry: &Registry) -> chroot::Hint {
    let host = &registry.reference.registry;
    chroot::Hint(format!("log in to {host} with docker, podman or skopeo: their login is found"))
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

/// Gets a token for our repository: what to send as `Authorization` from here on.
///
/// The `values` of the challenge say where: a GET of `realm`, and in its query the `scope` and the
/// `service` that they name, if they do; token.md, "Requesting a Token". Without a scope, ours is
/// `repository:PATH:pull`. Whoever has a `login` shows it there, anyone else gets a token too; with
/// `Login::Identity` it is `trade`d in. But first `check` the realm: the registry has chosen it.
///
/// Exercise 14.1
fn token(registry: &Registry, challenge: &Challenge) -> Result<String> {
    let get = |key: &str| challenge.values.get(key).map(String::as_str);
    let realm = get("realm").context("the registry does not say where")?;
    check(realm, registry)?;
    let ours = format!("repository:{}:pull", registry.reference.path);
    let mut asked = vec![("scope", get("scope").unwrap_or(&ours))];
    asked.extend(get("service").map(|service| ("service", service)));
    if let Some(Login::Identity(identity)) = &registry.login {
        return trade(registry, realm, asked, identity);
    }
    let mut request = registry.agent.get(realm).query_pairs(asked);
    if let Some(login) = &registry.login {
        request = request.header("Authorization", login.basic()?);
    }
    bearer(request.call().map_err(answer::describe)?, registry)
}

/// A token for an identity token, as OAuth 2 has it: docs/content/spec/auth/oauth.md.
fn trade(
    registry: &Registry,
    realm: &str,
    asked: Vec<(&str, &str)>,
    identity: &str,
) -> Result<String> {
    let traded = [
        ("grant_type", "refresh_token"),
        ("refresh_token", identity),
        ("client_id", "container-workshop"),
    ];
    let answered = registry.agent.post(realm).send_form(asked.into_iter().chain(traded));
    bearer(answered.map_err(answer::describe)?, registry)
}

/// What an answer with a token is for.
fn bearer(response: Response<Body>, registry: &Registry) -> Result<String> {
    if !response.status().is_success() {
        return Err(answer::explain(response, &registry.reference));
    }
    let mut text = Vec::new();
    response.into_body().into_reader().take(LONGEST_TOKEN).read_to_end(&mut text)?;
    let token: Token = serde_json::from_slice(&text).context("the answer is none")?;
    let token = token.token.or(token.access_token).context("the answer holds no token")?;
    ensure!(
        token.bytes().all(|it| it.is_ascii_graphic()),
        "the token has characters that none has"
    );
    Ok(format!("Bearer {token}"))
}

/// The registry chooses where our password goes: not to whoever listens on the way there.
fn check(realm: &str, registry: &Registry) -> Result<()> {
    let uri: Uri = realm.parse().with_context(|| format!("the registry sends us to {realm:?}"))?;
    let is_safe = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => registry.insecure || is_loopback(uri.host().unwrap_or_default()),
        _ => false,
    };
    ensure!(is_safe, "the registry sends us to {realm:?}, without TLS");
    Ok(())
}

/// One way to be let in: `SCHEME KEY="VALUE",KEY=VALUE`.
struct Challenge {
    scheme: String,
    values: HashMap<String, String>,
}

fn parse(text: &str) -> Option<Challenge> {
    let (scheme, mut rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    let mut values = HashMap::new();
    while let Some((key, after)) = rest.split_once('=') {
        let key = key.trim_matches([',', ' ']).to_lowercase();
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_once(',').unwrap_or((after, "")),
        };
        values.insert(key, value.trim().to_string());
        rest = after;
    }
    Some(Challenge { scheme: scheme.into(), values })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges() {
        let hub = concat!(
            r#"Bearer realm="https://auth.docker.io/token","#,
            r#"service="registry.docker.io",scope="repository:a/b:pull,push""#
        );
        let challenge = parse(hub).unwrap();
        assert_eq!(challenge.scheme, "Bearer");
        assert_eq!(challenge.values["realm"], "https://auth.docker.io/token");
        assert_eq!(challenge.values["scope"], "repository:a/b:pull,push");
        let basic = parse("Basic realm=x, charset=UTF-8").unwrap();
        assert_eq!(basic.values["realm"], "x");
        assert_eq!(basic.values["charset"], "UTF-8");
        assert!(parse(r#"Bearer realm="x"#).is_none());
        assert!(parse("Negotiate").unwrap().values.is_empty());
    }
}
