"""The ML tier: an ONNX classifier in a worker process, asked only where the linear model is uncertain.

What was not asked because the linear model is sure is passed; what was asked and not answered in time is not. Without the
extra `onnx`, without a classifier in the policy, or with other bytes than the policy names, it has not run.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from assay.runtime.firewall.classifier import Worker
from assay.runtime.firewall.policy import Classifier
from assay.runtime.firewall.scanner import Mark, NotRun, Subject
from assay.runtime.firewall.scanners.injection import REFS, linear, model_for


def classifier(subject: Subject) -> Sequence[Mark]:
    """One mark over the text with the classifier's score, where the linear model's lies in the band of the policy.

    Raises:
        NotRun: there is no classifier, it cannot be loaded, or it did not answer in time.
    """
    named = subject.policy.classifier
    if named is None:
        raise NotRun("the policy names no classifier")
    model = linear(model_for(subject.segment.source))
    if not named.low <= max(model.score(view.text).value for view in subject.views) < named.high:
        return ()
    score = worker_of(named).score(subject.segment.text, subject.deadline_s)
    return [Mark("classifier.injection", 0, len(subject.segment.text), score, REFS)]


@lru_cache(maxsize=8)
def worker_of(named: Classifier) -> Worker:
    """The worker of a classifier; its process starts with the first text and lives on."""
    return Worker(named.folder, named.sha256)
