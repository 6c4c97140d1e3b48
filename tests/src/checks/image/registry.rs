//! What is asked of a registry, and what is believed of it: checks with a registry of their own.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use anyhow::{Context as _, Result, bail, ensure};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::geteuid;
use serde_json::json;

use super::super::{Context, expect};
use super::{Own, file, layer};
use crate::attack::loopback_up;
use crate::oci::registry::{offset, part};
use crate::oci::{Content, Request, Server, Tar, head, reply};

/// In a thread with a network of its own: the stand-in for root's host has no way to 127.0.0.1, and
/// other checks want it like that.
fn on_loopback(check: impl FnOnce() -> Result<()> + Send) -> Result<()> {
    let alone = || {
        if geteuid().is_root() {
            unshare(CloneFlags::CLONE_NEWNET)?;
            loopback_up()?;
        }
        check()
    };
    let ended = thread::scope(|scope| scope.spawn(alone).join());
    ended.unwrap_or_else(|_| bail!("the check panicked"))
}

const LAYER: usize = 3000;
/// What the config holds, and what one that lies has in its place.
const GOOD: &str = "good";
const EVIL: &str = "evil";

/// An image of one layer, for a registry.
fn content(own: &Own) -> Result<Content> {
    let layers = [layer(file("x", "x").file("noise", &[b'?'; LAYER]))];
    Content::of(&own.layout("layout", &layers, json!({"Cmd": [GOOD]}))?)
}

/// Whether a request is for something large: the layer.
fn is_layer(content: &Content, request: &Request) -> bool {
    content.wanted(request).is_some_and(|it| it.len() > LAYER)
}

fn name(server: &Server) -> String {
    format!("{}/a/b", server.host)
}

type Special = dyn Fn(&Content, &Request, &mut TcpStream) -> std::io::Result<bool> + Send + Sync;

/// A registry that asks `special` first: whether it has answered.
fn registry(content: Content, special: Box<Special>) -> Result<Server> {
    Server::start(move |request, stream| match special(&content, request, stream)? {
        true => Ok(()),
        false => content.answer(request, stream),
    })
}

