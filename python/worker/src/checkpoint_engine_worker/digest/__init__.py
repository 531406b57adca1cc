"""The digest of tensor bytes, version 1: `docs/digests.md` of the repository defines it. No torch.

A tensor is a sequence of little-endian 32-bit words. Its digest is the sum modulo 2^64 of
`word[i] * word_key(i % 1024) * block_key(i // 1024)`, so that digests of parts add up to the digest of the tensor.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Uint64s: TypeAlias = "npt.NDArray[np.uint64]"
Bytes: TypeAlias = "npt.NDArray[np.uint8]"

#: Words that share one block key.
BLOCK_WORDS = 1024
BLOCK_BYTES = 4 * BLOCK_WORDS
_MASK = (1 << 64) - 1
#: Blocks that are digested at once, so that intermediate values stay in the processor's cache.
_BATCH = 32


def word_keys() -> Uint64s:
    """Returns the keys of the words of a block: odd numbers of 32 bits."""
    bits = (np.arange(BLOCK_WORDS, dtype=np.uint64) + np.uint64(0x9E3779B9)) & np.uint64(0xFFFFFFFF)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        bits = ((bits ^ (bits >> np.uint64(shift))) * np.uint64(factor)) & np.uint64(0xFFFFFFFF)
    return (bits ^ (bits >> np.uint64(16))) | np.uint64(1)


def block_keys(blocks: Any) -> Uint64s:
    """Returns the keys of blocks, by their position in the tensor: odd numbers of 64 bits."""
    # NumPy scalars would warn about the overflow, which is intended here.
    bits = np.atleast_1d(np.asarray(blocks, dtype=np.uint64)) + np.uint64(0x9E3779B97F4A7C15)
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        bits = (bits ^ (bits >> np.uint64(33))) * np.uint64(factor)
    return (bits ^ (bits >> np.uint64(33))) | np.uint64(1)


WORD_KEYS = word_keys()


def digest_rows(rows: Bytes, position: int, pitch: int) -> int:
    """Digests rows of bytes of one tensor.

    Args:
        rows: An array of two dimensions. The bytes of a row are contiguous.
        position: Where the first row begins, from the start of the tensor.
        pitch: From the start of a row to the start of the next one in the tensor.
    """
    count, width = rows.shape
    if count == 0 or width == 0:
        return 0
    if count > 1 and (width < BLOCK_BYTES or position % 4 or pitch % 4 or width % 4):
        return _digest_narrow(rows, position, pitch)
    total = 0
    for row in range(count):
        total += _digest_run(rows[row], position + row * pitch)
    return total & _MASK


def digest_bytes(data: Bytes, position: int = 0) -> int:
    """Digests contiguous bytes that begin `position` bytes into their tensor."""
    return digest_rows(data.reshape(1, -1), position, 0)


def _digest_run(data: Bytes, position: int) -> int:
    """Digests whole blocks directly, and the bytes before and after them as words that are filled with zeros."""
    head = min(len(data), -position % BLOCK_BYTES)
    blocks = (len(data) - head) // BLOCK_BYTES
    done = head + blocks * BLOCK_BYTES
    total = _digest_edge(data[:head], position) + _digest_edge(data[done:], position + done)
    first = (position + head) // BLOCK_BYTES
    for at in range(0, blocks, _BATCH):
        end = min(blocks, at + _BATCH)
        part = data[head + at * BLOCK_BYTES : head + end * BLOCK_BYTES]
        words = _words(part).reshape(-1, BLOCK_WORDS)
        sums = np.einsum("ij,j->i", words.astype(np.uint64), WORD_KEYS)
        total += int((sums * block_keys(np.arange(first + at, first + end))).sum())
    return total


def _digest_edge(data: Bytes, position: int) -> int:
    """Digests less than a block."""
    if len(data) == 0:
        return 0
    before = position % 4
    padded = np.zeros(-(-(before + len(data)) // 4) * 4, dtype=np.uint8)
    padded[before : before + len(data)] = data
    word = position // 4
    keys = WORD_KEYS[word % BLOCK_WORDS :][: len(padded) // 4]
    return int((_words(padded).astype(np.uint64) * keys).sum()) * int(block_keys(word // BLOCK_WORDS)[0])


def _digest_narrow(rows: Bytes, position: int, pitch: int) -> int:
    """Digests many short rows at once, byte by byte or word by word."""
    width = rows.shape[1]
    is_words = not (position % 4 or pitch % 4 or width % 4)
    unit = 4 if is_words else 1
    batch = max(1, (_BATCH * BLOCK_BYTES) // width)
    columns = np.arange(0, width, unit, dtype=np.int64)
    total = 0
    for at in range(0, len(rows), batch):
        part = rows[at : at + batch]
        places = position + np.arange(at, at + len(part), dtype=np.int64)[:, None] * pitch + columns
        values = (_words(part) if is_words else part).astype(np.uint64)
        if not is_words:
            values <<= ((places & 3) << 3).astype(np.uint64)
        keys = WORD_KEYS[(places >> 2) & (BLOCK_WORDS - 1)] * block_keys(places >> 12)
        total += int((values * keys).sum())
    return total & _MASK


def _words(data: Bytes) -> npt.NDArray[np.uint32]:
    return np.ascontiguousarray(data).view(np.dtype("<u4"))
