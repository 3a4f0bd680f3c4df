"""The ML tier: an ONNX classifier in a worker process, asked only where the linear model is uncertain.

    linear score   below `low`       from `low`                                from `high`
    this scanner   passes            says what the classifier says, into which    hits with the linear score
                                     the linear score may be weighed

So it says what both tiers say together, and may overrule the linear model; where that is not to block by itself, a policy sets
`injection: {rules: {injection.model: flag}}`. What was asked and not answered in time is no pass. Without the extra `onnx`, without
a classifier in the policy, or with other bytes than the policy names, it has not run.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache

from assay.runtime.firewall.classifier import Worker
from assay.runtime.firewall.policy import Classifier
from assay.runtime.firewall.scanner import Mark, NotRun, Subject
from assay.runtime.firewall.scanners.injection import REFS, linear, model_for

RULE, LOADED_WITHIN_S = "classifier.injection", 20.0


def classifier(subject: Subject) -> Sequence[Mark]:
    """A mark for each reading of the text that the linear model is sure of; if there is none, for each that is in doubt.

    Raises:
        NotRun: there is no classifier, it cannot be loaded, or it did not answer in time.
    """
    named = subject.policy.classifier
    if named is None:
        raise NotRun("the policy names no classifier")
    purpose = model_for(subject.segment.source)
    model = linear(purpose)
    found = [
        (view.place or (0, len(subject.segment.text)), model.score(view.text).value, view.raw) for view in subject.views
    ]
    if sure := [Mark(RULE, *place, score, REFS) for place, score, _ in found if score >= named.high]:
        return sure
    worker = worker_of(named.folder, named.sha256, os.getpid())
    return [
        Mark(RULE, *place, worker.score(raw, purpose, subject.deadline_s, score), REFS)
        for place, score, raw in found
        if score >= named.low
    ]


def warm(named: Classifier) -> None:
    """Waits until the classifier is loaded, so that the first texts find it ready; what goes wrong is told when it is asked."""
    with suppress(NotRun):
        worker_of(named.folder, named.sha256, os.getpid()).load(time.monotonic() + LOADED_WITHIN_S)


@lru_cache(maxsize=8)
def worker_of(folder: str, digest: str, process: int) -> Worker:
    """The worker of a classifier in this process, as a fork must not share it; it lives on from the first text."""
    return Worker(folder, digest)
