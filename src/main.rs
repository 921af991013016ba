//! The `strongroom` command: arguments in, exit code out.

use std::process::ExitCode;

use strongroom_allocator::WipingAllocator;

/// Wipes all memory as it is freed: the copies that libraries make of a value, too.
#[global_allocator]
static ALLOCATOR: WipingAllocator = WipingAllocator;

fn main() -> ExitCode {
    strongroom::cli::main()
}
