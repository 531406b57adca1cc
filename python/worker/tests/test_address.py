import pytest

from checkpoint_engine_worker.protocol.address import is_own_address, parse_address

KEY = "ab" * 32


def test_reads_an_address() -> None:
    address = parse_address(f"ce2:ce2-GPU-1_x.y-0?key={KEY}")
    assert (address.socket_name, address.key) == ("ce2-GPU-1_x.y-0", KEY)
    assert KEY not in repr(address)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ce2:",
        "ce2:name",
        "ce2:name?key=",
        "ce2:name?key=XY" + KEY,
        f"ce2:na/me?key={KEY}",
        f"ce2:{'n' * 108}?key={KEY}",
        f"ce2:name?key={KEY}\n",
        f" ce2:name?key={KEY}",
        "ipc://@checkpoint-engine-GPU-1-0.sock",
    ],
)
def test_refuses_other_texts_and_does_not_print_the_secret(text: str) -> None:
    with pytest.raises(ValueError, match="Expected a worker address") as raised:
        parse_address(text)
    assert KEY not in str(raised.value)


def test_distinguishes_its_addresses_from_those_of_other_workers() -> None:
    assert is_own_address(f"ce2:x?key={KEY}")
    assert not is_own_address("ipc://@checkpoint-engine-GPU-1-0.sock")
    assert not is_own_address(None)
