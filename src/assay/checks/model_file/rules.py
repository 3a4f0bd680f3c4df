"""Every rule of the model-file scan: stable id, what it decides, what it means and what to do. Ids are never reused.

The verdict of a file is the worst that a rule found in it decides. `docs/reference/rules.md` is made from this table by
`python tools/make_rules_page.py`.
"""

from __future__ import annotations

from typing import NamedTuple

from assay.core.outcomes import Severity, Verdict

_BAD, _UNKNOWN, _UNSURE = Verdict.MALICIOUS, Verdict.UNKNOWN, Verdict.INCONCLUSIVE
_CODE = ("cwe:502", "mitre-atlas:AML.T0011.000", "owasp-ml:ML06:2023", "owasp-llm:LLM04:2026")
_HIDDEN = ("mitre-atlas:AML.T0018.002",)
_SUPPLY = ("mitre-atlas:AML.T0010.003",)
_REFUSE = "do not load this file; ask its author for weights in safetensors or skops"
_SAVE = "save weights as safetensors, or scikit-learn models with skops; or review the name and pass an allow-list with `--lists`"
_AGAIN = "fetch the file again from its author; if it stays so, do not load it"


class Rule(NamedTuple):
    """One rule. `decides` is None for a note, which does not keep a file from being clean."""

    id: str
    title: str
    decides: Verdict | None
    severity: Severity
    remedy: str
    refs: tuple[str, ...] = ()


