"""Pulls the parts of checkpoints that an engine keeps from shared host memory directly into its parameters.

A puller lives as long as the worker. Each session describes the tensors and the memory that has them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from checkpoint_engine_worker.errors import CheckpointEngineError
from checkpoint_engine_worker.proof.proof import Proof
from checkpoint_engine_worker.pull.discard_guard import DiscardGuard
from checkpoint_engine_worker.pull.held_weights import HeldWeights
from checkpoint_engine_worker.pull.mapped_layouts import MappedLayouts
from checkpoint_engine_worker.pull_types import Needs, Places, Summary, TensorMeta
from checkpoint_engine_worker.weight_memory import WeightMemory

if TYPE_CHECKING:
    from checkpoint_engine_worker.digest import Uint64s
    from checkpoint_engine_worker.engine import Engine
    from checkpoint_engine_worker.pull_types import Int64s, RegionName, Windows
    from checkpoint_engine_worker.recording.recording import Recording
    from checkpoint_engine_worker.recording.snapshot import Snapshot

_LOG = logging.getLogger(__name__)


class EnginePuller:
    """Records, proves and pulls for one engine.

    Args:
        engine: Describes the current engine.
        prepare_refresh: Finds what the engine derives from weights. It returns a function that computes these values
            again; it is called after each pull until the engine changes.
        is_refreshed: Whether that function recomputes the values of a module.
        memory: The memory of the engine's weights.
    """

    def __init__(
        self,
        engine: Callable[[], Engine],
        prepare_refresh: Callable[[], Callable[[], object]],
        is_refreshed: Callable[[Any], bool] = lambda _: False,
        memory: WeightMemory | None = None,
    ) -> None:
        self._engine = engine
        self._prepare_refresh = prepare_refresh
        self._refresh: Callable[[], object] | None = None
        self._is_refreshed = is_refreshed
        self._memory = memory or WeightMemory()
        self._guard = DiscardGuard(self._memory, is_refreshed)
        self._metas = ""
        self._tensors: Sequence[TensorMeta] = ()
        self._sizes_bytes: Int64s = np.zeros(0, dtype=np.int64)
        self._recording: Recording | None = None
        #: The engine that has the fingerprint of the recording.
        self._seen: Snapshot | None = None
        #: Digests of the tensors that no loader writes, taken before the load that is to be proved.
        self._before: Any = None
        #: Whether the result of representatives was compared with the engine's own loading, after a pull.
        self._is_checked = True
        self._proof: Proof | None = None
        #: The memory that is mapped.
        self.layouts = MappedLayouts()
        self._held = HeldWeights(self._memory, lambda: engine().device)

    @property
    def is_proved(self) -> bool:
        """Whether any module can be pulled."""
        return self._recording is not None and self._recording.proved

    @property
    def fingerprint(self) -> str:
        """Identifies the engine that was recorded."""
        return self._recording.fingerprint if self._recording else "unrecorded"

    @property
    def sizes_bytes(self) -> Int64s:
        """Sizes of the checkpoint's tensors, by index."""
        return self._sizes_bytes

    def knows(self, metas: str) -> bool:
        """Returns whether these tensors were recorded on the current engine.

        Args:
            metas: The digest of the list of tensors.
        """
        from checkpoint_engine_worker.recording.fingerprint import fingerprint_of
        from checkpoint_engine_worker.recording.snapshot import Snapshot

        if metas != self._metas or self._recording is None:
            return False
        try:
            engine = self._engine()
            if self._seen is None or not self._seen.is_current(engine):
                self._recording.check(fingerprint_of(engine, metas))
                self._seen, self._refresh = Snapshot(engine), None
        except Exception as error:
            _LOG.info("The engine is recorded again: %s", error)
            self.forget()
            return False
        if self.is_proved and not self._guard.restore():
            self.forget()
            return False
        return True

    def check_verifiable(self) -> None:
        """Raises `CheckpointEngineError` if it is unknown which bytes of a checkpoint the engine holds.

        Raises:
            CheckpointEngineError: `CE_NOT_SUPPORTED`, or the engine's own error if its weights cannot be read now.
        """
        self._held.check(self._recording)

    def other_tensors(self, tensors: Sequence[TensorMeta]) -> CheckpointEngineError:
        """Returns the error for a checkpoint that has other tensors than the engine."""
        from checkpoint_engine_worker.pull.other_tensors import other_tensors

        return other_tensors(self._tensors, tensors)

    def learn(self, metas: str, tensors: Sequence[TensorMeta]) -> None:
        """Records what the engine's loader does with these tensors. Moves no data.

        An engine that cannot be recorded loads all weights through its loader.
        """
        from checkpoint_engine_worker.recorder.record import record
        from checkpoint_engine_worker.recording.recording_cache import user_cache

        self.forget()
        self._metas, self._tensors = metas, tensors
        self._sizes_bytes = np.array([tensor.size_bytes for tensor in tensors], dtype=np.int64)
        try:
            self._recording = record(self._engine(), tensors, metas=metas, cache=user_cache())
        except Exception:
            _LOG.warning("The engine's loader cannot be recorded, so it loads all weights itself", exc_info=True)
            return
        self._represent(self._recording)

    def _represent(self, recording: Recording) -> None:
        """Proves a large model by representatives, if the engine can process modules on trial."""
        from checkpoint_engine_worker.proof.representatives import are_wanted, represent
        from checkpoint_engine_worker.recording.fingerprint import fingerprint_of

        engine = self._engine()
        if engine.process is None or not are_wanted(len(recording.tensors)):
            return
        try:
            proved = represent(engine, recording, self._is_refreshed)
            proved.accept(recording, fingerprint_of(self._engine(), self._metas))
            self._seen = None
        except Exception:
            _LOG.warning("The proof by representatives failed: the loader does the first update", exc_info=True)
            recording.void()
            return
        self._is_checked = False
        self._guard.keep(engine, recording)
        _LOG.info("Proved by representatives of %d kinds of modules: %s", proved.kinds, recording.summary())

    def refresh(self) -> None:
        """Recomputes the values that the engine derives from pulled weights.

        After the first pull without an earlier load, this tries the engine's own loading with the pulled values.

        Raises:
            CheckpointEngineError: `CE_ENGINE_MISMATCH`: the engine would have loaded other bytes.
        """
        if self._refresh is None:
            self._refresh = self._prepare_refresh()
        self._refresh()
        recording = self._recording
        if self._is_checked or recording is None:
            return
        from checkpoint_engine_worker.proof.representatives import check_samples

        self._is_checked = True
        try:
            check_samples(self._engine(), recording)
        except CheckpointEngineError:
            self._close_tables()
            raise

    def needs(self) -> tuple[Needs, Summary]:
        """Returns what the engine keeps, and a summary of its modules."""
        if self._recording is not None:
            return self._recording.needs(), self._recording.summary()
        none = np.zeros(0, dtype=np.int64)
        everything = np.arange(len(self._tensors), dtype=np.uint32)
        needs = Needs(none.astype(np.uint32), none, none, none, none, everything)
        return needs, Summary(0, 0, 0, 0, (("", "its loader cannot be recorded"),), 0.0, 0.0)

    def describe(self) -> dict[str, Any]:
        """Returns plain data: the recorded and proved parts, and the engine."""
        from checkpoint_engine_worker.protocol.pull_columns import summary_fields

        recording = self._recording
        found: dict[str, Any] = {"recorded": recording is not None, "proved": self.is_proved}
        if not self._memory.asleep():
            found["engine"] = self._engine().title
        if recording is not None:
            found.update(fingerprint=recording.fingerprint, summary=summary_fields(recording.summary()))
        return found

    def watch_load(self) -> None:
        """Digests the tensors that no loader writes, before a load of whole tensors that a proof may follow."""
        from checkpoint_engine_worker.proof.derived import unwritten_digests

        self._seen = self._refresh = None
        if self._recording is not None and not self._recording.proved:
            self._before = unwritten_digests(self._engine(), self._recording, self._is_refreshed)
            self._proof = None

    def map(self, layout: str, regions: Iterable[RegionName], places: Places | None) -> bool:
        """Maps the regions and prepares the copies.

        Args:
            layout: Identifies regions and places together.
            regions: The regions to map.
            places: The contents of the regions. Absent if the layout may already be known.

        Returns:
            Whether the places are known.
        """
        known = self.layouts.map(layout, regions, places, lambda: self._engine().device)
        if known is None:
            return False
        known.prepare(self._recording)
        if self.is_proved and self._recording is not None:
            self._held.prepare(self._recording)
        return True

    def pull(self, places: Places | None) -> int:
        """Copies the needed parts of the layout, or of these places. Returns the number of bytes."""
        if self.layouts.current is None:
            raise ValueError("No regions are mapped")
        return self.layouts.current.pull(places)

    def prove(self, places: Places | None, *, is_last: bool) -> bool:
        """Compares the loaded weights with the shared data. Equal parts are pulled from now on.

        Args:
            places: The data to compare with; the whole layout if absent.
            is_last: All parts have been compared, so the decision is due.

        Returns:
            Whether the engine is proved, which is known only after the last part.
        """
        recording, layout = self._recording, self.layouts.current
        if recording is None or layout is None or self._before is None:
            return self.is_proved
        if self._proof is None:
            self._proof = Proof(recording, self._engine().device)
        part = layout.places if places is None else places
        if len(part.tensor) > 0:
            self._proof.compare(part, layout.regions)
        return self._decide(recording, self._proof) if is_last else False

    def _decide(self, recording: Recording, proof: Proof) -> bool:
        from checkpoint_engine_worker.proof.derived import changed_modules, unwritten_digests
        from checkpoint_engine_worker.recording.fingerprint import fingerprint_of

        before, self._before, self._proof = self._before, None, None
        engine = self._engine()
        derived = changed_modules(before, unwritten_digests(engine, recording, self._is_refreshed))
        proof.result(derived).accept(recording, fingerprint_of(engine, self._metas))
        self._seen = None
        _LOG.info("Proved against the live weights: %s", recording.summary())
        self._guard.keep(engine, recording)
        self._close_tables()
        if self.layouts.current is not None:
            self.layouts.current.prepare(recording)
        return recording.proved

    def digests(self, windows: Windows) -> tuple[Uint64s, Int64s]:
        """Digests the bytes of windows that the engine holds unchanged.

        Returns:
            By window, the digest and the number of these bytes.
        """
        return self._held.digests(self._recording, windows)

    def forget(self) -> None:
        """Drops the recording. Idempotent."""
        self._close_tables()
        self._recording, self._metas, self._tensors = None, "", ()
        self._seen = self._refresh = None
        self._sizes_bytes = np.zeros(0, dtype=np.int64)
        self._before = self._proof = None
        self._is_checked = True
        self._guard.forget()

    def _close_tables(self) -> None:
        self._held.forget()
        self.layouts.close_tables()
