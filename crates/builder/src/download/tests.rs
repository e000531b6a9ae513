//! Downloads against a small server on loopback that knows ranges, or pretends not to.

use super::*;
use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    thread,
};

/// Serves `content` to `times` requests; cuts the first answer after `cut` bytes. Returns the address.
fn serve(content: &'static [u8], times: usize, cut: Option<usize>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for (turn, stream) in listener.incoming().take(times).enumerate() {
            let mut stream = stream.unwrap();
            let mut start = 0;
            for line in BufReader::new(stream.try_clone().unwrap()).lines() {
                let line = line.unwrap().to_ascii_lowercase();
                if let Some(range) = line.strip_prefix("range: bytes=") {
                    start = range.trim_end_matches('-').parse().unwrap();
                }
                if line.is_empty() {
                    break;
                }
            }
            let body = &content[start..];
            let status = if start > 0 { "206 Partial Content" } else { "200 OK" };
            let head =
                format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            stream.write_all(head.as_bytes()).unwrap();
            let end = cut.filter(|_| turn == 0).unwrap_or(body.len());
            stream.write_all(&body[..end]).unwrap();
        }
    });
    format!("http://{address}/folder/disk.raw?x=1")
}

fn expected(content: &[u8]) -> Expected {
    use sha2::Digest as _;
    Expected::Sha256(kiln_types::Digest::from_bytes(sha2::Sha256::digest(content).into()).to_string())
}

static CONTENT: &[u8] = &[7; 600_000];

#[test]
fn a_cut_download_resumes() {
    let world = tempfile::tempdir().unwrap();
    let url = serve(CONTENT, 2, Some(200_000));
    let get = || {
        let (events, cancel) = (Events::ignored(), Cancel::default());
        Downloader::default().file(&url, &expected(CONTENT), world.path(), &events, &cancel)
    };
    assert!(get().is_err(), "the first answer is cut");
    let path = get().unwrap();
    assert_eq!(fs_err::read(&path).unwrap(), CONTENT);
    assert!(path.to_string_lossy().ends_with("-disk.raw"));
    // A third time needs no server.
    assert_eq!(get().unwrap(), path);
}

#[test]
fn a_wrong_file_does_not_land() {
    let world = tempfile::tempdir().unwrap();
    let url = serve(CONTENT, 1, None);
    let (events, cancel) = (Events::ignored(), Cancel::default());
    let error =
        Downloader::default().file(&url, &expected(b"other"), world.path(), &events, &cancel).unwrap_err();
    assert!(matches!(error, Error::Checksum { .. }), "{error}");
    let left = fs_err::read_dir(world.path()).unwrap().map(|entry| entry.unwrap().path());
    let left: Vec<_> = left.filter(|path| path.extension() != Some("lock".as_ref())).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn stale_bytes_of_another_version_are_fetched_again() {
    let world = tempfile::tempdir().unwrap();
    let url = serve(CONTENT, 2, None);
    let expected = expected(CONTENT);
    let part = world.path().join(format!("{}-disk.raw.part", &expected.hex()[..16]));
    fs_err::write(&part, [9; 1000]).unwrap();
    let (events, cancel) = (Events::ignored(), Cancel::default());
    let path = Downloader::default().file(&url, &expected, world.path(), &events, &cancel).unwrap();
    assert_eq!(fs_err::read(path).unwrap(), CONTENT);
}

#[test]
fn names_are_safe() {
    assert_eq!(file_name("https://example.org/a/disk%20x.qcow2?token=1#f"), "disk_20x.qcow2");
    assert_eq!(file_name("https://example.org/.."), "..");
    assert_eq!(file_name("https://example.org/"), "example.org");
}
