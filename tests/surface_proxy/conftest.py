"""A scripted model and an impatient proxy before it, for the tests that send raw bytes; others make their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.surface_proxy.servers import Proxy, Scripted, chat, proxied, scripted, whole

from assay.surfaces.proxy.settings import Timeouts


@pytest.fixture(scope="module")
def model() -> Iterator[Scripted]:
    with scripted() as found:
        yield found


@pytest.fixture(scope="module")
def proxy(model: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    timeouts = Timeouts(client=3, connect=2, upstream=2)
    with proxied(model.url, tmp_path_factory.mktemp("state"), timeouts=timeouts) as found:
        yield found


@pytest.fixture
def fresh(model: Scripted) -> None:
    """A model that answers `ok` and was asked nothing yet."""
    model.requests.clear()
    model.says(whole(chat("ok")))
