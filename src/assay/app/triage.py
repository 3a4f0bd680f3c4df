"""`assay vex`: somebody signs what a VEX document says of the vulnerabilities in an asset's packages."""

from __future__ import annotations

from pathlib import Path

from assay.app.register import subject_of
from assay.app.workspace import Workspace
from assay.core.canonical import Json, parse
from assay.core.errors import UsageError
from assay.core.statements import Statement
from assay.evidence.envelope import sign
from assay.evidence.keys import Signer
from assay.evidence.ledger import Item, Receipt
from assay.formats.dependencies.vex import VEX_TYPE, openvex_of
from assay.registry.queries import Version

MAX_BYTES = 4 << 20


def read_vex(path: Path) -> Json:
    """The OpenVEX form of a document in OpenVEX or CycloneDX.

    Raises:
        UsageError: it cannot be read.
        MalformedInput: it is no VEX document, or says something that cannot be used.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}", str(error), "check the path") from error
    return openvex_of(parse(data, what=path.name, max_bytes=MAX_BYTES), path.name)


def sign_vex(workspace: Workspace, version: Version, document: Json, signer: Signer) -> Receipt:
    """Logs a VEX document about an asset; it settles what it says for matches and gates from now on."""
    return workspace.log([Item.of(sign(Statement((subject_of(version),), VEX_TYPE, document), signer))])[0]
