//! The Merkle tree of RFC 6962: the hashes of records, the roots of trees, and proofs about them.
//!
//! The hash of a record is SHA-256 of the byte 0 and the record; the hash of a node is SHA-256 of the byte 1 and its two
//! children. A *subtree* here is complete: it has 2^level records, and begins at a multiple of that. Every node of a tree is
//! made from such subtrees, so [`Subtrees`] is all that proofs need.

use std::io;

use crate::crypto::sha256;

/// A hash of the tree.
pub type Hash = [u8; 32];

/// The hash of a record.
pub fn leaf_hash(record: &[u8]) -> Hash {
    sha256(&[&[0], record])
}

fn node_hash(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&[1], left, right])
}

/// The number of records of a tree, and its root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeHead {
    /// The number of records.
    pub size: u64,
    /// The hash of the root.
    pub root: Hash,
}

/// A tree that grows: the roots of the subtrees that it consists of, the largest one first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct GrowingTree {
    size: u64,
    roots: Vec<Hash>,
}

impl GrowingTree {
    /// The tree of the first `size` records, from their subtrees.
    pub(super) fn read(subtrees: &impl Subtrees, size: u64) -> io::Result<Self> {
        let (mut roots, mut begin) = (Vec::new(), 0);
        for level in (0..64).rev().filter(|level| size >> level & 1 == 1) {
            roots.push(subtrees.root(level, begin >> level)?);
            begin += 1 << level;
        }
        Ok(Self { size, roots })
    }

    /// The number of records.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Adds the hash of a record. Calls `complete` with the level and the root of each subtree that this completes, the record
    /// itself included.
    pub(super) fn push(&mut self, leaf: Hash, mut complete: impl FnMut(u32, &Hash)) {
        let (mut root, mut level) = (leaf, 0);
        complete(level, &root);
        while self.size >> level & 1 == 1
            && let Some(left) = self.roots.pop()
        {
            root = node_hash(&left, &root);
            level += 1;
            complete(level, &root);
        }
        self.roots.push(root);
        self.size += 1;
    }

    /// The tree's size and root.
    pub(super) fn head(&self) -> TreeHead {
        let mut roots = self.roots.iter().rev();
        let root = match roots.next() {
            Some(last) => roots.fold(*last, |right, left| node_hash(left, &right)),
            None => sha256(&[]),
        };
        TreeHead { size: self.size, root }
    }
}

/// The subtrees of a tree.
pub(super) trait Subtrees {
    /// The root of the subtree with 2^`level` records that has this number among those of its level.
    fn root(&self, level: u32, number: u64) -> io::Result<Hash>;
}

/// The root of the records from `begin` to `end`, which are a node of the tree.
fn range_root(subtrees: &impl Subtrees, begin: u64, end: u64) -> io::Result<Hash> {
    let size = end - begin;
    if size == 0 {
        return Ok(sha256(&[]));
    }
    if size.is_power_of_two() {
        let level = size.trailing_zeros();
        return subtrees.root(level, begin >> level);
    }
    let middle = begin + split(size);
    Ok(node_hash(&range_root(subtrees, begin, middle)?, &range_root(subtrees, middle, end)?))
}

