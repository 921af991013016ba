//! The allocator gives blocks as every allocator must: apart from each other, aligned, and with their bytes kept.

#![allow(clippy::expect_used, clippy::indexing_slicing)] // a test that fails should stop
#![allow(missing_docs, unreachable_pub)] // everything here is private to one test binary

use std::alloc::{GlobalAlloc, Layout};
use std::thread;

use strongroom_allocator::{MAPPED_FROM, MOST_MAPPED, WipingAllocator};

#[allow(dead_code)] // each test binary uses its part
mod support;

use support::{Random, alone};

#[global_allocator]
static ALLOCATOR: WipingAllocator = WipingAllocator;

/// Sizes around the border and around pages, and any below 300,000.
fn size(random: &mut Random) -> usize {
    match random.below(4) {
        0 => 1 + random.below(300),
        1 => MAPPED_FROM - 8 + random.below(16),
        2 => 4096 * (1 + random.below(70)) - 8 + random.below(16),
        _ => 1 + random.below(300_000),
    }
}

/// Vectors against what they must hold, through thousands of steps: made, written, larger, smaller, dropped.
#[test]
fn vectors_keep_their_bytes_through_random_steps() {
    let _alone = alone();
    let mut random = Random(0x0a11_0c);
    // Beside each vector: the seed of its bytes. Their number is its length.
    let mut vectors: Vec<(Vec<u8>, u64)> = Vec::new();
    let bytes = |seed: u64| (0_u64..).map(move |at| (at.wrapping_mul(31) ^ (at >> 8) ^ seed) as u8);
    for _ in 0..2000 {
        let seed = random.next();
        let chosen = random.below(vectors.len().max(1));
        match (random.below(6), vectors.get_mut(chosen)) {
            (0, _) | (_, None) => {
                let length = size(&mut random);
                let mut vector = Vec::with_capacity(length);
                vector.extend(bytes(seed).take(length));
                vectors.push((vector, seed));
            }
            (1, _) => {
                let mut vector = vec![0_u8; size(&mut random)];
                assert!(vector.iter().all(|&byte| byte == 0), "zeroed memory is zero");
                vector.iter_mut().zip(bytes(seed)).for_each(|(at, byte)| *at = byte);
                vectors.push((vector, seed));
            }
            (2, Some((vector, seed))) => {
                let length = size(&mut random);
                vector.reserve_exact(length);
                let old = vector.len();
                vector.extend(bytes(*seed).skip(old).take(length));
            }
            (3, Some((vector, _))) => {
                vector.truncate(size(&mut random));
                vector.shrink_to_fit();
            }
            _ => drop(vectors.swap_remove(chosen)),
        }
        for (vector, seed) in vectors.iter().rev().take(2) {
            assert!(vector.iter().copied().eq(bytes(*seed).take(vector.len())), "of {} bytes", vector.len());
        }
        if vectors.iter().map(|(vector, _)| vector.len()).sum::<usize>() > 8_000_000 {
            vectors.clear();
        }
    }
    for (vector, seed) in &vectors {
        assert!(vector.iter().copied().eq(bytes(*seed).take(vector.len())), "of {} bytes", vector.len());
    }
}

#[test]
fn blocks_are_aligned_and_can_be_written_to_their_ends() {
    let _alone = alone();
    for align in (0..=21).map(|bits| 1_usize << bits) {
        for size in [1, 24, 4096, MAPPED_FROM - 1, MAPPED_FROM, 3 * MAPPED_FROM + 5] {
            let layout = Layout::from_size_align(size, align).expect("a layout");
            // SAFETY: no size is 0; each block is written within its size, and freed with its layout.
            unsafe {
                for block in [ALLOCATOR.alloc(layout), ALLOCATOR.alloc_zeroed(layout)] {
                    assert!(
                        block.addr().is_multiple_of(align) && !block.is_null(),
                        "{size} bytes at {align}"
                    );
                    block.write(1);
                    block.add(size - 1).write(2);
                    let block = ALLOCATOR.realloc(block, layout, 2 * size);
                    assert!(
                        block.addr().is_multiple_of(align) && !block.is_null(),
                        "{size} bytes at {align}"
                    );
                    assert_eq!(block.add(size - 1).read(), 2);
                    block.add(2 * size - 1).write(3);
                    ALLOCATOR.dealloc(block, Layout::from_size_align(2 * size, align).expect("a layout"));
                }
            }
        }
    }
}

#[test]
fn a_size_that_no_machine_has_gives_null_and_keeps_the_block() {
    let _alone = alone();
    let huge = isize::MAX as usize - 65_536;
    for size in [16, MAPPED_FROM] {
        let layout = Layout::from_size_align(size, 16).expect("a layout");
        // SAFETY: no size is 0; the block is written within its size, and freed with its layout.
        unsafe {
            assert!(ALLOCATOR.alloc(Layout::from_size_align(huge, 16).expect("a layout")).is_null());
            assert!(ALLOCATOR.alloc_zeroed(Layout::from_size_align(huge, 4096).expect("a layout")).is_null());
            let block = ALLOCATOR.alloc(layout);
            block.add(size - 1).write(7);
            assert!(ALLOCATOR.realloc(block, layout, huge).is_null());
            assert_eq!(block.add(size - 1).read(), 7);
            ALLOCATOR.dealloc(block, layout);
        }
    }
}

/// Twice, so that what was freed counts no more.
#[test]
fn more_large_blocks_than_may_be_mapped_are_blocks_all_the_same() {
    let _alone = alone();
    for _ in 0..2 {
        let mut blocks: Vec<Vec<u8>> = Vec::new();
        for number in 0..MOST_MAPPED + 200 {
            let mut block =
                if number % 2 == 0 { Vec::with_capacity(MAPPED_FROM) } else { vec![0; MAPPED_FROM] };
            assert!(
                block.first().is_none_or(|&byte| byte == 0) && block.last().is_none_or(|&byte| byte == 0)
            );
            block.clear();
            block.extend(number.to_le_bytes());
            blocks.push(block);
        }
        for (number, block) in blocks.iter_mut().enumerate().skip(MOST_MAPPED - 50) {
            block.reserve_exact(2 * MAPPED_FROM);
            block.extend(number.to_le_bytes());
        }
        for (number, block) in blocks.iter().enumerate() {
            assert!(block.starts_with(&number.to_le_bytes()) && block.ends_with(&number.to_le_bytes()));
        }
        let mapped = blocks.iter().filter(|block| block.as_ptr().addr().is_multiple_of(4096)).count();
        if cfg!(target_os = "linux") {
            assert!((MOST_MAPPED - 10..=MOST_MAPPED).contains(&mapped), "{mapped} blocks are mapped");
        }
    }
}

#[test]
fn blocks_are_freed_by_other_threads_than_allocated_them() {
    let _alone = alone();
    let threads: Vec<_> = (0..4_u8)
        .map(|mark| {
            thread::spawn(move || {
                let mut random = Random(mark.into());
                (0..300).map(|_| vec![mark; size(&mut random)]).collect::<Vec<_>>()
            })
        })
        .collect();
    for (mark, thread) in (0_u8..).zip(threads) {
        let blocks = thread.join().expect("no panic");
        assert!(blocks.iter().flatten().all(|&byte| byte == mark));
    }
}
