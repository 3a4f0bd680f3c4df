"""Roots and proofs against the published vectors of Certificate Transparency, and against pymerkle for small sizes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pytest
from pymerkle import InmemoryTree

from assay.evidence import merkle

# The test leaves and roots of Certificate Transparency's merkle_tree_test; the root of size n is ROOTS[n].
LEAVES = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    bytes.fromhex(text)
    for text in (
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    )
]
INCLUSION = {  # (index, size): the proof
    (0, 1): [],
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    (1, 5): [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
CONSISTENCY = {  # (old, new): the proof
    (1, 1): [],
    (1, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
LARGEST = 130


class Nodes:
    """A store of complete subtrees in memory, which counts its reads."""

    def __init__(self) -> None:
        self.stored: dict[merkle.Place, bytes] = {}
        self.size = 0
        self.read: list[merkle.Place] = []

    def append(self, leaf_hashes: Sequence[bytes]) -> None:
        before, self.read = self.size, []
        completed = merkle.completed_nodes(before, leaf_hashes, self)
        assert set(self.read) <= set(merkle.root_nodes(before))
        new = [(0, before + i, value) for i, value in enumerate(leaf_hashes)] + completed
        for level, index, value in new:
            assert (level, index) not in self.stored
            self.stored[level, index] = value
        self.size += len(leaf_hashes)

    def __call__(self, level: int, index: int) -> bytes:
        self.read.append((level, index))
        return self.stored[level, index]


@pytest.fixture(scope="module")
def data() -> list[bytes]:
    return [b"leaf %d" % i for i in range(LARGEST)]


@pytest.fixture(scope="module")
def nodes(data: list[bytes]) -> Nodes:
    return grown([merkle.leaf_hash(leaf) for leaf in data])


@pytest.fixture(scope="module")
def peer(data: list[bytes]) -> InmemoryTree:
    tree = InmemoryTree(algorithm="sha256")
    tree.append_entries(data)
    return tree


def grown(leaf_hashes: Sequence[bytes]) -> Nodes:
    nodes = Nodes()
    nodes.append(leaf_hashes)
    return nodes


def built(leaf_hashes: Sequence[bytes]) -> bytes:
    tree = merkle.RootBuilder()
    for value in leaf_hashes:
        tree.add(value)
    assert tree.size == len(leaf_hashes)
    return tree.root()


def subproof(m: int, leaf_hashes: Sequence[bytes], is_whole: bool) -> list[bytes]:
    """SUBPROOF of RFC 6962 section 2.1.2, word for word."""
    n = len(leaf_hashes)
    if m == n:
        return [] if is_whole else [built(leaf_hashes)]
    k = 1
    while 2 * k < n:
        k *= 2
    if m <= k:
        return [*subproof(m, leaf_hashes[:k], is_whole), built(leaf_hashes[k:])]
    return [*subproof(m - k, leaf_hashes[k:], False), built(leaf_hashes[:k])]


@pytest.mark.parametrize("size", range(9))
def test_roots_are_those_of_certificate_transparency(size: int) -> None:
    hashes = [merkle.leaf_hash(leaf) for leaf in LEAVES[:size]]
    assert built(hashes) == merkle.root(size, grown(hashes)) == ROOTS[size]


@pytest.mark.parametrize(("index", "size"), INCLUSION)
def test_inclusion_proofs_are_those_of_certificate_transparency(index: int, size: int) -> None:
    nodes = grown([merkle.leaf_hash(leaf) for leaf in LEAVES])
    proof = merkle.inclusion_proof(index, size, nodes)
    assert [value.hex() for value in proof] == INCLUSION[index, size]
    assert merkle.verify_inclusion(index, size, merkle.leaf_hash(LEAVES[index]), proof, ROOTS[size])


@pytest.mark.parametrize(("old", "new"), CONSISTENCY)
def test_consistency_proofs_are_those_of_certificate_transparency(old: int, new: int) -> None:
    nodes = grown([merkle.leaf_hash(leaf) for leaf in LEAVES])
    proof = merkle.consistency_proof(old, new, nodes)
    assert [value.hex() for value in proof] == CONSISTENCY[old, new]
    assert merkle.verify_consistency(old, new, ROOTS[old], ROOTS[new], proof)


def test_the_empty_root_is_the_hash_of_nothing(nodes: Nodes) -> None:
    assert merkle.EMPTY_ROOT == hashlib.sha256().digest() == merkle.root(0, nodes) == merkle.RootBuilder().root()


def test_a_leaf_cannot_pass_as_an_inner_node() -> None:
    left, right = merkle.leaf_hash(b"a"), merkle.leaf_hash(b"b")
    assert merkle.leaf_hash(left + right) != merkle.node_hash(left, right)


def test_roots_of_all_small_sizes_agree_with_pymerkle(nodes: Nodes, peer: InmemoryTree) -> None:
    for size in range(1, LARGEST + 1):
        assert merkle.root(size, nodes) == peer.get_root(size)


def test_inclusion_proofs_of_all_small_sizes_agree_with_pymerkle_and_verify(nodes: Nodes, peer: InmemoryTree) -> None:
    for size in range(1, LARGEST + 1):
        root = peer.get_root(size)
        for index in range(size):
            proof = merkle.inclusion_proof(index, size, nodes)
            leaf, *path = peer.prove_inclusion(index + 1, size).path
            assert proof == path
            assert merkle.verify_inclusion(index, size, leaf, proof, root)


def test_consistency_proofs_of_all_small_sizes_follow_the_rfc_and_verify(nodes: Nodes, peer: InmemoryTree) -> None:
    hashes = [nodes(0, index) for index in range(LARGEST)]
    roots = [merkle.EMPTY_ROOT, *(peer.get_root(size) for size in range(1, LARGEST + 1))]
    for new in range(LARGEST + 1):
        for old in range(new + 1):
            proof = merkle.consistency_proof(old, new, nodes)
            assert merkle.verify_consistency(old, new, roots[old], roots[new], proof)
            if old > 0 and new <= 40:  # the definition itself takes cubic time
                assert proof == subproof(old, hashes[:new], True)


def test_a_proof_of_one_size_does_not_verify_for_another(nodes: Nodes) -> None:
    roots = [merkle.root(size, nodes) for size in range(34)]
    for new in range(2, 33):
        for old in range(1, new):
            proof = merkle.consistency_proof(old, new, nodes)
            assert not merkle.verify_consistency(old, new, roots[old], roots[new + 1], proof)
            assert not merkle.verify_consistency(old, new, roots[old - 1], roots[new], proof)
            assert not merkle.verify_consistency(old, new, roots[old], roots[new], [*proof, roots[1]])
            assert not merkle.verify_consistency(old, new, roots[old], roots[new], proof[:-1])


def test_appending_one_by_one_and_in_batches_stores_the_same_nodes(data: list[bytes], nodes: Nodes) -> None:
    hashes = [merkle.leaf_hash(leaf) for leaf in data]
    for step in (1, 2, 3, 7, 64, 129):
        other = Nodes()
        for start in range(0, LARGEST, step):
            other.append(hashes[start : start + step])
        assert other.stored == nodes.stored


def test_the_plans_name_exactly_what_the_proofs_read(nodes: Nodes) -> None:
    for size in range(LARGEST + 1):
        nodes.read = []
        merkle.root(size, nodes)
        assert nodes.read == merkle.root_nodes(size)
        for index in range(size):
            nodes.read = []
            merkle.inclusion_proof(index, size, nodes)
            assert nodes.read == merkle.inclusion_nodes(index, size)
            nodes.read = []
            merkle.consistency_proof(index, size, nodes)
            assert nodes.read == merkle.consistency_nodes(index, size)


@pytest.mark.parametrize("size", [2**20, 2**40 - 1, 2**62 + 12345, 2**63 - 1])
def test_reads_grow_with_the_logarithm_of_the_size(size: int) -> None:
    bits = size.bit_length()
    assert len(merkle.root_nodes(size)) <= bits
    for index in (0, 1, size // 3, size // 2, size - 1):
        assert len(merkle.inclusion_nodes(index, size)) <= 2 * bits
        assert len(merkle.consistency_nodes(index, size)) <= 2 * bits + 1


def test_asking_for_what_is_not_in_the_tree_is_a_value_error(nodes: Nodes) -> None:
    for index, size in ((0, 0), (5, 5), (-1, 5)):
        with pytest.raises(ValueError, match="has no leaf"):
            merkle.inclusion_proof(index, size, nodes)
    for old, new in ((6, 5), (-1, 5)):
        with pytest.raises(ValueError, match="has no beginning"):
            merkle.consistency_proof(old, new, nodes)


def test_hostile_proofs_are_false_and_never_an_exception() -> None:
    good, short, long = merkle.leaf_hash(b"a"), b"\0" * 31, b"\0" * 33
    for index, size in ((0, 0), (1, 1), (-1, 1), (5, 4), (0, -1), (0, 2**63), (2**70, 2**71)):
        assert not merkle.verify_inclusion(index, size, good, [], good)
    for proof in ([short], [long], [b""], ["x" * 32], [None], [good] * 64, [good] * 100_000):
        assert not merkle.verify_inclusion(0, 2, good, proof, good)  # type: ignore[arg-type] # hostile on purpose
        assert not merkle.verify_consistency(1, 2, good, good, proof)  # type: ignore[arg-type] # hostile on purpose
        assert not merkle.verify_consistency(3, 7, good, good, proof)  # type: ignore[arg-type] # hostile on purpose
    assert not merkle.verify_inclusion(0, 1, short, [], short)
    for old, new in ((2, 1), (-1, 1), (-2, -1), (1, 2**63), (2**70, 2**71)):
        assert not merkle.verify_consistency(old, new, good, good, [])
        assert not merkle.verify_consistency(old, new, good, good, [good])
    assert not merkle.verify_consistency(1, 2, good, good, [])


def test_a_path_of_the_wrong_length_fails_even_where_the_root_was_made_to_fit() -> None:
    a, b = merkle.leaf_hash(b"a"), merkle.leaf_hash(b"b")
    assert not merkle.verify_inclusion(0, 1, a, [b], merkle.node_hash(b, a))
    assert not merkle.verify_inclusion(0, 1, a, [b], merkle.node_hash(a, b))
    assert not merkle.verify_inclusion(0, 4, a, [b], merkle.node_hash(a, b))
    assert not merkle.verify_consistency(1, 4, a, merkle.node_hash(a, b), [b])
    assert merkle.verify_consistency(1, 2, a, merkle.node_hash(a, b), [b])


def test_sizes_end_where_a_checkpoint_does() -> None:
    leaf = root = merkle.leaf_hash(b"a")
    for _ in range(63):
        root = merkle.node_hash(root, leaf)
    assert not merkle.verify_inclusion(0, 2**63, leaf, [leaf] * 63, root)
    assert not merkle.verify_consistency(1, 2**63, leaf, root, [leaf] * 63)
    assert merkle.verify_inclusion(0, 2**63 - 1, leaf, [leaf] * 63, root)
    assert merkle.verify_consistency(1, 2**63 - 1, leaf, root, [leaf] * 63)


def test_a_tree_is_consistent_with_the_empty_one_and_with_itself_only_by_an_empty_proof() -> None:
    a, b = merkle.leaf_hash(b"a"), merkle.leaf_hash(b"b")
    assert merkle.verify_consistency(0, 1, merkle.EMPTY_ROOT, a, [])
    assert merkle.verify_consistency(0, 0, merkle.EMPTY_ROOT, merkle.EMPTY_ROOT, [])
    assert merkle.verify_consistency(1, 1, a, a, [])
    assert not merkle.verify_consistency(0, 1, merkle.EMPTY_ROOT, a, [a])
    assert not merkle.verify_consistency(0, 1, b, a, [])
    assert not merkle.verify_consistency(0, 0, merkle.EMPTY_ROOT, a, [])
    assert not merkle.verify_consistency(0, 0, a, a, [])
    assert not merkle.verify_consistency(1, 1, a, b, [])
    assert not merkle.verify_consistency(1, 1, a, a, [a])
