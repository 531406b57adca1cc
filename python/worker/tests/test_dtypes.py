import struct
from typing import Any

import pytest

from checkpoint_engine_worker.errors import CheckpointEngineError
from checkpoint_engine_worker.tensors.dtypes import TORCH_NAMES, torch_dtype, torch_shape, view_tensor

torch: Any = pytest.importorskip("torch")


def buffer_of(content: bytes) -> Any:
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)


@pytest.mark.parametrize("dtype", TORCH_NAMES)
def test_views_every_dtype_bit_by_bit(dtype: str) -> None:
    content = bytes(range(256))
    item_bytes = torch_dtype("w", dtype).itemsize
    shape = [3, 4] if dtype == "F4" else [3, 2]
    size = 6 * item_bytes
    offset = 64
    tensor = view_tensor(buffer_of(content), "w", dtype, shape, offset)
    assert tuple(tensor.shape) == (3, 2)
    assert tensor.nbytes == size
    assert bytes(tensor.contiguous().reshape(-1).view(torch.uint8).numpy()) == content[offset : offset + size]


def test_reads_numbers() -> None:
    content = struct.pack("<4f", 1.5, -2.0, 3.25, 0.0)
    assert view_tensor(buffer_of(content), "w", "F32", [2, 2], 0).tolist() == [[1.5, -2.0], [3.25, 0.0]]


@pytest.mark.parametrize(("shape", "count"), [([], 1), ([0], 0), ([3, 0, 2], 0), ([1], 1)])
def test_views_scalars_and_empty_tensors(shape: list[int], count: int) -> None:
    tensor = view_tensor(buffer_of(bytes(64)), "w", "BF16", shape, 0)
    assert (tuple(tensor.shape), tensor.numel()) == (tuple(shape), count)


@pytest.mark.parametrize(("offset", "shape"), [(-4, [1]), (60, [2]), (64, [1]), (0, [17])])
def test_never_reads_outside_of_the_buffer(offset: int, shape: list[int]) -> None:
    with pytest.raises(ValueError, match="outside of the buffer"):
        view_tensor(buffer_of(bytes(64)), "w", "F32", shape, offset)


def test_refuses_a_tensor_that_is_not_aligned() -> None:
    with pytest.raises(ValueError, match="not aligned"):
        view_tensor(buffer_of(bytes(64)), "w", "F32", [1], 2)


@pytest.mark.parametrize("dtype", ["F6_E2M3", "bfloat16", "", "__doc__"])
def test_names_a_dtype_that_torch_lacks(dtype: str) -> None:
    with pytest.raises(CheckpointEngineError, match=r"model\.w") as raised:
        torch_dtype("model.w", dtype)
    assert raised.value.code == "CE_DTYPE_UNKNOWN"


def test_f4_counts_pairs() -> None:
    assert torch_shape("w", "F4", [2, 6]) == (2, 3)
    for shape in ([], [3]):
        with pytest.raises(CheckpointEngineError):
            torch_shape("w", "F4", shape)
