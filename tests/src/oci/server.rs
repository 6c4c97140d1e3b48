//! A server on loopback, gone with its value, that answers by a function: with anything, as much of
//! it as it likes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use anyhow::Result;

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
