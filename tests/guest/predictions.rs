//! What `imactl explain` says will happen, happens: under the strict policy, on the running system.

use imad::model::prediction::Prediction;

use crate::harness::Guest;
use crate::system::{POLICY, STRICT, TRUSTED};

/// `imactl explain --json`, its answer and its exit status.
fn explain(guest: &Guest, arguments: &[&str]) -> Prediction {
    let output = guest.run(&[&["imactl", "--json", "explain"], arguments].concat());
    let document: serde_json::Value =
        serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"));
    let prediction: Prediction = serde_json::from_value(document["prediction"].clone())
        .unwrap_or_else(|error| panic!("{error}: {}", output.stdout));
    assert!(prediction.enforced && prediction.policy.contains(POLICY), "{prediction:?}");
    prediction
}

/// The line of the strict policy with this rule.
fn line_of(rule: &str) -> usize {
    STRICT.lines().position(|line| line.starts_with(rule)).unwrap() + 1
}

/// The first file that is denied, the line of its rule, and what the program sees.
fn denial(prediction: &Prediction) -> (&str, usize, &str) {
    assert!(!prediction.allowed, "{prediction:?}");
    let file = prediction.files.iter().find(|file| !file.allowed).unwrap();
    let rule = file.rule.as_ref().unwrap();
    assert_eq!(rule.origin, POLICY, "{prediction:?}");
    assert!(!file.next.is_empty(), "{prediction:?}");
    (&file.path, rule.line.unwrap(), file.seen.as_deref().unwrap())
}

#[test]
fn what_is_explained_as_allowed_runs() {
    let guest = TRUSTED.guest();
    for (program, version) in [("/usr/bin/ip", "-V"), ("/usr/bin/dnf", "--version"), ("/usr/bin/imactl", "--version")] {
        let prediction = explain(&guest, &[program]);
        assert!(prediction.allowed, "{prediction:?}");
        assert!(prediction.files.iter().any(|file| file.role.as_deref() == Some("loader")), "{prediction:?}");
        assert!(prediction.problems.is_empty(), "{prediction:?}");
        guest.run(&[program, version]).ok();
    }
}

#[test]
fn what_is_explained_as_denied_is_denied_by_that_file() {
    let guest = TRUSTED.guest();
    guest.sh("cp /usr/bin/true /root/true; printf '#!/root/true\\n' >/root/script; chmod 755 /root/script").ok();
    let executed = line_of("appraise func=BPRM_CHECK");
    assert_eq!(denial(&explain(&guest, &["/root/true"])), ("/root/true", executed, "EACCES"));
    assert!(guest.sh("/root/true").stderr.contains("Permission denied"));

    // A script without a label; with one, its interpreter is looked at.
    assert_eq!(denial(&explain(&guest, &["/root/script"])).0, "/root/script");

    // The same bytes on a tmpfs, as another user.
    guest.sh("cp /usr/bin/true /tmp/true").ok();
    assert_eq!(denial(&explain(&guest, &["--uid", "65534", "/tmp/true"])), ("/tmp/true", executed, "EACCES"));

    // Reading it is nobody's business.
    assert!(explain(&guest, &["--as", "read", "/root/true"]).allowed);
}

#[test]
fn a_file_is_handed_to_the_handler_of_its_kind() {
    let guest = TRUSTED.guest();
    // A signed script by another name, which neither the shell nor the script's own interpreter gets.
    guest
        .sh("mount -t binfmt_misc none /proc/sys/fs/binfmt_misc && cp --preserve=xattr,mode /usr/bin/ldd /root/file.handled && \
             cp /usr/bin/cat /root/cat && echo ':handled:E::handled::/root/cat:' >/proc/sys/fs/binfmt_misc/register")
        .ok();
    let executed = line_of("appraise func=BPRM_CHECK");
    assert_eq!(denial(&explain(&guest, &["/root/file.handled"])), ("/root/cat", executed, "EACCES"));
    assert!(guest.sh("/root/file.handled").stderr.contains("Permission denied"));

    guest
        .sh("echo -1 >/proc/sys/fs/binfmt_misc/handled && \
              echo ':handled:M::#!::/usr/bin/head:OC' >/proc/sys/fs/binfmt_misc/register")
        .ok();
    let prediction = explain(&guest, &["/root/file.handled"]);
    let parts = prediction.files.iter().map(|file| file.path.as_str()).take(2).collect::<Vec<_>>();
    assert!(prediction.allowed && parts == ["/root/file.handled", "/usr/bin/head"], "{prediction:?}");
    assert!(guest.sh("/root/file.handled").ok().stdout.starts_with("#!"));
}

#[test]
fn an_unlabelled_library_is_named_and_kills_or_stops_its_programs() {
    let guest = TRUSTED.guest();
    let library = guest.sh("readlink -f /usr/lib/x86_64-linux-gnu/libcap.so.2").text().trim().to_owned();
    guest.run(&["setfattr", "-x", "security.ima", &library]).ok();
    let program = "/usr/sbin/getcap";
    let prediction = explain(&guest, &[program]);
    let mapped = line_of("appraise func=MMAP_CHECK");
    assert_eq!(denial(&prediction), (library.as_str(), mapped, "EACCES"), "{prediction:?}");
    let denied = prediction.files.iter().find(|file| !file.allowed).unwrap();
    assert_eq!(denied.wanted_by.as_deref(), Some(program));
    assert!(denied.next.starts_with("imactl relabel"), "{denied:?}");
    let output = guest.run(&[program, "/usr/bin/true"]);
    assert!(output.stderr.contains("failed to map segment"), "{output}");

    guest.run(&["imactl", "relabel", &library]).ok();
    assert!(explain(&guest, &[program]).allowed);
    guest.run(&[program, "/usr/bin/true"]).ok();
}

#[test]
fn another_policy_is_judged_without_being_loaded() {
    let guest = TRUSTED.guest();
    guest.sh("cp /usr/bin/true /root/true; printf 'appraise func=BPRM_CHECK fowner=1000 appraise_type=imasig\\n' >/root/p").ok();
    let judge = |path: &str| {
        let output = guest.run(&["imactl", "--json", "explain", "--policy", "/root/p", path]);
        let document: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
        document["prediction"]["allowed"].as_bool().unwrap()
    };
    assert!(judge("/root/true"));
    guest.sh("chown 1000 /root/true").ok();
    assert!(!judge("/root/true"));
}
