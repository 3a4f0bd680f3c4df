"""What serving configuration lets happen: open servers, remote code, rights of the host, images and tools that change.

One verdict a file, for the question of this check alone. Known kinds: Dockerfiles, Compose, Kubernetes and KServe manifests, TorchServe
properties, Jupyter settings, Triton model configuration, MCP tool lists, shell scripts, units and environment files.

- Clean: of a known kind, read whole, every version and image name understood, and no problem of high severity.
- Unknown: a problem of high severity. It proves a risk, and no intent.
- Inconclusive, with a skip: a configuration of no known kind, one that breaks its syntax or a bound (YAML bombs), an image name with a
  variable in it, or a listed server in a version that is not understood. What was not understood may be the open door.
- Prose and pictures are data: clean once searched for hidden characters, or walked to their end.

Known vulnerabilities come from a small dated list in the package, `formats/configuration/known_vulnerable.json`; it is no advisory database.
"""

from __future__ import annotations

from collections.abc import Iterator

from assay.core.assets import Asset, Kind
from assay.core.checks import Context, Family, check
from assay.core.outcomes import FileVerdict, Outcome, Progress, Skipped
from assay.formats.code.facts import Judged, judged

MAX_FINDINGS = 800
MAX_SKIPS = 25
MAX_FILE_BYTES = 16 << 20


@check("infrastructure.settings", kinds={Kind.INFRASTRUCTURE}, version=1, family=Family.SCAN,
       maps_to=("mitre-atlas:AML.T0049", "mitre-atlas:AML.T0010.004", "mitre-atlas:AML.T0010.005", "owasp-llm:LLM04:2026", "owasp-agentic:ASI04"))  # fmt: skip
def settings(asset: Asset, context: Context) -> Iterator[Outcome]:
    """Serving configuration that is open, over-privileged, unpinned or known to be vulnerable.

    Yields a verdict for every file, a finding for every problem up to 800, and a skip for what was not understood.
    """
    entries = asset.manifest.entries
    told = skipped = 0
    for number, entry in enumerate(entries):
        yield Progress(number, len(entries), entry.path)
        found = _look(asset, context, entry.path, entry.size)
        for problem in found.problems:
            told += 1
            if told <= MAX_FINDINGS:
                yield problem.finding(entry.path)
        if found.reason and (skipped := skipped + 1) <= MAX_SKIPS:
            yield Skipped(entry.path, found.reason)
        yield FileVerdict(entry.path, entry.sha256, found.format, found.verdict)
    if told > MAX_FINDINGS:
        yield Skipped(
            f"{told - MAX_FINDINGS} findings", f"only the first {MAX_FINDINGS} are listed; every verdict counts"
        )
    if skipped > MAX_SKIPS:
        yield Skipped(f"{skipped - MAX_SKIPS} more files", "were not understood; their verdicts say inconclusive")
    yield Progress(len(entries), len(entries), "done")


def _look(asset: Asset, context: Context, path: str, size: int) -> Judged:
    if size > MAX_FILE_BYTES:
        return judged("binary", (), f"larger than {MAX_FILE_BYTES} bytes")
    # Imported where a file is looked at: compiling its tables takes 50 ms, and listing all checks stays instant.
    from assay.formats.configuration.judge import judged_configuration

    with context.open(asset, path) as handle:
        return judged_configuration(handle.read(size), path)
