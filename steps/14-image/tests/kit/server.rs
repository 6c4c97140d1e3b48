//! Servers on loopback, each gone with its value: Debian's registry, and one that answers by a
//! function, with anything, as much of it as it likes.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
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

/// One request as it came.
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: Vec<String>,
    pub body: String,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found =
            self.headers.iter().find(|it| it.to_lowercase().starts_with(&format!("{name}:")));
        found.map(|it| it[name.len() + 1..].trim())
    }
}

/// Answers each request by `answer`, then closes the connection.
pub struct Server {
    pub host: String,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub fn start(
        answer: impl Fn(&Request, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Result<Server> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let host = format!("127.0.0.1:{}", listener.local_addr()?.port());
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, answer) = (stop.clone(), Arc::new(answer));
        let thread = thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let answer = answer.clone();
                thread::spawn(move || serve(stream, answer.as_ref()));
            }
        });
        Ok(Server { host, stop, thread: Some(thread) })
    }
}

fn serve(mut stream: TcpStream, answer: &dyn Fn(&Request, &mut TcpStream) -> std::io::Result<()>) {
    let Ok(copy) = stream.try_clone() else { return };
    let mut input = BufReader::new(copy);
    let mut lines = input.by_ref().lines().map_while(Result::ok);
    let first = lines.next().unwrap_or_default();
    let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let [method, path] = [0, 1].map(|at| first.split(' ').nth(at).unwrap_or_default().to_string());
    let mut request = Request { method, path, headers, body: String::new() };
    let length = request.header("content-length").and_then(|it| it.parse().ok()).unwrap_or(0);
    let _ = input.take(length).read_to_string(&mut request.body);
    let _ = answer(&request, &mut stream);
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(&self.host);
        self.thread.take().map(JoinHandle::join);
    }
}

/// A whole answer.
pub fn reply(
    stream: &mut TcpStream,
    status: &str,
    headers: &[&str],
    body: &[u8],
) -> std::io::Result<()> {
    let length = format!("Content-Length: {}", body.len());
    head(stream, status, &[headers, &[&length]].concat())?;
    stream.write_all(body)
}

/// Its beginning.
pub fn head(stream: &mut TcpStream, status: &str, headers: &[&str]) -> std::io::Result<()> {
    let headers: String = headers.iter().map(|it| format!("{it}\r\n")).collect();
    write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\n{headers}\r\n")
}
