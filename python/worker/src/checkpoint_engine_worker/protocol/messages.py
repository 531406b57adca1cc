"""Checks the messages of a parameter server before they are used. `worker-protocol.ts` describes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from checkpoint_engine_worker.errors import CheckpointEngineError
from checkpoint_engine_worker.protocol.weight_version import is_weight_version
from checkpoint_engine_worker.version import PROTOCOL_VERSION

Fields = dict[str, Any]

_MAX_COUNT = 2**53 - 1
#: Codes for problems of this worker rather than of the update: they are passed on unchanged.
_OWN_CODES = frozenset({"CE_TOKEN_REFUSED", "CE_WORKER_PROTOCOL"})


@dataclass(frozen=True)
class Welcome:
    """The key is correct: announces what follows, and the buffer."""

    checkpoint: str
    update_id: str
    rank: int
    device_kind: str
    device_uuid: str
    handle: bytes
    size_bytes: int
    slots: int
    buffer_stays: bool


@dataclass(frozen=True)
class TensorPlace:
    """A tensor in the shared buffer."""

    name: str
    #: The name in safetensors.
    dtype: str
    shape: tuple[int, ...]
    #: Bytes from the start of the buffer.
    offset_bytes: int
    size_bytes: int


@dataclass(frozen=True)
class Bucket:
    """Tensors in the shared buffer, valid until the bucket is acknowledged."""

    index: int
    tensors: tuple[TensorPlace, ...]


def message_type(message: Any) -> str:
    """Returns the type of a message.

    Raises:
        CheckpointEngineError: `CE_WORKER_PROTOCOL`: the value is not a message.
    """
    kind = message.get("type") if isinstance(message, dict) else None
    if isinstance(kind, str):
        return kind
    raise server_broke("a message without a type")


def read_welcome(message: Fields) -> Welcome:
    """Raises `CheckpointEngineError` (`CE_WORKER_PROTOCOL`) if a field is missing or has another type."""
    if message.get("protocol") != PROTOCOL_VERSION:
        raise server_broke("a welcome of another protocol", message.get("protocol"))
    stays = message.get("bufferStays")
    texts = [message.get(name) for name in ("checkpoint", "updateId", "deviceKind", "deviceUuid")]
    counts = [message.get(name) for name in ("rank", "sizeBytes", "slots")]
    handle = message.get("handle")
    is_valid = (
        all(isinstance(text, str) for text in texts)
        and all(map(is_count, counts))
        and counts[2] != 0
        and isinstance(handle, bytes)
        and (stays is None or isinstance(stays, bool))
    )
    if not is_valid:
        raise _malformed("welcome")
    checkpoint, update_id, device_kind, device_uuid = texts
    rank, size_bytes, slots = counts
    return Welcome(
        checkpoint=str(checkpoint),
        update_id=str(update_id),
        device_kind=str(device_kind),
        device_uuid=str(device_uuid),
        rank=int(rank or 0),
        size_bytes=int(size_bytes or 0),
        slots=int(slots or 0),
        handle=handle or b"",
        buffer_stays=bool(stays),
    )


def read_bucket(message: Fields, buffer_bytes: int) -> Bucket:
    """Raises `CheckpointEngineError` (`CE_WORKER_PROTOCOL`) if a tensor is outside of the buffer."""
    index, columns = message.get("index"), message.get("tensors")
    if not is_count(index) or not isinstance(columns, dict):
        raise _malformed("bucket")
    rows = [columns.get(name) for name in ("names", "dtypes", "shapes", "offsets", "sizes")]
    if not all(isinstance(column, list) and len(column) == len(rows[0] or []) for column in rows):
        raise _malformed("bucket")
    places = []
    for name, dtype, shape, offset_bytes, size_bytes in zip(*rows, strict=True):
        is_valid = (
            isinstance(name, str)
            and isinstance(dtype, str)
            and isinstance(shape, list)
            and all(map(is_count, shape))
            and is_count(offset_bytes)
            and is_count(size_bytes)
        )
        if not is_valid:
            raise _malformed("bucket")
        if offset_bytes + size_bytes > buffer_bytes:
            end = offset_bytes + size_bytes
            raise server_broke(f'tensor "{name}" ending at byte {end} of a buffer of {buffer_bytes} bytes')
        places.append(TensorPlace(name, dtype, tuple(shape), offset_bytes, size_bytes))
    return Bucket(int(index or 0), tuple(places))


def read_confirm(message: Fields) -> str:
    """Returns the version of the weights.

    Raises:
        CheckpointEngineError: `CE_WORKER_PROTOCOL`: it is not a valid version.
    """
    version = message.get("version")
    if not is_weight_version(version):
        raise _malformed("confirm")
    return str(version)


def read_abort(message: Fields) -> CheckpointEngineError:
    """Returns the error with which the server ended the update."""
    reported = message.get("error")
    fields = reported if isinstance(reported, dict) else {}
    code, detail = _text(fields.get("code"), "CE_INTERNAL"), fields.get("detail")
    what = _text(fields.get("message"), "it reported no reason")
    hint = _text(fields.get("hint"), "Check the log of the parameter server")
    cause = CheckpointEngineError(code, what, hint, detail=detail if isinstance(detail, str) else None)
    if code in _OWN_CODES:
        return cause
    error = CheckpointEngineError(
        "CE_REMOTE_FAILED",
        f"The parameter server ended the update: {what}",
        "Fix the cause and run the update again; until then the weights are partly old and partly new",
        detail=cause.detail,
    )
    error.__cause__ = cause
    return error


def server_broke(what: str, spoken: object = PROTOCOL_VERSION) -> CheckpointEngineError:
    """Creates the error for a server that violates the protocol."""
    version = spoken if isinstance(spoken, int) else "an unknown one"
    return CheckpointEngineError(
        "CE_WORKER_PROTOCOL",
        f"The parameter server sent {what}; this worker uses protocol {PROTOCOL_VERSION}, the server {version}",
        "Install releases of checkpoint-engine-worker and of the npm packages that use the same protocol",
    )


def _malformed(kind: str) -> CheckpointEngineError:
    return server_broke(f'a message "{kind[:40]}" that is invalid in protocol {PROTOCOL_VERSION}')


def unexpected(kind: str) -> CheckpointEngineError:
    """Creates the error for a message that the state of the session does not allow."""
    return server_broke(f'"{kind[:40]}" out of order')


def is_count(value: object) -> bool:
    """Returns whether a value is an integer from 0 to 2^53 - 1."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_COUNT


def _text(value: object, otherwise: str) -> str:
    return value if isinstance(value, str) else otherwise
