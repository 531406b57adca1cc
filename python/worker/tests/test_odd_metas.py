"""Impossible lists of tensors: each is refused as a violation of the protocol."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from checkpoint_engine_worker.errors import CheckpointEngineError
from checkpoint_engine_worker.protocol.pull_messages import read_metas
from checkpoint_engine_worker.pull_types import DTYPE_BITS

ANYTHING = some.recursive(
    some.none() | some.booleans() | some.integers(-(2**63), 2**64 - 1) | some.floats() | some.text() | some.binary(),
    lambda items: some.lists(items, max_size=3) | some.dictionaries(some.text(), items, max_size=2),
    max_leaves=6,
)


def part(**changed: Any) -> dict[str, Any]:
    return {"names": ["w"], "dtypes": ["BF16"], "shapes": [[2, 3]], "sizes": [12], **changed}


def test_takes_a_tensor() -> None:
    (tensor,) = read_metas(part())
    assert (tensor.name, tensor.size_bytes) == ("w", 12)
    assert read_metas(part(names=[], dtypes=[], shapes=[], sizes=[])) == []


@pytest.mark.parametrize(
    "changed",
    [
        {"names": [7]},
        {"names": ["w", "v"]},
        {"dtypes": ["BF17"]},
        {"dtypes": [["BF16"]]},
        {"shapes": [None]},
        {"shapes": [[2, -3]]},
        {"shapes": [[True, 6]]},
        {"shapes": [[2.0, 3]]},
        {"sizes": [13]},
        {"sizes": [12.5]},
        # More bytes than fit into a number of a message, or into 64 bits.
        {"shapes": [[2**52, 4]], "sizes": [2**55]},
        {"shapes": [[2**53, 2**53]], "sizes": [2**107]},
        # More dimensions than torch has; their product would have millions of digits.
        {"shapes": [[2**53 - 1] * 100_000]},
        {"shapes": [[1] * 65], "sizes": [2]},
    ],
)
def test_refuses_an_impossible_tensor(changed: dict[str, Any]) -> None:
    with pytest.raises(CheckpointEngineError) as raised:
        read_metas(part(**changed))
    assert raised.value.code == "CE_WORKER_PROTOCOL"
    assert len(str(raised.value)) < 2000


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(some.dictionaries(some.sampled_from(["names", "dtypes", "shapes", "sizes"]), some.lists(ANYTHING, max_size=2)))
def test_refuses_or_takes_anything(changed: dict[str, Any]) -> None:
    tensors, code = [], "CE_WORKER_PROTOCOL"
    try:
        tensors = read_metas(part(**changed))
    except CheckpointEngineError as error:
        code = error.code
    assert code == "CE_WORKER_PROTOCOL"
    assert all(tensor.dtype in DTYPE_BITS and 0 <= tensor.size_bytes < 2**53 for tensor in tensors)
