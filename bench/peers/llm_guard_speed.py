"""CPU time of LLM Guard's input scanners that run offline, in its own environment; texts as a JSON list in the first argument."""

import json
import logging
import sys
import time

import structlog
from llm_guard import input_scanners as scanners
from llm_guard import scan_prompt

logging.disable(logging.CRITICAL)
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))

PATTERNS = [r"\b\d{3}-\d{2}-\d{4}\b", r"[\w.+-]+@[\w-]+\.[\w.]+", r"\b(?:\d[ -]?){13,16}\b"]
made = [
    scanners.InvisibleText(),
    scanners.BanSubstrings(substrings=["ignore previous", "system prompt"]),
    scanners.Regex(patterns=PATTERNS),
    scanners.Secrets(),
]
took = []
for text in json.loads(sys.argv[1]):
    start = time.thread_time_ns()
    scan_prompt(made, text)
    took.append((time.thread_time_ns() - start) / 1000)
took.sort()
print(json.dumps({"p50_us": took[len(took) // 2], "p99_us": took[int(len(took) * 0.99)]}))
