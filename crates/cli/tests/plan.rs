//! `kiln plan` and the network: what is looked up, what is kept of it, and what a plan without a network uses.

use anyhow::{Context, Result};
use kiln_testkit::Kiln;
use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    thread,
};

/// Serves one text to one request; then nobody listens any more. Returns the address.
fn serve_once(text: &'static str) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        let Ok((mut stream, _)) = listener.accept() else { return };
        drop(listener);
        let Ok(reader) = stream.try_clone() else { return };
        // The request ends with an empty line.
        BufReader::new(reader)
            .lines()
            .map_while(Result::ok)
            .take_while(|line| !line.is_empty())
            .for_each(drop);
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", text.len());
        // A client that is gone shows in the test's result.
        drop(stream.write_all(format!("{head}{text}").as_bytes()));
    });
    Ok(format!("http://{address}/SHA256SUMS"))
}

const SUMS: &str = "1111111111111111111111111111111111111111111111111111111111111111  disk.qcow2\n";

#[test]
fn a_plan_without_a_network_takes_what_was_last_looked_up() -> Result<()> {
    let kiln = Kiln::new(env!("CARGO_BIN_EXE_kiln"))?;
    let url = serve_once(SUMS)?;
    let template = format!(
        "[template]\nname = \"t\"\n[source]\ntype = \"disk\"\nurl = \"http://127.0.0.1:9/disk.qcow2\"\nchecksum = \"{url}\"\n"
    );
    let folder = kiln.world.template("t", &template)?;
    let plan = |flags: &[&str]| {
        kiln.run(&[&["plan", folder.to_str().unwrap_or_default(), "--json"], flags].concat())
    };
    let never = plan(&["--offline"])?;
    assert_eq!(never.code, Some(1));
    assert!(never.stderr.contains("was never looked up here"), "{never:?}");

    let base = |run: &kiln_testkit::Run| -> Result<(String, String)> {
        let plan: serde_json::Value =
            serde_json::from_str(&run.stdout).with_context(|| format!("{run:?}"))?;
        let text = |name: &str| plan["Items"][0][name].as_str().map(str::to_owned).context("text");
        Ok((text("Key")?, text("Reason")?))
    };
    let (key, reason) = base(&plan(&[])?)?;
    assert!(reason.ends_with(&format!("({url}: looked up now)")), "{reason}");
    assert_eq!(plan(&[])?.code, Some(1), "nobody answers any more");
    let (again, reason) = base(&plan(&["--offline"])?)?;
    assert_eq!(again, key);
    assert!(reason.ends_with(&format!("({url}: as last looked up)")), "{reason}");
    Ok(())
}
