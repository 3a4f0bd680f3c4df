"""Writes files as the libraries of this environment write them; run by `bench/scan.py` in environments of several versions.

How to run: PYTHON bench/scanning/make_benign.py FOLDER SEED
"""

import contextlib
import io
import json
import pickle
import sys
import tarfile
import warnings
import zipfile
from pathlib import Path

warnings.simplefilter("ignore")
folder, seed = Path(sys.argv[1]), int(sys.argv[2])
folder.mkdir(parents=True, exist_ok=True)
versions = {}


def library(*names):
    """Whether all are installed; notes their versions."""
    for name in names:
        try:
            versions[name] = getattr(__import__(name), "__version__", "?")
        except Exception:
            return False
    return True


def arrays():
    import numpy as np

    rng = np.random.default_rng(seed)
    values = {
        "floats": rng.normal(size=(20, 3)),
        "ints": np.arange(7),
        "text": np.array(["a", "bc"]),
        "dates": np.array(["2024-01-01"], "M8[D]"),
        "bools": rng.random(5) > 0.5,
        "objects": np.array([{"a": 1}, None, "x"], object),
        "rec": np.zeros(3, [("a", "i4"), ("b", "U3")]),
        "fortran": np.asfortranarray(rng.normal(size=(4, 5))),
        "scalar": np.float32(1.5),
        "masked": np.ma.array([1, 2], mask=[0, 1]),
        "generator": rng,
        "state": np.random.RandomState(seed),
        "dtype": np.dtype("f4"),
        "empty": np.zeros((0, 3)),
        "complex": np.ones(3, "c16"),
    }
    for name, value in values.items():
        for protocol in (2, 4, 5):
            (folder / f"numpy-{name}-{protocol}.pkl").write_bytes(pickle.dumps(value, protocol))
        if isinstance(value, np.ndarray) and not isinstance(value, np.ma.MaskedArray):
            np.save(folder / f"{name}.npy", value, allow_pickle=True)
    np.savez(folder / "a.npz", **{k: v for k, v in values.items() if isinstance(v, np.ndarray) and v.dtype != object})
    np.savez_compressed(folder / "b.npz", x=values["floats"], y=values["ints"])


def frames():
    import pandas as pd

    frame = pd.DataFrame(
        {
            "a": [1, 2, 3],
            "b": ["x", "y", None],
            "c": pd.date_range("2024-01-01", periods=3),
            "d": pd.Categorical(["u", "v", "u"]),
        }
    )
    frame.to_pickle(folder / "frame.pkl")
    frame.to_pickle(folder / "frame.pkl.gz")
    frame.set_index("c").to_pickle(folder / "indexed.pkl")
    frame["a"].to_pickle(folder / "series.pkl")
    frame.groupby("d", observed=True)["a"].mean().to_pickle(folder / "grouped.pkl")


def estimators():
    import joblib
    from sklearn.datasets import make_classification
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.utils import all_estimators

    X, y = make_classification(60, 6, random_state=seed)
    for number, (name, make) in enumerate(all_estimators()):
        with contextlib.suppress(Exception):
            model = make().fit(abs(X), y)
            if number % 3 == 0:
                model = make_pipeline(StandardScaler(), make()).fit(X, y)
            data = pickle.dumps(model, (2, 4, 5)[number % 3])
            (folder / f"{name}.pkl").write_bytes(data)
            compress = (0, 3, ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3), ("lz4", 3))[number % 7]
            with contextlib.suppress(Exception):
                joblib.dump(model, folder / f"{name}.joblib", compress=compress)


def tensors():
    import torch

    net = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.BatchNorm1d(3))
    optimiser = torch.optim.Adam(net.parameters())
    net(torch.randn(5, 4)).sum().backward()
    optimiser.step()
    checkpoint = {
        "epoch": 3,
        "model": net.state_dict(),
        "optimizer": optimiser.state_dict(),
        "half": torch.ones(3, dtype=torch.bfloat16),
    }
    torch.save(net.state_dict(), folder / "state.pt")
    torch.save(checkpoint, folder / "checkpoint.ckpt")
    torch.save(checkpoint, folder / "legacy.pth", _use_new_zipfile_serialization=False)
    torch.save(net, folder / "whole.pt")
    torch.save(torch.sparse_coo_tensor(torch.tensor([[0, 1]]), torch.ones(2)), folder / "sparse.pt")
    torch.save(torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8), folder / "quantized.pt")
    torch.jit.script(net.eval()).save(str(folder / "script.pt"))
    with contextlib.suppress(Exception):
        torch.export.save(torch.export.export(net.eval(), (torch.randn(2, 4),)), folder / "export.pt2")
    weights = (folder / "state.pt").read_bytes()
    with tarfile.open(folder / "model.nemo", "w:gz") as archive:
        for name, data in {"./model_config.yaml": b"hidden: 4\n", "./model_weights.ckpt": weights}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    with zipfile.ZipFile(folder / "bundle.zip", "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("weights/state.pt", weights)
        bundle.writestr("config.json", json.dumps({"hidden": 4}))


def others():
    import numpy as np

    if library("safetensors"):
        from safetensors.numpy import save_file

        save_file(
            {"w": np.ones((3, 2), "f4"), "b": np.zeros(2, "f2")}, folder / "m.safetensors", metadata={"format": "np"}
        )
    if library("skops", "sklearn"):
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.linear_model import LogisticRegression
        from skops.io import dump

        X, y = np.random.default_rng(seed).normal(size=(40, 3)), np.arange(40) % 2
        for model in (LogisticRegression().fit(X, y), RandomForestClassifier(3).fit(X, y)):
            dump(model, folder / f"{type(model).__name__}.skops")
    if library("onnx"):
        from onnx import TensorProto, helper, save

        x, z = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 2]) for n in "xz")
        graph = helper.make_graph(
            [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Gemm", ["y", "w"], ["z"])],
            "g",
            [x],
            [z],
            [helper.make_tensor("w", TensorProto.FLOAT, [2, 2], [1.0] * 4)],
        )
        save(helper.make_model(graph), folder / "m.onnx")
    if library("h5py"):
        import h5py

        with h5py.File(folder / "weights.h5", "w") as file:
            file.create_dataset("layer/kernel", data=np.ones((3, 4)), compression="gzip")
            file["layer"].attrs["units"] = 4
    if library("gguf"):
        from gguf import GGUFWriter

        writer = GGUFWriter(folder / "m.gguf", "llama")
        writer.add_chat_template("{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}{% endfor %}")
        writer.add_tensor("w", np.ones((4, 4), "f4"))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    if library("lightgbm"):
        import lightgbm

        X, y = np.random.default_rng(seed).normal(size=(80, 3)), np.arange(80) % 2
        model = lightgbm.LGBMClassifier(n_estimators=3, verbose=-1).fit(X, y)
        model.booster_.save_model(folder / "lightgbm.txt")
        (folder / "lightgbm.pkl").write_bytes(pickle.dumps(model))
    if library("xgboost"):
        import xgboost

        X, y = np.random.default_rng(seed).normal(size=(80, 3)), np.arange(80) % 2
        model = xgboost.XGBClassifier(n_estimators=3).fit(X, y)
        for suffix in ("json", "ubj"):
            model.save_model(folder / f"xgboost.{suffix}")
        (folder / "xgboost.pkl").write_bytes(pickle.dumps(model))


for needed, make in (
    ("numpy", arrays),
    ("pandas", frames),
    ("sklearn", estimators),
    ("torch", tensors),
    ("numpy", others),
):
    if library(needed):
        make()
print(json.dumps({"versions": versions, "files": sum(path.is_file() for path in folder.iterdir())}))
