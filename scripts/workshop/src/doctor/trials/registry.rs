//! Whether images can be fetched: by one connection to the registry that short names mean, or to the
//! proxy that is to be asked instead. Nothing is pulled: that would count against a limit.

use std::{
    env,
    net::{TcpStream, ToSocketAddrs},
    time::Duration,
};

use anyhow::{Context, Result};

const HUB: &str = "registry-1.docker.io:443";
const PATIENCE: Duration = Duration::from_secs(5);

/// Connects, and says to whom.
pub fn answers() -> Result<String> {
    let host = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]
        .iter()
        .find_map(|name| env::var(name).ok().filter(|value| !value.is_empty()));
    let host = host.map_or(HUB.to_string(), |proxy| authority(&proxy));
    let mut addresses =
        host.to_socket_addrs().with_context(|| format!("cannot find the address of {host}"))?;
    let address = addresses.next().with_context(|| format!("{host} has no address"))?;
    TcpStream::connect_timeout(&address, PATIENCE)
        .with_context(|| format!("cannot connect to {host}"))?;
    Ok(host)
}

/// `host:port` of `http://user:word@host:port/`, without the password.
fn authority(proxy: &str) -> String {
    let rest = proxy.split_once("://").map_or(proxy, |(_, rest)| rest);
    let rest = rest.split('/').next().unwrap_or(rest);
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    match host.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_ok() => host.to_string(),
        _ => format!("{host}:80"),
    }
}

#[cfg(test)]
mod tests {
    use super::authority;

    #[test]
    fn a_proxy_is_named_without_its_password() {
        assert_eq!(authority("http://me:secret@proxy.example:3128/"), "proxy.example:3128");
        assert_eq!(authority("proxy.example"), "proxy.example:80");
    }
}
