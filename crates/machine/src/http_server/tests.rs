//! Asked as installers ask: over a socket, with the bytes written out.

use super::*;
use std::{process::Command, sync::Mutex};
use tokio::{io::AsyncWriteExt, net::TcpStream};

struct World {
    folder: tempfile::TempDir,
    server: HttpServer,
    told: Arc<Mutex<Vec<String>>>,
}

/// Serves a folder beside which a secret lies.
async fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for (name, text) in [
        ("site/preseed.cfg", "d-i ${http.address}\n"),
        ("site/sub/index.html", "index\n"),
        ("site/two words", "2\n"),
        ("site/shadowed", "file\n"),
        ("secret", "secret\n"),
    ] {
        fs_err::create_dir_all(path(name).parent().unwrap()).unwrap();
        fs_err::write(path(name), text).unwrap();
    }
    fs_err::create_dir(path("site/bare")).unwrap();
    for (link, target) in [("out", "../secret"), ("in", "preseed.cfg"), ("far", "/etc/passwd"), ("up", "..")]
    {
        fs_err::os::unix::fs::symlink(target, path("site").join(link)).unwrap();
    }
    let content =
        [("/user-data", "from ${http.address} ${http.ip} ${http.port} ${HOME}"), ("/shadowed", "text")];
    let content = content.into_iter().map(|(path, text)| (path.to_owned(), text.to_owned())).collect();
    let told = Arc::new(Mutex::new(Vec::new()));
    let hears = told.clone();
    let served = Served { directory: Some(path("site")), content };
    let server = HttpServer::start(&served, move |fetched| hears.lock().unwrap().push(fetched.to_string()));
    World { server: server.await.unwrap(), folder, told }
}

impl World {
    /// Sends a request as it stands, and returns the answer's first line and body.
    async fn asked(&self, request: &str) -> (String, String) {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.server.port())).await.unwrap();
        let request = format!("{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.lines().next().unwrap().to_owned(), body.to_owned())
    }

    async fn status(&self, path: &str) -> String {
        let (line, body) = self.asked(&format!("GET {path}")).await;
        assert!(!body.contains("secret"), "{path}: {body}");
        line.split(' ').nth(1).unwrap().to_owned()
    }
}

#[tokio::test]
async fn files_and_texts() {
    let world = world().await;
    let port = world.server.port();
    let get = async |path: &str| world.asked(&format!("GET {path}")).await.1;
    // A folder's files are left alone; a text is filled in, as far as the name is known.
    assert_eq!(get("/preseed.cfg").await, "d-i ${http.address}\n");
    assert_eq!(get("/user-data").await, format!("from 10.0.2.2:{port} 10.0.2.2 {port} ${{HOME}}"));
    assert_eq!(get("/preseed.cfg?x=1").await, "d-i ${http.address}\n");
    assert_eq!(get("/two%20words").await, "2\n");
    assert_eq!(get("/sub/").await, "index\n");
    assert_eq!(get("/sub").await, "index\n");
    assert_eq!(get("/in").await, "d-i ${http.address}\n");
    assert_eq!(get("/shadowed").await, "text");
    let (line, body) = world.asked("HEAD /preseed.cfg").await;
    assert_eq!((line.as_str(), body.as_str()), ("HTTP/1.1 200 OK", ""));
    assert_eq!(world.asked("POST /preseed.cfg").await.0, "HTTP/1.1 405 Method Not Allowed");
    let told = world.told.lock().unwrap().clone();
    assert_eq!(told[0], "GET /preseed.cfg: 20 bytes");
    assert_eq!(told[told.len() - 1], "POST /preseed.cfg: 405");
    assert_eq!(world.server.value("http.address"), Some(format!("10.0.2.2:{port}")));
    assert_eq!(world.server.value("http.addr"), None);
}

#[tokio::test]
async fn nothing_outside_of_the_folder() {
    let world = world().await;
    for path in [
        "/../secret",
        "/%2e%2e/secret",
        "/..%2fsecret",
        "/sub/../../secret",
        "/out",
        "/far",
        "/up/secret",
        "//etc/passwd",
        "/%2fetc%2fpasswd",
    ] {
        let status = world.status(path).await;
        assert!(["403", "404"].contains(&status.as_str()), "{path}: {status}");
    }
    for (path, expected) in
        [("/none", "404"), ("/bare", "404"), ("/", "404"), ("/a%00b", "404"), ("/%ff", "400")]
    {
        assert_eq!(world.status(path).await, expected, "{path}");
    }
    let pipe = world.folder.path().join("site/pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert_eq!(world.status("/pipe").await, "404");
}

#[tokio::test]
async fn a_large_file_is_streamed_and_its_end_is_the_end_of_the_server() {
    let world = world().await;
    let large = vec![b'x'; 5 << 20];
    fs_err::write(world.folder.path().join("site/large"), &large).unwrap();
    let (line, body) = world.asked("GET /large").await;
    assert_eq!((line.as_str(), body.len()), ("HTTP/1.1 200 OK", large.len()));
    let port = world.server.port();
    let mut open = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    drop(world.server);
    let mut rest = Vec::new();
    // The connection is closed or reset, and no new one is taken.
    let ended = tokio::time::timeout(Duration::from_secs(5), open.read_to_end(&mut rest)).await;
    assert!(ended.is_ok() && rest.is_empty());
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err());
}

#[tokio::test]
async fn a_folder_that_is_missing_is_named() {
    let served = Served { directory: Some("/none/such".into()), ..Served::default() };
    let error = HttpServer::start(&served, |_| {}).await.unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("/none/such"), "{source}");
}
