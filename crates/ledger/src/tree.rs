//! The Merkle tree of RFC 6962: its root as it grows, proofs, and their verification.
//!
//! A node is named by its level (0 for leaves) and its number on that level; it covers `2^level` leaves.

use crate::{Error, Hash};

/// The right edge of a growing tree: the roots of its perfect subtrees, the largest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    roots: Vec<Hash>,
}

/// Where the nodes of perfect subtrees come from.
pub(crate) trait Nodes {
    /// The root of the perfect subtree `number` of `level`.
    fn node(&self, level: u32, number: u64) -> Result<Hash, Error>;
}

impl Frontier {
    /// A tree that has the leaves `0..size`, from its perfect subtrees.
    pub(crate) fn of(size: u64, nodes: &impl Nodes) -> Result<Self, Error> {
        let roots = perfect(0, size).map(|(level, number)| nodes.node(level, number)).collect::<Result<_, _>>()?;
        Ok(Self { size, roots })
    }

    /// How many leaves the tree has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf. Hands each perfect subtree that it completes to `completed`, with its level, the leaf first.
    pub fn push(&mut self, leaf: Hash, mut completed: impl FnMut(u32, u64, Hash)) {
        completed(0, self.size, leaf);
        let mut root = leaf;
        for level in 1..=self.size.trailing_ones() {
            // One perfect subtree a set bit of the size.
            let Some(left) = self.roots.pop() else { break };
            root = Hash::node(&left, &root);
            completed(level, self.size >> level, root);
        }
        self.roots.push(root);
        self.size += 1;
    }

    /// The root of the whole tree.
    pub fn root(&self) -> Hash {
        join(self.roots.iter().copied()).unwrap_or_else(Hash::empty)
    }
}

/// The path that proves the leaf `index` to be in the tree of `size` leaves (RFC 6962, 2.1.1), the deepest first.
pub(crate) fn inclusion(index: u64, size: u64, nodes: &impl Nodes) -> Result<Vec<Hash>, Error> {
    let mut path = Vec::new();
    let (mut start, mut end) = (0, size);
    while end - start > 1 {
        let middle = start + split(end - start);
        let sibling = if index < middle { middle..end } else { start..middle };
        path.push(range(sibling.start, sibling.end, nodes)?);
        (start, end) = if index < middle { (start, middle) } else { (middle, end) };
    }
    path.reverse();
    Ok(path)
}

/// The path that proves the tree of `old` leaves to be the beginning of that of `new` leaves (RFC 6962, 2.1.2).
pub(crate) fn consistency(old: u64, new: u64, nodes: &impl Nodes) -> Result<Vec<Hash>, Error> {
    let mut path = Vec::new();
    if old == 0 || old == new {
        return Ok(path);
    }
    let (mut start, mut end) = (0, new);
    // Whether the subtree looked at is one whose root the old checkpoint already tells.
    let mut told = true;
    while old != end {
        let middle = start + split(end - start);
        if old <= middle {
            path.push(range(middle, end, nodes)?);
            end = middle;
        } else {
            path.push(range(start, middle, nodes)?);
            start = middle;
            told = false;
        }
    }
    if !told {
        path.push(range(start, end, nodes)?);
    }
    path.reverse();
    Ok(path)
}

/// The root that a leaf and its path lead to, or nothing if the path has not the right length.
pub fn root_from_inclusion(leaf: Hash, index: u64, size: u64, path: &[Hash]) -> Option<Hash> {
    if index >= size {
        return None;
    }
    let (mut number, mut last) = (index, size - 1);
    let mut root = leaf;
    for sibling in path {
        if last == 0 {
            return None;
        }
        if number % 2 == 1 || number == last {
            root = Hash::node(sibling, &root);
            while number.is_multiple_of(2) && number != 0 {
                (number, last) = (number / 2, last / 2);
            }
        } else {
            root = Hash::node(&root, sibling);
        }
        (number, last) = (number / 2, last / 2);
    }
    (last == 0).then_some(root)
}

/// Whether the path proves that the tree of the first pair (size, root) is the beginning of the second's.
pub fn is_consistent(old: (u64, Hash), new: (u64, Hash), path: &[Hash]) -> bool {
    let ((old_size, old_root), (new_size, new_root)) = (old, new);
    if old_size > new_size {
        return false;
    }
    if old_size == new_size {
        return path.is_empty() && old_root == new_root;
    }
    if old_size == 0 {
        return path.is_empty() && old_root == Hash::empty();
    }
    let (mut number, mut last) = (old_size - 1, new_size - 1);
    while number % 2 == 1 {
        (number, last) = (number / 2, last / 2);
    }
    let mut rest = path.iter();
    // A perfect old tree is its own first node; the path does not repeat it.
    let Some(first) = (if number == 0 { Some(&old_root) } else { rest.next() }) else { return false };
    let (mut to_old, mut to_new) = (*first, *first);
    for sibling in rest {
        if last == 0 {
            return false;
        }
        if number % 2 == 1 || number == last {
            to_old = Hash::node(sibling, &to_old);
            to_new = Hash::node(sibling, &to_new);
            while number.is_multiple_of(2) && number != 0 {
                (number, last) = (number / 2, last / 2);
            }
        } else {
            to_new = Hash::node(&to_new, sibling);
        }
        (number, last) = (number / 2, last / 2);
    }
    last == 0 && to_old == old_root && to_new == new_root
}

