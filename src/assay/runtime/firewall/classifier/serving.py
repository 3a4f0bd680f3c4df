"""What runs in the worker: loads `model.onnx` and `tokenizer.json` of a folder, then answers text by text.

The folder is named by the digest of both files, so nobody swaps the model below a policy. The model takes `input_ids` and what
else it asks for of `attention_mask` and `token_type_ids`, and gives one logit, or two of which the second is for attacks.
Long texts are cut into windows; the highest score counts.
"""

from __future__ import annotations

import math
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from assay.core.digests import digest_of, sha256

FILES = ("model.onnx", "tokenizer.json")
TOKENS, STRIDE, MAX_WINDOWS = 128, 96, 64


def digest_of_folder(folder: Path) -> str:
    """The digest by which a policy names a classifier: that of {file: sha256} in canonical JSON."""
    return digest_of({name: sha256((folder / name).read_bytes()) for name in FILES})


def serve(pipe: Connection, folder: str, wanted: str) -> None:
    """Sends (True, "") when it is ready and (True, score) for each text, or (False, why) and ends."""
    try:
        scorer = _Scorer(Path(folder), wanted)
        pipe.send((True, ""))
        while True:
            pipe.send((True, scorer.score(pipe.recv())))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        return
    except Exception as error:  # noqa: BLE001 - the process ends here, and the other side must learn why
        pipe.send((False, f"{type(error).__name__}: {error}"[:300]))


class _Scorer:
    """The loaded classifier. Its libraries have no types, so they are Any."""

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
        self._tokenizer: Any = Tokenizer.from_file(str(folder / FILES[1]))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(TOKENS, stride=TOKENS - STRIDE)

    def score(self, text: str) -> float:
        whole = self._tokenizer.encode(text.encode("utf-8", "replace").decode())
        windows = [whole, *whole.overflowing]
        if len(windows) > MAX_WINDOWS:
            raise ValueError(f"more than {MAX_WINDOWS} windows")
        return max(self._one(window) for window in windows)

    def _one(self, window: Any) -> float:
        import numpy as np

        given = {"input_ids": window.ids, "attention_mask": window.attention_mask, "token_type_ids": window.type_ids}
        fed = {name: np.array([values], dtype=np.int64) for name, values in given.items() if name in self._inputs}
        logits = [float(x) for x in np.asarray(self._session.run(None, fed)[0]).reshape(-1)]
        logit = logits[0] if len(logits) == 1 else logits[1] - logits[0]
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, logit))))
