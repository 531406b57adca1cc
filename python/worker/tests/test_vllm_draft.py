"""Draft models of vLLM: which ones an update fills, and which ones a worker reports as kept."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from checkpoint_engine_worker.vllm.puller import SWITCH
from checkpoint_engine_worker.vllm_extension import WorkerExtension, _models_of

TARGET = "/models/target"


class Worker(WorkerExtension):
    """A worker class with the methods of the extension, as vLLM builds it."""

    def __init__(self, draft: object, method: str | None, path: str | None) -> None:
        model = SimpleNamespace(model=path, model_weights="") if path else None
        speculative = SimpleNamespace(method=method, draft_model_config=model) if method else None
        target = SimpleNamespace(model=TARGET)
        self.vllm_config = SimpleNamespace(model_config=target, speculative_config=speculative)
        self.device = SimpleNamespace(type="cpu")
        self.local_rank = 0
        self.model_runner = SimpleNamespace(model="target", drafter=SimpleNamespace(model=draft))


@pytest.fixture(autouse=True)
def without_pulls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, "0")


@pytest.mark.parametrize(
    ("method", "path", "filled", "kept"),
    [
        (None, None, False, None),
        ("mtp", TARGET, True, None),
        ("dspark", TARGET, True, None),
        ("eagle3", "/models/eagle", False, "/models/eagle"),
        ("draft_model", "/models/small", False, "/models/small"),
        # For these methods, vLLM reports the target model as the draft model.
        ("ngram", TARGET, False, None),
        ("ngram_gpu", TARGET, False, None),
        ("custom_class", TARGET, False, None),
        ("extract_hidden_states", TARGET, False, None),
        ("suffix", None, False, None),
    ],
)
def test_an_update_fills_only_draft_models_of_its_checkpoint(
    method: str | None, path: str | None, filled: bool, kept: str | None
) -> None:
    worker: Any = Worker("draft", method, path)
    assert [model for model, _ in _models_of(worker)] == (["target", "draft"] if filled else ["target"])
    assert worker.checkpoint_engine_describe()["keptDraft"] == kept


def test_a_worker_without_a_draft_model_fills_the_target() -> None:
    # Only the last stage of a pipeline has the draft model.
    assert [model for model, _ in _models_of(Worker(None, "mtp", TARGET))] == ["target"]


def test_models_from_an_address_are_compared_by_the_address() -> None:
    worker = Worker("draft", "mtp", "/cache/draft")
    worker.vllm_config.model_config.model_weights = "s3://bucket/model"
    worker.vllm_config.speculative_config.draft_model_config.model_weights = "s3://bucket/model"
    assert [model for model, _ in _models_of(worker)] == ["target", "draft"]
    worker.vllm_config.speculative_config.draft_model_config.model_weights = "s3://bucket/other"
    assert [model for model, _ in _models_of(worker)] == ["target"]
    described: Any = worker.checkpoint_engine_describe()
    assert described["keptDraft"] == "s3://bucket/other"
