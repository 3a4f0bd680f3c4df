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

from assay.checks.file_by_file import Looked, file_by_file
from assay.core.assets import Asset, Kind
from assay.core.checks import Context, Family, check
from assay.core.outcomes import Outcome

MAX_FILE_BYTES = 16 << 20


@check("infrastructure.settings", kinds={Kind.INFRASTRUCTURE}, version=1, family=Family.SCAN,
       maps_to=("mitre-atlas:AML.T0049", "mitre-atlas:AML.T0010.004", "mitre-atlas:AML.T0010.005", "owasp-llm:LLM04:2026", "owasp-agentic:ASI04"))  # fmt: skip
def settings(asset: Asset, context: Context) -> Iterator[Outcome]:
    """Serving configuration that is open, over-privileged, unpinned or known to be vulnerable.

    Yields a verdict for every file, a finding for every problem up to 800, and a skip for what was not understood.

    Limits: reads files, so what is set at start-up, by an operator or in a cluster is not seen. Source: the advisories
    and hardening guides that each rule names.
    """
    yield from file_by_file(asset, context, _look, max_bytes=MAX_FILE_BYTES)


def _look(data: bytes, path: str) -> Looked:
    # Imported where a file is looked at: compiling its tables takes 50 ms, and listing all checks stays instant.
    from assay.formats.configuration.judge import judged_configuration

    found = judged_configuration(data, path)
    return Looked(found.format, found.verdict, found.findings(path), found.reason)
