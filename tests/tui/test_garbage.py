from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from tui import garbage


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    limits = gc.get_threshold()
    yield
    gc.enable()
    gc.unfreeze()
    gc.set_threshold(*limits)


def test_what_was_loaded_while_a_review_opens_is_never_looked_through() -> None:
    garbage.put_off()
    assert not gc.isenabled()

    garbage.set_aside()

    assert gc.isenabled()
    assert gc.get_freeze_count() > 0


def test_another_review_gives_back_what_the_last_one_left() -> None:
    garbage.put_off()
    garbage.set_aside()

    garbage.take_back()

    assert gc.get_freeze_count() == 0


def test_who_else_switched_collecting_off_is_not_disturbed() -> None:
    gc.disable()

    garbage.set_aside()

    assert not gc.isenabled()
