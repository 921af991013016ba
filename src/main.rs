//! The `strongroom` command: arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    strongroom::cli::main()
}
