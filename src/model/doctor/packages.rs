//! rpm's plugin, packages without signatures, labels and where they are kept, containers.
#![forbid(unsafe_code)]

use super::{Area, Facts, Findings, LabelSupport, Plugin, Severity, Unsigned};
use crate::model::explain::quote;
use crate::model::plan::State;
use crate::model::report::Problem;

/// Packages that are named before the rest is counted.
const NAMED: usize = 5;

pub(super) fn judge(facts: &Facts, found: &mut Findings) {
    plugin(facts, found);
    if let Some(packages) = &facts.packages {
        unsigned(packages.count, &packages.unsigned, found);
        for problem in &packages.problems {
            found.add("package-unreadable", Area::Packages, Severity::Warning, "rpm", problem.clone());
        }
    }
    containers(facts, found);
    labels(facts, found);
    places(facts, found);
}

/// What cannot work without rpm's plugin; `None` where it is there, or no rpm is.
pub fn plugin_problem(plugin: &Plugin) -> Option<Problem> {
    const WITHOUT: &str = "so rpm writes no label while it installs: under a policy that demands signatures an update's \
                           scriptlets cannot run the programs that it brought, glibc, bash and systemd among them, before \
                           imad has labelled them";
    const INSTALL: &str = "dnf install rpm-plugin-ima";
    let (what, next) = match plugin {
        Plugin::Enabled { .. } | Plugin::NoRpm => return None,
        Plugin::Missing { path } => (format!("rpm's ima plugin is not there ({path}), {WITHOUT}"), INSTALL.to_owned()),
        Plugin::Disabled => (
            format!("rpm's ima plugin is not used (the macro %__transaction_ima is not set), {WITHOUT}"),
            format!("{INSTALL}; grep -r __transaction_ima /usr/lib/rpm /etc/rpm"),
        ),
        Plugin::Unknown { why } => (
            format!("it cannot be told whether rpm uses its ima plugin: {why}"),
            "rpm --eval %__transaction_ima".to_owned(),
        ),
    };
    Some(Problem::new(what, next))
}

fn plugin(facts: &Facts, found: &mut Findings) {
    let Some(problem) = plugin_problem(&facts.plugin) else { return };
    let severity = match &facts.plugin {
        Plugin::Unknown { .. } => Severity::Warning,
        _ if facts.policy.refuses_files => Severity::Fault,
        _ => Severity::Warning,
    };
    let place = if let Plugin::Missing { path } = &facts.plugin { path.as_str() } else { "%__transaction_ima" };
    found.add("rpm-plugin", Area::Packages, severity, place, problem);
}

fn unsigned(count: u64, packages: &[Unsigned], found: &mut Findings) {
    let mut most: Vec<&Unsigned> = packages.iter().collect();
    most.sort_by_key(|package| (std::cmp::Reverse((package.programs, package.files)), &package.nevra));
    let Some(first) = most.first() else { return };
    let files: u64 = packages.iter().map(|package| package.files).sum();
    let programs: u64 = packages.iter().map(|package| package.programs).sum();
    let names: Vec<String> =
        most.iter().take(NAMED).map(|package| format!("{} ({})", package.nevra, package.programs)).collect();
    let more = match most.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let what = format!(
        "{} of {count} packages bring no signatures for their {files} files, so no label can be written to their \
         {programs} programs and libraries: {}{more}",
        packages.len(),
        names.join(", ")
    );
    let next = format!(
        "dnf reinstall {} where its repository signs files; sign what is your own: rpmsign --addsign --signfiles",
        quote(&first.name)
    );
    found.add("package-unsigned", Area::Packages, Severity::Warning, &first.nevra, Problem::new(what, next));
}

fn containers(facts: &Facts, found: &mut Findings) {
    let Some(storage) = facts.containers.storage.first().filter(|_| facts.containers.denied) else { return };
    let what = format!(
        "{} denies programs without a label on overlays, and images of containers in {storage} seldom bring labels",
        facts.policy.path
    );
    let next = "exempt overlays where containers are to run, at the price that whatever is in them runs: \
                dont_appraise fsname=overlay";
    found.add("containers", Area::Packages, Severity::Warning, storage, Problem::new(what, next));
}

fn labels(facts: &Facts, found: &mut Findings) {
    let Some(counts) = &facts.labels else { return };
    let of = |states: &[State]| states.iter().filter_map(|state| counts.by_state.get(state)).sum::<u64>();
    let mut add = |name: &str, files: u64, what: &str, next: &str| {
        if files > 0 {
            let what = format!("{files} packaged files {what}");
            found.add(name, Area::Labels, Severity::Warning, "security.ima", Problem::new(what, next));
        }
    };
    let written = of(&[State::Missing, State::Stale, State::Hash]);
    add("label-missing", written, "do not carry the label that their packages bring", "imactl relabel");
    let modified = of(&[State::Modified]);
    add("label-modified", modified, "are not what their packages brought, and no label fits them", "imactl check");
    let untrusted = of(&[State::UntrustedKey]);
    add("label-untrusted", untrusted, "are signed by keys whose certificates are not there", "imactl check");
    let immutable = of(&[State::Immutable]);
    add(
        "label-immutable",
        immutable,
        "are immutable and cannot be labelled",
        "imactl check; lsattr FILE; chattr -i FILE",
    );
}

fn places(facts: &Facts, found: &mut Findings) {
    for place in &facts.places {
        let (filesystem, mounted_at, folder) = (&place.filesystem, &place.mounted_at, &place.folder);
        let (name, severity, what, next) = match place.labels {
            LabelSupport::Kept | LabelSupport::Image => continue,
            LabelSupport::ReadOnly => (
                "place-read-only",
                Severity::Warning,
                format!("{mounted_at} ({filesystem}) is mounted read-only: files below {folder} get no labels"),
                format!("mount -o remount,rw {}; imactl relabel {}", quote(mounted_at), quote(folder)),
            ),
            LabelSupport::NotKept => (
                "place-without-labels",
                if facts.policy.refuses_files { Severity::Fault } else { Severity::Warning },
                format!(
                    "{filesystem} at {mounted_at} keeps no labels: a rule that demands one denies every file below {folder}"
                ),
                format!("move what is to run from {} to another file system (ext4, xfs, btrfs)", quote(folder)),
            ),
        };
        found.add(name, Area::Labels, severity, mounted_at, Problem::new(what, next));
    }
}
