"""No bytes make the readers of bundles, trust policies, leaves and offline bundles crash, and no edit is taken for the signed one."""

from __future__ import annotations

import base64
import contextlib
import json
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import START, Team, make_workspace, registration_of

from assay.app.offline import pack, verify_offline
from assay.app.verify import Demand
from assay.core.canonical import canonical
from assay.core.errors import AssayError, MalformedInput
from assay.core.statements import Statement, Subject
from assay.evidence.envelope import open_bundle, read_bundle, sign
from assay.evidence.keys import PrivateKey
from assay.evidence.ledger import Leaf
from assay.evidence.trust import read_trust, read_trust_envelope, verify_first

KEY = PrivateKey.generate()
TEAM = Team()
SIGNED = sign(registration_of("credit", 1, "ab" * 32), KEY)
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=6)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)


def paths_in(value: object, here: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    found = [here]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found += paths_in(item, (*here, key))
    return found


def with_change(value: object, path: tuple[object, ...], new: object) -> object:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)  # type: ignore[call-overload]
    copy[path[0]] = with_change(copy[path[0]], path[1:], new)
    return copy


@given(st.data())
def test_any_other_value_in_a_bundle_is_refused_or_says_the_same(data: st.DataObject) -> None:
    value = json.loads(SIGNED.bundle)
    path = data.draw(st.sampled_from(paths_in(value)))
    changed = canonical(with_change(value, path, data.draw(JSON)))
    try:
        opened = open_bundle(changed, [KEY.public])
    except AssayError:
        return
    assert opened.digest == SIGNED.digest and opened.key_id == KEY.public.key_id


@given(st.integers(0, len(SIGNED.bundle) - 1), st.integers(1, 255))
def test_any_flipped_byte_of_a_bundle_is_refused_or_says_the_same(at: int, mask: int) -> None:
    changed = bytearray(SIGNED.bundle)
    changed[at] ^= mask
    with contextlib.suppress(AssayError):
        assert open_bundle(bytes(changed), [KEY.public]).digest == SIGNED.digest


@given(st.binary(max_size=80) | JSON.map(canonical))
def test_no_bytes_crash_a_reader(data: bytes) -> None:
    for read in (read_bundle, read_trust, read_trust_envelope, Statement.parse, lambda d: Leaf.parse(0, d)):
        with pytest.raises(AssayError):
            read(data)


@given(st.data())
def test_any_other_value_in_a_trust_policy_is_refused_or_well_formed(data: st.DataObject) -> None:
    value = json.loads(TEAM.policy())
    path = data.draw(st.sampled_from(paths_in(value)))
    changed = canonical(with_change(value, path, data.draw(JSON)))
    with pytest.raises(AssayError):
        verify_first(_unsigned(changed), None)
    with contextlib.suppress(MalformedInput):
        read_trust(changed)


@given(st.data())
def test_a_signed_statement_of_any_shape_is_refused_or_has_subjects(data: st.DataObject) -> None:
    value = json.loads(SIGNED.statement.payload)
    path = data.draw(st.sampled_from(paths_in(value)))
    payload = canonical(with_change(value, path, data.draw(JSON)))
    try:
        read = Statement.parse(payload)
    except MalformedInput:
        return
    assert read.subjects and read.payload == payload and len(read.subject) == 64


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, object], str]:
    root: Path = tmp_path_factory.mktemp("offline")
    with make_workspace(root, team=TEAM) as (workspace, team):
        version = team.approved(workspace)
        return json.loads(pack(workspace, version)), workspace.pin


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_no_edit_of_an_offline_bundle_crashes_and_none_turns_a_no_into_a_yes(packed: tuple[dict[str, object], str], data: st.DataObject) -> None:  # fmt: skip
    value, pin = packed
    path = data.draw(st.sampled_from(paths_in(value)))
    changed = canonical(with_change(value, path, data.draw(JSON)))
    never = Demand(START + timedelta(minutes=1), "staging")  # nobody decided about this stage
    assert not verify_offline(changed, pin, never, None).ok
    verify_offline(changed, pin, Demand(START, "production"), None)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_no_flipped_bit_in_a_leaf_or_proof_of_an_offline_bundle_is_accepted(packed: tuple[dict[str, object], str], data: st.DataObject) -> None:  # fmt: skip
    value, pin = packed
    entries = value["entries"]
    assert isinstance(entries, list)
    number = data.draw(st.integers(0, len(entries) - 1))
    field = data.draw(st.sampled_from(["leaf", "bundle", "proof"]))
    texts = entries[number][field] if field == "proof" else [entries[number][field]]
    which = data.draw(st.integers(0, len(texts) - 1))
    raw = bytearray(base64.b64decode(texts[which]))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    new = base64.b64encode(bytes(raw)).decode()
    path = ("entries", number, field, which) if field == "proof" else ("entries", number, field)
    answer = verify_offline(canonical(with_change(value, path, new)), pin, Demand(START, "production"), None)
    assert not answer.ok and answer.exit_code == 1


def _unsigned(payload: bytes) -> bytes:
    return canonical({
        "payload": base64.b64encode(payload).decode(), "payloadType": "application/vnd.assay.trust.v1+json",
        "signatures": [{"keyid": "", "sig": base64.b64encode(bytes(64)).decode()}],
    })  # fmt: skip


def test_the_unchanged_bundle_is_a_yes(packed: tuple[dict[str, object], str]) -> None:
    value, pin = packed
    assert verify_offline(canonical(value), pin, Demand(START, "production"), None).ok


def test_subject_names_are_for_people_only() -> None:
    named = Statement((Subject("../../etc", "ab" * 32),), "urn:x:y:v1", {})
    assert open_bundle(sign(named, KEY).bundle, [KEY.public]).statement.subject == "ab" * 32
