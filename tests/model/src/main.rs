//! Exhausts the model, and sees that every rule that is left out is missed. Exits with 1 if not.

#![allow(clippy::disallowed_methods, reason = "the real time that it takes is what is told")]

use nexus_model::{Bounds, Mutation, Protocol, exhaust, impossible, search};
use std::{process::ExitCode, time::Instant};

fn main() -> ExitCode {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut right = true;

    let begun = Instant::now();
    let bounds = Bounds::FULL;
    println!("{bounds:?}, {threads} threads");
    let found = exhaust(Protocol::whole(bounds), threads, |states, depth| {
        println!("  {states} states, {depth} deep, {:.0} s", begun.elapsed().as_secs_f64());
    });
    let (states, steps, depth) = (found.states, found.steps, found.depth);
    let seconds = begun.elapsed().as_secs_f64();
    println!("exhausted: {states} states, {steps} steps, {depth} deep, {seconds:.1} s{}", peak());
    right &= show(found.violated, false);

    let missing = impossible(bounds, threads);
    right &= missing.is_empty();
    println!(
        "what must be possible: {}",
        if missing.is_empty() { "all of it is".into() } else { missing.join("; ") }
    );

    for mutation in Mutation::ALL {
        let begun = Instant::now();
        let found = search(mutation, Bounds::SMALL, threads);
        let seconds = begun.elapsed().as_secs_f64();
        println!("left out: {}: {} states, {seconds:.1} s", mutation.says(), found.states);
        right &= show(found.violated, true);
    }
    if right { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Shows what was violated. Gives whether that is as it should be.
fn show(violated: Option<(&'static str, Vec<String>)>, should: bool) -> bool {
    let right = violated.is_some() == should;
    match violated {
        None if should => println!("  NOT NOTICED"),
        None => println!("  nothing is violated"),
        Some((property, steps)) if should => println!("  {property}, after {} steps", steps.len()),
        Some((property, steps)) => println!("  VIOLATED: {property}\n    {}", steps.join("\n    ")),
    }
    right
}

/// The most memory that was taken, where the system says so.
fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.map_or(String::new(), |kib| format!(", {} MiB at most", kib / 1024))
}
