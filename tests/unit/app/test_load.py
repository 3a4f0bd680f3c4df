"""`guard.load` without a stage: only what is clean is loaded, the bytes that were judged are the bytes that are loaded, and it is the same object."""

from __future__ import annotations

import collections
import copyreg
import gzip
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.corpus.model_file.attacks import SHELL, attacks, call4
from tests.support import make_workspace, quarantine_of

from assay import guard
from assay.app import held, load
from assay.core.digests import sha256
from assay.core.errors import ChangedMeanwhile, MalformedInput, Refused, UsageError

X = np.random.default_rng(0).normal(size=(60, 4))
Y = (X[:, 0] > 0).astype(int)
BAD = call4(*SHELL) + b"."
FINE = pickle.dumps({"a": 1})


class Own(collections.OrderedDict):  # type: ignore[type-arg]
    """A subclass of a listed type."""


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No workspace lies above the working folder."""
    monkeypatch.chdir(tmp_path)
    yield


def fitted() -> list[Any]:
    models = [
        LogisticRegression(),
        RandomForestClassifier(3, random_state=0),
        make_pipeline(StandardScaler(), LogisticRegression()),
    ]
    return [model.fit(X, Y) for model in models]


def as_pickle(model: Any, path: Path) -> None:
    path.write_bytes(pickle.dumps(model))


def as_gzip(model: Any, path: Path) -> None:
    path.write_bytes(gzip.compress(pickle.dumps(model)))


def as_joblib(compress: Any) -> Callable[[Any, Path], None]:
    return lambda model, path: joblib.dump(model, path, compress=compress)


def as_skops(model: Any, path: Path) -> None:
    import skops.io

    skops.io.dump(model, path)


@pytest.mark.parametrize("most", [1 << 30, 100], ids=["in memory", "from the descriptor"])
@pytest.mark.parametrize(
    "save", [as_pickle, as_gzip, as_joblib(0), as_joblib(3), as_joblib(("xz", 1)), as_skops],
    ids=["pickle", "gzip", "joblib", "joblib-zlib", "joblib-xz", "skops"],
)  # fmt: skip
def test_models_come_back_and_predict_the_same(
    save: Callable[[Any, Path], None], most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "MAX_IN_MEMORY", most)
    for model in fitted():
        save(model, tmp_path / "m.bin")
        found = guard.load(tmp_path / "m.bin")
        assert type(found) is type(model) and np.array_equal(found.predict_proba(X), model.predict_proba(X))


def test_arrays_come_back_also_those_of_objects(tmp_path: Path) -> None:
    objects = np.array([{"a": 1}, "x", None], object)
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "o.npy", objects)
    np.savez_compressed(tmp_path / "z.npz", x=X, o=objects)
    joblib.dump([objects, X], tmp_path / "o.joblib")
    assert np.array_equal(guard.load(tmp_path / "x.npy"), X) and np.array_equal(guard.load(tmp_path / "o.npy"), objects)
    archive = guard.load(tmp_path / "z.npz")
    assert np.array_equal(archive["x"], X) and np.array_equal(archive["o"], objects)
    assert np.array_equal(guard.load(tmp_path / "o.joblib")[0], objects)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torch_and_safetensors_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    safetensors = pytest.importorskip("safetensors.torch")
    net, rows = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU()), torch.tensor(X, dtype=torch.float32)
    for most in (1 << 30, 100):
        monkeypatch.setattr(held, "MAX_IN_MEMORY", most)
        for is_zip in (True, False):
            torch.save(net, tmp_path / "net.pt", _use_new_zipfile_serialization=is_zip)
            assert torch.equal(guard.load(tmp_path / "net.pt")(rows), net(rows))
            torch.save(
                {"of another library": fitted()[0], **net.state_dict()},
                tmp_path / "net.pt",
                _use_new_zipfile_serialization=is_zip,
            )
            assert torch.equal(guard.load(tmp_path / "net.pt")["0.weight"], net[0].weight)
        safetensors.save_file({"a": rows, "b": rows.bfloat16()}, tmp_path / "t.safetensors")
        assert torch.equal(guard.load(tmp_path / "t.safetensors")["b"], rows.bfloat16())
    torch.jit.save(torch.jit.script(net), tmp_path / "script.pt")
    assert torch.equal(guard.load(tmp_path / "script.pt")(rows), net(rows))


def test_no_attack_of_the_corpus_is_loaded_and_none_leaves_a_mark(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for case in attacks()[::4]:
        place = tmp_path / "in" / Path(case.path).name
        place.write_bytes(case.data)
        with pytest.raises(guard.NotClean) as error:
            guard.load(place)
        assert error.value.findings and error.value.reason == "not-clean", case.name
        assert error.value.exit_code in (1, 3)
        place.unlink()
    assert not list(tmp_path.rglob("marker"))


def test_what_could_not_be_read_to_its_end_is_not_loaded_either(tmp_path: Path) -> None:
    (tmp_path / "m.pkl").write_bytes(FINE[:-1])
    with pytest.raises(guard.NotClean) as error:
        guard.load(tmp_path / "m.pkl")
    assert error.value.exit_code == 3


@pytest.mark.parametrize("most", [1 << 30, 10])
def test_a_file_that_is_replaced_after_it_was_judged_is_loaded_as_it_was(
    most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "MAX_IN_MEMORY", most)
    (tmp_path / "m.pkl").write_bytes(FINE)
    (tmp_path / "evil").write_bytes(BAD)
    monkeypatch.setattr(
        load, "read_facts", after(load.read_facts, lambda: (tmp_path / "evil").replace(tmp_path / "m.pkl"))
    )
    if most > 10:
        assert guard.load(tmp_path / "m.pkl") == {"a": 1}
    else:  # it lost its name, which moves its change time
        with pytest.raises(ChangedMeanwhile):
            guard.load(tmp_path / "m.pkl")
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("keeps_time", [False, True])
@pytest.mark.parametrize("most", [1 << 30, 10])
def test_a_file_that_is_rewritten_in_place_never_loads_what_was_not_judged(
    most: int, keeps_time: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "MAX_IN_MEMORY", most)
    path = tmp_path / "m.pkl"
    path.write_bytes(pickle.dumps("x" * len(BAD)))
    info = path.stat()

    def rewrite() -> None:
        with path.open("r+b") as file:
            file.write(BAD)
        if keeps_time:
            os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))

    monkeypatch.setattr(load, "read_facts", after(load.read_facts, rewrite))
    if most > 10:
        assert guard.load(path) == "x" * len(BAD)
    else:
        with pytest.raises(ChangedMeanwhile):
            guard.load(path)
    assert not (tmp_path / "marker").exists()


def after(real: Callable[..., Any], act: Callable[[], object]) -> Callable[..., Any]:
    def both(*given: Any) -> Any:
        found = real(*given)
        act()
        return found

    return both


def test_links_devices_and_pipes_are_refused_and_a_hard_link_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "m.pkl").write_bytes(FINE)
    (tmp_path / "link").symlink_to("m.pkl")
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "link", tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(MalformedInput):
            guard.load(place)
    (tmp_path / "hard").hardlink_to(tmp_path / "m.pkl")
    assert guard.load(tmp_path / "hard") == {"a": 1}
    with pytest.raises(ChangedMeanwhile):
        guard.load(tmp_path / "absent")
    with pytest.raises(UsageError, match="folder"):
        guard.load(tmp_path)


def test_a_name_that_copyreg_has_cached_is_not_reached_by_its_code(tmp_path: Path) -> None:
    copyreg.add_extension("os", "system", 0x7F)
    try:
        copyreg._extension_cache[0x7F] = os.system  # type: ignore[attr-defined]  # as an earlier load leaves it
        (tmp_path / "m.pkl").write_bytes(b"\x80\x02\x82\x7fX\x04\x00\x00\x00true\x85R.")
        with pytest.raises(guard.NotClean, match="extension code"):
            guard.load(tmp_path / "m.pkl")
    finally:
        copyreg.remove_extension("os", "system", 0x7F)


def test_a_subclass_of_a_listed_type_is_another_type(tmp_path: Path) -> None:
    as_pickle(collections.OrderedDict(a=1), tmp_path / "m.pkl")
    assert guard.load(tmp_path / "m.pkl") == {"a": 1}
    as_pickle(Own(a=1), tmp_path / "m.pkl")
    with pytest.raises(guard.NotClean, match="not listed"):
        guard.load(tmp_path / "m.pkl")


def test_a_list_of_ones_own_lets_exactly_its_names_in(tmp_path: Path) -> None:
    as_pickle(Own(a=1), tmp_path / "m.pkl")
    entries = {__name__: {"Own": {"role": "type", "args": [], "items": True, "new": True}}}
    data = json.dumps({"schema": "urn:assay:allow-list:v1", "entries": entries}).encode()
    (tmp_path / "ours.json").write_bytes(data)
    assert type(guard.load(tmp_path / "m.pkl", lists=[f"{tmp_path}/ours.json@sha256:{sha256(data)}"])) is Own
    with pytest.raises(UsageError, match="new digest"):
        guard.load(tmp_path / "m.pkl", lists=[f"{tmp_path}/ours.json@sha256:{'0' * 64}"])


def test_many_threads_load_many_files(tmp_path: Path) -> None:
    for number in range(24):
        (tmp_path / f"{number}.pkl").write_bytes(BAD if number % 3 == 0 else pickle.dumps([number, np.full(3, number)]))

    def one(number: int) -> Any:
        try:
            return guard.load(tmp_path / f"{number}.pkl")[0]
        except guard.NotClean:
            return "refused"

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(one, range(24))) == ["refused" if number % 3 == 0 else number for number in range(24)]


def test_a_loader_gets_a_copy_of_a_folder_whose_every_file_is_clean(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "m.pkl").write_bytes(FINE)
    (folder / "config.json").write_text("{}")

    def loader(copy: Path) -> list[str]:
        assert copy != folder and (copy / "config.json").stat().st_mode & 0o777 == 0o444
        return sorted(path.relative_to(copy).as_posix() for path in copy.rglob("*") if path.is_file())

    assert guard.load(folder, loader=loader) == ["config.json", "inner/m.pkl"]
    (folder / "inner" / "x.pkl").write_bytes(BAD)
    with pytest.raises(guard.NotClean) as error:
        guard.load(folder, loader=loader)
    assert {finding.location.partition("@")[0] for finding in error.value.findings} == {"inner/x.pkl"}


def test_clean_without_a_built_in_loader_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(UsageError, match="no built-in loader for text"):
        guard.load(tmp_path / "a.txt")
    assert guard.load(tmp_path / "a.txt", loader=Path.read_text) == "hello"


def test_a_clean_stream_that_its_library_refuses_is_malformed(tmp_path: Path) -> None:
    for stream in (
        b"\x80\x04\x8c\x07decimal\x8c\x07Decimal\x93\x8c\x01x\x85R.",
        b"\x80\x04cnumpy\ndtype\n\x8c\x02zz\x89\x88\x87R.",
    ):
        (tmp_path / "m.pkl").write_bytes(stream)
        with pytest.raises((MalformedInput, guard.NotClean)):
            guard.load(tmp_path / "m.pkl")


@pytest.mark.parametrize("options", [{"bundle": "x"}, {"trust": "x"}, {"stage": "production", "lists": []}])
def test_arguments_that_do_not_belong_together_are_wrong_use(options: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "m.pkl").write_bytes(FINE)
    with pytest.raises(UsageError):
        guard.load(tmp_path / "m.pkl", **options)


def test_a_workspace_that_knows_the_bytes_is_asked_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_STATE", str(tmp_path / "state"))
    with make_workspace(tmp_path) as (workspace, team):
        version = team.registered(workspace, content=FINE)
        path = workspace.location(version.digest)
        assert path is not None
        assert guard.load(path / "model.bin", workspace=tmp_path / ".assay") == {"a": 1}
        (tmp_path / "free.pkl").write_bytes(FINE)
        assert guard.load(tmp_path / "free.pkl") == {"a": 1}
        team.log(workspace, quarantine_of(version, "quarantine", reason="it lies"), "ada")
        with pytest.raises(Refused, match="it lies"):
            guard.load(path / "model.bin")
        (tmp_path / "model.bin").write_bytes(FINE)
        with pytest.raises(Refused, match="it lies"):
            guard.load(tmp_path / "model.bin")
        other = team.registered(workspace, name="other", content=b"N.")
        place = workspace.location(other.digest)
        assert place is not None
        (place / "model.bin").write_bytes(b"I1\n.")
        with pytest.raises(Refused, match="not the bytes"):
            guard.load(place / "model.bin")


WATCHED = """
import json, sys
from pathlib import Path
from assay import guard
files, preload = json.loads(sys.argv[1]), json.loads(sys.argv[2])
for name in preload: __import__(name)
guard.load(files[0])                                   # imports of our own and of the libraries' first use
seen = []
watching = [False]
sys.addaudithook(lambda event, args: watching[0] and event in ("import", "exec", "open", "os.system", "subprocess.Popen")
                 and seen.append([event, str(args[0])[:200], str(args[1])[:20] if event == "open" else ""]))
