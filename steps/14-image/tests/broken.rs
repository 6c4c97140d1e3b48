//! Registries as they are on bad days, played by a server of a few lines: tokens, limits,
//! redirects, connections that break, lengths that lie, content that is another; and a disk that is
//! full.

mod kit;

use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use evidence::oci::registry::{self, offset};
use evidence::oci::{Layer, Layout, Request, Server, Tar, head, reply};
use image::digest::Digest;
use kit::{Place, Test, finish};
use serde_json::{Value, json};

const TESTS: &[Test] = &[
    ("a token, as Docker Hub gives it", token),
    ("a token for a login", token_for_login),
    ("an identity token", identity_token),
    ("a login that a program keeps", credential_helper),
    ("tokens that are none", bad_tokens),
    ("a redirect gets no token", redirect),
    ("busy for a while", busy),
    ("broken for good", broken),
    ("a limit that is reached", limited),
    ("connections that break", breaking),
    ("a registry without ranges", no_ranges),
    ("a pull that goes on from before", resumed),
    ("lengths that lie", lengths),
    ("content that is another", content),
    ("streams without end", endless),
    ("silence", silence),
    ("answers that are none", nonsense),
    ("nobody there", nobody),
    ("a proxy from the environment", proxy),
    ("a full disk", full_disk),
];

fn main() -> ExitCode {
    kit::main(TESTS)
}

type Answer = dyn Fn(&Request, &mut TcpStream) -> std::io::Result<()> + Send + Sync;

/// A registry with one image, of one layer of some megabytes that do not compress.
struct Content {
    registry: registry::Content,
    manifest: Vec<u8>,
    config: Vec<u8>,
    layer: Vec<u8>,
}

