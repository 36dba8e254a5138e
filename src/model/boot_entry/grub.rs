//! Menu entries of `grub.cfg`, as `grub-mkconfig` and people write them (GRUB manual, 6 "Writing full configuration files
//! directly").
//!
//! The file is a script. It is not run: every `linux` command of a menu entry counts as one that may be reached, whatever
//! the conditions around it, and a variable has the value that was given to it last before.
#![forbid(unsafe_code)]

use super::{BootEntry, Variables, expand};

/// Menu entries, what else was set, and which one is started unless somebody chooses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Menu {
    /// The entries in the order of the menu.
    pub entries: Vec<BootEntry>,
    /// The variables in the end: those of the environment block, and those that the script sets and it does not.
    pub variables: Variables,
    /// The script reads entries of type 1 (`blscfg`).
    pub reads_type1: bool,
}

/// A word of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// A word, variables put in.
    Word(String),
    /// `{` as a word of its own.
    Open,
    /// `}` as a word of its own.
    Close,
    /// A newline or `;`
    End,
}

/// How deep blocks may lie in one another.
const DEEP: usize = 64;

/// Reads a script. `environment` is what its `load_env` brings.
pub fn menu(file: &str, text: &str, environment: &Variables) -> Menu {
    let mut reader = Reader { file, environment, menu: Menu::default(), blocks: Vec::new(), counts: vec![0] };
    reader.menu.variables.clone_from(environment);
    let mut lexer = Lexer { rest: text };
    let mut command = Vec::new();
    while let Some(token) = lexer.next(&reader.menu.variables) {
        match token {
            Token::Word(word) => command.push(word),
            Token::End => reader.command(&std::mem::take(&mut command)),
            Token::Open => reader.open(&std::mem::take(&mut command)),
            Token::Close => {
                reader.command(&std::mem::take(&mut command));
                reader.close();
            }
        }
    }
    reader.command(&command);
    while !reader.blocks.is_empty() {
        reader.close();
    }
    reader.menu
}

struct Lexer<'t> {
    rest: &'t str,
}

impl Lexer<'_> {
    fn next(&mut self, variables: &Variables) -> Option<Token> {
        loop {
            let trimmed = self.rest.trim_start_matches([' ', '\t', '\r']);
            // A line goes on behind a backslash.
            let continued = trimmed.strip_prefix("\\\n");
            self.rest = continued.unwrap_or(trimmed);
            if continued.is_none() {
                break;
            }
        }
        match self.rest.chars().next()? {
            '#' => {
                let end = self.rest.find('\n').unwrap_or(self.rest.len());
                self.rest = &self.rest[end..];
                self.next_end()
            }
            '\n' | ';' => self.next_end(),
            _ => Some(self.word(variables)),
        }
    }

    fn next_end(&mut self) -> Option<Token> {
        let mut characters = self.rest.chars();
        characters.next()?;
        self.rest = characters.as_str();
        Some(Token::End)
    }

    /// A word: parts in quotes and without, next to each other.
    fn word(&mut self, variables: &Variables) -> Token {
        let (mut word, mut plain, mut is_quoted) = (String::new(), String::new(), false);
        let mut characters = self.rest.chars();
        loop {
            let before = characters.clone();
            let Some(character) = characters.next() else { break };
            match character {
                ' ' | '\t' | '\r' | '\n' | ';' => {
                    characters = before;
                    break;
                }
                '\'' | '"' => {
                    word.push_str(&expand(&std::mem::take(&mut plain), variables));
                    let quoted = quoted(&mut characters, character);
                    word.push_str(&if character == '"' { expand(&quoted, variables) } else { quoted });
                    is_quoted = true;
                }
                '\\' => {
                    word.push_str(&expand(&std::mem::take(&mut plain), variables));
                    word.extend(characters.next().filter(|&escaped| escaped != '\n'));
                    is_quoted = true;
                }
                other => plain.push(other),
            }
        }
        self.rest = characters.as_str();
        match &plain[..] {
            "{" if !is_quoted => Token::Open,
            "}" if !is_quoted => Token::Close,
            _ => {
                word.push_str(&expand(&plain, variables));
                Token::Word(word)
            }
        }
    }
}

/// What stands before the closing quote; in double quotes a backslash takes `$`, `"`, `\` and a newline their meaning.
fn quoted(characters: &mut std::str::Chars<'_>, quote: char) -> String {
    let mut text = String::new();
    while let Some(character) = characters.next() {
        match character {
            _ if character == quote => break,
            '\\' if quote == '"' => match characters.next() {
                Some('\n') | None => {}
                Some(escaped @ ('"' | '\\')) => text.push(escaped),
                // An escaped dollar would be a variable's again: no menu has one.
                Some(other) => text.extend(['\\', other]),
            },
            other => text.push(other),
        }
    }
    text
}

/// A block that is open.
#[derive(Debug)]
enum Block {
    Entry { entry: BootEntry, kernels: Vec<(String, String)> },
    Submenu { names: Vec<String> },
    Other,
}

