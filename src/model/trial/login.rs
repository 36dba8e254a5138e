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
    let mut compared = Compared::default();
    for name in before {
        match now.iter().find(|unit| unit.name == *name) {
            Some(unit) if unit.active == "active" => {}
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

/// Reads what `systemctl show --property=ActiveState,LoadState,UnitFileState UNIT…` prints: a block a unit, in the
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
        }
    };
    asked.iter().zip(blocks).map(unit).collect()
}

/// Reads what `systemctl list-units --plain --no-legend --full --all` prints: `UNIT LOAD ACTIVE SUB DESCRIPTION`.
pub fn parse_list(text: &str) -> Vec<Unit> {
    let unit = |line: &str| {
        let mut words = line.split_whitespace();
        let (name, load, active) = (words.next()?, words.next()?, words.next()?);
        Some(Unit { name: name.to_owned(), active: active.to_owned(), load: load.to_owned(), file: String::new() })
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
}
