//! What the kernel command line says to imad-boot: `imad.policy=off`, `imad.guard=open|closed|off`.
#![forbid(unsafe_code)]

use super::config::{Boot, Guard};

/// What a boot is to do, configuration and command line taken together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switches {
    /// Load no policy.
    pub policy_off: bool,
    /// What the guard's "no" means.
    pub guard: Guard,
    /// Words that begin with `imad.` and are not heeded, each with the reason.
    pub unheeded: Vec<(String, String)>,
}

impl Switches {
    /// Reads them from the command line's parameters. The last word on a switch holds, as it does for the kernel.
    pub fn new(config: &Boot, parameters: &[String]) -> Self {
        let mut switches = Self { policy_off: false, guard: config.guard, unheeded: Vec::new() };
        for parameter in parameters.iter().take_while(|parameter| *parameter != "--") {
            if !parameter.starts_with("imad.") {
                continue;
            }
            if let Err(why) = switches.heed(config, parameter) {
                switches.unheeded.push((parameter.clone(), why));
            }
        }
        switches
    }

    fn heed(&mut self, config: &Boot, parameter: &str) -> Result<(), String> {
        if !config.command_line {
            return Err("boot.command_line is false in imad's configuration".to_owned());
        }
        match parameter.split_once('=') {
            Some(("imad.policy", value)) => {
                self.policy_off = match value {
                    "off" => true,
                    "on" => false,
                    _ => return Err("imad.policy is on or off".to_owned()),
                }
            }
            Some(("imad.guard", value)) => {
                self.guard = match value {
                    "open" => Guard::Open,
                    "closed" => Guard::Closed,
                    "off" => Guard::Off,
                    _ => return Err("imad.guard is open, closed or off".to_owned()),
                }
            }
            _ => return Err("there are imad.policy= and imad.guard=".to_owned()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::command_line::parameters;
    use crate::model::config::Config;

    fn switches(line: &str, command_line: bool) -> Switches {
        let config = Boot { command_line, ..Config::default().boot };
        Switches::new(&config, &parameters(line))
    }

    #[test]
    fn the_last_word_holds_and_wrong_ones_are_named() {
        let read =
            switches("quiet imad.policy=off imad.guard=off imad.guard=closed imad.gard=off imad.guard=ajar", true);
        assert!(read.policy_off);
        assert_eq!(read.guard, Guard::Closed);
        let words: Vec<_> = read.unheeded.iter().map(|(word, _)| word.as_str()).collect();
        assert_eq!(words, ["imad.gard=off", "imad.guard=ajar"]);
        assert!(!switches("imad.policy=off imad.policy=on -- imad.policy=off", true).policy_off);
    }

    #[test]
    fn a_configuration_may_close_the_command_line() {
        let read = switches("imad.policy=off imad.guard=off", false);
        assert_eq!((read.policy_off, read.guard), (false, Guard::Open));
        assert_eq!(read.unheeded.len(), 2);
    }
}
