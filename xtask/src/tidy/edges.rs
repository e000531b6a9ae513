//! Which crates a crate may depend on: the map of the code says it, `cargo metadata` says what is.

use serde_json::Value;
use std::collections::BTreeMap;

/// Our crates that tests may use besides: worlds to test in, an agent without a machine, tools to look at what was made.
const IN_TESTS: [&str; 4] = ["testkit", "store", "qcow2", "agent"];

/// Compares the edges of the workspace with those that `crates/README.md` draws.
pub(super) fn check(map: &str, metadata: &Value) -> Vec<String> {
    let drawn = drawn(map);
    let mut findings = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = short(&package["name"]);
        if name != "xtask" && !map.contains(&format!("**{name}** —")) {
            findings.push(format!("crates/README.md: has no paragraph about {name}"));
        }
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let to = short(&dependency["name"]);
            let ours = dependency["path"].is_string();
            let allowed = to == "types"
                || drawn.get(name).is_some_and(|edges| edges.contains(&to))
                || (dependency["kind"] == "dev" && IN_TESTS.contains(&to));
            if ours && !allowed {
                findings.push(format!("{name} depends on {to}: crates/README.md draws no such edge"));
            }
        }
    }
    findings
}

/// Reads lines like `a, b → c, d (why)      e → f`: columns stand apart by three spaces or more.
fn drawn(map: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut edges: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for column in map.split("```").skip(1).step_by(2).flat_map(str::lines).flat_map(|line| line.split("   "))
    {
        let Some((from, to)) = column.split_once('→') else { continue };
        for from in from.split(',').map(first_word) {
            edges.entry(from).or_default().extend(to.split(',').map(first_word));
        }
    }
    edges
}

/// Returns a name without the remark behind it.
fn first_word(text: &str) -> &str {
    text.split([' ', ')']).find(|word| !word.is_empty()).unwrap_or_default()
}

fn short(name: &Value) -> &str {
    let name = name.as_str().unwrap_or_default();
    name.strip_prefix("kiln-").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const MAP: &str =
        "**a** — x\n**b** — y\n```\na, b → c, d (why)      c → e\ntestkit (→ d) is for tests\n```\n";

    #[test]
    fn edges_as_drawn() {
        let edges = drawn(MAP);
        assert_eq!(edges["a"], ["c", "d"]);
        assert_eq!(edges["b"], ["c", "d"]);
        assert_eq!(edges["c"], ["e"]);
        assert_eq!(edges["testkit"], ["d"]);
    }

    #[test]
    fn an_edge_that_nobody_drew() {
        let to =
            |name: &str, kind: Value| json!({"name": format!("kiln-{name}"), "path": "/x", "kind": kind});
        let package = |name: &str, dependencies: Vec<Value>| json!({"packages": [{"name": format!("kiln-{name}"), "dependencies": dependencies}]});
        let fine =
            package("a", vec![to("c", Value::Null), to("types", Value::Null), to("store", json!("dev"))]);
        assert_eq!(check(MAP, &fine), Vec::<String>::new());
        let wrong = package("b", vec![to("e", Value::Null), to("store", Value::Null)]);
        assert_eq!(check(MAP, &wrong).len(), 2);
        assert_eq!(check(MAP, &package("z", vec![])), ["crates/README.md: has no paragraph about z"]);
    }
}
