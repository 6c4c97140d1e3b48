//! Debian's registry on loopback, gone with its value.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::need;

/// docker-registry with its own directory.
pub struct Registry {
    child: Child,
    pub host: String,
}

impl Registry {
    /// Starts one; `settings` are further lines of its configuration, YAML.
    pub fn start(directory: &Path, settings: &str, tls: &str) -> Result<Registry> {
        need(&[("docker-registry", "docker-registry")])?;
        fs::create_dir_all(directory)?;
        let port = free_port()?;
        let config = directory.join("config.yml");
        let data = directory.join("data");
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http:\n  addr: 127.0.0.1:{port}\n{tls}{settings}",
            data.display()
        );
        fs::write(&config, text)?;
        let log = fs::File::create(directory.join("log"))?;
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start docker-registry")?;
        let registry = Registry { child, host: format!("127.0.0.1:{port}") };
        for _ in 0..500 {
            if TcpStream::connect(&registry.host).is_ok() {
                return Ok(registry);
            }
            thread::sleep(Duration::from_millis(10));
        }
        bail!("docker-registry does not answer: {}", fs::read_to_string(directory.join("log"))?)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
