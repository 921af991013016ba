//! Serves the disk as a file, on which the kernel can set up a loop device. It speaks the part of the FUSE protocol that a
//! file system with one file needs. <https://docs.kernel.org/filesystems/fuse/fuse.html>; numbers from linux/fuse.h.

use std::fs::File;
use std::io::{self, Read, Write};

use super::disk::{Disk, SIZE};

/// The most bytes in one write.
const MAX_WRITE: usize = 1 << 20;
const REQUEST_HEADER: usize = 40;
/// The size of the second header, which READ and WRITE have. The bytes of a WRITE follow it.
const WRITE_HEADER: usize = 40;

/// How a request is answered.
enum Answer {
    Bytes(Vec<u8>),
    Error(rustix::io::Errno),
    /// The kernel expects no answer to these requests.
    None,
}

/// Serves a disk through an opened and mounted /dev/fuse until it is unmounted.
pub fn serve(mut device: File, disk: &mut Disk) -> io::Result<()> {
    let mut buffer = vec![0; MAX_WRITE + REQUEST_HEADER + WRITE_HEADER + 4096];
    loop {
        let length = match device.read(&mut buffer) {
            Ok(length) => length,
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error()) => {
                return Ok(());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue, // the request was withdrawn
            Err(error) => return Err(error),
        };
        let request = &buffer[..length];
        let (error, body) = match answer(u32_at(request, 4), &request[REQUEST_HEADER..], disk) {
            Answer::Bytes(body) => (0, body),
            Answer::Error(error) => (-error.raw_os_error(), Vec::new()),
            Answer::None => continue,
        };
        let mut reply = Vec::with_capacity(16 + body.len());
        reply.extend_from_slice(&(16 + body.len() as u32).to_ne_bytes());
        reply.extend_from_slice(&error.to_ne_bytes());
        reply.extend_from_slice(&request[8..16]); // which request this answers
        reply.extend_from_slice(&body);
        match device.write(&reply) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {} // the kernel no longer waits for the reply
            Err(error) => return Err(error),
        }
    }
}

fn answer(operation: u32, body: &[u8], disk: &mut Disk) -> Answer {
    match operation {
        26 => initialise(body),
        3 => Answer::Bytes(attributes(disk)),
        14 => Answer::Bytes(vec![0; 16]),
        15 => {
            let wanted = u32_at(body, 16) as usize;
            let offset = u64_at(body, 8).min(SIZE);
            let length = wanted.min((SIZE - offset) as usize);
            Answer::Bytes(disk.content.read(offset, length))
        }
        16 => {
            let length = u32_at(body, 16);
            disk.write(u64_at(body, 8), &body[WRITE_HEADER..][..length as usize]);
            Answer::Bytes(words(&[length, 0]))
        }
        20 => {
            disk.flush();
            Answer::Bytes(Vec::new())
        }
        // FLUSH and RELEASE close a file. This server holds no data back, so it has nothing to do.
        25 | 18 => Answer::Bytes(Vec::new()),
        2 | 36 | 42 => Answer::None, // FORGET, INTERRUPT, BATCH_FORGET
        _ => Answer::Error(rustix::io::Errno::NOSYS),
    }
}

/// INIT: version 7.31, large writes, and no option that lets the kernel cache writes or attributes.
fn initialise(body: &[u8]) -> Answer {
    const ASYNC_READ: u32 = 1;
    const BIG_WRITES: u32 = 1 << 5;
    const MAX_PAGES: u32 = 1 << 22;
    let read_ahead = u32_at(body, 8);
    let background = 12 << 16 | 16;
    let pages = (MAX_WRITE / 4096) as u32;
    let mut reply =
        words(&[7, 31, read_ahead, ASYNC_READ | BIG_WRITES | MAX_PAGES, background, MAX_WRITE as u32, 1]);
    reply.extend(words(&[pages, 0, 0, 0, 0, 0, 0, 0, 0]));
    Answer::Bytes(reply)
}

/// GETATTR: a regular file. Its modification time is the length of the log: the machine that uses the disk reads from it
/// where in the log it is.
fn attributes(disk: &Disk) -> Vec<u8> {
    let mut reply = vec![0; 16]; // the kernel must not cache it
    for number in [1, SIZE, SIZE / 512, 0, disk.log.len() as u64, 0] {
        reply.extend_from_slice(&number.to_ne_bytes());
    }
    let mode = 0o100_600;
    reply.extend(words(&[0, 0, 0, mode, 1, 0, 0, 0, 4096, 0]));
    reply
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap())
}
