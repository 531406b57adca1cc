"""Recordings on disk are read only if they are complete and belong to this engine, and never contain a proof."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from checkpoint_engine_worker.proof.proof import prove
from checkpoint_engine_worker.recorder.record import record
from checkpoint_engine_worker.recording.fingerprint import fingerprint_of, metas_digest, recording_key
from checkpoint_engine_worker.recording.notes_file import decode_notes, encode_notes
from checkpoint_engine_worker.recording.recording import COPY, OWNER, ROWS, Recording
from checkpoint_engine_worker.recording.recording_cache import RecordingCache, user_cache
from toy_engine import Pool, Toy, Weights, linear, metas_of, random_like, update

FORM: Weights = {
    **{f"layers.{i}.w.weight": torch.zeros(6, 8) for i in range(6)},
    **{f"layers.{i}.norm.weight": torch.zeros(8, dtype=torch.bfloat16) for i in range(6)},
    "head.weight": torch.zeros(4, 8),
}


def build(toy: Toy) -> None:
    layers = torch.nn.ModuleList()
    for _ in range(6):
        layer = torch.nn.Module()
        linear(layer, "w", 3, 8)  # half of the rows, like one of two ranks
        linear(layer, "norm", 8)  # kept in F32: its loader converts
        layers.append(layer)
    toy.layers = layers
    linear(toy, "head", 4, 8)


def load(toy: Toy, name: str, tensor: torch.Tensor) -> None:
    into = toy.get_parameter(name).data
    into.copy_(tensor.narrow(0, 0, into.shape[0]))


def made(path: Path, weights: Weights, **facts: str) -> tuple[Toy, Recording]:
    toy = Toy(build, load)
    toy.load_weights(list(weights.items()))
    return toy, record(toy.engine(**facts), metas_of(weights), cache=RecordingCache(path))


def _by_path(recording: Recording) -> list[tuple[str, tuple[int, ...]]]:
    boxes = np.delete(recording.boxes, (OWNER, COPY), axis=1).tolist()
    owners = [recording.owners[owner].path for owner in recording.boxes[:, OWNER].tolist()]
    casts = [
        (recording.owners[cast.owner].path, (cast.tensor, cast.offset_bytes, *cast.shape)) for cast in recording.casts
    ]
    return sorted([*zip(owners, map(tuple, boxes), strict=True), *casts])


def test_another_process_reads_the_recording_of_the_first(tmp_path: Path) -> None:
    weights = random_like(FORM, 1)
    _, first = made(tmp_path, weights)
    toy, second = made(tmp_path, weights)
    assert [first.source, second.source] == ["loader", "cache"]
    assert _by_path(first) == _by_path(second)
    assert len(first.casts) == 6
    assert not second.proved  # only a recording is kept
    assert len(second.rest()) == len(FORM)
    pool = Pool(weights)
    prove(second, pool.places, pool.regions, "cpu").accept(
        second, fingerprint_of(toy.engine(), metas_digest(metas_of(weights)))
    )
    assert list(second.rest()) == []
    other = random_like(FORM, 2)
    update(toy, second, other, pool)
    fresh = Toy(build, load)
    fresh.load_weights(list(other.items()))
    assert toy.state() == fresh.state()


def test_a_cached_recording_is_proved_again_and_a_wrong_one_is_detected(tmp_path: Path) -> None:
    weights = random_like(FORM, 1)
    made(tmp_path, weights)

    def swapped(toy: Toy, name: str, tensor: torch.Tensor) -> None:  # an engine with other code and the same version
        load(toy, name, tensor.flip(0) if name.startswith("layers.4.w.") else tensor)

    toy = Toy(build, swapped)
    toy.load_weights(list(weights.items()))
    found = record(toy.engine(), metas_of(weights), cache=RecordingCache(tmp_path))
    assert found.source == "cache"
    pool = Pool(weights)
    prove(found, pool.places, pool.regions, "cpu").accept(
        found, fingerprint_of(toy.engine(), metas_digest(metas_of(weights)))
    )
    assert [found.tensors[i].name for i in found.rest().tolist()] == ["layers.4.w.weight"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: data[:200] + bytes([data[200] ^ 1]) + data[201:],
        lambda data: data.replace(b"recording 1", b"recording 2", 1),
        lambda data: b"\x80\x04K\x01.",
        lambda data: os.urandom(4096),
    ],
    ids=["empty", "cut", "longer", "bit", "version", "pickle", "noise"],
)
def test_a_damaged_file_is_ignored_and_written_again(
    tmp_path: Path, damage: object, caplog: pytest.LogCaptureFixture
) -> None:
    weights = random_like(FORM, 1)
    made(tmp_path, weights)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    path.write_bytes(damage(whole))  # type: ignore[operator]
    assert made(tmp_path, weights)[1].source == "loader"
    assert "is ignored" in caplog.text
    assert made(tmp_path, weights)[1].source == "cache"
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_files_that_others_may_write_and_links_are_ignored(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    weights = random_like(FORM, 1)
    made(tmp_path, weights)
    (path,) = tmp_path.iterdir()
    path.chmod(0o666)
    assert made(tmp_path, weights)[1].source == "loader"
    assert "other users may write to it" in caplog.text
    elsewhere = tmp_path.parent / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    assert made(tmp_path, weights)[1].source == "loader"
    path.unlink()
    path.mkdir()
    assert made(tmp_path, weights)[1].source == "loader"


def test_another_engine_or_list_has_another_recording(tmp_path: Path) -> None:
    weights = random_like(FORM, 1)
    made(tmp_path, weights)
    assert made(tmp_path, weights, tensor_parallel_size="2")[1].source == "loader"
    fewer = {name: tensor for name, tensor in weights.items() if name != "head.weight"}
    assert made(tmp_path, fewer)[1].source == "loader"

    def tied(toy: Toy) -> None:
        build(toy)
        toy.layers[5].w.weight = toy.layers[4].w.weight

    keys = [recording_key(Toy(form, load).engine(), "x") for form in (build, build, tied)]
    assert keys[0] == keys[1]
    assert keys[1] != keys[2]


def test_a_box_that_ends_outside_is_refused(tmp_path: Path) -> None:
    weights = random_like(FORM, 1)
    toy = Toy(build, load)
    recording = record(toy.engine(), metas_of(weights))
    from checkpoint_engine_worker.recording.layer_notes import Notes

    for column, value in ((ROWS, 1000), (0, 99), (1, -2), (4, 1 << 62)):
        boxes = recording.boxes.copy()
        boxes[3, column] = value
        data = encode_notes(Notes(boxes, list(recording.casts)), "key", recording.owners)
        with pytest.raises(ValueError, match="box"):
            decode_notes(data, "key", recording.owners, recording.tensors)
    data = encode_notes(Notes(recording.boxes, list(recording.casts)), "key", recording.owners)
    assert np.array_equal(decode_notes(data, "key", recording.owners, recording.tensors).boxes, recording.boxes)
    with pytest.raises(ValueError, match="another engine"):
        decode_notes(data, "other", recording.owners, recording.tensors)


def test_an_unwritable_folder_is_not_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    assert made(tmp_path / "file", random_like(FORM, 1))[1].source == "loader"


def test_the_folder_belongs_to_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cache = user_cache()
    assert cache
    assert cache.folder == tmp_path / "checkpoint-engine" / "recordings-1"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    cache = user_cache()
    assert cache
    assert cache.folder == tmp_path / "home" / ".cache" / "checkpoint-engine" / "recordings-1"
    monkeypatch.setenv("CHECKPOINT_ENGINE_RECORDINGS", "0")
    assert user_cache() is None


def test_old_recordings_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("checkpoint_engine_worker.recording.recording_cache._MAX_FILES", 2)
    weights = random_like(FORM, 1)
    for turn in range(4):
        made(tmp_path, weights, turn=str(turn))
    assert len(list(tmp_path.iterdir())) == 2
    assert made(tmp_path, weights, turn="3")[1].source == "cache"
