"""Proofs hold for all trees, and nothing that was changed by one bit holds."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.evidence import merkle

SIZES = st.integers(1, 600)


def nodes_of(size: int) -> merkle.NodeReader:
    """The complete subtrees over `size` leaves."""
    hashes = [merkle.leaf_hash(index.to_bytes(4, "big")) for index in range(size)]
    stored = {(0, index): value for index, value in enumerate(hashes)}

    def read(level: int, index: int) -> bytes:
        return stored[level, index]

    stored |= {(level, index): value for level, index, value in merkle.completed_nodes(0, hashes, read)}
    return read


NODES = nodes_of(600)


def flipped(value: bytes, bit: int) -> bytes:
    changed = bytearray(value)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def tampered(draw: st.DrawFn, proof: Sequence[bytes]) -> list[bytes]:
    """The proof with one bit flipped, one hash dropped, doubled or added, or two exchanged."""
    changed = list(proof)
    at = draw(st.integers(0, len(proof) - 1))
    how = draw(st.sampled_from(["flip", "drop", "double", "cut", "exchange"]))
    if how == "flip":
        changed[at] = flipped(changed[at], draw(st.integers(0, 255)))
    elif how == "drop":
        del changed[at]
    elif how == "double":
        changed.insert(at, changed[at])
    elif how == "cut":
        changed[at] = changed[at][:-1]
    else:
        changed[at - 1], changed[at] = changed[at], changed[at - 1]
    return changed if changed != list(proof) else [*changed, changed[0]]


@st.composite
def bad_inclusions(draw: st.DrawFn) -> tuple[int, int, bytes, list[bytes], bytes]:
    size = draw(st.integers(2, 600))
    index = draw(st.integers(0, size - 1))
    proof = merkle.inclusion_proof(index, size, NODES)
    good = (index, size, NODES(0, index), proof, merkle.root(size, NODES))
    match draw(st.sampled_from(["index", "leaf", "proof", "root"])):
        case "index":
            other = draw(st.integers(-2, size + 2).filter(lambda i: i != index))
            return other, *good[1:]
        case "leaf":
            return index, size, flipped(good[2], draw(st.integers(0, 255))), proof, good[4]
        case "root":
            return *good[:4], flipped(good[4], draw(st.integers(0, 255)))
        case _:
            return index, size, good[2], tampered(draw, proof), good[4]


@st.composite
def bad_consistencies(draw: st.DrawFn) -> tuple[int, int, bytes, bytes, list[bytes]]:
    new = draw(st.integers(2, 600))
    old = draw(st.integers(1, new - 1))
    proof = merkle.consistency_proof(old, new, NODES)
    roots = merkle.root(old, NODES), merkle.root(new, NODES)
    match draw(st.sampled_from(["old size", "old root", "new root", "proof"])):
        case "old size":
            other = draw(st.integers(-2, new + 2).filter(lambda i: i != old))
            return other, new, *roots, proof
        case "old root":
            return old, new, flipped(roots[0], draw(st.integers(0, 255))), roots[1], proof
        case "new root":
            return old, new, roots[0], flipped(roots[1], draw(st.integers(0, 255))), proof
        case _:
            return old, new, *roots, tampered(draw, proof)


@given(SIZES, st.data())
def test_every_leaf_is_proven_to_be_in_every_later_tree(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof = merkle.inclusion_proof(index, size, NODES)
    assert merkle.verify_inclusion(index, size, NODES(0, index), proof, merkle.root(size, NODES))


@given(st.integers(0, 600), st.integers(0, 600))
def test_every_tree_is_proven_to_be_the_beginning_of_every_later_one(a: int, b: int) -> None:
    old, new = sorted((a, b))
    proof = merkle.consistency_proof(old, new, NODES)
    assert merkle.verify_consistency(old, new, merkle.root(old, NODES), merkle.root(new, NODES), proof)


@settings(max_examples=400)
@given(bad_inclusions())
def test_an_inclusion_proof_with_anything_changed_fails(case: tuple[int, int, bytes, list[bytes], bytes]) -> None:
    assert not merkle.verify_inclusion(*case)


@settings(max_examples=400)
@given(bad_consistencies())
def test_a_consistency_proof_with_anything_changed_fails(case: tuple[int, int, bytes, bytes, list[bytes]]) -> None:
    assert not merkle.verify_consistency(*case)


@given(st.integers(1, 60), st.integers(0, 2**63), st.data())
def test_a_changed_size_fails_unless_the_proof_has_the_same_shape(size: int, other: int, data: st.DataObject) -> None:
    """A path does not fix the size (RFC 9162 section 2.1.3): the signed checkpoint does."""
    index = data.draw(st.integers(0, size - 1))
    proof = merkle.inclusion_proof(index, size, NODES)
    held = merkle.verify_inclusion(index, other, NODES(0, index), proof, merkle.root(size, NODES))
    assert held == (other > index and other < 2**63 and sides(index, other) == sides(index, size))


@given(
    st.integers(-(2**80), 2**80),
    st.integers(-(2**80), 2**80),
    st.lists(st.binary(min_size=30, max_size=34) | st.binary(min_size=32, max_size=32), max_size=70),
)
def test_any_input_at_all_is_answered_without_an_exception(a: int, b: int, proof: list[bytes]) -> None:
    root = merkle.leaf_hash(b"")
    assert merkle.verify_inclusion(a, b, root, proof, root) == (a == 0 and b == 1 and not proof)
    assert merkle.verify_consistency(a, b, root, root, proof) == (0 < a == b < 2**63 and not proof)


@given(st.lists(st.integers(1, 40), max_size=12))
def test_any_way_to_batch_the_appends_gives_the_nodes_of_one_append(batches: list[int]) -> None:
    total = sum(batches)
    stored = {(0, index): NODES(0, index) for index in range(total)}
    size = 0
    for count in batches:
        hashes = [NODES(0, index) for index in range(size, size + count)]
        for level, index, value in merkle.completed_nodes(size, hashes, lambda level, index: stored[level, index]):
            assert (level, index) not in stored
            stored[level, index] = value
        size += count
    assert all(value == NODES(*place) for place, value in stored.items())
    assert sum(level > 0 for level, _ in stored) == sum(total >> level for level in range(1, 12))


def sides(index: int, size: int) -> list[bool]:
    """Whether the sibling stands on the right, from the leaf upward, by the definition of PATH in RFC 6962."""
    if size == 1:
        return []
    half = 1 << ((size - 1).bit_length() - 1)
    if index < half:
        return [*sides(index, half), True]
    return [*sides(index - half, size - half), False]


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 600])
def test_a_builder_can_be_asked_for_the_root_on_the_way(size: int) -> None:
    tree = merkle.RootBuilder()
    for index in range(size):
        assert tree.root() == merkle.root(index, NODES)
        tree.add(NODES(0, index))
    assert (tree.size, tree.root()) == (size, merkle.root(size, NODES))
