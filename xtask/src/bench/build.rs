//! `bench build`: the same small build by every tool.

use super::{
    Bench, Options,
    contest::{self, Column, Contest},
    kiln::{self, Way},
    packer, steps, virt_customize,
};
use anyhow::Result;

const CONTEST: Contest = Contest { text: steps::TEXT, peers: &["packer", "virt-customize"] };

pub(super) fn run(options: Options) -> Result<()> {
    let bench = Bench::new(options)?;
    let program = contest::prepare(options, &bench)?;
    let mut columns = Vec::new();
    for way in [Way::Warm, Way::Cold, Way::Ssh] {
        let contender = match &program {
            Ok(program) => Ok(kiln::contender(&bench, program, way)?),
            Err(why) => Err(why.clone()),
        };
        columns.push(Column::new(way.name(), contender));
    }
    columns.push(Column::new("packer", packer::contender(&bench, "packer", &steps::packer(&bench))?));
    columns.push(Column::new("virt-customize", virt_customize::contender(&bench)?));
    contest::run(options, &bench, &CONTEST, columns)
}
