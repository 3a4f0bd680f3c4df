"""The ML tier: an ONNX classifier in a worker process, asked only where the linear model is uncertain.

What was not asked because the linear model is sure is passed; what was asked and not answered in time is not. Without the
extra `onnx`, without a classifier in the policy, or with other bytes than the policy names, it has not run.
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

LOADED_WITHIN_S = 20.0


def classifier(subject: Subject) -> Sequence[Mark]:
    """One mark for each reading of the text whose linear score lies in the band of the policy, with the classifier's score.

    Raises:
        NotRun: there is no classifier, it cannot be loaded, or it did not answer in time.
    """
    named = subject.policy.classifier
    if named is None:
        raise NotRun("the policy names no classifier")
    purpose = model_for(subject.segment.source)
    model = linear(purpose)
    found = [(view, model.score(view.text).value) for view in subject.views]
    if any(score >= named.high for _, score in found):
        return ()
    marks = []
    for view, score in found:
        if score >= named.low:
            place = view.place or (0, len(subject.segment.text))
            asked = worker_of(named, os.getpid()).score(view.raw, purpose, subject.deadline_s)
            marks.append(Mark("classifier.injection", *place, asked, REFS))
    return marks


def warm(named: Classifier) -> None:
    """Waits until the classifier is loaded, so that the first texts find it ready; what goes wrong is told when it is asked."""
    with suppress(NotRun):
        worker_of(named, os.getpid()).load(time.monotonic() + LOADED_WITHIN_S)


@lru_cache(maxsize=8)
def worker_of(named: Classifier, process: int) -> Worker:
    """The worker of a classifier in this process, as a fork must not share it; it lives on from the first text."""
    return Worker(named.folder, named.sha256)
