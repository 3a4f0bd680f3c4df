"""What runs in the worker: loads `model.onnx` and `tokenizer.json` of a folder, then answers text by text.

The folder is named by the digest of both files, so nobody swaps the model below a policy. The model takes `input_ids` and what
else it asks for of `attention_mask` and `token_type_ids`. It gives one logit, or two of which the second is for attacks; or
one for each purpose, in outputs named `prompts` and `documents`. Such a model reads folded text, any other one the text as it
came. Long texts are cut into windows that overlap; the highest logit counts, less the threshold that the metadata of the
model has for texts of as many windows (`thresholds`: {purpose: one a bucket}), since more windows have more chances. What the
linear model said before counts too where the metadata say how much (`light`: its log odds times this are added; 0 if not said).
"""

from __future__ import annotations

import json
import math
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assay.core.digests import digest_of, sha256
from assay.formats.text.fold import folded
from assay.runtime.firewall.classifier.wire import receive, send

FILES = ("model.onnx", "tokenizer.json")
PURPOSES = ("prompts", "documents")
TOKENS, STRIDE, MAX_WINDOWS = 64, 48, 64
BUCKETS = (1, 2, 4, 16)  # windows of texts that share a threshold: 1, 2, up to 4, up to 16, and more


class Refused(Exception):
    """The text cannot be scored whole; the argument says why."""


def digest_of_folder(folder: Path) -> str:
    """The digest by which a policy names a classifier: that of {file: sha256} in canonical JSON."""
    return digest_of({name: sha256((folder / name).read_bytes()) for name in FILES})


def bucket_of(windows: int) -> int:
    """Which threshold is meant for a text of so many windows."""
    return next((i for i, most in enumerate(BUCKETS) if windows <= most), len(BUCKETS))


def log_odds(score: float) -> float:
    """How far a score in 0..1 is from undecided, at most 15 either way."""
    return max(-15.0, min(15.0, math.log(max(score, 1e-9) / max(1 - score, 1e-9))))


def windows_of(tokenizer: Any, text: str) -> list[Any]:
    """The encodings of the windows of a text, each of at most `TOKENS` tokens; the last is as short as what is left."""
    tokenizer.no_padding()
    tokenizer.enable_truncation(TOKENS, stride=TOKENS - STRIDE)
    whole = tokenizer.encode(text)
    return [whole, *whole.overflowing]


def serve(descriptor: int, folder: str, wanted: str) -> None:
    """Answers over the socket until its other end is closed; the first message says whether the classifier is loaded."""
    pipe = socket.socket(fileno=descriptor)
    try:
        scorer = Scorer(Path(folder), wanted)
        send(pipe, {"score": 0.0})
        while True:
            asked = receive(pipe)
            try:
                send(pipe, {"score": scorer.score(asked["text"], asked["purpose"], asked["light"])})
            except Refused as refused:
                send(pipe, {"why": str(refused)})
    except (EOFError, BrokenPipeError, ConnectionResetError, KeyboardInterrupt):
        return
    except Exception as error:  # noqa: BLE001 - the process ends here, and the other side must learn why
        send(pipe, {"why": f"{type(error).__name__}: {error}"[:300], "is_over": True})


class Scorer:
    """A loaded classifier. Its libraries have no types, so they are Any."""

    def __init__(self, folder: Path, wanted: str) -> None:
        if (found := digest_of_folder(folder)) != wanted:
            raise ValueError(f"the classifier has digest {found}, the policy names {wanted}")
        try:
            import onnxruntime
            from tokenizers import Tokenizer
        except ImportError as error:
            raise ValueError("onnxruntime is not installed: pip install 'assay[onnx]'") from error
        chosen = onnxruntime.SessionOptions()
        chosen.intra_op_num_threads = 1
        self._session: Any = onnxruntime.InferenceSession(
            str(folder / FILES[0]), chosen, providers=["CPUExecutionProvider"]
        )
        self._inputs = {item.name for item in self._session.get_inputs()}
        self._purposes = {item.name for item in self._session.get_outputs()} & set(PURPOSES)
        said = self._session.get_modelmeta().custom_metadata_map
        self._thresholds: dict[str, Sequence[float]] = json.loads(said.get("thresholds", "{}"))
        self._share = float(json.loads(said.get("light", "0")))
        self._tokenizer: Any = Tokenizer.from_file(str(folder / FILES[1]))

    def score(self, text: str, purpose: str, light: float = 0.5) -> float:
        """The score in 0..1, 0.5 at the threshold. `light` is that of the linear model; 0.5 says nothing either way.

        Raises:
            Refused: the text has too many windows.
        """
        logit, windows = self.logit(text, purpose)
        if purpose in self._thresholds:
            logit -= self._thresholds[purpose][bucket_of(windows)]
        if self._share:
            logit += self._share * log_odds(light)
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, logit))))

    def logit(self, text: str, purpose: str) -> tuple[float, int]:
        """The highest logit of the windows, and how many there are.

        Raises:
            Refused: there are too many.
        """
        windows = windows_of(self._tokenizer, folded(text) if self._purposes else text)
        if len(windows) > MAX_WINDOWS:
            raise Refused(f"more than {MAX_WINDOWS} windows of {TOKENS} tokens")
        return max(self._one(window, purpose) for window in windows), len(windows)

    def _one(self, window: Any, purpose: str) -> float:
        import numpy as np

        given = {"input_ids": window.ids, "attention_mask": window.attention_mask, "token_type_ids": window.type_ids}
        fed = {name: np.array([values], dtype=np.int64) for name, values in given.items() if name in self._inputs}
        wanted = [purpose] if purpose in self._purposes else None
        logits = [float(x) for x in np.asarray(self._session.run(wanted, fed)[0]).reshape(-1)]
        return logits[0] if len(logits) == 1 else logits[1] - logits[0]
