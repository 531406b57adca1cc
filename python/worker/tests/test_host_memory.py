from pathlib import Path

import pytest

from checkpoint_engine_worker.errors import CheckpointEngineError
from checkpoint_engine_worker.memory.host_memory import map_segment
from segment import DIRECTORY, segment

NAME = "checkpoint-engine-0-1-2-00000000deadbeef"


def test_maps_what_another_process_wrote() -> None:
    with segment(b"abcdefgh" * 512) as handle:
        mapping = map_segment(handle, 4096)
        assert mapping[:8] == b"abcdefgh"
        assert len(mapping) == 4096
        mapping.close()
        read_only = map_segment(handle, 4096, writable=False)
        with pytest.raises(TypeError):
            read_only[:1] = b"x"
        read_only.close()


@pytest.mark.parametrize(
    "handle",
    [
        b"",
        b"other",
        b"../etc/passwd",
        NAME.encode() + b"/..",
        b"checkpoint-engine-0-1-2-3",
        b"\xff\xfe",
        b"/" + NAME.encode(),
    ],
)
def test_refuses_invalid_names_of_segments(handle: bytes) -> None:
    with pytest.raises(CheckpointEngineError, match="not the name of a segment") as raised:
        map_segment(handle, 4096)
    assert raised.value.code == "CE_SHM_FAILED"


def test_refuses_a_segment_that_does_not_exist() -> None:
    with pytest.raises(CheckpointEngineError, match="No such file"):
        map_segment(NAME.encode(), 4096)


def test_refuses_a_segment_that_is_too_small() -> None:
    with segment(b"x" * 100) as handle:
        with pytest.raises(CheckpointEngineError, match="it has 100 bytes, not 101"):
            map_segment(handle, 101)
        with pytest.raises(CheckpointEngineError, match="it has 100 bytes, not 0"):
            map_segment(handle, 0)


def test_refuses_segments_that_others_can_write_to() -> None:
    with segment(b"x" * 100, mode=0o666) as handle, pytest.raises(CheckpointEngineError, match="mode is not 0600"):
        map_segment(handle, 100)


def test_refuses_links_and_folders(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"x" * 100)
    link = DIRECTORY / NAME
    link.symlink_to(tmp_path / "target")
    try:
        with pytest.raises(CheckpointEngineError, match="was refused"):
            map_segment(NAME.encode(), 100)
    finally:
        link.unlink()
    (tmp_path / NAME).mkdir()
    with pytest.raises(CheckpointEngineError, match="was refused"):
        map_segment(NAME.encode(), 100, str(tmp_path))
