"""CPU time of LLM Guard's input scanners that run offline, in an environment of its own.

The first line on standard output says how long the import took, and why scanners that need a model did not start. Then each line
on standard input is a JSON list of texts, and the answer gives for each scanner, and for the pipeline of all, the median and
the 99th percentile of the CPU microseconds of a text, and how many texts a CPU second scans.
"""

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence

os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "TIKTOKEN_CACHE_DIR": "/nonexistent",
    "NO_PROXY": "*",
}
begun = time.process_time()

import structlog  # noqa: E402 - the time of these imports is measured
from llm_guard import input_scanners, scan_prompt  # noqa: E402

IMPORT_S = time.process_time() - begun
PATTERNS = [r"\b\d{3}-\d{2}-\d{4}\b", r"[\w.+-]+@[\w-]+\.[\w.]+", r"\b(?:\d[ -]?){13,16}\b"]


def main() -> None:
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    scanners = {
        "InvisibleText": input_scanners.InvisibleText(),
        "BanSubstrings": input_scanners.BanSubstrings(substrings=["ignore previous", "system prompt"]),
        "Regex": input_scanners.Regex(patterns=PATTERNS),
        "Secrets": input_scanners.Secrets(),
    }
    print(json.dumps({"import_s": IMPORT_S, "refused": refused("PromptInjection", "Toxicity")}), flush=True)
    for line in sys.stdin:
        texts = json.loads(line)
        found = {name: timed(scanner.scan, texts) for name, scanner in scanners.items()}
        found["pipeline"] = timed(lambda text: scan_prompt(list(scanners.values()), text), texts)
        print(json.dumps(found), flush=True)


def refused(*names: str) -> dict[str, str]:
    """Why a scanner cannot be made without a network; one that can is left out."""
    reasons = {}
    for name in names:
        try:
            getattr(input_scanners, name)()
        except Exception as error:  # whatever it raises is the answer
            reasons[name] = f"{type(error).__name__}: {error}".splitlines()[0][:160]
    return reasons


def timed(scan: Callable[[str], object], texts: Sequence[str]) -> dict[str, float]:
    took = []
    for text in texts:
        start = time.thread_time_ns()
        scan(text)
        took.append((time.thread_time_ns() - start) / 1000)
    took.sort()
    return {"p50_us": took[len(took) // 2], "p99_us": took[int(len(took) * 0.99)], "per_s": 1e6 * len(took) / sum(took)}


if __name__ == "__main__":
    main()
