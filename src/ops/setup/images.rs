//! imad-boot into the initramfs of every kernel: a kernel without it boots without the policy.
#![forbid(unsafe_code)]

use std::process::{Command, Stdio};

use super::record::Recorder;
use super::steps::Said;
use super::{Request, failed};
use crate::model::report::Problem;
use crate::ops::next_boot;
use crate::sys::kept;

/// An image that lacks imad-boot, or has another version of it.
struct Lacking {
    release: String,
    image: String,
}

/// Builds the images that lack it, each beside the one that is there, which is kept.
pub(super) fn build(request: &Request<'_>, recorder: &mut Recorder<'_>) -> Said {
    let mut notes = Vec::new();
    let mut lacking: Vec<Lacking> = Vec::new();
    let mut good = 0;
    for (kernel, contents) in &next_boot::bootable(request.root) {
        if contents.as_ref().is_some_and(|contents| contents.imad_boot && contents.imad_boot_starts) {
            good += 1;
        } else if let [.., image] = &kernel.initrds[..] {
            let is_new = !lacking.iter().any(|known| &known.image == image);
            if is_new {
                lacking.push(Lacking { release: kernel.release.clone(), image: image.clone() });
            }
        } else {
            let what = format!("kernel {} boots without an initramfs, and so without imad-boot", kernel.release);
            notes.push(Problem::new(what, "give it an initramfs, or remove its boot entry"));
        }
    }
    if lacking.is_empty() {
        return Said::already(format!("{good} boot entries have imad-boot in their initramfs")).noting(notes);
    }
    let names: Vec<_> = lacking.iter().map(|lacking| lacking.image.clone()).collect();
    if request.dry_run {
        return Said::done(true, format!("would build {}", names.join(", "))).noting(notes);
    }
    if !request.root.is_running() {
        let next = format!("chroot {} dracut --force --regenerate-all", request.root.path().display());
        return failed(format!("{} are built by dracut, in the root", names.join(", ")), next);
    }
    for lacking in &lacking {
        if let Err(problem) = rebuild(request, lacking, recorder) {
            return Said::no(problem.what.clone(), vec![problem]);
        }
    }
    Said::done(false, format!("built {}", names.join(", "))).noting(notes)
}

/// One image. At no time is none in its place.
fn rebuild(request: &Request<'_>, lacking: &Lacking, recorder: &mut Recorder<'_>) -> Result<(), Problem> {
    let Lacking { release, image } = lacking;
    let made = format!("{image}.imad-new");
    let no = |why: String| {
        Problem::new(format!("{image} cannot be built: {why}"), format!("dracut --force {image} {release}"))
    };
    let mut dracut = Command::new("dracut");
    dracut.args(["--force", "--quiet", "--kver", release]).arg(&made);
    let output = dracut.stdin(Stdio::null()).output().map_err(|error| no(format!("dracut: {error}")))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.trim().lines().last().unwrap_or("it said nothing").to_owned();
        kept::remove(request.root, &made).unwrap_or_default();
        return Err(no(format!("dracut ended with {}: {last}", output.status)));
    }
    let holds =
        next_boot::image(request.root, &made).map_err(|why| no(format!("what dracut built cannot be read: {why}")))?;
    if !holds.imad_boot || !holds.imad_boot_starts {
        kept::remove(request.root, &made).unwrap_or_default();
        return Err(no(
            "what dracut built does not hold imad-boot (package imad-dracut, its dracut.conf.d file)".to_owned()
        ));
    }
    recorder.keep(image).map_err(|error| no(format!("the present one cannot be kept: {error}")))?;
    kept::move_into_place(request.root, &made, image).map_err(|error| no(error.to_string()))
}