impl Content {
    fn new() -> Result<Content> {
        let noise: Vec<u8> =
            (0..300_000u32).flat_map(|it| it.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        let layer = Layer::plain(&Tar::new().file("noise", &noise).end());
        let directory = tempfile::tempdir()?;
        let layout = Layout::new(directory.path())?;
        let bytes = |it: &Value| std::fs::read(layout.file(it["digest"].as_str().unwrap()));
        let manifest = bytes(&layout.image(std::slice::from_ref(&layer), json!({}))?)?;
        let config = bytes(&serde_json::from_slice::<Value>(&manifest)?["config"])?;
        let registry = registry::Content::of(&layout)?;
        Ok(Content { registry, manifest, config, layer: layer.blob })
    }

    fn is_layer(&self, request: &Request) -> bool {
        self.registry.wanted(request) == Some(&self.layer)
    }

    fn part(&self, request: &Request, stream: &mut TcpStream, most: usize) -> std::io::Result<()> {
        registry::part(request, stream, &self.layer, most)
    }
}

/// A server that asks `special` first: whether it has answered.
fn server(
    special: impl Fn(&Content, &Request, &mut TcpStream) -> std::io::Result<bool>
    + Send
    + Sync
    + 'static,
) -> Result<Server> {
    let content = Content::new()?;
    let answer: Box<Answer> =
        Box::new(move |request, stream| match special(&content, request, stream)? {
            true => Ok(()),
            false => content.registry.answer(request, stream),
        });
    Server::start(answer)
}

/// The same, where only the layer is special.
fn layer_server(
    special: impl Fn(&Content, &Request, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
) -> Result<Server> {
    server(move |content, request, stream| match content.is_layer(request) {
        true => special(content, request, stream).map(|()| true),
        false => Ok(false),
    })
}

fn name(server: &Server) -> String {
    format!("{}/a/b", server.host)
}

fn pulls(place: &Place, server: &Server) -> Result<()> {
    place.ok(&["pull", &name(server)])?;
    place.ok(&["unpack", &name(server), "files"])?;
    ensure!(place.path("home/files/noise").metadata()?.len() == 1_200_000, "another file");
    Ok(())
}

/// Fails with these words, and leaves nothing that has a name.
fn refuses(place: &Place, server: &Server, words: &str) -> Result<()> {
    place.fails(&["pull", "--timeout", "2", &name(server)], words)?;
    let left = |name: &str| std::fs::read_dir(place.store().join(name)).map_or(0, Iterator::count);
    ensure!(left("layers") == 0 && left("blobs/sha256") == 0, "something is left");
    ensure!(!place.store().join("index.json").exists(), "there is an index");
    Ok(())
}

const DENIED: &str = "401 Unauthorized";

/// A registry that wants a token from its own /token, for whoever shows `login` there.
fn token_server(
    login: Option<&'static str>,
    answer: &'static str,
) -> Result<(Server, Arc<Mutex<Vec<String>>>)> {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    let server = server(move |_, request, stream| {
        let host = request.header("host").unwrap_or_default();
        if request.path.starts_with("/token") {
            log.lock().unwrap().push(request.path.clone());
            let denied = login.is_some() && request.header("authorization") != login;
            let status = if denied { DENIED } else { "200 OK" };
            return reply(stream, status, &[], answer.as_bytes()).map(|()| true);
        }
        if request.header("authorization") == Some("Bearer let-me-in") {
            return Ok(false);
        }
        let wants = format!(
            "WWW-Authenticate: Bearer realm=\"http://{host}/token\",service=\"the registry\",scope=\"repository:a/b:pull\""
        );
        reply(stream, DENIED, &[&wants], b"").map(|()| true)
    })?;
    Ok((server, asked))
}

fn token(place: &Place) -> Result<()> {
    let (server, asked) = token_server(None, r#"{"token": "let-me-in", "expires_in": 300}"#)?;
    pulls(place, &server)?;
    let asked = asked.lock().unwrap();
    ensure!(asked.len() == 1, "{asked:?}");
    ensure!(
        asked[0].contains("service=the%20registry") && asked[0].contains("repository"),
        "{asked:?}"
    );
    Ok(())
}

fn token_for_login(place: &Place) -> Result<()> {
    let (server, _) =
        token_server(Some("Basic YW5uOnNlY3JldA=="), r#"{"access_token": "let-me-in"}"#)?;
    refuses(place, &server, "cannot get a token")?;
    let login = json!({"auths": {&server.host: {"auth": "YW5uOnNlY3JldA=="}}});
    let file = place.directory("home/.docker")?.join("config.json");
    std::fs::write(&file, login.to_string())?;
    pulls(place, &server)?;
    std::fs::write(file, "{")?;
    place.fails(&["pull", &name(&server)], "cannot read the logins")?;
    Ok(())
}

/// As the file says it and as a program says it: sent by POST, to who gives out tokens and to nobody
/// else.
fn identity_token(place: &Place) -> Result<()> {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    let server = server(move |_, request, stream| {
        let host = request.header("host").unwrap_or_default();
        if request.path.starts_with("/token") {
            let said = format!("{} {}", request.method, request.body);
            log.lock().unwrap().push(said);
            let answer = br#"{"access_token": "let-me-in", "refresh_token": "another"}"#;
            return reply(stream, "200 OK", &[], answer).map(|()| true);
        }
        if request.header("authorization") == Some("Bearer let-me-in") {
            return Ok(false);
        }
        let wants = format!("WWW-Authenticate: Bearer realm=\"http://{host}/token\",service=\"s\"");
        reply(stream, DENIED, &[&wants], b"").map(|()| true)
    })?;
    let file = place.directory("home/.docker")?.join("config.json");
    let entry = json!({"auth": "YW5uOg==", "identitytoken": "secret"});
    std::fs::write(&file, json!({"auths": {&server.host: entry}}).to_string())?;
    pulls(place, &server)?;
    let asked = asked.lock().unwrap();
    let expected = "POST scope=repository%3Aa%2Fb%3Apull&service=s&grant_type=refresh_token\
        &refresh_token=secret&client_id=container-workshop";
    ensure!(*asked == [expected], "{asked:?}");
    // Where a password is wanted there is none.
    let basic = self::server(|_, _, stream| {
        reply(stream, DENIED, &["WWW-Authenticate: Basic realm=x"], b"").map(|()| true)
    })?;
    std::fs::write(file, json!({"auths": {&basic.host: entry}}).to_string())?;
    place
        .fails(&["pull", &name(&basic)], "an identity token, and the registry wants a password")?;
    Ok(())
}

/// docker-credential-test on the PATH, asked for the registry's name.
fn credential_helper(place: &Place) -> Result<()> {
    let (server, _) =
        token_server(Some("Basic YW5uOnNlY3JldA=="), r#"{"access_token": "let-me-in"}"#)?;
    let helper = place.directory("bin")?.join("docker-credential-test");
    let script = format!(
        "#!/bin/sh\nread -r server || :\n[ \"$1 $server\" = 'get {}' ] || exit 1\n\
         echo '{{\"ServerURL\": \"x\", \"Username\": \"ann\", \"Secret\": \"secret\"}}'\n",
        server.host
    );
    std::fs::write(&helper, script)?;
    std::fs::set_permissions(&helper, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let file = place.directory("home/.docker")?.join("config.json");
    let pull = |login: serde_json::Value, name: &str| {
        std::fs::write(&file, login.to_string())?;
        let mut command = place.image(&["pull", name])?;
        let path = std::env::var("PATH")?;
        command.env("PATH", format!("{}:{path}", place.path("bin").display()));
        finish(command)
    };
    let host = &server.host;
    for login in
        [json!({"credHelpers": {host: "test"}}), json!({"auths": {host: {}}, "credsStore": "test"})]
    {
        let outcome = pull(login, &name(&server))?;
        ensure!(outcome.code == 0, "{}", outcome.stderr);
        place.ok(&["rm", &name(&server)])?;
    }
    let other = json!({"credHelpers": {"x.invalid": "test"}});
    pull(other, "x.invalid/a")?
        .is_one_error("docker-credential-test has no login for x.invalid")?;
    let missing = json!({"credHelpers": {"x.invalid": "none"}});
    pull(missing, "x.invalid/a")?.is_one_error("cannot get a login from docker-credential-none")?;
    let path = json!({"credHelpers": {"x.invalid": "../../bin/sh"}});
    pull(path, "x.invalid/a")?.is_one_error("is no name of a credential helper")
}

fn bad_tokens(place: &Place) -> Result<()> {
    for answer in ["", "{}", "[]", "{\"token\": \"a\\r\\nX: y\"}", "{\"token\": 5}", "\u{0}"] {
        let (server, _) = token_server(None, answer)?;
        refuses(place, &server, "cannot get a token").with_context(|| answer.to_string())?;
    }
    let (server, _) = token_server(None, r#"{"token": "wrong"}"#)?;
    refuses(place, &server, "401")?;
    for challenge in [
        "Bearer",
        "Bearer realm=\"ftp://x/\"",
        "Bearer realm=\"http://127.0.0.1:80@192.0.2.1/\"",
        "Bearer realm=\"",
        "Negotiate",
        "Basic realm=x",
    ] {
        let server = self::server(move |_, _, stream| {
            let wants = format!("WWW-Authenticate: {challenge}");
            reply(stream, DENIED, &[&wants], b"").map(|()| true)
        })?;
        refuses(place, &server, "cannot pull").with_context(|| challenge.to_string())?;
    }
    Ok(())
}

/// Blobs are elsewhere, as Docker Hub's are: who is there must not see what lets us in here.
fn redirect(place: &Place) -> Result<()> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let elsewhere = server(move |_, request, _| {
        log.lock().unwrap().push(request.header("authorization").map(str::to_string));
        Ok(false)
    })?;
    let to = elsewhere.host.clone();
    let server = server(move |_, request, stream| {
        let wants = "WWW-Authenticate: Basic realm=x";
        if request.header("authorization").is_none() {
            return reply(stream, DENIED, &[wants], b"").map(|()| true);
        }
        if !request.path.contains("/blobs/") {
            return Ok(false);
        }
        let location = format!("Location: http://{to}{}", request.path);
        reply(stream, "307 Temporary Redirect", &[&location], b"").map(|()| true)
    })?;
    let login = json!({"auths": {&server.host: {"auth": "YW5uOnNlY3JldA=="}}});
    std::fs::write(place.directory("home/.docker")?.join("config.json"), login.to_string())?;
    pulls(place, &server)?;
    let seen = seen.lock().unwrap();
    ensure!(seen.len() == 2 && seen.iter().all(Option::is_none), "{seen:?}");
    Ok(())
}

fn busy(place: &Place) -> Result<()> {
    let count = AtomicU32::new(0);
    let server = server(move |_, request, stream| {
        let status = match count.fetch_add(1, Ordering::Relaxed) {
            _ if request.path == "/v2/" => return Ok(false),
            1 => "429 Too Many Requests",
            2 => "503 Service Unavailable",
            4 => "500 Internal Server Error",
            5 => return Ok(true),
            _ => return Ok(false),
        };
        reply(stream, status, &["Retry-After: 0"], b"").map(|()| true)
    })?;
    pulls(place, &server)
}

fn broken(place: &Place) -> Result<()> {
    let server = server(|_, _, stream| {
        reply(stream, "502 Bad Gateway", &[], b"<html>\x1b[2J").map(|()| true)
    })?;
    refuses(place, &server, "502 Bad Gateway")
}

fn limited(place: &Place) -> Result<()> {
    let server = server(|_, _, stream| {
        let said = br#"{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your \u001b[1m limit"}]}"#;
        reply(stream, "429 Too Many Requests", &["Retry-After: 0"], said).map(|()| true)
    })?;
    let outcome = place.fails(&["pull", &name(&server)], "rate limit is reached")?;
    ensure!(outcome.stderr.contains("\nhint: wait, or log in"), "{}", outcome.stderr);
    ensure!(!outcome.stderr.contains('\x1b'), "{:?}", outcome.stderr);
    Ok(())
}

/// 100,000 bytes at a time, of 1,200,000.
fn breaking(place: &Place) -> Result<()> {
    let server = layer_server(|content, request, stream| content.part(request, stream, 100_000))?;
    pulls(place, &server)
}

/// The whole of it again each time, a little more of it.
fn no_ranges(place: &Place) -> Result<()> {
    let count = AtomicU32::new(0);
    let server = layer_server(move |content, _, stream| {
        let most = 300_000 * (1 + count.fetch_add(1, Ordering::Relaxed) as usize);
        let length = format!("Content-Length: {}", content.layer.len());
        head(stream, "200 OK", &[&length])?;
        stream.write_all(&content.layer[..most.min(content.layer.len())])
    })?;
    pulls(place, &server)
}

fn resumed(place: &Place) -> Result<()> {
    let offsets = Arc::new(Mutex::new(Vec::new()));
    let log = offsets.clone();
    let server = layer_server(move |content, request, stream| {
        let mut offsets = log.lock().unwrap();
        offsets.push(offset(request));
        // The first pull gets a part and then nothing any more.
        match offsets.len() {
            1 => content.part(request, stream, 500_000),
            2..=5 => reply(stream, "404 Not Found", &[], b""),
            _ => content.part(request, stream, usize::MAX),
        }
    })?;
    refuses(place, &server, "there is no such image")?;
    let asked = offsets.lock().unwrap().len();
    ensure!(asked == 2, "asked {asked} times");
    offsets.lock().unwrap().extend([0; 4]);
    pulls(place, &server)?;
    let last = offsets.lock().unwrap().pop();
    ensure!(last == Some(500_000), "it began at {last:?}");
    Ok(())
}

fn lengths(place: &Place) -> Result<()> {
    let with_length = |change: fn(usize) -> usize| {
        layer_server(move |content, _, stream| {
            head(stream, "200 OK", &[&format!("Content-Length: {}", change(content.layer.len()))])?;
            stream.write_all(&content.layer)
        })
    };
    refuses(place, &with_length(|it| it - 1)?, "announces")?;
    refuses(place, &with_length(|it| it + 1)?, "announces")?;
    refuses(place, &with_length(|_| 0)?, "announces")?;
    // No length at all: the connection's end is the content's.
    let server = layer_server(|content, _, stream| {
        head(stream, "200 OK", &[])?;
        stream.write_all(&content.layer)?;
        stream.write_all(b"and more")
    })?;
    refuses(place, &server, "longer than")?;
    let server = layer_server(|content, _, stream| {
        head(stream, "200 OK", &["Content-Length: nonsense"])?;
        stream.write_all(&content.layer)
    })?;
    refuses(place, &server, "cannot pull")?;
    let server = layer_server(|content, request, stream| match offset(request) {
        0 => content.part(request, stream, 1000),
        from => {
            let rest = content.layer.len() - from;
            head(
                stream,
                "206 Partial Content",
                &[&format!("Content-Length: {rest}"), "Content-Range: bytes 0-1/2"],
            )
        }
    })?;
    refuses(place, &server, "another part")
}

fn content(place: &Place) -> Result<()> {
    let server = layer_server(|content, _, stream| {
        let mut layer = content.layer.clone();
        layer[700] ^= 1;
        reply(stream, "200 OK", &[], &layer)
    })?;
    refuses(place, &server, "its digest is")?;
    let server = self::server(|content, request, stream| {
        match request.path.contains(Digest::of(&content.config).hex()) {
            true => reply(stream, "200 OK", &[], &vec![b' '; content.config.len()]).map(|()| true),
            false => Ok(false),
        }
    })?;
    refuses(place, &server, "its digest is")?;
    let server = self::server(|content, request, stream| {
        match request.path.contains("/manifests/sha256:") {
            true => reply(stream, "200 OK", &[], &content.manifest).map(|()| true),
            false => Ok(false),
        }
    })?;
    let wrong = format!("{}@sha256:{}", name(&server), "0".repeat(64));
    place.fails(&["pull", &wrong], "in the place of")?;
    Ok(())
}

/// Until nobody listens any more.
fn forever(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    loop {
        stream.write_all(bytes)?;
    }
}

fn endless(place: &Place) -> Result<()> {
    let server = layer_server(|_, _, stream| {
        head(stream, "200 OK", &[])?;
        forever(stream, &[0; 65536])
    })?;
    refuses(place, &server, "longer than")?;
    let server = self::server(|_, request, stream| match request.path.contains("/manifests/") {
        true => {
            head(stream, "200 OK", &[])?;
            forever(stream, &[b' '; 65536]).map(|()| true)
        }
        false => Ok(false),
    })?;
    refuses(place, &server, "larger than")?;
    let server = self::server(|_, request, stream| match request.path == "/v2/" {
        true => Ok(false),
        false => {
            write!(stream, "HTTP/1.1 200 OK\r\n")?;
            forever(stream, b"X-Header: and so on\r\n").map(|()| true)
        }
    })?;
    refuses(place, &server, "cannot pull")?;
    let to_itself = self::server(|_, request, stream| match request.path == "/v2/" {
        true => Ok(false),
        false => reply(stream, "302 Found", &[&format!("Location: {}", request.path)], b"")
            .map(|()| true),
    })?;
    refuses(place, &to_itself, "redirects")
}

fn silence(place: &Place) -> Result<()> {
    let start = Instant::now();
    let wait = || std::thread::sleep(Duration::from_secs(20));
    let server = self::server(move |_, request, _| match request.path == "/v2/" {
        true => Ok(false),
        false => {
            wait();
            Ok(true)
        }
    })?;
    refuses(place, &server, "said nothing for too long")?;
    let server = layer_server(move |content, request, stream| {
        if offset(request) == 0 {
            content.part(request, stream, 1000)?;
        }
        wait();
        Ok(())
    })?;
    refuses(place, &server, "said nothing for too long")?;
    ensure!(start.elapsed() < Duration::from_secs(30), "it took {:?}", start.elapsed());
    Ok(())
}

fn nonsense(place: &Place) -> Result<()> {
    for answer in [
        "",
        "hello\r\n\r\n",
        "HTTP/1.1 999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX",
        "\x16\x03\x01\x02\x00",
    ] {
        let server = self::server(move |_, request, stream| match request.path == "/v2/" {
            true => Ok(false),
            false => stream.write_all(answer.as_bytes()).map(|()| true),
        })?;
        refuses(place, &server, "cannot pull").with_context(|| answer.to_string())?;
    }
    for manifest in
        ["", "hello", "{\"schemaVersion\":1}", "[[[[", "{\"schemaVersion\":2,\"manifests\":[]}"]
    {
        let server =
            self::server(move |_, request, stream| match request.path.contains("/manifests/") {
                true => reply(stream, "200 OK", &["Content-Type: text/html"], manifest.as_bytes())
                    .map(|()| true),
                false => Ok(false),
            })?;
        refuses(place, &server, "cannot pull").with_context(|| manifest.to_string())?;
    }
    Ok(())
}

fn nobody(place: &Place) -> Result<()> {
    let gone = self::server(|_, _, _| Ok(true))?.host.clone();
    place.fails(&["pull", &format!("{gone}/a")], "ECONNREFUSED")?;
    let outcome = place.fails(&["pull", "registry.invalid/a"], "no host of that name")?;
    ensure!(outcome.stderr.contains("hint: is there a network?"), "{}", outcome.stderr);
    Ok(())
}

/// https goes through it by CONNECT; what is on this machine does not.
fn proxy(place: &Place) -> Result<()> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let proxy = self::server(move |_, request, stream| {
        log.lock().unwrap().push(request.path.clone());
        reply(stream, "403 Forbidden", &[], b"").map(|()| true)
    })?;
    let pull = |name: &str| {
        let mut command = place.image(&["pull", name])?;
        command
            .env("HTTPS_PROXY", format!("http://{}", proxy.host))
            .env("HTTP_PROXY", format!("http://{}", proxy.host));
        finish(command)
    };
    pull("registry.invalid/a")?.is_one_error("cannot pull")?;
    let asked = seen.lock().unwrap().clone();
    ensure!(asked == ["registry.invalid:443"], "{asked:?}");
    let server = self::server(|_, _, _| Ok(false))?;
    let outcome = pull(&name(&server))?;
    ensure!(outcome.code == 0, "{}", outcome.stderr);
    ensure!(seen.lock().unwrap().len() == 1, "the proxy was asked for this machine");
    Ok(())
}

/// The store is on a tmpfs of its own, too small for a layer, or for what it unpacks to.
fn full_disk(place: &Place) -> Result<()> {
    let server = self::server(|_, _, _| Ok(false))?;
    let program = place.image(&[])?.get_program().to_string_lossy().into_owned();
    for size in ["1m", "1500k", "2m"] {
        let script = format!(
            "mkdir -p store && mount -t tmpfs -o size={size},mode=700 tmpfs store && {program} pull {}; \
             code=$?; ls store/layers store/blobs/sha256; {program} prune >/dev/null || echo in vain; \
             ls -A store/partial | sed s/.*/left/; exit $code",
            name(&server)
        );
        let flags = if place.is_root() { "-m" } else { "-rm" };
        let mut command = place.command(Path::new("unshare"));
        command.args([flags, "sh", "-c", &script]);
        let outcome = finish(command)?;
        outcome.is_one_error("No space left on device (ENOSPC)").context(size)?;
        let pruned = !["in vain", "left"].iter().any(|it| outcome.stdout.contains(it));
        ensure!(pruned, "prune frees nothing: {}", outcome.stdout);
        ensure!(
            outcome.stdout.lines().all(|it| it.len() < 64 || size == "1500k" || size == "2m"),
            "{}",
            outcome.stdout
        );
    }
    Ok(())
}
