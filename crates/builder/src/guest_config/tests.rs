//! Tables that are right, and every mistake.

use super::*;

const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBOjCB7aADAgECAhQ2Ve2oZC2iHPn85NAjz8JFA7TmkTAFBgMrZXAwEjEQMA4G\n\
A1UEAwwHVGVzdCBDQTAgFw0yNjExMjMwNDQ2MzJaGA8yMTI2MTAzMDA0NDYzMlow\n\
EjEQMA4GA1UEAwwHVGVzdCBDQTAqMAUGAytlcAMhANAPX+G9KFa/aHwo7NrWyTVE\n\
NWg3fVRPP8bQb5CgsCROo1MwUTAdBgNVHQ4EFgQU+ukB0ZHaFdyi6JCJbBho+S+D\n\
NGswHwYDVR0jBBgwFoAU+ukB0ZHaFdyi6JCJbBho+S+DNGswDwYDVR0TAQH/BAUw\n\
AwEB/zAFBgMrZXADQQCdBt2wFu8DbYqQCrpNMQfksjJLLV7Nfqq2k+Yyqv6c3pVJ\n\
43yerivT2rnAdCoNh3AeCy8v5/BsmqoiJVTuCvwA\n\
-----END CERTIFICATE-----\n\
";
const KEY: &str = "\
-----BEGIN PRIVATE KEY-----\n\
MC4CAQAwBQYDK2VwBCIEIM66VTPbVfg8W/lCUjE1LJAyCmOO9he5Gc95xKmYy/36\n\
-----END PRIVATE KEY-----\n\
";

fn parse(text: &str) -> Result<GuestConfig, GuestConfigError> {
    GuestConfig::parse(text, Path::new("/nowhere"))
}

fn proxy(address: &str) -> Result<GuestConfig, GuestConfigError> {
    parse(&format!("[guest]\nproxy = \"{address}\"\n"))
}

fn value(config: &GuestConfig, name: &str) -> Option<String> {
    config.environment().into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

/// What went wrong, with its causes.
fn told(error: &GuestConfigError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

#[test]
fn nothing_is_a_configuration() {
    for text in ["", "[guest]\n", "[guest]\nproxy = \"\"\nno_proxy = \"a\"\n"] {
        let config = parse(text).unwrap();
        assert_eq!(config.environment(), []);
        assert_eq!((config.secrets().count(), config.ca_certificates(), config.note()), (0, None, None));
    }
}

#[test]
fn a_proxy_in_both_cases() {
    let config =
        parse("[guest]\nproxy = \"http://proxy.example:3128/\"\nno_proxy = \"a.example, ::1\"\n").unwrap();
    let address = "http://proxy.example:3128";
    let names = "a.example,::1,localhost,127.0.0.1";
    let expected = [
        ("http_proxy", address),
        ("HTTP_PROXY", address),
        ("https_proxy", address),
        ("HTTPS_PROXY", address),
        ("no_proxy", names),
        ("NO_PROXY", names),
    ];
    assert_eq!(config.environment(), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!((config.note(), config.secrets().count()), (None, 0));
}

#[test]
fn a_proxy_on_this_host_is_elsewhere_for_the_guest() {
    for (address, host) in [
        ("http://127.0.0.1:3128", "127.0.0.1"),
        ("http://127.9.9.9:3128", "127.9.9.9"),
        ("http://localhost:3128", "localhost"),
        ("http://[::1]:3128", "[::1]"),
    ] {
        let config = proxy(address).unwrap();
        assert_eq!(value(&config, "https_proxy").unwrap(), "http://10.0.2.2:3128", "{address}");
        assert!(config.note().unwrap().contains(&format!("{host} of this host at 10.0.2.2")), "{address}");
    }
    let config = proxy("http://me:word@localhost:1").unwrap();
    assert_eq!(value(&config, "HTTP_PROXY").unwrap(), "http://me:word@10.0.2.2:1");
    assert!(!config.note().unwrap().contains("word"));
}

#[test]
fn a_password_is_a_secret() {
    let config = proxy("http://me:pa%40ss@proxy.example:3128").unwrap();
    // What curl sends: `printf me:pa@ss | base64`.
    assert_eq!(config.secrets().collect::<Vec<_>>(), ["bWU6cGFAc3M=", "pa%40ss", "pa@ss"]);
    assert!(!format!("{config:?}").contains("ss@"));
    assert_eq!(value(&config, "http_proxy").unwrap(), "http://me:pa%40ss@proxy.example:3128");
}

#[test]
fn mistakes_are_said_without_the_password() {
    for (address, expected) in [
        ("proxy.example:3128", "begins with proxy.example:"),
        ("ftp://me:hunter22@proxy.example", "begins with ftp:"),
        ("http://me:hunter22@proxy.example:3128/path", "nothing may follow"),
        ("http://me:hunter22@", "empty host"),
        ("http://me:hunter22@proxy.example:99999", "port"),
    ] {
        let error = proxy(address).unwrap_err();
        assert!(error.hint().is_some());
        let text = told(&error);
        assert!(text.starts_with("guest.proxy is no address") && text.contains(expected), "{text}");
        assert!(!text.contains("hunter22"), "{text}");
    }
    let text = told(&parse("[guest]\nproxi = \"http://me:hunter22@x\"\n").unwrap_err());
    assert!(text.contains("unknown field") && text.contains("no_proxy"), "{text}");
    assert!(!text.contains("hunter22"), "{text}");
    let text = told(&parse("[guest]\nproxy = \"http://me:hunter22@x\n").unwrap_err());
    assert!(text.contains("line 2") && !text.contains("hunter22"), "{text}");
}

#[test]
fn certificates_are_checked_and_joined() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &[u8]| fs_err::write(folder.path().join(name), text).unwrap();
    put("a.pem", CERTIFICATE.as_bytes());
    put("b.pem", format!("# ours\n{}", CERTIFICATE.trim_end()).as_bytes());
    put("key.pem", format!("{CERTIFICATE}{KEY}").as_bytes());
    put("none.pem", b"nothing\n");
    put("cut.pem", CERTIFICATE.get(..200).unwrap().as_bytes());
    put("other.pem", b"-----BEGIN CERTIFICATE-----\naGVsbG8gd29ybGQ=\n-----END CERTIFICATE-----\n");
    let load =
        |names: &str| GuestConfig::parse(&format!("[guest]\nca_certificates = [{names}]\n"), folder.path());

    let config = load("'a.pem', 'b.pem'").unwrap();
    let joined = format!("{CERTIFICATE}# ours\n{CERTIFICATE}");
    assert_eq!(config.ca_certificates().unwrap(), joined.as_bytes());
    for (name, expected) in [
        ("key.pem", "holds a private key"),
        ("none.pem", "holds no certificate in PEM"),
        ("cut.pem", "holds a damaged certificate, the 1."),
        ("other.pem", "holds what is no X.509 certificate, the 1."),
        ("missing.pem", "cannot be read"),
    ] {
        let text = told(&load(&format!("'a.pem', '{name}'")).unwrap_err());
        assert!(text.contains(name) && text.contains(expected), "{text}");
    }
    let huge = fs_err::File::create(folder.path().join("huge.pem")).unwrap();
    huge.set_len(LARGEST_PEM + 1).unwrap();
    assert!(told(&load("'huge.pem'").unwrap_err()).contains("no file of certificates"));
}
