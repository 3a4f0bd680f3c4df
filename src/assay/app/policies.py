"""Which of the project's policies speak about an asset at a stage, and the digest that their decision carries."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from assay.app.reader import Reader
from assay.app.sound import SoundLedger
from assay.app.view import standing_of
from assay.app.workspace import Workspace
from assay.core.digests import Digest
from assay.policy.evaluate import digest_of_policies
from assay.policy.grammar import Policy
from assay.registry.queries import Version


def applicable(workspace: Workspace, version: Version, stage: str, policies: Sequence[Policy]) -> tuple[Policy, ...]:
    """The policies whose `applies_to` fits."""
    sound = SoundLedger.of(workspace)
    standing = standing_of(Reader(sound, sound.chain), version)
    return tuple(policy for policy in policies if policy.applies_to.matches(standing, stage))


def digests_that_count(
    workspace: Workspace, stage: str | None, policies: Sequence[Policy]
) -> Callable[[Digest], tuple[Digest, ...]] | None:
    """For a digest, the policy digests under which a decision for `stage` counts now; None accepts any trusted gate's.

    A name whose labels or kind no policy fits yields a digest that no decision has, so nothing is allowed.
    """
    if stage is None or not policies:
        return None

    def of(digest: Digest) -> tuple[Digest, ...]:
        found = [applicable(workspace, version, stage, policies) for version in workspace.registry.with_digest(digest)]
        return tuple(digest_of_policies([policy.digest for policy in each]) for each in found)

    return of
