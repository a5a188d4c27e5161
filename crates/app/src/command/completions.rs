//! `incent completions`: a script for a shell.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::failure::Outcome;
use crate::output::Output;

/// Flags of `completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  incent completions bash > ~/.local/share/bash-completion/completions/incent
  incent completions zsh > \"${fpath[1]}/_incent\"
  incent completions fish > ~/.config/fish/completions/incent.fish")]
pub struct Args {
    /// Which shell
    pub shell: Shell,
}

/// Prints the script.
pub fn run(args: Args, out: &Output) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "incent", &mut script);
    out.raw(&script)
}
