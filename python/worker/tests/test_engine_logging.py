import io
import logging

import pytest

from checkpoint_engine_worker.vllm.engine_logging import log_like


@pytest.fixture(autouse=True)
def _fresh_logger() -> None:
    own = logging.getLogger("checkpoint_engine_worker")
    own.handlers.clear()
    own.setLevel(logging.NOTSET)
    own.propagate = True


def test_logs_where_the_engine_logs() -> None:
    stream = io.StringIO()
    engine = logging.getLogger("engine-of-the-test")
    engine.addHandler(logging.StreamHandler(stream))
    engine.setLevel(logging.INFO)
    log_like("engine-of-the-test")
    log_like("engine-of-the-test")
    logging.getLogger("checkpoint_engine_worker.receiver").info("once")
    assert stream.getvalue() == "once\n"


def test_does_not_change_a_configured_logger() -> None:
    own = logging.getLogger("checkpoint_engine_worker")
    handler = logging.NullHandler()
    own.addHandler(handler)
    log_like("engine-of-the-test")
    assert own.handlers == [handler]
    own.handlers.clear()