struct Reader<'t> {
    file: &'t str,
    environment: &'t Variables,
    menu: Menu,
    blocks: Vec<Block>,
    /// How many entries each menu has that is open, the main one first.
    counts: Vec<usize>,
}

impl Reader<'_> {
    /// The names that this and the submenus around it have together.
    fn names(&self, own: &[String]) -> Vec<String> {
        let outer = self.blocks.iter().filter_map(|block| match block {
            Block::Submenu { names } => Some(names),
            _ => None,
        });
        let outer: Vec<_> = outer.collect();
        // The last submenu's hold those before. Nobody names an entry below five submenus.
        match outer.last() {
            Some(before) if before.len() < 243 => {
                before.iter().flat_map(|before| own.iter().map(move |own| format!("{before}>{own}"))).collect()
            }
            Some(_) | None => own.to_vec(),
        }
    }

    fn open(&mut self, command: &[String]) {
        let block = match command.first().map(String::as_str) {
            Some(kind @ ("menuentry" | "submenu")) if self.blocks.len() < DEEP => {
                let arguments = &command[1..];
                let id = id(arguments);
                let title = arguments.iter().find(|word| !word.starts_with('-')).cloned();
                let number = self.counts.last_mut().map_or(0, |count| {
                    *count += 1;
                    *count - 1
                });
                let own: Vec<String> =
                    [Some(number.to_string()), title.clone(), id.clone()].into_iter().flatten().collect();
                let names = self.names(&own);
                if kind == "submenu" {
                    self.counts.push(0);
                    Block::Submenu { names }
                } else {
                    let entry = BootEntry { title, file: self.file.to_owned(), id, names, ..BootEntry::default() };
                    Block::Entry { entry, kernels: Vec::new() }
                }
            }
            _ => Block::Other,
        };
        self.blocks.push(block);
    }

    fn close(&mut self) {
        match self.blocks.pop() {
            Some(Block::Submenu { .. }) => {
                self.counts.pop();
            }
            Some(Block::Entry { entry, kernels }) => {
                let of_kernel = |(kernel, options)| BootEntry { kernel, options, ..entry.clone() };
                self.menu.entries.extend(kernels.into_iter().map(of_kernel));
            }
            Some(Block::Other) | None => {}
        }
    }

    fn command(&mut self, command: &[String]) {
        // What an if, a then or an else governs is a command too.
        let governs = |word: &&String| matches!(word.as_str(), "then" | "else" | "do");
        let leading = command.iter().take_while(governs).count();
        let [name, arguments @ ..] = &command[leading..] else { return };
        let entry = self.blocks.iter_mut().rev().find_map(|block| match block {
            Block::Entry { entry, kernels } => Some((entry, kernels)),
            _ => None,
        });
        match (name.as_str(), entry) {
            ("linux" | "linux16" | "linuxefi", Some((_, kernels))) => {
                if let [kernel, options @ ..] = arguments {
                    kernels.push((without_device(kernel).to_owned(), options.join(" ")));
                }
            }
            ("initrd" | "initrd16" | "initrdefi", Some((entry, _))) => {
                let more = arguments.iter().filter(|word| !word.is_empty()).map(|path| without_device(path).to_owned());
                let more: Vec<_> = more.filter(|path| !entry.initrds.contains(path)).collect();
                entry.initrds.extend(more);
            }
            ("set", None) => {
                let Some((name, value)) = arguments.first().and_then(|word| word.split_once('=')) else { return };
                // An `if` around it asks whether there is a value already.
                let is_default_emptied = name == "default" && value.is_empty();
                if !self.environment.contains_key(name) && !is_default_emptied {
                    self.menu.variables.insert(name.to_owned(), value.to_owned());
                }
            }
            ("blscfg", None) => self.menu.reads_type1 = true,
            _ => {}
        }
    }
}

/// The value of `--id`, or of what grub-mkconfig writes for it.
fn id(arguments: &[String]) -> Option<String> {
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        // `$menuentry_id_option` is `--id`, and empty in a GRUB that knows none.
        if word == "--id" || word.is_empty() {
            return words.next().cloned();
        }
        if let Some(id) = word.strip_prefix("--id=") {
            return Some(id.to_owned());
        }
    }
    None
}

/// A path without the device before it: `(hd0,gpt2)/vmlinuz`.
fn without_device(path: &str) -> &str {
    path.strip_prefix('(').and_then(|rest| rest.split_once(')')).map_or(path, |(_, path)| path)
}

