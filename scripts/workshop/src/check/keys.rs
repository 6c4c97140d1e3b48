//! Single keys: the terminal gives each one at once and does not show it. Put back when this is dropped.

use std::io::{IsTerminal, Read, stdin, stdout};

use anyhow::{Context, Result, bail};
use nix::sys::termios::{
    LocalFlags, SetArg, SpecialCharacterIndices, Termios, tcgetattr, tcsetattr,
};

pub struct Keys {
    before: Termios,
}

impl Keys {
    /// Takes the terminal. Ctrl-C stays a signal; Ctrl-Z, which would leave it like this, does nothing.
    pub fn take() -> Result<Keys> {
        if !stdin().is_terminal() || !stdout().is_terminal() {
            bail!("single keys need a terminal");
        }
        let keys =
            Keys { before: tcgetattr(stdin()).context("cannot read the terminal's settings")? };
        keys.resume()?;
        Ok(keys)
    }

    /// termios(3): not line by line, and nothing echoed.
    pub fn resume(&self) -> Result<()> {
        let mut single = self.before.clone();
        single.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO);
        single.control_chars[SpecialCharacterIndices::VMIN as usize] = 1;
        single.control_chars[SpecialCharacterIndices::VTIME as usize] = 0;
        single.control_chars[SpecialCharacterIndices::VSUSP as usize] = 0; // _POSIX_VDISABLE
        tcsetattr(stdin(), SetArg::TCSADRAIN, &single).context("cannot change the terminal")
    }

    /// As it was found, for another program to use. What was typed ahead is forgotten.
    pub fn pause(&self) {
        // Nothing helps if this fails: the terminal is gone.
        let _ = tcsetattr(stdin(), SetArg::TCSAFLUSH, &self.before);
    }

    /// The key that was pressed; none when the terminal is gone.
    pub fn next(&self) -> Option<u8> {
        let mut key = [0];
        matches!(stdin().read(&mut key), Ok(1)).then_some(key[0])
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.pause();
    }
}
