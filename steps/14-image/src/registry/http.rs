//! The connection: which certificates are trusted, which proxy is asked, how long is waited. http
//! is for this machine's own addresses, where nobody is between us and the registry.

use std::env;
use std::fs;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ureq::config::{Config, RedirectAuthHeaders};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Proxy};

use super::Args;

/// Where distributions keep the certificate authorities that they trust.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

const USER_AGENT: &str = concat!("container-workshop/", env!("CARGO_PKG_VERSION"));
const CONNECT: Duration = Duration::from_secs(15);

/// What speaks to `host`, and to whomever it redirects us: there `Authorization` is left out, even
/// on the same host, for another port may be another's. `plain`: http will do.
pub fn agent(args: &Args, host: &str, plain: bool) -> Result<Agent> {
    let tls = TlsConfig::builder().root_certs(roots(args)?).disable_verification(args.insecure);
    // What is on this machine is not to be looked for by a proxy.
    let proxy = if is_loopback(host) { None } else { Proxy::try_from_env() };
    let config = Config::builder()
        .tls_config(tls.build())
        .proxy(proxy)
        .https_only(!plain)
        .redirect_auth_headers(RedirectAuthHeaders::Never)
        .http_status_as_error(false)
        .user_agent(USER_AGENT)
        .timeout_connect(Some(args.timeout.min(CONNECT)))
        .timeout_send_request(Some(args.timeout))
        .timeout_recv_response(Some(args.timeout))
        .timeout_per_read(Some(args.timeout))
        .build();
    Ok(config.into())
}

/// The host's certificate authorities and those of `--ca-file`; Mozilla's where the host has none.
fn roots(args: &Args) -> Result<RootCerts> {
    let named = env::var_os("SSL_CERT_FILE").map(Into::into);
    let bundle = named.or_else(|| {
        BUNDLES.map(Into::into).into_iter().find(|it: &std::path::PathBuf| it.exists())
    });
    if bundle.is_none() && args.ca_file.is_none() {
        return Ok(RootCerts::WebPki);
    }
    let mut certificates: Vec<Certificate<'static>> = Vec::new();
    for file in bundle.iter().chain(&args.ca_file) {
        let act = || format!("cannot use the certificates in {}", file.display());
        let before = certificates.len();
        for item in parse_pem(&fs::read(file).with_context(act)?) {
            if let PemItem::Certificate(certificate) = item.with_context(act)? {
                certificates.push(certificate);
            }
        }
        ensure!(certificates.len() > before, "{}: there is none", act());
    }
    Ok(RootCerts::new_with_certs(&certificates))
}

/// Whether a host is this machine: by its name or address alone, whatever a name server says.
pub fn is_loopback(host: &str) -> bool {
    let host = match host.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => host,
        _ => host,
    };
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || address.parse().is_ok_and(|it: IpAddr| it.is_loopback())
}

/// Whether a registry answers without TLS. One that wants TLS says 400, or nothing that is http.
/// Nothing secret is in the question.
pub fn speaks_http(agent: &Agent, host: &str) -> bool {
    let answer = agent.get(format!("http://{host}/v2/")).config().max_redirects(0).build().call();
    answer.is_ok_and(|it| {
        [200, 401, 404, 429].contains(&it.status().as_u16()) || it.status().as_u16() >= 500
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_told_by_its_name() {
        for host in
            ["localhost", "LOCALHOST:5000", "127.0.0.1", "127.1.2.3:80", "[::1]:5000", "[::1]"]
        {
            assert!(is_loopback(host), "{host}");
        }
        for host in
            ["localhost.example", "127.0.0.1.example:80", "10.0.0.1", "[fe80::1]:1", "example:80"]
        {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
