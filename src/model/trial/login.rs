//! Login services: those through which somebody gets in, and what is said of them after a boot.
#![forbid(unsafe_code)]

/// What systemd says of a unit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unit {
    /// Its name, as it was asked for.
    pub name: String,
    /// `ActiveState`.
    pub active: String,
    /// `LoadState`.
    pub load: String,
    /// `UnitFileState`; empty where it has no file of its own.
    pub file: String,
    /// `MainPID`; 0 where there is none.
    pub pid: u32,
}

/// The state of a unit whose program is not executed yet: gettys are forked at once, and wait until every start job is
/// done, five seconds at most (`Type=idle`). Until then they are active, whatever becomes of them.
pub const WAITING: &str = "waiting to be executed";

/// Whether a process of this name (`/proc/PID/comm`) is systemd's child that has not executed its program yet: it names
/// itself after it, in parentheses.
pub fn is_not_executed_yet(comm: &str) -> bool {
    comm.starts_with('(')
}

/// Whether somebody gets in through this unit.
pub fn is_login(unit: &str) -> bool {
    let instance_of = |template: &str| unit.starts_with(template) && unit.ends_with(".service");
    instance_of("getty@")
        || instance_of("serial-getty@")
        || matches!(
            unit,
            "ssh.service"
                | "ssh.socket"
                | "sshd.service"
                | "sshd.socket"
                | "display-manager.service"
                | "systemd-logind.service"
                | "dbus.service"
                | "dbus.socket"
                | "dbus-broker.service"
                | "console-getty.service"
        )
}

/// The login services that are active, sorted.
pub fn active(units: &[Unit]) -> Vec<String> {
    let mut names: Vec<String> = units
        .iter()
        .filter(|unit| unit.active == "active" && is_login(&unit.name))
        .map(|unit| unit.name.clone())
        .collect();
    names.sort();
    names.dedup();
    names
}

/// What became of the services that were active at the last confirmation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Compared {
    /// They should be active, and are not: each with its state.
    pub missing: Vec<String>,
    /// An administrator took them away: they are told, and asked for no more.
    pub gone: Vec<String>,
}

/// Compares the services that were active with what they are now.
pub fn compare(before: &[String], now: &[Unit]) -> Compared {
    let find = |name: &str| now.iter().find(|unit| unit.name == name);
    let mut compared = Compared::default();
    for name in before {
        match find(name) {
            Some(unit) if unit.active == "active" => {}
            // Nobody came to its socket in this boot.
            Some(unit)
                if unit.active == "inactive"
                    && socket_of(name).and_then(|it| find(&it)).is_some_and(|it| it.active == "active") => {}
            // systemd starts such a unit for nobody any more, so its absence says nothing of the policy.
            Some(unit) if unit.load == "not-found" || unit.load == "masked" || unit.file == "disabled" => {
                compared.gone.push(name.clone());
            }
            Some(unit) => compared.missing.push(format!("{name} ({})", unit.active)),
            None => compared.missing.push(format!("{name} (systemd does not tell)")),
        }
    }
    compared
}

/// The socket that starts a service.
fn socket_of(service: &str) -> Option<String> {
    service.strip_suffix(".service").map(|name| format!("{name}.socket"))
}

/// What is to be asked for to compare: these services, their sockets, and those that are active now.
pub fn to_ask(before: &[String], active: &[String]) -> Vec<String> {
    let sockets = before.iter().filter_map(|name| socket_of(name)).filter(|name| is_login(name));
    let mut names: Vec<String> = before.iter().chain(active).cloned().chain(sockets).collect();
    names.sort();
    names.dedup();
    names
}

/// Reads what `systemctl show --property=ActiveState,LoadState,UnitFileState,MainPID UNIT…` prints: a block a unit, in the
/// order in which they were asked for.
pub fn parse_show(asked: &[String], text: &str) -> Vec<Unit> {
    let blocks = text.split("\n\n").map(str::trim).filter(|block| !block.is_empty());
    let unit = |(name, block): (&String, &str)| {
        let value = |property: &str| {
            let line = block.lines().find_map(|line| line.strip_prefix(property)?.strip_prefix('='));
            line.unwrap_or_default().to_owned()
        };
        Unit {
            name: name.clone(),
            active: value("ActiveState"),
            load: value("LoadState"),
            file: value("UnitFileState"),
            pid: value("MainPID").parse().unwrap_or(0),
        }
    };
    asked.iter().zip(blocks).map(unit).collect()
}

/// Reads what `systemctl list-units --plain --no-legend --full --all` prints: `UNIT LOAD ACTIVE SUB DESCRIPTION`.
pub fn parse_list(text: &str) -> Vec<Unit> {
    let unit = |line: &str| {
        let mut words = line.split_whitespace();
        let (name, load, active) = (words.next()?, words.next()?, words.next()?);
        let (name, load, active) = (name.to_owned(), load.to_owned(), active.to_owned());
        Some(Unit { name, active, load, ..Unit::default() })
    };
    text.lines().filter_map(unit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn those_that_are_active_are_found() {
        let list = "dbus.service loaded active running D-Bus\ngetty@tty1.service loaded active running Getty on tty1\n\
                    getty.target loaded active active Logins\nssh.service loaded failed failed OpenSSH\n\
                    cron.service loaded active running Cron\n";
        assert_eq!(active(&parse_list(list)), names(&["dbus.service", "getty@tty1.service"]));
    }

    #[test]
    fn what_is_gone_by_choice_is_not_missed() {
        let asked =
            names(&["ssh.service", "getty@tty1.service", "serial-getty@ttyS0.service", "x.service", "y.service"]);
        let shown = "ActiveState=failed\nLoadState=loaded\nUnitFileState=enabled\n\n\
                     LoadState=loaded\nActiveState=active\nUnitFileState=enabled\n\n\
                     LoadState=loaded\nActiveState=inactive\nUnitFileState=disabled\n\n\
                     LoadState=not-found\nActiveState=inactive\nUnitFileState=\n";
        let compared = compare(&asked, &parse_show(&asked, shown));
        assert_eq!(compared.missing, ["ssh.service (failed)", "y.service (systemd does not tell)"]);
        assert_eq!(compared.gone, ["serial-getty@ttyS0.service", "x.service"]);
    }

    #[test]
    fn a_service_that_its_socket_starts_may_be_off() {
        let before = names(&["dbus.service"]);
        let asked = to_ask(&before, &names(&["getty@tty1.service", "dbus.service"]));
        assert_eq!(asked, names(&["dbus.service", "dbus.socket", "getty@tty1.service"]));
        let shown = |service: &str, socket: &str| {
            let text = format!("ActiveState={service}\nMainPID=7\n\nActiveState={socket}\n\nActiveState=active\n");
            let shown = parse_show(&asked, &text);
            assert_eq!((shown[0].pid, shown[1].pid), (7, 0));
            compare(&before, &shown).missing
        };
        assert_eq!(shown("inactive", "active"), Vec::<String>::new());
        assert_eq!(shown("inactive", "failed"), ["dbus.service (inactive)"]);
        assert_eq!(shown("failed", "active"), ["dbus.service (failed)"]);
        assert!(is_not_executed_yet("(agetty)") && !is_not_executed_yet("agetty"));
    }
}
