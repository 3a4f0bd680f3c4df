"""The Merkle tree of the ledger: roots, proofs, and the verifiers that need nothing but the proof.

Pure functions over hashes. The tree itself lives in a store of complete subtrees: the node (level, index) is the root
over the leaves [index << level, (index + 1) << level), and is never changed once written. Level 0 holds leaf hashes.
A ragged right edge is never stored; it is folded from the complete subtrees on it, so every read is O(log n):

    append   completed_nodes(size, [leaf_hash(leaf), ...], node)  -> nodes to insert; reads among root_nodes(size)
    publish  root(size, node)                                     -> reads root_nodes(size)
    prove    inclusion_proof(index, size, node)                   -> reads inclusion_nodes(index, size)
             consistency_proof(old, new, node)                    -> reads consistency_nodes(old, new)

A caller with a database fetches those places in one query and passes `lambda level, index: fetched[level, index]`.

Source: RFC 6962 section 2.1 (hashes, proofs); RFC 9162 sections 2.1.3.2 and 2.1.4.2 (verification).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

HASH_BYTES: Final = 32
MAX_SIZE: Final = 2**63 - 1
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()

NodeReader = Callable[[int, int], bytes]
# A place (level, index) covers the leaves [index << level, (index + 1) << level); a node is a place and its hash.
Place = tuple[int, int]
Node = tuple[int, int, bytes]


class _Span(NamedTuple):
    """The leaves [first, end) of one subtree of the tree, complete or on the ragged right edge."""

    first: int
    end: int


def leaf_hash(data: bytes) -> bytes:
    """The hash of one leaf. The prefix keeps a leaf from passing as an inner node (RFC 6962 section 2.1)."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node (RFC 6962 section 2.1)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class RootBuilder:
    """The root of leaves that pass by once, in O(log n) memory; for auditors and exporters."""

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[bytes] = []

    def add(self, leaf_hash: bytes) -> None:
        """Appends one leaf; each one bit at the end of the old size is a complete subtree that it closes."""
        size = self.size
        while size & 1:
            leaf_hash = node_hash(self._peaks.pop(), leaf_hash)
            size >>= 1
        self._peaks.append(leaf_hash)
        self.size += 1

    def root(self) -> bytes:
        """The root over the leaves so far; more may follow."""
        return _folded(self._peaks)


# -- growing and publishing


def completed_nodes(start: int, leaf_hashes: Sequence[bytes], node: NodeReader) -> list[Node]:
    """The subtrees of level 1 and up that become complete when `leaf_hashes` are appended to a tree of size `start`.

    Ordered by level, then index; nothing is returned twice over successive calls. `node` is asked only for places in
    `root_nodes(start)`, which may be of level 0.
    """
    completed: list[Node] = []
    level, first, row = 0, start, list(leaf_hashes)
    while row:
        if first & 1:
            row.insert(0, node(level, first - 1))
        level, first = level + 1, first >> 1
        row = [node_hash(left, right) for left, right in zip(row[::2], row[1::2], strict=False)]
        completed += [(level, first + i, value) for i, value in enumerate(row)]
    return completed


def root_nodes(size: int) -> list[Place]:
    """The complete subtrees that a tree of `size` leaves consists of, from left to right; none for size 0."""
    return _places(_Span(0, size))


def root(size: int, node: NodeReader) -> bytes:
    """The Merkle tree hash of the first `size` leaves."""
    return _folded([node(*place) for place in root_nodes(size)])


# -- proving


def inclusion_nodes(index: int, size: int) -> list[Place]:
    """All places that `inclusion_proof` reads."""
    return [place for span in _inclusion_spans(index, size) for place in _places(span)]


def inclusion_proof(index: int, size: int, node: NodeReader) -> list[bytes]:
    """The audit path of leaf `index` in the tree of `size` leaves, from the leaf upward.

    Raises:
        ValueError: the tree has no such leaf.

    Source: RFC 6962 section 2.1.1, PATH(m, D[n]).
    """
    return [_span_hash(span, node) for span in _inclusion_spans(index, size)]


def consistency_nodes(old: int, new: int) -> list[Place]:
    """All places that `consistency_proof` reads."""
    return [place for span in _consistency_spans(old, new) for place in _places(span)]


def consistency_proof(old: int, new: int, node: NodeReader) -> list[bytes]:
    """Proves that the first `old` leaves of the tree of `new` leaves are the tree of `old` leaves.

    Empty where there is nothing to prove: `old` is 0 or equals `new`.

    Raises:
        ValueError: `old` is negative or above `new`.

    Source: RFC 6962 section 2.1.2, PROOF(m, D[n]).
    """
    return [_span_hash(span, node) for span in _consistency_spans(old, new)]


