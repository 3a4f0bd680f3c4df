"""The provenances that bodies of model APIs distinguish, as shapes; only the operator is trusted."""

from __future__ import annotations

from typing import Final

from assay.runtime.firewall.values import Role, Source
from assay.runtime.gateway.shapes import Either, Free, Text, Tokens

OPERATOR: Final = Text(Role.SYSTEM, Source.OPERATOR)
USER: Final = Text(Role.USER, Source.USER)
DOCUMENT: Final = Text(Role.USER, Source.DOCUMENT)
TOOL: Final = Text(Role.TOOL, Source.TOOL)
OUTPUT: Final = Text(Role.ASSISTANT, Source.OUTPUT)

FROM_OPERATOR: Final = Free(Role.SYSTEM, Source.OPERATOR)
FROM_USER: Final = Free(Role.USER, Source.USER)
FROM_TOOL: Final = Free(Role.TOOL, Source.TOOL)
FROM_MODEL: Final = Free(Role.ASSISTANT, Source.OUTPUT)
TOKENS: Final = Tokens(Role.ASSISTANT, Source.OUTPUT)

STOP: Final = Either(text=USER, items=FROM_USER)