_ALL = (
    Rule("ASY-PKL-001", "names something that can act on the system", _BAD, Severity.CRITICAL, _REFUSE, _CODE),
    Rule("ASY-PKL-002", "names something that is on no allow-list", _UNKNOWN, Severity.HIGH, _SAVE, _CODE),
    Rule("ASY-PKL-003", "calls a value that is put together while loading", _BAD, Severity.CRITICAL, _REFUSE, _CODE),
    Rule("ASY-PKL-004", "sets the state of a class, function or module", _BAD, Severity.CRITICAL, _REFUSE, _CODE),
    Rule("ASY-PKL-005", "uses a listed name in another role or with other arguments than reviewed", _UNKNOWN, Severity.HIGH, _SAVE, _CODE),
    Rule("ASY-PKL-006", "uses an extension code, which hides a name", _UNKNOWN, Severity.HIGH, _REFUSE, _CODE),
    Rule("ASY-PKL-007", "has a persistent id that is no tensor storage", _UNKNOWN, Severity.HIGH, _SAVE, _CODE),
    Rule("ASY-PKL-008", "the stream breaks off; loaders have run what stands before", _UNSURE, Severity.MEDIUM, _AGAIN, ("cwe:20",)),
    Rule("ASY-PKL-009", "readers of pickles differ in what this stream means", _UNSURE, Severity.MEDIUM, _AGAIN, ("cwe:436",)),
    Rule("ASY-PKL-010", "bytes follow the end of the content", _UNKNOWN, Severity.HIGH, _AGAIN, _HIDDEN),
    Rule("ASY-PKL-011", "imports a name that is put together while loading", _UNKNOWN, Severity.HIGH, _REFUSE, _CODE),
    Rule("ASY-PKL-012", "changes an object whose methods were not reviewed for it", _UNKNOWN, Severity.HIGH, _SAVE, _CODE),
    Rule("ASY-SEQ-001", "is two formats at once", _UNKNOWN, Severity.HIGH, _AGAIN, ("cwe:436", *_HIDDEN)),
    Rule("ASY-SEQ-002", "a hidden stream would run code if it were loaded", _BAD, Severity.CRITICAL, _REFUSE, (*_CODE, *_HIDDEN)),
    Rule("ASY-ZIP-001", "headers of an archive disagree, so readers see different members", _UNKNOWN, Severity.HIGH, _AGAIN, ("cwe:436",)),
    Rule("ASY-ZIP-002", "an archive names a member twice, or names that systems take for one", _UNKNOWN, Severity.HIGH, _AGAIN, ("cwe:436",)),
    Rule("ASY-ZIP-003", "an archive holds bytes of no member", _UNKNOWN, Severity.HIGH, _AGAIN, _HIDDEN),
    Rule("ASY-ZIP-004", "a member's checksum is wrong", _UNSURE, Severity.MEDIUM, _AGAIN, ("cwe:354",)),
    Rule("ASY-ZIP-005", "a member's name leads outside its folder", _BAD, Severity.CRITICAL, "do not unpack this archive", ("cwe:22",)),
    Rule("ASY-ZIP-006", "a link, device or other special member", _UNKNOWN, Severity.HIGH, "do not unpack this archive", ("cwe:59",)),
    Rule("ASY-ZIP-007", "a member cannot be read", _UNSURE, Severity.MEDIUM, _AGAIN),
    Rule("ASY-LIM-001", "a bound was reached before everything was read", _UNSURE, Severity.MEDIUM, "raise the limit, or ask for a smaller file",
        ("cwe:409",)),
    Rule("ASY-LIM-002", "nested deeper or packed tighter than any writer does", _UNKNOWN, Severity.HIGH,
        "do not unpack it; ask its author for the file itself", ("cwe:409", "cwe:674")),
    Rule("ASY-FIL-001", "a file cannot be opened, or is no regular file", _UNSURE, Severity.MEDIUM, "make it readable, or leave it out"),
    Rule("ASY-FIL-002", "a file changed while it was read", _UNSURE, Severity.MEDIUM, "scan it again when nobody writes to it", ("cwe:367",)),
    Rule("ASY-FIL-003", "a file needs more time or memory than it may", _UNSURE, Severity.MEDIUM,
        "raise `--file-seconds` or `--file-megabytes` if you trust its author, or leave it out", ("cwe:400",)),
    Rule("ASY-FIL-004", "a reader failed, which is an error in Assay", _UNSURE, Severity.MEDIUM, "report it, with the file if you may; do not load it"),
    Rule("ASY-FMT-001", "the content breaks its format", _UNSURE, Severity.MEDIUM, _AGAIN, ("cwe:20",)),
    Rule("ASY-FMT-002", "binary of no format that is known", _UNSURE, Severity.MEDIUM, "name its format, or leave the file out"),
    Rule("ASY-FMT-003", "cannot be read without a library or by this version", _UNSURE, Severity.MEDIUM, "install the extra that the finding names"),
    Rule("ASY-FMT-004", "the content has another format than the name says", None, Severity.LOW, "rename the file"),
    Rule("ASY-FMT-005", "tensors overlap, leave a hole or do not fit the file", _UNKNOWN, Severity.HIGH, _AGAIN, ("cwe:20", *_HIDDEN)),
    Rule("ASY-FMT-006", "a format that was not examined", _UNKNOWN, Severity.MEDIUM, "leave the file out, or read it yourself"),
    Rule("ASY-FMT-007", "a field that no writer writes: a key twice, a count beyond any file, an offset behind the end", _UNKNOWN, Severity.HIGH,
        "fetch the file again from its author; if it stays so it was made to break a reader", ("cwe:1284", "cwe:190", "cwe:436")),
    Rule("ASY-COD-001", "code, which a loader may run", _UNKNOWN, Severity.HIGH, "read the code before it is trusted", _SUPPLY),
    Rule("ASY-COD-002", "configuration that makes a loader import code", _UNKNOWN, Severity.HIGH, "load without remote code, or review the code",
        _SUPPLY),
    Rule("ASY-COD-003", "configuration that makes a loader run something", _BAD, Severity.CRITICAL, "do not load this file", _CODE),
    Rule("ASY-COD-004", "code that acts as soon as it is imported", _BAD, Severity.CRITICAL, "do not import this code", _SUPPLY),
    Rule("ASY-TPL-001", "a template that reaches for the inside of objects", _BAD, Severity.CRITICAL, "do not use this template", ("cwe:1336",
        *_CODE[1:2])),
    Rule("ASY-TPL-002", "a template with names that are not listed", _UNKNOWN, Severity.HIGH, "review the template", ("cwe:1336",)),
    Rule("ASY-TPL-003", "a template that cannot be parsed", _UNSURE, Severity.MEDIUM, "ask for a repaired template"),
    Rule("ASY-KER-001", "a Keras layer or name that runs code", _BAD, Severity.CRITICAL, _REFUSE, _CODE),
    Rule("ASY-KER-002", "a Keras class or function that is not listed", _UNKNOWN, Severity.HIGH, "load with `safe_mode=True` after a review", _CODE),
    Rule("ASY-KER-003", "a Keras layer that reads a file or URL while it is built", _UNKNOWN, Severity.HIGH,
        "ask for a model that carries its vocabulary", ("cwe:73", *_SUPPLY)),
    Rule("ASY-HDF-001", "data that lie in another file", _UNKNOWN, Severity.HIGH, "ask for one file that holds its own data", ("cwe:73",)),
    Rule("ASY-GRA-001", "an operator that reads, writes or runs something", _BAD, Severity.CRITICAL, "do not run this graph", _CODE[1:]),
    Rule("ASY-GRA-002", "an operator or domain that is not listed", _UNKNOWN, Severity.HIGH, "review the operator and its library", _CODE[1:]),
    Rule("ASY-GRA-003", "data outside the model's folder", _BAD, Severity.CRITICAL, "do not load this file", ("cwe:22",)),
    Rule("ASY-CRD-001", "a credential in the file or its metadata", _UNKNOWN, Severity.HIGH,
        "revoke it at its issuer, then make the file again without it", ("cwe:798", "mitre-atlas:AML.T0055")),
    Rule("ASY-TRE-001", "a decision tree that its library would walk out of", _BAD, Severity.CRITICAL, _REFUSE, ("cwe:125", "cwe:787")),
    Rule("ASY-TRE-002", "a decision tree that could not be checked", _UNSURE, Severity.MEDIUM, "save the model again with a current library", ("cwe:20",)),
    Rule("ASY-XML-001", "XML with a document type or entities", _UNKNOWN, Severity.HIGH, "remove the document type", ("cwe:611", "cwe:776")),
    Rule("ASY-RDS-001", "an R object that holds code", _UNKNOWN, Severity.HIGH, "ask for data without functions and pointers", _CODE),
    Rule("ASY-RDS-002", "an R object that runs code as soon as it is touched", _BAD, Severity.CRITICAL, _REFUSE, _CODE),
)  # fmt: skip
RULES = {rule.id: rule for rule in _ALL}
