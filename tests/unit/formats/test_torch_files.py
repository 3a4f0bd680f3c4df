"""Files that torch writes are clean in every layout; the same files with a payload are refused."""

from __future__ import annotations

import io
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from assay.checks.model_file.judge import judge
from assay.checks.model_file.judgement import Judgement
from assay.core.outcomes import Verdict
from assay.formats.reading import read_facts

torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch")
SHELL = b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R."


def judged(path: Path, data: bytes | None = None) -> Judgement:
    return judge(read_facts(path.read_bytes() if data is None else data, path.name))


def network() -> object:
    return torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.LayerNorm(3)).eval()


def state(folder: Path) -> None:
    torch.save(network().state_dict(), folder / "m.pt")


def legacy(folder: Path) -> None:
    torch.save(network().state_dict(), folder / "m.pt", _use_new_zipfile_serialization=False)


def whole(folder: Path) -> None:
    torch.save(network(), folder / "m.pt")


def scripted(folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(network()).save(str(folder / "m.pt"))


def exported(folder: Path) -> None:
    torch.export.save(torch.export.export(network(), (torch.zeros(1, 4),)), folder / "m.pt2")


def packaged(folder: Path) -> None:
    from torch.package import PackageExporter

    with PackageExporter(str(folder / "m.pt")) as exporter:
        exporter.extern("torch.**")
        exporter.save_pickle("model", "m.pkl", network())


def distributed(folder: Path) -> None:
    import torch.distributed.checkpoint as checkpoint

    model = network()
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(2, 4)).sum().backward()
    optimizer.step()
    parts = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": 5}
    checkpoint.save(parts, checkpoint_id=folder, no_dist=True)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("save", [state, legacy, whole, scripted, exported, packaged, distributed])
def test_a_file_of_torch_is_clean(save: Callable[[Path], None], tmp_path: Path) -> None:
    save(tmp_path)
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert files and {path.name: judged(path).problems for path in files} == {path.name: () for path in files}


def replaced(data: bytes, name: str, content: bytes) -> bytes:
    """An archive whose first member that ends like `name` has other content."""
    buffer, done = io.BytesIO(), False
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        for info in old.infolist():
            hit = info.filename.endswith(name) and not done
            done = done or hit
            new.writestr(info.filename, content if hit else old.read(info))
    assert done
    return buffer.getvalue()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("save", "name"),
    [(state, "data.pkl"), (scripted, "constants.pkl"), (scripted, "data.pkl"), (packaged, "m.pkl"), (exported, "weights_config.json")],
)  # fmt: skip
def test_a_payload_in_a_member_is_refused(save: Callable[[Path], None], name: str, tmp_path: Path) -> None:
    save(tmp_path)
    path = next(tmp_path.iterdir())
    assert judged(path, replaced(path.read_bytes(), name, SHELL)).verdict is Verdict.MALICIOUS


@pytest.mark.filterwarnings("ignore")
def test_a_payload_in_any_part_of_a_distributed_checkpoint_is_refused(tmp_path: Path) -> None:
    distributed(tmp_path)
    part = next(tmp_path.glob("*.distcp"))
    data = part.read_bytes()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", SHELL)
    assert judged(part, buffer.getvalue() + data).verdict is Verdict.MALICIOUS
    assert judged(part, data + buffer.getvalue()).verdict is Verdict.MALICIOUS
    assert judged(part, data + SHELL).verdict is not Verdict.CLEAN
    assert judged(tmp_path / ".metadata", SHELL).verdict is Verdict.MALICIOUS


def test_a_payload_in_a_legacy_file_is_refused(tmp_path: Path) -> None:
    legacy(tmp_path)
    data = (tmp_path / "m.pt").read_bytes()
    head = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({"little_endian": True}, 2)
    assert judged(tmp_path / "m.pt", head + SHELL).verdict is Verdict.MALICIOUS
    assert judged(tmp_path / "m.pt", data + SHELL).verdict is not Verdict.CLEAN
