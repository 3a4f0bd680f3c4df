"""Models in ONNX, run by onnxruntime on the CPU: from TorchScript, scikit-learn or any other exporter.

An output with one whole number or text a row is the label; an output with one number a class holds scores or logits. Which of the
two is declared by `interface.output`, or seen from whether the rows of a first answer sum to one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from assay.core.errors import MissingExtra, Refused, Undecided
from assay.predictors.declared import Declared
from assay.predictors.predictor import Capability, Info, Loss, Slope, Trainer, largest, softmax

if TYPE_CHECKING:
    from assay.predictors.predictor import Batch, Floats, Labels

CHUNK_ROWS = 4_096
_NUMBERS = {"tensor(float)": "float32", "tensor(double)": "float64", "tensor(float16)": "float16", "tensor(int64)": "int64",
            "tensor(int32)": "int32", "tensor(uint8)": "uint8", "tensor(string)": "object"}  # fmt: skip


def load_onnx(data: bytes, stated: Declared) -> Onnx:
    """Loads a model whose weights are inside the file.

    Raises:
        Refused: onnxruntime does not load it.
        MissingExtra: onnxruntime is not installed.
        Undecided: it has several inputs, or its classes are not known.
    """
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise MissingExtra("cannot load the model", str(error), "pip install 'assay[onnx]'") from error
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # equal threads give equal sums
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises its own types for broken models
        raise Refused("the model cannot be loaded", str(error).split("\n")[0][:200], "export it again") from error
    return Onnx(session, stated)


class Onnx:
    """A session of onnxruntime as a `Model`."""

    def __init__(self, session: Any, stated: Declared) -> None:  # Any: onnxruntime has no types
        inputs = session.get_inputs()
        if len(inputs) != 1 or inputs[0].type not in _NUMBERS:
            why = f"it has {len(inputs)} inputs: {', '.join(f'{one.name} {one.type}' for one in inputs[:5])}"
            raise Undecided("the model cannot be evaluated", why, "export it with one input of numbers")
        self._session, self._input, self._stated = session, inputs[0], stated
        self._outputs = [output.name for output in session.get_outputs()]
        first = self._run(self._zeros())
        self._wide = next((place for place, found in enumerate(first) if _width(found) > 1), None)
        self._label = next((place for place, found in enumerate(first) if _is_label(found)), None)
        classes = stated.classes or (tuple(range(_width(first[self._wide]))) if self._wide is not None else None)
        if classes is None and not stated.task == "regression":
            raise Undecided(
                "the classes of the model are not known", "it answers with labels only", "declare `classes`"
            )
        self._info = stated.info(classes or ())
        self._gives_scores = self._wide is not None and self._are_scores(first[self._wide])

    @property
    def info(self) -> Info:
        """What it is."""
        return self._info

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Labels; scores, and logits where that is what it answers with."""
        if self._info.is_regression:
            return frozenset({Capability.VALUES})
        known = {Capability.LABELS}
        known |= {Capability.SCORES} if self._wide is not None else set()
        known |= {Capability.LOGITS} if self._wide is not None and not self._gives_scores else set()
        return frozenset(known)

    def ask(self, wanted: Capability, batch: Batch) -> Any:  # Any: checked by `Predictor`
        """What the session answers."""
        import numpy as np

        parts = [self._run(batch[start : start + CHUNK_ROWS]) for start in range(0, len(batch), CHUNK_ROWS)]
        outputs = [np.concatenate([part[place] for part in parts]) for place in range(len(parts[0]))]
        if wanted is Capability.VALUES:
            values = outputs[0].reshape(len(batch), -1)
            return values[:, 0] if values.shape[1] == 1 else values
        if wanted is Capability.LABELS and self._label is not None:
            places = {_spelled(value): place for place, value in enumerate(self._info.classes)}
            return [places.get(_spelled(value), -1) for value in outputs[self._label].ravel().tolist()]
        assert self._wide is not None  # the capabilities say so
        wide = outputs[self._wide].reshape(len(batch), -1).astype(np.float64)
        if wanted is Capability.LABELS:
            return largest(wide, len(self._info.classes))
        return wide if wanted is Capability.LOGITS or self._gives_scores else softmax(wide)

    def slope(self, batch: Batch, target: Labels, loss: Loss) -> Slope:
        """onnxruntime computes no gradients."""
        raise Undecided("the model gives no gradients", "onnxruntime computes none", reason="capability")

    def trainer(self) -> Trainer:
        """A graph does not say how it was trained."""
        raise Undecided("the model cannot be trained again", "a graph is no recipe", reason="capability")

    def _run(self, batch: Batch) -> Sequence[Any]:  # Any: arrays, or maps of class to probability
        import numpy as np

        dtype = _NUMBERS[self._input.type]
        shape = tuple(self._stated.interface.get("shape") or ())
        try:
            rows = np.asarray(batch).reshape(len(batch), *(shape or (-1,))).astype(dtype)
            found = self._session.run(self._outputs, {self._input.name: rows})
        except Exception as error:  # onnxruntime raises its own types
            why = str(error).strip().split("\n")[-1][:200]
            raise Undecided("the model refuses the rows", why, "compare `shape` and the declared features") from error
        return [_matrix(one, self._stated.classes) for one in found]

    def _zeros(self) -> Batch:
        """One row of zeros, as wide as the model or the declaration says."""
        import numpy as np

        shape = self._stated.interface.get("shape") or [size for size in self._input.shape[1:] if isinstance(size, int)]
        width = int(np.prod(shape)) if shape else len(self._stated.features)
        if not width:
            raise Undecided("the model does not say how wide a row is", "its input has no fixed size",
                            "declare `features`, or `shape` in `interface`")  # fmt: skip
        row = np.zeros((1, width))
        return row.astype(object).astype(str).astype(object) if self._input.type == "tensor(string)" else row

    def _are_scores(self, first: Floats) -> bool:
        stated = self._stated.interface.get("output")
        if stated is not None:
            return bool(stated == "scores")
        row = first.reshape(1, -1)
        return bool((row >= 0).all() and abs(row.sum() - 1) < 1e-3)


def _matrix(found: Any, classes: Sequence[Any] | None) -> Any:
    """An output as an array; a list of maps from class to probability becomes one column a class."""
    import numpy as np

    if isinstance(found, list) and found and isinstance(found[0], dict):
        keys = list(classes) if classes else list(found[0])
        return np.array([[row.get(key, 0.0) for key in keys] for row in found])
    return np.asarray(found)


def _width(found: Any) -> int:
    return int(found.shape[-1]) if found.ndim > 1 and found.dtype.kind == "f" else 0


def _is_label(found: Any) -> bool:
    return bool(found.size == 1 and found.dtype.kind in "iuOUS")


def _spelled(value: Any) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return text.removesuffix(".0")
