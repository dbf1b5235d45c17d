from __future__ import annotations

import pytest

from checks.registry import Check, all_checks
from tui.explain import explain_check, list_check


@pytest.mark.parametrize("declared", all_checks().values(), ids=all_checks())
def test_each_check_is_listed_and_explained_with_an_example(declared: Check) -> None:
    assert declared.example

    line, page = list_check(declared), explain_check(declared)

    assert declared.title in line
    assert str(declared.severity) in line
    assert all(need.__name__ in line for need in declared.needs)
    assert "\n\nExample: " in page
    assert "\n\nSource: " in page
