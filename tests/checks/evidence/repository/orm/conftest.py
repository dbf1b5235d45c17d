from __future__ import annotations

from tests.demo_fixture import demo

__all__ = ["demo"]
