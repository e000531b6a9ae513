//! What came of the tests of an image, and which tests they were.

use crate::{
    Error,
    key::KeyMaker,
    plan::{canonical, shell_files},
};
use kiln_catalog::Image;
use kiln_template::{Check, Template};
use kiln_types::{Digest, ImageId, ImageName};
use serde::Serialize;

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TestOutcome {
    /// What it asks for is so.
    Passed,
    /// It is not, or could not be found out.
    Failed,
    /// This run leaves it out.
    Skipped,
}

/// What came of a test.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct TestResult {
    /// The test's name.
    pub name: String,
    /// How it ended.
    pub outcome: TestOutcome,
    /// Why; empty where it passed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// How long it took.
    pub seconds: f64,
}

/// What came of the tests of an image.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Tested {
    /// The image.
    pub image_id: ImageId,
    /// Its name.
    pub name: ImageName,
    /// The template whose tests they are.
    #[serde(skip)]
    pub template: String,
    /// The tests, in order.
    pub tests: Vec<TestResult>,
}

impl Tested {
    /// Returns the names of the tests that failed.
    pub fn failed(&self) -> impl Iterator<Item = &str> {
        let failed = self.tests.iter().filter(|test| test.outcome == TestOutcome::Failed);
        failed.map(|test| test.name.as_str())
    }

    /// Says how it went: `2 of 5 tests failed: nginx answers, port: 80`.
    #[must_use]
    pub fn summary(&self) -> String {
        let failed: Vec<_> = self.failed().collect();
        let ran = self.tests.iter().filter(|test| test.outcome != TestOutcome::Skipped).count();
        match failed.as_slice() {
            [] => format!("{ran} {} passed", if ran == 1 { "test" } else { "tests" }),
            failed => format!("{} of {ran} tests failed: {}", failed.len(), failed.join(", ")),
        }
    }

    /// Refuses tests that failed.
    pub(crate) fn passed(self) -> Result<Self, Error> {
        if self.failed().next().is_some() { Err(Error::TestsFailed(Box::new(self))) } else { Ok(self) }
    }
}

/// Computes what the tests of a template are, where it has some.
pub(crate) fn tests_key(template: &Template) -> Result<Option<Digest>, Error> {
    let run = || template.tests.iter().filter(|test| test.skipped.is_none());
    if run().next().is_none() {
        return Ok(None);
    }
    let mut maker = KeyMaker::new("tests");
    maker.part("machine", &canonical(&(template.machine.firmware, &template.communicator))?);
    for test in run() {
        maker.part("name", test.name.as_bytes());
        maker.part("check", &canonical(&test.check)?);
        if let Check::Shell(shell) = &test.check {
            shell_files(shell, &mut maker)?;
        }
    }
    Ok(Some(maker.finish()))
}

/// Says whether an image stands for these tests.
pub(crate) fn has_passed(image: &Image, tests: Option<Digest>) -> bool {
    tests.is_none() || image.kiln.tests == tests
}