said = []
for file in files:
    watching[0] = True
    try: guard.load(file); said.append("loaded")
    except guard.NotClean: said.append("refused")
    finally: watching[0] = False
print(json.dumps([said, seen]))
"""


def test_nothing_unlisted_is_imported_opened_or_run_while_loading(tmp_path: Path) -> None:
    """An audit hook of Python sees every import, open and exec; a module that only a file names leaves a mark if it is imported."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "trap.py").write_text(
        f"open({str(tmp_path / 'marker')!r}, 'w')\nclass Thing(dict): pass\ndef act(*a): pass\n"
    )
    good = {
        "model.joblib": lambda path: joblib.dump(fitted()[1], path),
        "model.pkl": lambda path: as_pickle(fitted()[2], path),
    }
    evil = [b"\x80\x02ctrap\nThing\n.", b"\x80\x02ctrap\nThing\n)R.", b"\x80\x04)\x81\x8c\x04trap\x8c\x03act\x93)R0N.", b"(itrap\nThing\n.",
            b"\x80\x02ccollections\nOrderedDict\n)R}\x8c\x01xctrap\nThing\n)Rsb.", BAD, b"\x80\x02cnumpy\n_core\n."]  # fmt: skip
    for name, save in good.items():
        save(tmp_path / name)
    for number, data in enumerate(evil):
        (tmp_path / f"evil{number}.pkl").write_bytes(data)
    files = [str(tmp_path / name) for name in good] + [
        str(tmp_path / f"evil{number}.pkl") for number in range(len(evil))
    ]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(tmp_path / "lib"), *filter(None, [os.environ.get("PYTHONPATH")])])
    }
    preload = [
        "sklearn.ensemble",
        "sklearn.linear_model",
        "sklearn.pipeline",
        "sklearn.preprocessing",
        "joblib",
        "numpy",
    ]
    done = subprocess.run([sys.executable, "-c", WATCHED, json.dumps(files), json.dumps(preload)], env=environment, cwd=tmp_path,
                          capture_output=True, text=True, check=True, timeout=120)  # fmt: skip
    said, seen = json.loads(done.stdout)
    assert said == ["loaded"] * len(good) + ["refused"] * len(evil)
    assert not (tmp_path / "marker").exists()
    assert [event for event in seen if event[0] != "open"] == []
    opened = {place for kind, place, _ in seen if kind == "open"}
    assert all(
        place in files or place.isdigit() or "/model_file/allow/" in place or "skops_types" in place for place in opened
    ), opened
