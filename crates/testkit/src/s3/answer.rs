//! What the server answers.

use super::{Request, State};
use md5::{Digest, Md5};

pub(super) fn answer(state: &mut State, request: Request) -> Vec<u8> {
    state.requests.push(format!("{} {}", request.method, request.path));
    if state.refusals > 0 {
        state.refusals -= 1;
        return reply("503 Slow Down", &[], "", true);
    }
    match request.method.as_str() {
        "PUT" => put(state, request),
        "DELETE" => {
            match request.query.get("uploadId") {
                Some(upload) => drop(state.uploads.remove(upload)),
                None => drop(state.objects.remove(&request.path)),
            }
            reply("204 No Content", &[], "", true)
        }
        "POST" if request.query.contains_key("uploads") => {
            let upload = state.requests.len().to_string();
            state.uploads.insert(upload.clone(), std::collections::BTreeMap::new());
            let begun = format!(
                "<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
            );
            reply("200 OK", begun.as_bytes(), "", true)
        }
        "POST" => match request.query.get("uploadId") {
            Some(upload) => complete(state, &request.path, upload),
            None => remove_many(state, &request),
        },
        _ if request.query.contains_key("list-type") => list(state, &request),
        _ => get(state, &request),
    }
}

fn put(state: &mut State, Request { path, query, headers, body, .. }: Request) -> Vec<u8> {
    let answer = reply("200 OK", &[], &tag(&body), true);
    if let (Some(upload), Some(Ok(number))) =
        (query.get("uploadId"), query.get("partNumber").map(|number| number.parse()))
    {
        state.uploads.entry(upload.clone()).or_default().insert(number, body);
        return answer;
    }
    if headers.contains_key("if-none-match") && state.objects.contains_key(&path) {
        let taken = b"<Error><Code>PreconditionFailed</Code></Error>";
        return reply("412 Precondition Failed", taken, "", true);
    }
    state.objects.insert(path, body);
    answer
}

fn complete(state: &mut State, path: &str, upload: &str) -> Vec<u8> {
    let Some(parts) = state.uploads.remove(upload) else {
        return reply("404 Not Found", b"<Error><Code>NoSuchUpload</Code></Error>", "", true);
    };
    let whole = parts.into_values().flatten().collect();
    state.objects.insert(path.to_owned(), whole);
    let done = "<CompleteMultipartUploadResult><ETag>\"parts\"</ETag></CompleteMultipartUploadResult>";
    reply("200 OK", done.as_bytes(), "", true)
}

fn remove_many(state: &mut State, request: &Request) -> Vec<u8> {
    let bucket = request.path.trim_end_matches('/');
    let asked = String::from_utf8_lossy(&request.body).into_owned();
    let keys = asked.split("<Key>").skip(1).filter_map(|rest| Some(rest.split_once("</Key>")?.0));
    let remove = |key: &str| {
        state.objects.remove(&format!("{bucket}/{key}"));
        format!("<Deleted><Key>{key}</Key></Deleted>")
    };
    let gone: String = keys.map(remove).collect();
    reply("200 OK", format!("<DeleteResult>{gone}</DeleteResult>").as_bytes(), "", true)
}

fn list(state: &State, request: &Request) -> Vec<u8> {
    let bucket = format!("{}/", request.path.trim_end_matches('/'));
    let prefix = request.query.get("prefix").map_or("", String::as_str);
    let keys = state.objects.iter().filter_map(|(path, bytes)| Some((path.strip_prefix(&bucket)?, bytes)));
    let found: String = keys
        .filter(|(key, _)| key.starts_with(prefix))
        .map(|(key, bytes)| {
            let size = bytes.len();
            format!(
                "<Contents><Key>{key}</Key><LastModified>2024-01-01T00:00:00.000Z</LastModified><Size>{size}</Size></Contents>"
            )
        })
        .collect();
    reply("200 OK", format!("<ListBucketResult>{found}</ListBucketResult>").as_bytes(), "", true)
}

fn get(state: &State, request: &Request) -> Vec<u8> {
    let with_body = request.method == "GET";
    let Some(bytes) = state.objects.get(&request.path) else {
        return reply("404 Not Found", b"<Error><Code>NoSuchKey</Code></Error>", "", with_body);
    };
    let range = request.headers.get("range").and_then(|range| range.strip_prefix("bytes="));
    let range = range.and_then(|range| range.split_once('-'));
    let range = range.and_then(|(first, last)| Some((first.parse().ok()?, last.parse::<usize>().ok()? + 1)));
    match range {
        Some((first, end)) => {
            let end = end.min(bytes.len());
            let part: &[u8] = bytes.get(first..end).unwrap_or_default();
            let of = format!(
                "{}Content-Range: bytes {first}-{}/{}\r\n",
                tag(bytes),
                end.saturating_sub(1),
                bytes.len()
            );
            reply("206 Partial Content", part, &of, with_body)
        }
        None => reply("200 OK", bytes, &tag(bytes), with_body),
    }
}

fn tag(bytes: &[u8]) -> String {
    let digest = Md5::digest(bytes).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    format!("ETag: \"{digest}\"\r\n")
}

fn reply(status: &str, body: &[u8], headers: &str, with_body: bool) -> Vec<u8> {
    let date = "Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT";
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\n{date}\r\n{headers}Content-Length: {length}\r\n\r\n");
    let body = if with_body { body } else { &[] };
    [head.as_bytes(), body].concat()
}
