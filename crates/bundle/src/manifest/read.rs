//! Reads what `ec2-bundle-image`, `euca-bundle-image` and Kiln write, and takes none of it on trust.

use super::{
    ImageType, MachineConfiguration, Manifest, Mapping, Part, Sealed, SignedManifest, VERSION,
    xml::{Node, bad, parse},
};
use crate::{Error, Place, hex, keys::Certificate, transfer::manifest_text};

/// A SHA-1 in hexadecimal.
const DIGEST_DIGITS: usize = 40;

impl SignedManifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// When there is none, or it is not a manifest that can be worked with.
    pub fn read(place: &Place, name: &str) -> Result<Self, Error> {
        Self::parse(&manifest_text(place, name)?)
    }

    /// Reads a manifest's text.
    ///
    /// # Errors
    /// When it is not a manifest that can be worked with.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let root = parse(text)?;
        if root.name != "manifest" {
            return Err(bad(format!("is a `{}`", root.name)));
        }
        let version = root.text_of("version")?;
        if version != VERSION {
            return Err(bad(format!("version {version} is not {VERSION}")));
        }
        let signature = root.text_if("signature")?.and_then(|text| hex::decode(&text));
        Ok(Self { manifest: manifest(&root)?, signed: signed(text, &root)?, signature })
    }

    /// Checks that the certificate's key signed the manifest.
    ///
    /// # Errors
    /// [`Error::Signature`] when it did not, or nobody did.
    pub fn verify(&self, certificate: &Certificate) -> Result<(), Error> {
        let signature = self.signature.as_deref().ok_or(Error::Signature)?;
        certificate.verify(self.signed.as_bytes(), signature)
    }
}

/// The bytes that are signed, as they stand in the text.
fn signed(text: &str, root: &Node) -> Result<String, Error> {
    let machine = root.optional("machine_configuration")?.map(|node| literal(text, node)).transpose()?;
    Ok(format!("{}{}", machine.unwrap_or_default(), literal(text, root.child("image")?)?))
}

/// Returns an element as it stands in the text. Others find it by these very tags, and must find the same.
fn literal<'a>(text: &'a str, node: &Node) -> Result<&'a str, Error> {
    let (open, close) = (format!("<{}>", node.name), format!("</{}>", node.name));
    let once = text.matches(&open).count() == 1 && text.matches(&close).count() == 1;
    let found =
        text.get(node.span.clone()).filter(|found| found.starts_with(&open) && found.ends_with(&close));
    found
        .filter(|_| once)
        .ok_or_else(|| bad(format!("`{}` does not stand once between plain tags", node.name)))
}

fn manifest(root: &Node) -> Result<Manifest, Error> {
    let image = root.child("image")?;
    let kind = match image.text_of("type")?.as_str() {
        "machine" => ImageType::Machine,
        "kernel" => ImageType::Kernel,
        "ramdisk" => ImageType::Ramdisk,
        other => return Err(bad(format!("type `{other}`"))),
    };
    let none = Node::default();
    let machine = root.optional("machine_configuration")?.map(machine).transpose()?.unwrap_or_default();
    let bundler = root.optional("bundler")?.unwrap_or(&none);
    let word = |name| Ok::<_, Error>(bundler.text_if(name)?.unwrap_or_else(|| "0".to_owned()));
    Ok(Manifest {
        bundler: [word("name")?, word("version")?, word("release")?],
        machine,
        name: file_name("image/name", image.text_of("name")?)?,
        user: image.text_of("user")?,
        kind,
        kernel_name: image.text_if("kernel_name")?,
        ancestors: texts(image.optional("ancestry")?, "ancestor_ami_id"),
        digest: digest("image/digest", image)?,
        size: number("image/size", &image.text_of("size")?)?,
        bundled_size: number("image/bundled_size", &image.text_of("bundled_size")?)?,
        key: sealed(image, "encrypted_key")?,
        iv: sealed(image, "encrypted_iv")?,
        parts: parts(image.child("parts")?)?,
    })
}

fn machine(node: &Node) -> Result<MachineConfiguration, Error> {
    let mapping =
        |node: &Node| Ok(Mapping { virtual_name: node.text_of("virtual")?, device: node.text_of("device")? });
    let mappings = node.optional("block_device_mapping")?.map(|node| node.children.as_slice());
    Ok(MachineConfiguration {
        architecture: node.text_of("architecture")?,
        mappings: mappings.unwrap_or_default().iter().map(mapping).collect::<Result<_, Error>>()?,
        kernel_id: node.text_if("kernel_id")?,
        ramdisk_id: node.text_if("ramdisk_id")?,
        product_codes: texts(node.optional("product_codes")?, "product_code"),
    })
}

fn parts(node: &Node) -> Result<Vec<Part>, Error> {
    let count = number("parts/count", node.attribute("count")?)?;
    if u64::try_from(node.children.len()).ok() != Some(count) {
        return Err(bad(format!("parts/count is {count}, and there are {}", node.children.len())));
    }
    let mut parts: Vec<Option<Part>> = Vec::new();
    parts.resize_with(node.children.len(), || None);
    for child in &node.children {
        let index = number("part/index", child.attribute("index")?)?;
        let place = usize::try_from(index).ok().and_then(|index| parts.get_mut(index));
        let place = place.ok_or_else(|| bad(format!("part/index {index} of {count}")))?;
        let what = format!("part {index}");
        let part =
            Part { name: file_name(&what, child.text_of("filename")?)?, digest: digest(&what, child)? };
        if place.replace(part).is_some() {
            return Err(bad(format!("part/index {index} stands twice")));
        }
    }
    Ok(parts.into_iter().flatten().collect())
}

fn texts(node: Option<&Node>, name: &str) -> Vec<String> {
    let children = node.map(|node| node.children.as_slice()).unwrap_or_default();
    children.iter().filter(|child| child.name == name).map(|child| child.text.trim().to_owned()).collect()
}

/// A name is never a path, an option or a hidden file, and no shell sees anything in it.
fn file_name(what: &str, name: String) -> Result<String, Error> {
    check_name(&name)
        .map_err(|reason| bad(format!("{what}: the name `{}` {reason}", name.escape_debug())))?;
    Ok(name)
}

/// Says what is wrong with the name of a bundle or of one of its files.
pub(crate) fn check_name(name: &str) -> Result<(), &'static str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if !name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric()) {
        return Err("does not begin with a letter or a digit");
    }
    if !name.bytes().all(plain) {
        return Err("holds more than letters, digits, `.`, `_` and `-`");
    }
    if name.len() > 200 { Err("is longer than 200 bytes") } else { Ok(()) }
}

fn digest(what: &str, node: &Node) -> Result<String, Error> {
    let node = node.child("digest")?;
    let algorithm = node.attribute("algorithm")?;
    let text = node.text.trim().to_ascii_lowercase();
    if algorithm != "SHA1" || text.len() != DIGEST_DIGITS || hex::decode(&text).is_none() {
        return Err(bad(format!("{what}: the digest is not a SHA-1")));
    }
    Ok(text)
}

fn sealed(image: &Node, what: &str) -> Result<Sealed, Error> {
    let field = |who: &str| {
        let name = format!("{who}_{what}");
        let text = image.text_of(&name)?;
        // Empty, where a bundle was made without the user's certificate.
        hex::decode(&text).map(|_| text).ok_or_else(|| bad(format!("image/{name} is not hexadecimal")))
    };
    Ok(Sealed { ec2: field("ec2")?, user: field("user")? })
}

fn number(what: &str, text: &str) -> Result<u64, Error> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or_else(|| bad(format!("{what} is not a number")))
}
