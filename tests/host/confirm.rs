//! imad-boot confirm after a boot: what is confirmed, what speaks against it, what is remembered.

use std::ffi::OsStr;

use imad::model::manifest::{Entry, Manifest, Use};
use imad::model::report::{BootReport, TrialOutcome};
use imad::model::trial::{State, Sum};

use super::fixture::{folder, output, run};

/// A system after its boot, in which imad-boot confirm looks round: systemd's answers, the audit log, `/etc` and `/run` are
/// this test's own.
pub(crate) struct Booted {
    folder: tempfile::TempDir,
    report: BootReport,
}

const LIST: &str = "dbus.service loaded active running Bus\nssh.service loaded active running SSH\n";

/// What systemctl shows of dbus.service, dbus.socket, ssh.service and ssh.socket.
fn units(active: [&str; 3], file: &str) -> String {
    let [bus, bus_socket, ssh] = active;
    let unit = |active: &str| format!("ActiveState={active}\nLoadState=loaded\nUnitFileState={file}\nMainPID=0\n\n");
    [unit(bus), unit(bus_socket), unit(ssh), unit("inactive")].concat()
}

impl Booted {
    pub(crate) fn new() -> Self {
        let folder = folder();
        for name in
            ["bin", "run/imad", "etc/ima", "etc/imad/state", "log/audit", "upper", "work", "lib-upper", "lib-work"]
        {
            std::fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        let booted = Self { folder, report: BootReport::default() };
        let script = "#!/bin/sh\nhere=${0%/*}\ncase $* in\n*--value*) cat $here/target ;;\n*list-units*) cat $here/list ;;\n\
                      *show*) cat $here/units ;;\nesac\n";
        booted.write("bin/systemctl", script);
        run("chmod", &[OsStr::new("+x"), booted.folder.path().join("bin/systemctl").as_ref()]);
        booted.write("bin/target", "active\n");
        booted.write("bin/list", LIST);
        booted.write("bin/units", &units(["active", "active", "active"], "enabled"));
        booted.write("etc/ima/ima-policy", "measure func=POLICY_CHECK\n");
        let needed = Entry {
            path: b"/usr/bin/needed".to_vec(),
            uses: Use::Program.into(),
            core: false,
            needed: true,
            size: 1,
            mtime: (1, 1),
            label: None,
        };
        let manifest = String::from_utf8(Manifest::new(vec![needed]).to_bytes()).unwrap();
        booted.write("etc/imad/state/manifest", &manifest);
        booted
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn confirm(&mut self, fingerprint: u8) -> (Option<i32>, TrialOutcome) {
        let policy = Sum::of(&std::fs::read(self.folder.path().join("etc/ima/ima-policy")).unwrap());
        let outcome = serde_json::json!({
            "fingerprint": Sum([fingerprint; 32]), "policy": policy, "decision": "trial", "attempt": 1, "limit": 2,
            "store": null, "fallback": false, "fallback_fingerprint": null, "fallback_policy": null, "problem": null,
        });
        "6.12".clone_into(&mut self.report.kernel);
        self.report.policy.loaded = true;
        "/etc/ima/ima-policy".clone_into(&mut self.report.policy.path);
        self.run(serde_json::from_value(outcome).unwrap())
    }

    /// imad-boot's exit status, and the report after it.
    fn run(&mut self, outcome: TrialOutcome) -> (Option<i32>, TrialOutcome) {
        self.report.trial = Some(outcome);
        let (code, report) = self.confirm_report(&self.report);
        (code, report.trial.unwrap())
    }

    /// The same after a boot of this report.
    pub(crate) fn confirm_report(&self, report: &BootReport) -> (Option<i32>, BootReport) {
        self.write("run/imad/boot.json", &serde_json::to_string(report).unwrap());
        let script = "cd \"$1\" && mount -t overlay -o \"lowerdir=etc:/etc,upperdir=upper,workdir=work\" overlay /etc && \
                      mount -t overlay -o lowerdir=log:/var/log overlay /var/log && mount --bind run /run && \
                      mount -t overlay -o lowerdir=/var/lib,upperdir=lib-upper,workdir=lib-work overlay /var/lib && \
                      PATH=$1/bin:$PATH exec \"$2\" confirm";
        let program = env!("CARGO_BIN_EXE_imad-boot");
        let arguments = ["--mount", "sh", "-c", script, "sh"].map(OsStr::new);
        let output = output("unshare", &[&arguments[..], &[self.folder.path().as_ref(), program.as_ref()]].concat());
        let text = std::fs::read(self.folder.path().join("run/imad/boot.json")).unwrap();
        let report: BootReport = serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        (output.status.code(), report)
    }

    pub(crate) fn state(&self) -> Option<State> {
        let bytes = std::fs::read(self.folder.path().join("upper/imad/state/trial.json")).ok()?;
        let machine = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
        Some(State::parse(&bytes, machine.trim()).unwrap())
    }
}

#[test]
fn a_boot_is_confirmed_by_what_it_brought_about() {
    let mut booted = Booted::new();
    let against = |outcome: &TrialOutcome| {
        assert!(!outcome.confirmed);
        outcome.unconfirmed.iter().map(|problem| problem.what.clone()).collect::<Vec<_>>().join("; ")
    };
    booted.write("bin/target", "activating\n");
    let (code, outcome) = booted.confirm(1);
    assert_eq!((code, against(&outcome).as_str()), (Some(1), "the default target was not reached; it is activating"));
    assert_eq!(booted.state(), None);

    booted.write("bin/target", "active\n");
    let denial =
        "op=appraise_data cause=missing-hash comm=\"x\" name=\"/usr/bin/needed\" dev=\"vda\" ino=1 res=0 errno=0\n";
    booted.write("log/audit/audit.log", &format!("type=INTEGRITY_DATA msg=audit(1700000000.123:45): pid=1 {denial}"));
    let (code, outcome) = booted.confirm(1);
    let why = "files that the boot needs were denied: /usr/bin/needed (missing-hash)";
    assert_eq!((code, against(&outcome).as_str()), (Some(1), why));

    // A denial of what the boot does not need, and one of the boot before.
    let other = format!("type=INTEGRITY_DATA msg=audit(1700000000.123:45): pid=1 {denial}type=DAEMON_START msg=x\n")
        + &format!("type=INTEGRITY_DATA msg=audit(1700000000.124:46): pid=1 {}", denial.replace("needed", "other"));
    booted.write("log/audit/audit.log", &other);
    let (code, outcome) = booted.confirm(1);
    assert!(code == Some(0) && outcome.confirmed, "{outcome:?}");
    let state = booted.state().unwrap();
    assert!(state.is_confirmed(Sum([1; 32])));
    assert_eq!(state.units, ["dbus.service", "ssh.service"]);
    assert_eq!(
        std::fs::read_to_string(booted.folder.path().join("upper/imad/state/confirmed-policy")).unwrap(),
        "measure func=POLICY_CHECK\n"
    );

    // Next time the same login services are asked for.
    booted.write("bin/units", &units(["active", "active", "failed"], "enabled"));
    let (code, outcome) = booted.confirm(2);
    assert!(code == Some(1) && against(&outcome).ends_with("do not run: ssh.service (failed)"), "{outcome:?}");
    assert!(!booted.state().unwrap().is_confirmed(Sum([2; 32])));
    booted.write("bin/units", &units(["active", "active", "inactive"], "disabled"));
    assert_eq!(booted.confirm(2).0, Some(0));
    assert!(booted.state().unwrap().is_confirmed(Sum([2; 32])));
}

#[test]
fn a_program_without_a_good_label_proves_nothing_where_the_policy_refuses_files() {
    let mut booted = Booted::new();
    booted.write("etc/ima/ima-policy", "appraise func=BPRM_CHECK appraise_type=imasig\n");
    let (code, outcome) = booted.confirm(1);
    let why = outcome.unconfirmed.iter().map(|problem| problem.what.clone()).collect::<Vec<_>>().join("; ");
    assert!(code == Some(1) && why.starts_with("/usr/bin/true, by which it is tried"), "{outcome:?}");
}

#[test]
fn what_was_given_up_is_remembered_after_the_boot() {
    let mut booted = Booted::new();
    booted.report.policy.loaded = false;
    let outcome = serde_json::json!({
        "fingerprint": Sum([7; 32]), "policy": Sum([8; 32]), "decision": "exhausted", "attempt": 2, "limit": 2, "store": null,
        "fallback": false, "fallback_fingerprint": null, "fallback_policy": null,
        "problem": { "what": "2 boots failed", "next": "look" },
    });
    let (code, _) = booted.run(serde_json::from_value(outcome).unwrap());
    assert_eq!(code, Some(0));
    assert_eq!(
        booted.state().unwrap().rolled_back.map(|it| (it.attempts, it.why)),
        Some((2, "2 boots failed".to_owned()))
    );
}
