//! The command `dbmsim`.

/// A run allocates a few times per event, and each run starts and ends on a thread of its own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    dbm_sim::cli::main()
}
