"""What the source of a code tree does that should not pass review: unsafe loading, hidden characters, piped downloads.

One verdict a file, for the question of this check alone:

- Python files and notebooks are parsed, never run. Clean: parsed whole and no problem of high severity. Unknown: a problem of high
  severity, which proves a risk but no intent. Malicious: text that is decoded or downloaded and then run. Inconclusive: not parsed.
- Other text is clean as `text` once all of it was searched for hidden characters (shell also for piped downloads). What is written
  in other programming languages bears the language as its format, and one skip a language says that its meaning was not looked
  at: an ordinary repository holds some of it, and a gate that wants none can ask for no skips.
- Pictures walked to their last byte are clean; all other binary data are inconclusive, with a skip, as code trees should
  not hold what cannot be reviewed. Models in a code tree belong in an asset of kind model, whose checks read them.

Severities below high are told and leave the verdict alone. Credentials are another question: see `code.secrets`.
`docs/reference/rules-code.md` lists the rules and their sources.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from assay.checks.file_by_file import Looked, file_by_file
from assay.core.assets import Asset, Kind
from assay.core.checks import Context, Family, check
from assay.core.outcomes import FileVerdict, Outcome, Skipped, Verdict

MAX_FILE_BYTES = 64 << 20
_READ = ("python", "notebook", "text", "binary", "png", "jpeg", "gif", "webp", "")


@check("code.source", kinds={Kind.CODE}, version=1, family=Family.SCAN,
       maps_to=("mitre-atlas:AML.T0011.000", "mitre-atlas:AML.T0010.001", "owasp-ml:ML06:2023", "owasp-llm:LLM04:2026"))  # fmt: skip
def source(asset: Asset, context: Context) -> Iterator[Outcome]:
    """Source that loads models unsafely, runs text or downloads as code, or hides characters.

    Yields a verdict for every file, a finding for every problem up to 800, and a skip for what was not looked at.

    Limits: names are followed within a file, not through other files or what is built at run time.
    """
    languages = Counter[str]()
    for outcome in file_by_file(asset, context, _look, max_bytes=MAX_FILE_BYTES):
        if isinstance(outcome, FileVerdict) and outcome.verdict is Verdict.CLEAN and outcome.format not in _READ:
            languages[outcome.format] += 1
        yield outcome
    for language, count in sorted(languages.items()):
        yield Skipped(
            f"{count} files in {language}", "searched for hidden characters only; what the code does was not looked at"
        )


def _look(data: bytes, path: str) -> Looked:
    # Imported where a file is looked at: compiling its tables takes 50 ms, and listing all checks stays instant.
    from assay.formats.code.judge import judged_code

    found = judged_code(data, path)
    return Looked(found.format, found.verdict, found.findings(path), found.reason)
