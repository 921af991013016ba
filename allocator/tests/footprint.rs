//! A block costs the memory that was written to it, whatever was reserved.

#![cfg(target_os = "linux")]
#![allow(clippy::expect_used, clippy::indexing_slicing)] // a test that fails should stop
#![allow(missing_docs, unreachable_pub)] // everything here is private to one test binary

use std::fs;

use strongroom_allocator::WipingAllocator;

#[allow(dead_code)] // each test binary uses its part
mod support;

use support::{alone, resident};

#[global_allocator]
static ALLOCATOR: WipingAllocator = WipingAllocator;

const MIB: usize = 1 << 20;

/// What a test may cost beside its blocks: the page tables of its mappings are no part of it.
const SLACK: usize = 2 * MIB;

#[test]
fn reserved_memory_costs_what_was_written_to_it() {
    let _alone = alone();
    let before = resident();
    let mut blocks = Vec::new();
    for _ in 0..16 {
        let mut block = Vec::<u8>::with_capacity(64 * MIB);
        block.extend(b"fourteen bytes");
        blocks.push(block);
    }
    assert!(resident() < before + SLACK, "{before} bytes before, {} with the blocks", resident());
    drop(blocks);
    assert!(resident() < before + SLACK, "{before} bytes before, {} after the blocks", resident());
    assert!(peak() < before + 70 * MIB, "the peak was {} bytes", peak());
}

#[test]
fn many_reserved_blocks_just_large_enough_to_be_mapped_cost_a_page_each() {
    let _alone = alone();
    let before = resident();
    let mut blocks = vec![Vec::<u8>::new(); 500];
    for block in &mut blocks {
        block.reserve_exact(strongroom_allocator::MAPPED_FROM);
        block.push(1);
    }
    drop(blocks);
    assert!(resident() < before + 500 * 4096 + SLACK, "{before} bytes before, {} after", resident());
}

#[test]
fn freed_memory_goes_back_to_the_kernel() {
    let _alone = alone();
    let before = resident();
    let block = vec![1_u8; 64 * MIB];
    assert!(resident() > before + 60 * MIB, "what was written is there");
    drop(block);
    assert!(resident() < before + SLACK, "{before} bytes before, {} after", resident());
}

#[test]
fn zeroed_memory_costs_nothing_until_it_is_written() {
    let _alone = alone();
    let before = resident();
    let block = vec![0_u8; 64 * MIB];
    assert!(resident() < before + SLACK, "{before} bytes before, {} with the block", resident());
    assert_eq!(block[MIB], 0);
}

#[test]
fn a_large_block_grows_without_a_second_copy_of_it() {
    let _alone = alone();
    let before = resident();
    let mut block = vec![1_u8; 64 * MIB];
    block.reserve_exact(512 * MIB);
    block[0] = 2;
    assert!(resident() < before + 64 * MIB + SLACK, "{before} bytes before, {} with the block", resident());
    assert!(peak() < before + 70 * MIB, "the peak was {} bytes", peak());
    block.truncate(MIB);
    block.shrink_to_fit();
    assert!(resident() < before + MIB + SLACK, "{before} bytes before, {} with the rest", resident());
    assert!(block.iter().skip(1).all(|&byte| byte == 1));
}

/// The server locks its memory where it may.
#[test]
fn locked_memory_costs_what_was_written_to_it() {
    let _alone = alone();
    let unlimited = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the limit is read, and the lock touches no memory.
    let locked = unsafe {
        libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const unlimited) == 0
            && libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT) == 0
    };
    if !locked {
        eprintln!("SKIPPED: memory may not be locked here, which needs root");
        return;
    }
    let before = resident();
    let mut block = Vec::<u8>::with_capacity(64 * MIB);
    block.push(1);
    block.reserve_exact(256 * MIB);
    block.push(2);
    let with_block = resident();
    drop(block);
    let after = resident();
    // SAFETY: it takes no pointer.
    unsafe { libc::munlockall() };
    assert!(with_block < before + SLACK, "{before} bytes before, {with_block} with the block");
    assert!(after < before + SLACK, "{before} bytes before, {after} after");
}

/// The most memory that this process ever had, in bytes. No test here writes more than 64 MiB at once.
fn peak() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("the line");
    line.split_ascii_whitespace().nth(1).and_then(|kib| kib.parse::<usize>().ok()).expect("a number") * 1024
}