/// The largest power of two that is smaller than a size of at least 2.
fn split(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

/// The root of the tree of the first `size` records.
pub(super) fn root_at(subtrees: &impl Subtrees, size: u64) -> io::Result<Hash> {
    range_root(subtrees, 0, size)
}

/// The proof that the record of an index is in the tree of the first `size` records (RFC 6962, 2.1.1). `index` is less than
/// `size`.
pub(super) fn inclusion_proof(subtrees: &impl Subtrees, index: u64, size: u64) -> io::Result<Vec<Hash>> {
    let (mut proof, mut begin, mut end) = (Vec::new(), 0, size);
    while end - begin > 1 {
        let middle = begin + split(end - begin);
        if index < middle {
            proof.push(range_root(subtrees, middle, end)?);
            end = middle;
        } else {
            proof.push(range_root(subtrees, begin, middle)?);
            begin = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// The proof that the tree of the first `size` records begins with that of the first `older` ones (RFC 6962, 2.1.2). `older` is
/// at most `size`; the proof is empty where they are equal, or where `older` is 0.
pub(super) fn consistency_proof(subtrees: &impl Subtrees, older: u64, size: u64) -> io::Result<Vec<Hash>> {
    if older == 0 {
        return Ok(Vec::new());
    }
    let (mut proof, mut begin, mut end, mut whole) = (Vec::new(), 0, size, true);
    while older != end {
        let middle = begin + split(end - begin);
        if older <= middle {
            proof.push(range_root(subtrees, middle, end)?);
            end = middle;
        } else {
            proof.push(range_root(subtrees, begin, middle)?);
            begin = middle;
            whole = false;
        }
    }
    if !whole {
        proof.push(range_root(subtrees, begin, end)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Whether a proof shows that a tree has a record at an index (RFC 9162, 2.1.3.2).
pub fn includes(head: &TreeHead, index: u64, leaf: &Hash, proof: &[Hash]) -> bool {
    if index >= head.size {
        return false;
    }
    let (mut number, mut last, mut root) = (index, head.size - 1, *leaf);
    for hash in proof {
        if last == 0 {
            return false;
        }
        if number & 1 == 1 || number == last {
            root = node_hash(hash, &root);
            while number & 1 == 0 && number != 0 {
                number >>= 1;
                last >>= 1;
            }
        } else {
            root = node_hash(&root, hash);
        }
        number >>= 1;
        last >>= 1;
    }
    last == 0 && root == head.root
}

/// Whether a proof shows that a tree begins with all records of an older one (RFC 9162, 2.1.4.2).
pub fn extends(head: &TreeHead, older: &TreeHead, proof: &[Hash]) -> bool {
    if older.size >= head.size || older.size == 0 {
        let same = older.size == head.size && older.root == head.root;
        let empty = older.size == 0 && older.root == sha256(&[]);
        return proof.is_empty() && (same || empty);
    }
    let mut proof = proof.iter();
    let first = if older.size.is_power_of_two() { Some(&older.root) } else { proof.next() };
    let Some(first) = first else { return false };
    let (mut number, mut last) = (older.size - 1, head.size - 1);
    while number & 1 == 1 {
        number >>= 1;
        last >>= 1;
    }
    let (mut older_root, mut root) = (*first, *first);
    for hash in proof {
        if last == 0 {
            return false;
        }
        if number & 1 == 1 || number == last {
            older_root = node_hash(hash, &older_root);
            root = node_hash(hash, &root);
            while number & 1 == 0 && number != 0 {
                number >>= 1;
                last >>= 1;
            }
        } else {
            root = node_hash(&root, hash);
        }
        number >>= 1;
        last >>= 1;
    }
    last == 0 && older_root == older.root && root == head.root
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use data_encoding::HEXLOWER;
    use proptest::prelude::*;

    use super::*;

    #[derive(Default)]
    struct Kept(HashMap<(u32, u64), Hash>);

    impl Subtrees for Kept {
        fn root(&self, level: u32, number: u64) -> io::Result<Hash> {
            self.0.get(&(level, number)).copied().ok_or(io::ErrorKind::NotFound.into())
        }
    }

    fn tree(size: u64) -> (GrowingTree, Kept) {
        let (mut tree, mut kept) = (GrowingTree::default(), Kept::default());
        for index in 0..size {
            let leaf = leaf_hash(&index.to_be_bytes());
            tree.push(leaf, |level, root| {
                kept.0.insert((level, index >> level), *root);
            });
        }
        (tree, kept)
    }

    /// MTH of RFC 6962, 2.1, to the letter.
    fn reference(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => sha256(&[]),
            [leaf] => *leaf,
            _ => {
                let middle = leaves.len().next_power_of_two() / 2;
                node_hash(&reference(&leaves[..middle]), &reference(&leaves[middle..]))
            }
        }
    }

    /// The test vectors of Certificate Transparency's reference implementation.
    #[test]
    fn roots_are_those_of_certificate_transparency() {
        let records = [
            "",
            "00",
            "10",
            "2021",
            "3031",
            "40414243",
            "5051525354555657",
            "606162636465666768696a6b6c6d6e6f",
        ];
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let mut tree = GrowingTree::default();
        for (record, root) in records.iter().zip(roots) {
            tree.push(leaf_hash(&HEXLOWER.decode(record.as_bytes()).unwrap()), |_, _| ());
            assert_eq!(HEXLOWER.encode(&tree.head().root), root);
        }
    }

    #[test]
    fn every_proof_of_small_trees_holds_and_no_other() {
        const MOST: u64 = 33;
        let (_, kept) = tree(MOST);
        let leaves: Vec<_> = (0..MOST).map(|index| leaf_hash(&index.to_be_bytes())).collect();
        let head = |size: u64| TreeHead { size, root: reference(&leaves[..usize::try_from(size).unwrap()]) };
        for size in 0..=MOST {
            let now = head(size);
            assert_eq!(root_at(&kept, size).unwrap(), now.root);
            assert_eq!(GrowingTree::read(&kept, size).unwrap().head(), now);
            for index in 0..size {
                let proof = inclusion_proof(&kept, index, size).unwrap();
                for (other, leaf) in leaves.iter().enumerate() {
                    let same = other as u64 == index;
                    assert_eq!(includes(&now, index, leaf, &proof), same, "{index} of {size}, leaf {other}");
                }
                assert!(!includes(&now, index + 1, &leaves[index as usize], &proof) || index + 1 == size);
            }
            for older in 0..=size {
                let proof = consistency_proof(&kept, older, size).unwrap();
                assert!(extends(&now, &head(older), &proof), "{older} of {size}");
                let other = TreeHead { size: older, root: [7; 32] };
                assert!(!extends(&now, &other, &proof), "{older} of {size}");
                assert!(!extends(&TreeHead { root: [7; 32], ..now }, &head(older), &proof) || older == 0);
            }
        }
    }

    proptest! {
        #[test]
        fn proofs_of_large_trees_hold_and_fail_when_a_bit_changes(
            size in 2_u64..3000, first in any::<u64>(), second in any::<u64>(), bit in any::<usize>(),
        ) {
            let (tree, kept) = tree(size);
            let (index, older) = (first % size, 1 + second % (size - 1));
            let (head, leaf) = (tree.head(), leaf_hash(&index.to_be_bytes()));
            let inclusion = inclusion_proof(&kept, index, size).unwrap();
            prop_assert!(includes(&head, index, &leaf, &inclusion));
            let consistency = consistency_proof(&kept, older, size).unwrap();
            let before = TreeHead { size: older, root: root_at(&kept, older).unwrap() };
            prop_assert!(extends(&head, &before, &consistency));
            let flip = |proof: &[Hash]| {
                let mut altered = proof.to_vec();
                let at = bit % (altered.len() * 256);
                altered[at / 256][at % 256 / 8] ^= 1 << (at % 8);
                altered
            };
            prop_assert!(!includes(&head, index, &leaf, &flip(&inclusion)));
            prop_assert!(!includes(&head, index, &leaf, &inclusion[1..]));
            prop_assert!(!extends(&head, &before, &flip(&consistency)));
            prop_assert!(!extends(&head, &before, &consistency[1..]));
        }
    }
}