pub fn pulled_when_missing(context: &Context) -> Result<()> {
    on_loopback(|| {
        let own = Own::new(context)?;
        let (count, asked) = counter();
        let counted = move |_: &Content, _: &Request, _: &mut TcpStream| {
            count.fetch_add(1, Ordering::Relaxed);
            Ok(false)
        };
        let registry = registry(content(&own)?, Box::new(counted))?;
        // The store is new: no image is there.
        own.ok(&["list"])?;
        let read = || own.container(&name(&registry)).run(&["read /x"]);
        expect("a file of the image", read()?.answer(0)?, r#"ok "x""#)?;
        let first = asked.swap(0, Ordering::Relaxed);
        ensure!(first > 0, "the registry was not asked");
        expect("the same file again", read()?.answer(0)?, r#"ok "x""#)?;
        expect("how often it was asked the second time", &asked.load(Ordering::Relaxed), &0)
    })
}

fn counter() -> (Arc<AtomicUsize>, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    (count.clone(), count)
}

const DENIED: &str = "401 Unauthorized";
/// Of ann, with the password secret.
const BASIC: &str = "Basic YW5uOnNlY3JldA==";
const AUTH: &str = "YW5uOnNlY3JldA==";
/// Who has an identity token in the place of a name: `<token>:`.
const NOBODY: &str = "PHRva2VuPjo=";

/// What came to where tokens are given out: the path, and who it was from.
type Log = Arc<Mutex<Vec<(String, Option<String>)>>>;

/// A registry that sends who has no token to `realm`, or to its own; with this end of a challenge.
/// Who has one gets what `after` says, or the content.
fn guarded(
    content: Content,
    realm: Option<String>,
    rest: &'static str,
    after: Box<Special>,
) -> Result<(Server, Log)> {
    let log = Log::default();
    let asked = log.clone();
    let server = registry(
        content,
        Box::new(move |content, request, stream| {
            let shown = request.header("authorization").map(String::from);
            if request.path.starts_with("/token") {
                // What is posted stands where else the query does.
                let form = if request.body.is_empty() { "" } else { "?" };
                let path = format!("{}{form}{}", request.path, request.body);
                asked.lock().unwrap().push((path, shown));
                return reply(stream, "200 OK", &[], br#"{"token":"let-me-in"}"#).map(|()| true);
            }
            if shown.as_deref() == Some("Bearer let-me-in") {
                return after(content, request, stream);
            }
            let own = format!("http://{}/token", request.header("host").unwrap_or_default());
            let realm = realm.as_ref().unwrap_or(&own);
            let wants = format!("WWW-Authenticate: Bearer realm=\"{realm}\"{rest}");
            reply(stream, DENIED, &[&wants], b"").map(|()| true)
        }),
    )?;
    Ok((server, log))
}

fn as_ever() -> Box<Special> {
    Box::new(|_, _, _| Ok(false))
}

/// The pairs of a query, decoded.
fn query(path: &str) -> Vec<String> {
    let (_, query) = path.split_once('?').unwrap_or_default();
    let plain =
        [("%3A", ":"), ("%3a", ":"), ("%2F", "/"), ("%2f", "/"), ("%2C", ","), ("%2c", ",")];
    let decoded = plain.iter().fold(query.to_string(), |it, (code, char)| it.replace(code, char));
    let mut pairs: Vec<String> = decoded.split('&').map(String::from).collect();
    pairs.sort();
    pairs
}

pub fn token(context: &Context) -> Result<()> {
    on_loopback(|| {
        let told = r#",service="the.registry",scope="repository:a/b:pull,metadata""#;
        let wanted = ["scope=repository:a/b:pull,metadata", "service=the.registry"];
        asks_for(context, told, &wanted)?;
        asks_for(context, "", &["scope=repository:a/b:pull"])
    })
}

/// Pulls with a challenge that ends so, and looks at the query.
fn asks_for(context: &Context, told: &'static str, wanted: &[&str]) -> Result<()> {
    let own = Own::new(context)?;
    let (registry, log) = guarded(content(&own)?, None, told, as_ever())?;
    own.ok(&["pull", &name(&registry)])?;
    let asked = log.lock().unwrap().clone();
    expect("how often a token was asked for", &asked.len(), &1)?;
    expect(
        "the query",
        &query(&asked[0].0)[..],
        &wanted.iter().map(|it| it.to_string()).collect::<Vec<_>>()[..],
    )?;
    expect("what was shown to get a token without a login", &asked[0].1, &None)
}

pub fn token_for_a_login(context: &Context) -> Result<()> {
    on_loopback(|| {
        let own = Own::new(context)?;
        let (registry, log) = guarded(content(&own)?, None, "", as_ever())?;
        log_in(&own, &registry)?;
        own.ok(&["pull", &name(&registry)])?;
        let shown: Vec<Option<String>> =
            log.lock().unwrap().iter().map(|it| it.1.clone()).collect();
        expect("what was shown to get a token", &shown, &vec![Some(BASIC.to_string())])?;
        // An address that is ours as well, but not by its looks.
        let elsewhere = registry.host.replace("127.0.0.1", "0.0.0.0");
        let realm = format!("http://{elsewhere}/token");
        let other = Own::new(context)?;
        let (luring, _) = guarded(content(&other)?, Some(realm), "", as_ever())?;
        log_in(&other, &luring)?;
        other
            .refuses(&["pull", &name(&luring)])
            .with_context(|| format!("a login, and a token to be had at {elsewhere} by http"))?;
        let asked = log.lock().unwrap().len();
        expect("how often a login was shown without TLS to who knows whom", &(asked - 1), &0)
    })
}

pub fn token_for_an_identity(context: &Context) -> Result<()> {
    on_loopback(|| {
        let own = Own::new(context)?;
        let rest = r#",service="the.registry",scope="repository:a/b:pull""#;
        let (registry, log) = guarded(content(&own)?, None, rest, as_ever())?;
        let login = json!({"auth": NOBODY, "identitytoken": "who-I-am"});
        leave_login(&own, &registry, login)?;
        own.ok(&["pull", &name(&registry)])?;
        let (path, shown) = log.lock().unwrap().first().cloned().context("nobody asked")?;
        let form = query(&path);
        for field in ["grant_type=refresh_token", "refresh_token=who-I-am", "service=the.registry"]
        {
            ensure!(form.iter().any(|it| it == field), "no {field} in the form: {form:?}");
        }
        expect("what was shown besides", &shown, &None)
    })
}

/// As `docker login` does it.
fn log_in(own: &Own, registry: &Server) -> Result<()> {
    leave_login(own, registry, json!({"auth": AUTH}))
}

fn leave_login(own: &Own, registry: &Server, login: serde_json::Value) -> Result<()> {
    let login = json!({"auths": {&registry.host: login}});
    Ok(fs::write(own.directory(".docker")?.join("config.json"), login.to_string())?)
}

pub fn token_stays(context: &Context) -> Result<()> {
    on_loopback(|| {
        let own = Own::new(context)?;
        let log = Log::default();
        let seen = log.clone();
        let elsewhere = registry(
            content(&own)?,
            Box::new(move |_, request, _| {
                let shown = request.header("authorization").map(String::from);
                seen.lock().unwrap().push((request.path.clone(), shown));
                Ok(false)
            }),
        )?;
        let to = elsewhere.host.clone();
        let redirecting = move |_: &Content, request: &Request, stream: &mut TcpStream| {
            if !request.path.contains("/blobs/") {
                return Ok(false);
            }
            let location = format!("Location: http://{to}{}", request.path);
            reply(stream, "307 Temporary Redirect", &[&location], b"").map(|()| true)
        };
        let (registry, _) = guarded(content(&own)?, None, "", Box::new(redirecting))?;
        own.ok(&["pull", &name(&registry)])?;
        let shown = log.lock().unwrap().clone();
        ensure!(!shown.is_empty(), "nobody was asked where the registry redirects to");
        let leaked: Vec<String> = shown.into_iter().filter_map(|(_, shown)| shown).collect();
        expect("what another server was shown", &leaked, &Vec::new())
    })
}

/// More than a program reads at once.
const LONG: usize = 300_000;

pub fn large_content_in_pieces(context: &Context) -> Result<()> {
    on_loopback(|| {
        let own = Own::new(context)?;
        let long: Vec<u8> = (0..LONG).map(|it| (it % 251) as u8).collect();
        let layers = [layer(Tar::new().file("long", &long))];
        let content = Content::of(&own.layout("layout", &layers, json!({}))?)?;
        let (mended, last) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (is_mended, asked) = (mended.clone(), last.clone());
        let breaking = move |content: &Content, request: &Request, stream: &mut TcpStream| {
            let Some(blob) = content.wanted(request).filter(|it| it.len() > LONG) else {
                return Ok(false);
            };
            asked.store(offset(request), Ordering::Relaxed);
            match (is_mended.load(Ordering::Relaxed), offset(request)) {
                (true, _) => part(request, stream, blob, blob.len()),
                (false, 0) => part(request, stream, blob, LONG / 2),
                (false, _) => reply(stream, "404 Not Found", &[], b""),
            }
            .map(|()| true)
        };
        let registry = registry(content, Box::new(breaking))?;
        let first = own.image(&["pull", &name(&registry)])?;
        ensure!(first.code() == 125, "half a layer was enough: {first}");
        mended.store(true, Ordering::Relaxed);
        own.ok(&["pull", &name(&registry)])?;
        expect(
            "from which byte the rest was asked for",
            &last.load(Ordering::Relaxed),
            &(LONG / 2),
        )?;
        ensure!(fs::read(own.layer()?.join("long"))? == long, "its file is another than it was");
        Ok(())
    })
}

/// The content must be believed when it is right, and refused when `lie` tells it.
fn refuses(context: &Context, lie: Box<Special>) -> Result<()> {
    let own = Own::new(context)?;
    let honest = registry(content(&own)?, as_ever())?;
    own.ok(&["pull", &name(&honest)])?;
    let own = Own::new(context)?;
    let lying = registry(content(&own)?, lie)?;
    own.refuses(&["pull", &name(&lying)])
}

pub fn other_content_is_refused(context: &Context) -> Result<()> {
    // The byte that file x holds: what is unpacked is as good an archive as before.
    let layer = |content: &Content, request: &Request, stream: &mut TcpStream| {
        let blob = content.wanted(request).filter(|_| is_layer(content, request));
        let change = |blob: &[u8]| [&blob[..512], b"y", &blob[513..]].concat();
        in_its_place(blob.map(change), stream)
    };
    // No archive tells by its diff id that the config is another.
    let config = |content: &Content, request: &Request, stream: &mut TcpStream| {
        let blob = content.wanted(request).and_then(|it| str::from_utf8(it).ok());
        let blob = blob.filter(|it| it.contains(GOOD)).map(|it| it.replace(GOOD, EVIL));
        in_its_place(blob.map(String::into_bytes), stream)
    };
    on_loopback(|| {
        refuses(context, Box::new(layer)).context("a layer with one byte changed")?;
        refuses(context, Box::new(config)).context("a config with one word changed")
    })
}

/// Answers with this, if there is any.
fn in_its_place(blob: Option<Vec<u8>>, stream: &mut TcpStream) -> std::io::Result<bool> {
    let answered = blob.map(|blob| reply(stream, "200 OK", &[], &blob));
    Ok(answered.transpose()?.is_some())
}

/// Far more than the buffers between us and the program take.
const ENDLESS: usize = 64 << 20;

pub fn endless_content_is_refused(context: &Context) -> Result<()> {
    let (count, sent) = counter();
    let endless = move |content: &Content, request: &Request, stream: &mut TcpStream| {
        if !is_layer(content, request) {
            return Ok(false);
        }
        head(stream, "200 OK", &[])?;
        while count.load(Ordering::Relaxed) < ENDLESS {
            stream.write_all(&[b'?'; 65536])?;
            count.fetch_add(65536, Ordering::Relaxed);
        }
        Ok(true)
    };
    on_loopback(|| {
        refuses(context, Box::new(endless))?;
        let sent = sent.load(Ordering::Relaxed);
        ensure!(sent < ENDLESS, "all {sent} bytes of it were taken");
        Ok(())
    })
}
