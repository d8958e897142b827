//! Asks for the password at the broker without showing it.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    path::Path,
    process::{Command, Stdio},
};

use super::{Dialog, NoAnswer, UNTESTED};
use crate::config::{Secret, read_bounded, secret_text};

/// The daemon accepts no longer password file, in bytes.
const PASSWORD_MAX: u64 = 4096;

impl<R: BufRead, W: Write> Dialog<'_, R, W> {
    /// Asks for the password, or reads its file. An empty answer keeps the one of before.
    pub(super) fn password(
        &mut self,
        given: Option<&Path>,
        user: &str,
        before: Option<Secret>,
    ) -> Result<Secret, NoAnswer> {
        let bytes = match given {
            Some(file) if file != Path::new("-") => {
                read_bounded(file, PASSWORD_MAX)
                    .map_err(|e| format!("--password-file: read {}: {e}", file.display()))?
                    .0
            }
            Some(_) => self.line("--password-file")?.into_bytes(),
            None => loop {
                self.say(&format!("The password of {user} there: "))?;
                let line = if io::stdin().is_terminal() { self.hidden()? } else { self.line("--password-file")? };
                match (line.as_str(), &before) {
                    (UNTESTED, _) => return Err(NoAnswer::Untested),
                    ("", Some(before)) => return Ok(before.clone()),
                    ("", None) => {}
                    _ => break line.into_bytes(),
                }
            },
        };
        // Checked like the password file that is written from it.
        let text =
            secret_text(bytes).map_err(|e| format!("--password-file: {e}; one line of 1 to 4000 bytes is possible"))?;
        match text.len() > 4000 {
            true => Err(NoAnswer::Fault("--password-file: one line of 1 to 4000 bytes is possible".into())),
            false => Ok(Secret::new(text)),
        }
    }

    /// Reads a line from the terminal without echo. The shell restores the echo, even if Ctrl-C ends both programs.
    fn hidden(&mut self) -> Result<String, String> {
        const READ: &str =
            "trap 'stty echo' EXIT; trap 'exit 130' INT TERM; stty -echo; IFS= read -r line; printf %s \"$line\"";
        let asked =
            Command::new("/bin/sh").args(["-c", READ]).stdin(Stdio::inherit()).stderr(Stdio::inherit()).output();
        let output = asked.map_err(|e| format!("read the password: run /bin/sh: {e}"))?;
        self.say("\n")?;
        match output.status.success() {
            true => String::from_utf8(output.stdout).map_err(|_| "read the password: not UTF-8 text".to_owned()),
            false => Err("read the password: interrupted".to_owned()),
        }
    }
}
