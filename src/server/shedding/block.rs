//! The header block of a refusal (HPACK, RFC 7541).

use http::HeaderMap;

/// `:status: 200` in a block (appendix A).
const STATUS_200: u8 = 0x88;

/// Headers as a block that neither uses a table nor adds to it (section 6.2.2).
pub(super) fn block(headers: &HeaderMap) -> Vec<u8> {
    let mut block = vec![STATUS_200];
    for (name, value) in headers {
        block.push(0);
        for text in [name.as_str().as_bytes(), value.as_bytes()] {
            add_length(&mut block, text.len());
            block.extend_from_slice(text);
        }
    }
    block
}

/// Adds the length of a text that is not compressed (section 5.1).
fn add_length(block: &mut Vec<u8>, length: usize) {
    const PREFIX: usize = 0x7f;
    let Some(mut more) = length.checked_sub(PREFIX) else {
        block.push((length & PREFIX) as u8);
        return;
    };
    block.push(PREFIX as u8);
    while more > PREFIX {
        block.push((more & PREFIX) as u8 | 0x80);
        more >>= 7;
    }
    block.push((more & PREFIX) as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_as_the_library_reads_them() {
        let length = |length| {
            let mut bytes = Vec::new();
            add_length(&mut bytes, length);
            bytes
        };
        assert_eq!(length(0), [0]);
        assert_eq!(length(126), [126]);
        assert_eq!(length(127), [127, 0]);
        assert_eq!(length(254), [127, 127]);
        assert_eq!(length(255), [127, 0x80, 1]);
        assert_eq!(length(1337 + 96), [127, 0b1001_1010, 10]);
    }
}
