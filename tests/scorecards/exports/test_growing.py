from __future__ import annotations

import datetime as dt

import msgspec
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from checks.growth import Breaking, GrownStatement, GrownTable, Growth
from scorecards.exports import render
from scorecards.exports.growing import breaks_first, growth_page
from scorecards.exports.schema import scorecard_schema
from scorecards.growth import growth_basis, growth_entries
from scorecards.model import Scorecard
from tests.tui.findings import make_evidence

GROWTH = Growth(
    (1.0, 10.0, 100.0),
    100.0,
    18,
    16,
    (
        GrownStatement("7", (4.0, 40.0, 400.0), 1.0, (10.0,), Breaking(3.7, "mean above 100 ms", dt.date(2027, 3, 1)), 27.0, 90,
                       ("public.a|b",), ("Index Scan",), ("Seq Scan",)),
        GrownStatement("8", (4.0, 4.0, None), 0.0, (), None, 0.1, 9000, ("public.t",)),
    ),
    (GrownTable("public", "a|b", 1e6, 1 << 40, 1.0, "30 rows inserted", 30.0, 33.0), GrownTable("public", "t", 9, 9, 0.0, "x")),
    unplanned=2,
    skipped=(1000.0,),
)  # fmt: skip


def test_what_breaks_first(reviewed: Scorecard) -> None:
    evidence = msgspec.structs.replace(make_evidence(), growth=GROWTH)
    card = msgspec.structs.replace(reviewed, growth=growth_entries(evidence), growth_basis=growth_basis(evidence))

    words = breaks_first(card)
    assert "3.7, about 2027-03-01" in words
    assert "exceeds the 32 TB" in words
    assert "2 could not be planned" in words
    assert "planned by 18, the target is 16" in words
    assert r"a\|b" in growth_page(card)
    assert [entry.costs for entry in card.growth] == [(1.0, 10.0, 100.0), (1.0, 1.0, None)]
    Draft202012Validator(scorecard_schema()).validate(msgspec.json.decode(render(card, "json")))
    page = render(card, "html")
    assert page.count('<svg class="growth"') == 1
    assert 'class="changed"' in page
    assert "## Breaks first" in render(card, "markdown")
    assert breaks_first(reviewed) == ""