/// The root over the leaves `start..end`, where `start` is a multiple of the next power of two of its length.
fn range(start: u64, end: u64, nodes: &impl Nodes) -> Result<Hash, Error> {
    let roots = perfect(start, end).map(|(level, number)| nodes.node(level, number)).collect::<Result<Vec<_>, _>>()?;
    Ok(join(roots.into_iter()).unwrap_or_else(Hash::empty))
}

/// The perfect subtrees that make up `start..end`, from left to right, the largest first.
fn perfect(start: u64, end: u64) -> impl Iterator<Item = (u32, u64)> {
    let mut at = start;
    std::iter::from_fn(move || {
        let level = (end - at).checked_ilog2()?;
        let number = at >> level;
        at += 1 << level;
        Some((level, number))
    })
}

/// Joins perfect subtrees, the largest first, to one root.
fn join(roots: impl DoubleEndedIterator<Item = Hash>) -> Option<Hash> {
    roots.rev().reduce(|right, left| Hash::node(&left, &right))
}

/// The largest power of two below `size`, which is at least two.
fn split(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::hash::{hex, unhex};

    /// Leaves, and a definition of the tree that is the RFC's, word for word.
    struct Plain(Vec<Hash>);

    impl Plain {
        fn numbered(size: u64) -> Self {
            Self((0..size).map(|number| Hash::leaf(&number.to_le_bytes())).collect())
        }

        fn root(&self, leaves: std::ops::Range<usize>) -> Hash {
            match leaves.len() {
                0 => Hash::empty(),
                1 => self.0[leaves.start],
                size => {
                    let middle = leaves.start + size.next_power_of_two() / 2;
                    Hash::node(&self.root(leaves.start..middle), &self.root(middle..leaves.end))
                }
            }
        }

        fn root_of(&self, size: u64) -> Hash {
            self.root(0..usize::try_from(size).unwrap())
        }
    }

    impl Nodes for Plain {
        fn node(&self, level: u32, number: u64) -> Result<Hash, Error> {
            let start = usize::try_from(number << level).unwrap();
            Ok(self.root(start..start + (1 << level)))
        }
    }

    /// The leaves and hashes that the Certificate Transparency project tests its implementations with.
    #[test]
    fn vectors_of_certificate_transparency() {
        let leaves: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let roots = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let plain = Plain(leaves.iter().map(|leaf| Hash::leaf(leaf)).collect());
        let mut frontier = Frontier::default();
        assert_eq!(hex(frontier.root().as_bytes()), roots[0]);
        for (leaf, root) in plain.0.iter().zip(&roots[1..]) {
            frontier.push(*leaf, |_, _, _| ());
            assert_eq!(hex(frontier.root().as_bytes()), *root, "{} leaves", frontier.size());
        }

        let path =
            |hashes: &[&str]| -> Vec<_> { hashes.iter().map(|text| Hash::from_bytes(unhex(text).unwrap())).collect() };
        let first_of_eight = [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ];
        assert_eq!(inclusion(0, 8, &plain).unwrap(), path(&first_of_eight));
        let sixth_of_eight = [
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ];
        assert_eq!(inclusion(5, 8, &plain).unwrap(), path(&sixth_of_eight));
        assert_eq!(consistency(1, 8, &plain).unwrap(), path(&first_of_eight));
        let six_to_eight = [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ];
        assert_eq!(consistency(6, 8, &plain).unwrap(), path(&six_to_eight));
    }

    #[test]
    fn every_proof_of_small_trees_holds_and_no_other_does() {
        let plain = Plain::numbered(34);
        for size in 1..=34 {
            let root = plain.root_of(size);
            for index in 0..size {
                let path = inclusion(index, size, &plain).unwrap();
                let leaf = Hash::leaf(&index.to_le_bytes());
                assert_eq!(root_from_inclusion(leaf, index, size, &path), Some(root), "{index} of {size}");
                for other in [index + 1, index ^ 1] {
                    assert_ne!(root_from_inclusion(leaf, other, size, &path), Some(root), "{other} of {size}");
                }
                assert_ne!(root_from_inclusion(leaf, index, size, &[&path[..], &[root]].concat()), Some(root));
            }
            for old in 0..=size {
                let path = consistency(old, size, &plain).unwrap();
                let pair = |size| (size, plain.root_of(size));
                assert!(is_consistent(pair(old), pair(size), &path), "{old} to {size}");
                // Every ledger begins with the empty one.
                if old > 0 {
                    assert!(!is_consistent(pair(old), (size, Hash::leaf(b"x")), &path), "{old} to another {size}");
                    assert!(!is_consistent((old, Hash::leaf(b"x")), pair(size), &path), "another {old} to {size}");
                }
                assert!(!is_consistent(pair(old), pair(size), &[&path[..], &[root]].concat()), "{old} to {size}");
            }
        }
    }

    proptest! {
        #[test]
        fn growing_gives_the_root_of_the_definition(size in 0_u64..600, other in 0_u64..600) {
            let plain = Plain::numbered(size.max(other));
            let mut frontier = Frontier::default();
            for leaf in &plain.0[..usize::try_from(size).unwrap()] {
                frontier.push(*leaf, |level, number, node| {
                    assert_eq!(node, plain.node(level, number).unwrap(), "node {number} of level {level}");
                });
            }
            prop_assert_eq!(frontier.root(), plain.root_of(size));
            prop_assert_eq!(Frontier::of(size, &plain).unwrap(), frontier);
            let (old, new) = (size.min(other), size.max(other));
            let path = consistency(old, new, &plain).unwrap();
            prop_assert!(is_consistent((old, plain.root_of(old)), (new, plain.root_of(new)), &path));
        }
    }
}
