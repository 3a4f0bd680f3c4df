"""Models behind HTTP: servers that speak the KServe protocols (v1 and v2) or MLflow's, and chat models with the OpenAI interface.

    interface: {url: "http://scorer:8080/v1/models/scorer:predict", format: kserve-v1, output: scores, classes: [no, yes]}
    interface: {url: "http://llm:8000/v1", model: small, classes: [negative, positive], input: text, key_env: LLM_KEY,
                prompt: "Is this review negative or positive? Answer with one word.\\n\\n{{text}}"}

Every answer is remembered, since each may cost money and time. Sources: KServe, "Open inference protocol" (v1, v2); MLflow, "Deploy
MLflow model as a local inference server" (`/invocations`); OpenAI, "Chat completions".
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from assay.core.canonical import Json
from assay.core.errors import Undecided, UsageError
from assay.predictors.declared import Declared
from assay.predictors.http_client import ask, endpoint
from assay.predictors.predictor import Capability, Info, Loss, Slope, Trainer, largest

if TYPE_CHECKING:
    from assay.predictors.predictor import Batch, Labels

ROWS_A_REQUEST = 256
AT_ONCE = 8
ANSWER_TOKENS = 16
SLOT = "{{text}}"
FORMATS = ("kserve-v1", "kserve-v2", "mlflow")


class _Remote:
    """What all models behind HTTP share: classes that are declared, no gradients, no recipe."""

    def __init__(self, stated: Declared) -> None:
        if stated.classes is None and stated.task != "regression":
            raise Undecided("the classes of the model are not known", "a server does not say them",
                            "declare `classes` in `interface`")  # fmt: skip
        self._stated = stated
        self._info = stated.info(stated.classes or ())

    @property
    def info(self) -> Info:
        """What it is."""
        return self._info

    def slope(self, batch: Batch, target: Labels, loss: Loss) -> Slope:
        """A server shows no gradients."""
        raise Undecided("the model gives no gradients", "a server shows none", reason="capability")

    def trainer(self) -> Trainer:
        """A server does not say how its model was made."""
        raise Undecided("the model cannot be trained again", "a server is no recipe", reason="capability")

    def places(self, answers: list[Any]) -> list[int]:
        """Answers as places among the classes; -1 for what is none of them."""
        known = {str(value).casefold(): place for place, value in enumerate(self._info.classes)}
        return [known.get(str(answer).strip().casefold().removesuffix(".0"), -1) for answer in answers]


class HttpModel(_Remote):
    """A prediction server as a `Model`."""

    def __init__(self, stated: Declared) -> None:
        super().__init__(stated)
        self._format = str(stated.interface.get("format", FORMATS[0]))
        if self._format not in FORMATS:
            raise UsageError(f"there is no format {self._format!r:.60}", f"there are {', '.join(FORMATS)}")
        self._where = endpoint(stated)
        self._gives_scores = stated.interface.get("output") == "scores"

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Values, or labels, with scores where `output` says so."""
        if self._info.is_regression:
            return frozenset({Capability.VALUES})
        return frozenset({Capability.LABELS, Capability.SCORES} if self._gives_scores else {Capability.LABELS})

    def ask(self, wanted: Capability, batch: Batch) -> Any:  # Any: checked by `Predictor`
        """What the server answers, a few hundred rows a request."""
        import numpy as np

        parts = [self._asked(batch[start : start + ROWS_A_REQUEST]) for start in range(0, len(batch), ROWS_A_REQUEST)]
        found = [answer for part in parts for answer in part]
        if wanted is not Capability.LABELS:
            return np.asarray(found, np.float64).reshape(len(batch), -1) if wanted is Capability.SCORES else found
        return (
            largest(np.asarray(found, np.float64), len(self.info.classes)) if self._gives_scores else self.places(found)
        )

    def _asked(self, batch: Batch) -> list[Any]:
        shape = tuple(self._stated.interface.get("shape") or ())
        rows = batch.reshape(len(batch), *(shape or (-1,))).tolist()
        answer = ask(self._where, self._question(batch, rows))
        found = self._read(answer, len(batch))
        if not isinstance(found, list) or len(found) != len(batch):
            raise Undecided("the model's answer cannot be read", f"no list of {len(batch)} answers")
        return found

    def _question(self, batch: Batch, rows: list[Any]) -> Json:
        if self._format == "kserve-v1":
            return {"instances": rows}
        if self._format == "mlflow":
            return {"inputs": rows}
        kind = "BYTES" if batch.dtype.kind == "O" else "FP64"
        return {
            "inputs": [{"name": "input", "shape": [len(rows), *_sizes(rows[0])], "datatype": kind, "data": _flat(rows)}]
        }

    def _read(self, answer: Json, count: int) -> Any:
        if not isinstance(answer, dict):
            return None
        if self._format != "kserve-v2":
            return answer.get("predictions")
        outputs = answer.get("outputs")
        data = (
            outputs[0].get("data") if isinstance(outputs, list) and outputs and isinstance(outputs[0], dict) else None
        )
        if not isinstance(data, list) or not count or len(data) % count:
            return None
        width = len(data) // count
        return data if width == 1 else [data[start : start + width] for start in range(0, len(data), width)]


class ChatModel(_Remote):
    """A chat model with the OpenAI interface as a classifier of texts: the answer has to be the name of a class."""

    def __init__(self, stated: Declared) -> None:
        super().__init__(stated)
        self._prompt = str(stated.interface.get("prompt", ""))
        if self._prompt.count(SLOT) != 1:
            raise UsageError("the model has no usable `prompt`", f"it has to hold {SLOT} once, where the text goes")
        self._where = endpoint(stated, "/chat/completions")

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Labels."""
        return frozenset({Capability.LABELS})

    def ask(self, wanted: Capability, batch: Batch) -> Any:  # Any: checked by `Predictor`
        """One question a text, several at a time, in the order of the texts."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return self.places(list(pool.map(self._said, [str(text) for (text, *_) in batch.tolist()])))

    def _said(self, text: str) -> str:
        question: Json = {
            "messages": [{"role": "user", "content": self._prompt.replace(SLOT, text)}], "temperature": 0,
            "max_tokens": ANSWER_TOKENS, "seed": 0, **({"model": self._stated.interface["model"]} if "model" in self._stated.interface else {}),
        }  # fmt: skip
        answer = ask(self._where, question)
        try:
            said = answer["choices"][0]["message"]["content"]
        except (KeyError, IndexError, TypeError) as error:
            raise Undecided("the model's answer cannot be read", "it has no choices[0].message.content") from error
        return str(said).strip().strip(".!\"'*`").strip()


def _sizes(row: Any) -> list[int]:
    return [len(row), *_sizes(row[0])] if isinstance(row, list) and row else []


def _flat(rows: Any) -> list[Any]:
    return [item for row in rows for item in _flat(row)] if isinstance(rows, list) else [rows]
