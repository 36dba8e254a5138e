//! `imactl explain`
#![forbid(unsafe_code)]

use super::args::{Arguments, Explain};
use super::exit::{Answer, Failure};
use super::render;
use super::target::{Target, absolute, failure};
use crate::model::explain::effect;
use crate::model::report::{FileReport, Problem, VERSION};
use crate::ops::explain;

/// What `--json` prints.
#[derive(serde::Serialize)]
struct Document<'a> {
    version: u32,
    #[serde(flatten)]
    file: &'a FileReport,
    effect: &'static str,
    problems: &'a [Problem],
}

pub(super) fn run(arguments: &Arguments, verb: &Explain) -> Result<Answer, Failure> {
    let target = Target::open(arguments)?;
    let path = absolute(&target.root, &verb.path)?;
    let path = String::from_utf8(path)
        .map_err(|_| Failure::input("the path is not UTF-8", "imactl check takes any bytes: imactl check PATH"))?;
    let (file, problems) = explain::explain(&target.root, &target.config.labels, &target.keys.trust, &path)
        .map_err(|error| failure(&error))?;
    let effect = effect(file.state);
    if arguments.json {
        render::json(&Document { version: VERSION, file: &file, effect, problems: &problems })?;
    } else {
        let mut table = render::table();
        table.add_row(["Label", &format!("{}: {}", file.state, file.reason)]);
        table.add_row(["Package", file.package.as_deref().unwrap_or("none")]);
        table.add_row(["So", effect]);
        if !file.next.is_empty() {
            table.add_row(["Next", &file.next]);
        }
        let text = format!("{}\n{}\n{}", render::bold(&file.path), render::rows(&table), render::problems(&problems));
        render::print(&text)?;
    }
    Ok(if file.state.is_denied() { Answer::No } else { Answer::Yes })
}
