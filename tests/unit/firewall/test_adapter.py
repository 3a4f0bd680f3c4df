"""Is the shipped adapter of the ML tier that of its card, and does it read as it was written?"""

from __future__ import annotations

import numpy as np
import pytest

from assay.runtime.firewall.classifier.adapter import Adapter, card, shapes, shipped, unpacked
from assay.runtime.firewall.classifier.serving import BUCKETS, PURPOSES


def test_an_adapter_reads_as_it_was_written_to_half_a_unit() -> None:
    drawn = np.random.default_rng(0)
    adapter = Adapter({name: drawn.normal(size=shape).astype(np.float32) for name, shape in shapes().items()})
    data, units = adapter.packed()
    read = unpacked(data, units)
    for (name, array), unit in zip(adapter.arrays.items(), units, strict=True):
        assert np.abs(read.arrays[name] - array).max() <= unit * 0.501
    assert read.packed()[0] == data


def test_other_bytes_are_no_adapter() -> None:
    with pytest.raises(ValueError, match="no bytes of an adapter"):
        unpacked(b"\0" * 10, [1.0])


def test_the_shipped_adapter_is_that_of_its_card_and_changes_every_layer() -> None:
    adapter = shipped()
    assert all(np.abs(adapter.arrays[name]).max() > 0 for name in shapes())
    assert adapter.update(0, "output.dense").shape == (384, 1536)


def test_the_card_names_every_input_with_its_licence_and_a_threshold_for_every_length() -> None:
    said = card()
    assert all(item.get("licence") and item.get("sha256") for item in said["trained_on"] if "file" in item)
    assert {purpose: len(levels) for purpose, levels in said["thresholds"].items()} == dict.fromkeys(
        PURPOSES, len(BUCKETS) + 1
    )
    assert len(said["digest"]) == 64