/// The name of the entry that is started unless somebody chooses: for the next boot alone, else always.
pub fn default_entry(menu: &Menu) -> Option<&str> {
    let value = |name: &str| menu.variables.get(name).map(String::as_str).filter(|value| !value.is_empty());
    value("next_entry").or_else(|| value("default")).or_else(|| value("saved_entry"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::environment;
    use super::*;

    const DEBIAN: &str = r#"
if [ -s $prefix/grubenv ]; then
  set have_grubenv=true
  load_env
fi
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
   set default="0"
fi

if [ x"${feature_menuentry_id}" = xy ]; then
  menuentry_id_option="--id"
else
  menuentry_id_option=""
fi
function gfxmode {
	set gfxpayload="${1}"
}
menuentry 'Debian GNU/Linux' --class debian --class gnu-linux --class gnu --class os $menuentry_id_option 'gnulinux-simple-3f' {
	load_video
	insmod gzio
	if [ x$grub_platform = xxen ]; then insmod xzio; insmod lzopio; fi
	search --no-floppy --fs-uuid --set=root 3f
	echo	'Loading Linux 6.12.117+deb13-amd64 ...'
	linux	/boot/vmlinuz-6.12.117+deb13-amd64 root=UUID=3f ro  quiet
	echo	'Loading initial ramdisk ...'
	initrd	/boot/initrd.img-6.12.117+deb13-amd64
}
submenu 'Advanced options for Debian GNU/Linux' $menuentry_id_option 'gnulinux-advanced-3f' {
	menuentry 'Debian GNU/Linux, with Linux 6.12.117+deb13-amd64' --class debian $menuentry_id_option 'gnulinux-6.12.117+deb13-amd64-advanced-3f' {
		linux	(hd0,gpt2)/boot/vmlinuz-6.12.117+deb13-amd64 root=UUID=3f ro "ima_policy=tcb|appraise_tcb"
		initrd	/boot/initrd.img-6.12.117+deb13-amd64
	}
	menuentry 'Debian GNU/Linux, with Linux 6.1.0-18-amd64 (recovery mode)' --class debian $menuentry_id_option 'gnulinux-6.1.0-18-amd64-recovery-3f' {
		if [ "$grub_platform" = efi ]; then
			linuxefi /boot/vmlinuz-6.1.0-18-amd64 root=UUID=3f ro single \
				quiet
		else
			linux16 /boot/vmlinuz-6.1.0-18-amd64 root=UUID=3f ro single
		fi
		initrd	/boot/ucode.img /boot/initrd.img-6.1.0-18-amd64
	}
}
menuentry "UEFI Firmware Settings" --id=uefi-firmware { fwsetup; }
"#;

    #[test]
    fn debians_menu_is_read_with_its_submenus() {
        let menu = menu("/boot/grub/grub.cfg", DEBIAN, &Variables::new());
        let kernels: Vec<_> = menu.entries.iter().map(|entry| (&entry.kernel[..], &entry.options[..])).collect();
        let (new, old) = ("/boot/vmlinuz-6.12.117+deb13-amd64", "/boot/vmlinuz-6.1.0-18-amd64");
        assert_eq!(
            kernels,
            [
                (new, "root=UUID=3f ro quiet"),
                (new, "root=UUID=3f ro ima_policy=tcb|appraise_tcb"),
                (old, "root=UUID=3f ro single quiet"),
                (old, "root=UUID=3f ro single"),
            ]
        );
        assert_eq!(menu.entries[0].id.as_deref(), Some("gnulinux-simple-3f"));
        assert_eq!(menu.entries[0].title.as_deref(), Some("Debian GNU/Linux"));
        assert_eq!(menu.entries[0].names, ["0", "Debian GNU/Linux", "gnulinux-simple-3f"]);
        assert_eq!(menu.entries[2].initrds, ["/boot/ucode.img", "/boot/initrd.img-6.1.0-18-amd64"]);
        assert!(menu.entries[2].names.contains(&"1>1".to_owned()), "{:?}", menu.entries[2].names);
        assert!(menu.entries[2].names.contains(&"gnulinux-advanced-3f>gnulinux-6.1.0-18-amd64-recovery-3f".to_owned()));
        assert_eq!(default_entry(&menu), Some("0"));
        assert!(!menu.reads_type1);
    }

    #[test]
    fn what_was_chosen_for_the_next_boot_comes_first() {
        let environment =
            environment(b"# GRUB Environment Block\nsaved_entry=a\nnext_entry=gnulinux-advanced-3f>b\n##");
        assert_eq!(default_entry(&menu("f", DEBIAN, &environment)), Some("gnulinux-advanced-3f>b"));
    }

    #[test]
    fn fedoras_menu_is_made_of_type_1_entries() {
        let text = "if [ \"${next_entry}\" ] ; then\n set default=\"${next_entry}\"\nelse\n set default=\"${saved_entry}\"\nfi\n\
                    if [ -z \"${kernelopts}\" ]; then\n  set kernelopts=\"root=UUID=9f ro rhgb\"\nfi\ninsmod blscfg\nblscfg\n";
        let saved = environment(b"saved_entry=3a-6.12\n");
        let without = menu("f", text, &saved);
        assert!(without.reads_type1 && without.entries.is_empty());
        assert_eq!(without.variables["kernelopts"], "root=UUID=9f ro rhgb");
        assert_eq!(default_entry(&without), Some("3a-6.12"));
        let with = menu("f", text, &environment(b"kernelopts=ro single\n"));
        assert_eq!(with.variables["kernelopts"], "ro single");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(menuentry|submenu|linux|initrd|set|[$ '\"{}\\\\\n;#=a]){0,80}") {
            let menu = menu("f", &text, &Variables::new());
            let _ = default_entry(&menu);
        }
    }
}
