"""Keeps the garbage collector from stopping the screen: a long review is a million objects that last, and looking through all of
them takes longer than a frame may."""

from __future__ import annotations

import gc

LOOK_EVERY_S = 1.0
MANY = 50_000
YOUNG = 5_000

_is_put_off = False


def put_off() -> None:
    """While a review is opened nothing is collected, until the first `set_aside`: next to none of it is garbage."""
    global _is_put_off
    _is_put_off = True
    gc.disable()


def set_aside() -> None:
    """What has lasted so far is not looked through again, if it is much."""
    global _is_put_off
    if _is_put_off or len(gc.get_objects(generation=2)) > MANY:
        gc.freeze()
        gc.set_threshold(YOUNG, *gc.get_threshold()[1:])
    if _is_put_off:
        _is_put_off = False
        gc.enable()


def take_back() -> None:
    """Another review is opened: what the last one left is garbage now."""
    gc.unfreeze()
