//! The templates that come with Kiln.

use crate::inputs;
use kiln_template::load;
use std::path::Path;

#[test]
fn every_template_shipped_is_right() {
    let mut count = 0;
    for entry in fs_err::read_dir("../../templates").unwrap() {
        let folder = entry.unwrap().path();
        let path = folder.join("template.toml");
        let text = fs_err::read_to_string(&path).unwrap();
        let mut inputs = inputs(&folder);
        if folder.ends_with("debian-instance-store") {
            // Whoever builds it makes the keys: any file may stand for them here.
            let keys = ["cert", "key", "ec2cert"].map(|name| (name.to_owned(), "template.toml".to_owned()));
            inputs.vars.extend(keys);
        }
        let templates =
            load(&path, &text, &inputs).unwrap_or_else(|report| panic!("{}", report.render(false)));
        let template = templates.first().unwrap();
        assert_eq!(
            folder.file_name().unwrap(),
            template.name.as_str(),
            "a template is called after its folder"
        );
        assert!(template.description.is_some(), "{} says what it is for", template.name);
        count += 1;
    }
    assert!(count >= 6, "{count} templates");
}

#[test]
fn a_variable_of_a_template_shipped_takes_its_choices_only() {
    let folder = Path::new("../../templates/debian-web");
    let path = folder.join("template.toml");
    let text = fs_err::read_to_string(&path).unwrap();
    let mut inputs = inputs(folder);
    inputs.vars.push(("release".to_owned(), "trixie".to_owned()));
    assert!(load(&path, &text, &inputs).is_ok());
    inputs.vars.push(("release".to_owned(), "sarge".to_owned()));
    assert_eq!(load(&path, &text, &inputs).unwrap_err().len(), 1);
}
