"""The trust policy: who may say what, who may change that, and every way to get a second voice or an older policy."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.support import START, Team

from assay.core.canonical import Json, canonical
from assay.core.digests import sha256
from assay.core.errors import MalformedInput, TrustError
from assay.evidence.envelope import envelope_json, pae
from assay.evidence.keys import PrivateKey, PublicKey
from assay.evidence.ledger import Item
from assay.evidence.trust import TRUST_PAYLOAD, read_trust, sign_trust, verified_chain, verify_first, verify_next

TEAM = Team()
FIRST = TEAM.policy()
NEXT = TEAM.policy(version=2, previous=sha256(FIRST))


def changed(change: Callable[[Json], object], payload: bytes = FIRST) -> bytes:
    value = json.loads(payload)
    change(value)
    return canonical(value)


def reason_of(caught: pytest.ExceptionInfo[TrustError]) -> str:
    return caught.value.reason


# -- form


def key_id(name: str) -> str:
    return TEAM[name].public.key_id


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v.update(extra=1),
        lambda v: v.update(schema="urn:assay:trust:v2"),
        lambda v: v.pop("schema"),
        lambda v: v.update(version=0),
        lambda v: v.update(version="1"),
        lambda v: v.update(version=True),
        lambda v: v.update(version=1.5),
        lambda v: v.update(previous=None),
        lambda v: v.update(previous="x"),
        lambda v: v.pop("expires"),
        lambda v: v.update(expires="tomorrow"),
        lambda v: v.update(keys=[]),
        lambda v: v.update(roles=[]),
        lambda v: v.pop("root"),
        lambda v: v["root"].update(threshold=0),
        lambda v: v["root"].update(threshold=True),
        lambda v: v["root"].update(threshold=3),
        lambda v: v["root"].update(keys=[]),
        lambda v: v["root"].update(extra=1),
        lambda v: v["root"]["keys"].append("ab" * 32),
        lambda v: v["root"]["keys"].append(v["root"]["keys"][0]),
        lambda v: v["roles"].update(admin=v["roles"]["gate"]),
        lambda v: v["roles"]["gate"].update(threshold=0),
        lambda v: v["roles"]["gate"].update(members="abc"),
        lambda v: v["roles"]["gate"]["members"].append(v["roles"]["gate"]["members"][0]),
        lambda v: v["roles"]["gate"].update(names="*"),
        lambda v: v["roles"]["gate"].update(kinds=None),
        lambda v: v["roles"]["gate"].update(nmes=["*"]),
        lambda v: v.update(separation=[["trainr", "evaluator"]]),
        lambda v: v.update(separation=[["trainer"]]),
        lambda v: v.update(separation=[["trainer", "evaluator", "gate"]]),
        lambda v: v.update(separation=["ab"]),
        lambda v: v["keys"][key_id("eve")].update(owner=""),
        lambda v: v["keys"][key_id("eve")].pop("owner"),
        lambda v: v["keys"][key_id("eve")].update(notafter="2026-01-01T00:00:00Z"),
        lambda v: v["keys"][key_id("eve")].update(notAfter="soon"),
        lambda v: v["keys"][key_id("eve")].update(scheme="ecdsa-sha2-nistp256"),
        lambda v: v["keys"][key_id("eve")].update(public=TEAM["mallory"].public.public),
        lambda v: v["keys"][key_id("eve")].update(keytype="rsa"),
        lambda v: v["keys"][key_id("eve")].update(keytype=[]),
        lambda v: v["keys"][key_id("eve")].update(revoked={}),
        lambda v: v["keys"][key_id("eve")].update(revoked=None),
        lambda v: v["keys"][key_id("eve")].update(revoked={"compromised": True}),
        lambda v: v["keys"][key_id("eve")].update(revoked={"atIndex": "5"}),
        lambda v: v["keys"][key_id("eve")].update(revoked={"atIndex": -1}),
        lambda v: v["keys"][key_id("eve")].update(revoked={"atIndex": 5, "compromised": "false"}),
        lambda v: v["keys"][key_id("eve")].update(revoked={"atIndex": 5, "from": 1}),
        lambda v: v["log"].update(max_checkpoint_age="forever"),
        lambda v: v["log"].update(keys=["ab" * 32]),
        lambda v: v["log"].update(key=1),
        lambda v: v["log"]["witnesses"].update(quorum=2),
    ],
)  # fmt: skip
def test_a_policy_that_does_not_say_one_clear_thing_is_refused(change: Callable[[Json], object]) -> None:
    """A misspelt field must not silently mean less: a `revoked: {}` once read as not revoked at all."""
    with pytest.raises(MalformedInput):
        read_trust(changed(change))


def test_one_key_cannot_be_listed_under_two_spellings() -> None:
    public = TEAM["eve"].public.public.upper()
    text = f'{{"keytype":"ed25519","keyval":{{"public":"{public}"}},"scheme":"ed25519"}}'
    twin = {"keytype": "ed25519", "scheme": "ed25519", "public": public, "owner": "somebody-else"}
    with pytest.raises(MalformedInput):
        read_trust(changed(lambda v: v["keys"].update({sha256(text.encode()): twin})))


def test_one_p256_key_cannot_be_listed_under_two_spellings() -> None:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def add(value: Json, *spellings: str) -> None:
        for number, text in enumerate(spellings):
            public = PublicKey("ecdsa", text)
            value["keys"][public.key_id] = {
                "keytype": "ecdsa",
                "scheme": public.scheme,
                "public": text,
                "owner": f"o{number}",
            }

    assert len(read_trust(changed(lambda v: add(v, pem))).keys) == 6
    with pytest.raises(MalformedInput, match="policy"):
        read_trust(changed(lambda v: add(v, pem, "note\n" + pem)))


def test_an_empty_list_allows_nothing() -> None:
    for field in ("predicates", "names", "kinds", "members"):
        trust = read_trust(changed(lambda v, field=field: v["roles"]["scanner"].update({field: []})))
        assert allowed(trust, "runner") == ()
    trust = read_trust(changed(lambda v: v["roles"]["scanner"].update(checks=[])))
    assert allowed(trust, "runner", check="x") == () and allowed(trust, "runner") == ("scanner",)


def allowed(trust, *names: str, index: int = 0, after: timedelta = timedelta(0), name: str = "credit", kind: str = "model",
            check: str = "") -> tuple[str, ...]:  # type: ignore[no-untyped-def]  # fmt: skip
    return trust.roles_of([key_id(n) for n in names], index=index, time=START + after,
                          predicate="urn:assay:scan-result:v1", name=name, kind=kind, check=check)  # fmt: skip


def test_names_kinds_checks_and_predicates_bound_a_role() -> None:
    trust = read_trust(changed(lambda v: v["roles"]["scanner"].update(names=["team-a/*"], kinds=["model"], checks=["model-file.*"])))  # fmt: skip
    assert allowed(trust, "runner", name="team-a/x", check="model-file.format") == ("scanner",)
    assert allowed(trust, "runner", name="team-b/x", check="model-file.format") == ()
    assert allowed(trust, "runner", name="team-a/x", kind="dataset") == ()
    assert allowed(trust, "runner", name="team-a/x", check="privacy.membership") == ()
    assert allowed(trust, "eve", name="team-a/x") == () and allowed(trust, "mallory", name="team-a/x") == ()


def test_thresholds_count_owners_not_keys() -> None:
    members = [key_id("runner"), key_id("eve"), key_id("tess")]
    two = changed(lambda v: v["roles"]["scanner"].update(threshold=2, members=members))
    assert allowed(read_trust(two), "runner") == ()
    assert allowed(read_trust(two), "runner", "runner") == ()
    assert allowed(read_trust(two), "runner", "eve") == ("scanner",)
    one_owner = changed(lambda v: v["keys"][key_id("eve")].update(owner="runner"), two)
    assert allowed(read_trust(one_owner), "runner", "eve") == ()
    assert allowed(read_trust(one_owner), "runner", "eve", "tess") == ("scanner",)


def test_a_key_is_silent_from_its_revocation_or_end_on() -> None:
    revoked = read_trust(changed(lambda v: v["keys"][key_id("runner")].update(revoked={"atIndex": 5})))
    assert allowed(revoked, "runner", index=4) == ("scanner",) and allowed(revoked, "runner", index=5) == ()
    stolen = {"atIndex": 5, "compromised": True}
    assert allowed(read_trust(changed(lambda v: v["keys"][key_id("runner")].update(revoked=stolen))), "runner") == ()
    ended = read_trust(changed(lambda v: v["keys"][key_id("runner")].update(notAfter="2026-11-22T18:00:00Z")))
    assert allowed(ended, "runner") == ("scanner",) and allowed(ended, "runner", after=timedelta(seconds=1)) == ()


# -- chain


def test_the_first_policy_must_be_the_pinned_one() -> None:
    data = TEAM.envelope(FIRST)
    assert verify_first(data, sha256(FIRST)).version == 1
    assert verify_first(data, None).digest == sha256(FIRST)
    with pytest.raises(TrustError) as caught:
        verify_first(data, sha256(b"another"))
    assert reason_of(caught) == "trust-pin"


def test_the_first_policy_must_be_version_one_without_a_predecessor() -> None:
    for payload in (NEXT, TEAM.policy(version=2), TEAM.policy(version=1, previous=sha256(b"x"))):
        with pytest.raises(TrustError) as caught:
            verify_first(TEAM.envelope(payload), None)
        assert reason_of(caught) == "trust-chain"


@pytest.mark.parametrize("signers", [("mallory",), ("eve",), ("tess", "eve", "runner")])
def test_a_policy_that_its_root_did_not_sign_is_refused(signers: tuple[str, ...]) -> None:
    with pytest.raises(TrustError) as caught:
        verify_first(TEAM.envelope(FIRST, signers), None)
    assert reason_of(caught) == "trust-threshold"


def test_one_root_owner_is_not_two_however_often_and_with_however_many_keys_they_sign() -> None:
    two = TEAM.policy(thresholds={"root": 2})
    for signers in (("ada",), ("ada", "ada"), ("ada", "eve", "mallory")):
        with pytest.raises(TrustError) as caught:
            verify_first(TEAM.envelope(two, signers), None)
        assert reason_of(caught) == "trust-threshold"
    assert verify_first(TEAM.envelope(two, ("ada", "bob")), None).root_threshold == 2
    same_person = Team(keys=TEAM.keys, owners={"bob": "ada"})
    with pytest.raises(MalformedInput):  # the root threshold is greater than the number of its owners
        verify_first(same_person.envelope(same_person.policy(thresholds={"root": 2}), ("ada", "bob")), None)


def test_the_next_policy_follows_by_exactly_one_and_names_its_predecessor() -> None:
    before = read_trust(FIRST)
    assert verify_next(TEAM.envelope(NEXT), before).version == 2
    wrong = {
        "trust-rollback": [FIRST, TEAM.policy(version=1, previous=sha256(FIRST))],
        "trust-chain": [
            TEAM.policy(version=3, previous=sha256(FIRST)), TEAM.policy(version=2), TEAM.policy(version=2, previous=sha256(NEXT)),
        ],
    }  # fmt: skip
    for reason, payloads in wrong.items():
        for payload in payloads:
            with pytest.raises(TrustError) as caught:
                verify_next(TEAM.envelope(payload), before)
            assert reason_of(caught) == reason


def test_a_new_root_alone_cannot_bring_itself_in() -> None:
    coup = Team(keys=TEAM.keys, roles=dict(TEAM.roles) | {"mallory": ("root",), "ada": ("registrar",), "bob": ()})
    payload = coup.policy(version=2, previous=sha256(FIRST))
    before = read_trust(FIRST)
    for signers in (("mallory",), ("mallory", "eve", "runner")):
        with pytest.raises(TrustError) as caught:
            verify_next(coup.envelope(payload, signers), before)
        assert reason_of(caught) == "trust-threshold"
    with pytest.raises(TrustError):  # nor may the old root install one that has not agreed
        verify_next(coup.envelope(payload, ("ada",)), before)
    assert verify_next(coup.envelope(payload, ("ada", "mallory")), before).root_keys == (key_id("mallory"),)


def test_a_revoked_root_key_has_no_voice_in_the_next_policy() -> None:
    revoked = changed(lambda v: v["keys"][key_id("ada")].update(revoked={"atIndex": 3}))
    following = TEAM.policy(version=2, previous=sha256(revoked))
    with pytest.raises(TrustError) as caught:
        verify_next(TEAM.envelope(following, ("ada",)), read_trust(revoked))
    assert reason_of(caught) == "trust-threshold"
    assert verify_next(TEAM.envelope(following, ("bob",)), read_trust(revoked)).version == 2


def test_a_chain_is_verified_link_by_link() -> None:
    third = TEAM.policy(version=3, previous=sha256(NEXT))
    chain = [TEAM.envelope(payload) for payload in (FIRST, NEXT, third)]
    assert verified_chain(chain, sha256(FIRST))[-1].version == 3
    for broken in ([], chain[1:], [chain[0], chain[2]], [chain[0], chain[0]], [*chain, chain[1]], chain[::-1]):
        with pytest.raises(TrustError):
            verified_chain(broken, sha256(FIRST))


def test_a_policy_ends() -> None:
    trust = read_trust(FIRST)
    trust.check_current(trust.expires)
    with pytest.raises(TrustError) as caught:
        trust.check_current(trust.expires + timedelta(seconds=1))
    assert reason_of(caught) == "trust-expired"


# -- as a ledger entry


def test_an_entry_of_a_policy_names_the_root_key_that_signed_not_the_hint() -> None:
    """A hint that is no hex crashed the commit with all other requests that waited in it."""
    signature = TEAM["ada"].sign(pae(TRUST_PAYLOAD, FIRST))
    for hint in ("", "not hex", key_id("mallory")):
        envelope = canonical(envelope_json(TRUST_PAYLOAD, FIRST, [(hint, signature)]))
        assert Item.of_trust(envelope).key_id == key_id("ada")
    with pytest.raises(TrustError):
        Item.of_trust(sign_trust(FIRST, [PrivateKey.generate()]))


def test_checkpoints_are_signed_by_ed25519_keys_only() -> None:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    public = PublicKey("ecdsa", pem)

    def use(value: Json) -> None:
        value["keys"][public.key_id] = {"keytype": "ecdsa", "scheme": public.scheme, "public": pem, "owner": "log"}
        value["log"]["keys"] = [public.key_id]

    with pytest.raises(MalformedInput):
        read_trust(changed(use))
