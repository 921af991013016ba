//! What the tests of the allocator share: this process's memory, seen from outside, and numbers that look random.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How much memory this process has, in bytes: the resident pages of `/proc/self/statm`.
pub fn resident() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").expect("Linux has it");
    let pages: usize = statm.split(' ').nth(1).expect("the second number").parse().expect("a number");
    // SAFETY: it takes no pointer.
    pages * usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).expect("a size")
}

/// One test at a time: each looks at the memory of the whole process.
pub fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The bytes of the canary, each changed so that the program itself does not hold it.
const MASKED: [u8; Canary::LENGTH] = *b"a canary that no library writes!";

/// Bytes that stand in memory only where a test wrote them.
pub struct Canary;

impl Canary {
    /// How many bytes it has.
    pub const LENGTH: usize = 32;

    /// Fills a block with it, again and again. The length is a multiple of its own.
    pub fn fill(block: &mut [u8]) {
        for (at, byte) in block.iter_mut().enumerate() {
            *byte = Self::byte(at);
        }
    }

    fn byte(at: usize) -> u8 {
        std::hint::black_box(MASKED[at % Self::LENGTH]) ^ 0xa5
    }

    /// How often it stands in the memory of this process, read through `/proc/self/mem`.
    pub fn count() -> usize {
        /// What was read of the memory, itself a place that is not searched.
        static READ: Mutex<[u8; 64 * 1024]> = Mutex::new([0; 64 * 1024]);
        let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
        let own = read.as_ptr_range();
        let maps = fs::read_to_string("/proc/self/maps").expect("Linux has it");
        let memory = File::open("/proc/self/mem").expect("Linux has it");
        let mut count = 0;
        for map in maps.lines().filter(|map| map.contains(" rw")) {
            let (from, to) = map.split(' ').next().and_then(|range| range.split_once('-')).expect("a range");
            let [mut from, to] = [from, to].map(|end| usize::from_str_radix(end, 16).expect("an address"));
            while from < to {
                let wanted = (to - from).min(read.len());
                // What is mapped no more, or is no memory, holds nothing.
                let Ok(length @ Self::LENGTH..) = memory.read_at(&mut read[..wanted], from as u64) else {
                    break;
                };
                for (at, found) in read[..length].windows(Self::LENGTH).enumerate() {
                    let here = from + at;
                    let in_own = here + Self::LENGTH > own.start.addr() && here < own.end.addr();
                    if !in_own
                        && found[0] == Self::byte(0)
                        && (0..Self::LENGTH).all(|at| found[at] == Self::byte(at))
                    {
                        count += 1;
                    }
                }
                // The next part begins where a canary could still begin.
                from += if length == to - from { length } else { length - Self::LENGTH + 1 };
            }
        }
        read.fill(0);
        count
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014): the same numbers in every run.
pub struct Random(pub u64);

impl Random {
    /// A number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below the bound.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("below a usize")
    }
}