# -- verifying: for input from anyone; no input makes these raise


def verify_inclusion(index: int, size: int, leaf_hash: bytes, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether `proof` shows that `leaf_hash` is leaf `index` of the tree of `size` leaves with this `root`.

    Source: RFC 9162 section 2.1.3.2, whose step numbers are below.
    """
    if not (0 <= index < size <= MAX_SIZE and _are_hashes(leaf_hash, root, *proof)):  # 1
        return False
    fn, sn, r = index, size - 1, leaf_hash  # 2, 3
    for p in proof:  # 4
        if sn == 0:  # 4a
            return False
        if fn & 1 or fn == sn:  # 4b
            r = node_hash(p, r)
            fn, sn = _skipped_levels(fn, sn)
        else:
            r = node_hash(r, p)
        fn, sn = fn >> 1, sn >> 1  # 4c
    return sn == 0 and r == root  # 5


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether `proof` shows that the tree (`old`, `old_root`) is the beginning of the tree (`new`, `new_root`).

    The two cases that the RFC leaves to the caller take an empty proof only: equal sizes must have equal roots, and
    size 0 must have the empty root, with which every tree is consistent.

    Source: RFC 9162 section 2.1.4.2, whose step numbers are below.
    """
    if not (0 <= old <= new <= MAX_SIZE and _are_hashes(old_root, new_root, *proof)):
        return False
    if old == 0 or old == new:
        return not proof and old_root == (EMPTY_ROOT if old == 0 else new_root) and (new > 0 or new_root == EMPTY_ROOT)
    if not proof:  # 1
        return False
    path = [old_root, *proof] if old & (old - 1) == 0 else list(proof)  # 2
    fn, sn = old - 1, new - 1  # 3
    while fn & 1:  # 4
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]  # 5
    for c in path[1:]:  # 6
        if sn == 0:  # 6a
            return False
        if fn & 1 or fn == sn:  # 6b
            fr, sr = node_hash(c, fr), node_hash(c, sr)
            fn, sn = _skipped_levels(fn, sn)
        else:
            sr = node_hash(sr, c)
        fn, sn = fn >> 1, sn >> 1  # 6c
    return fr == old_root and sr == new_root and sn == 0  # 7


# -- private


def _skipped_levels(fn: int, sn: int) -> tuple[int, int]:
    """On the ragged right edge a node may have no sibling for some levels: step over them (4b and 6b)."""
    while fn and not fn & 1:
        fn, sn = fn >> 1, sn >> 1
    return fn, sn


def _are_hashes(*values: object) -> bool:
    return all(isinstance(value, bytes) and len(value) == HASH_BYTES for value in values)


def _folded(peaks: Sequence[bytes]) -> bytes:
    """The root over complete subtrees that stand side by side, the largest first."""
    if not peaks:
        return EMPTY_ROOT
    folded = peaks[-1]
    for peak in peaks[-2::-1]:
        folded = node_hash(peak, folded)
    return folded


def _span_hash(span: _Span, node: NodeReader) -> bytes:
    return _folded([node(*place) for place in _places(span)])


def _places(span: _Span) -> list[Place]:
    """The complete subtrees of a span, largest first. `first` is a multiple of the largest, as in every subtree."""
    places: list[Place] = []
    at = span.first
    while at < span.end:
        level = (span.end - at).bit_length() - 1
        places.append((level, at >> level))
        at += 1 << level
    return places


def _inclusion_spans(index: int, size: int) -> list[_Span]:
    """The sibling subtrees on the way from leaf `index` to the root."""
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has no leaf {index}")
    spans: list[_Span] = []
    first, end = 0, size
    while end - first > 1:
        middle = _middle(first, end)
        if index < middle:
            spans.append(_Span(middle, end))
            end = middle
        else:
            spans.append(_Span(first, middle))
            first = middle
    return spans[::-1]


def _consistency_spans(old: int, new: int) -> list[_Span]:
    """SUBPROOF(m, D[n], b) of RFC 6962 section 2.1.2, as a loop; `first` is 0 exactly while b is true."""
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {new} leaves has no beginning of {old}")
    spans: list[_Span] = []
    first, end = 0, new
    while old and old != end:
        middle = _middle(first, end)
        if old <= middle:
            spans.append(_Span(middle, end))
            end = middle
        else:
            spans.append(_Span(first, middle))
            first = middle
    if first:
        spans.append(_Span(first, end))
    return spans[::-1]


def _middle(first: int, end: int) -> int:
    """Where RFC 6962 splits [first, end): after the largest power of two below its length."""
    return first + (1 << ((end - first - 1).bit_length() - 1))
