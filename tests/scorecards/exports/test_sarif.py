"""SARIF against the schema of OASIS, which no PyPI package ships: scripts/fetch-sarif-schema brings it from an npm package."""

from __future__ import annotations

import json

import jsonschema
import pytest

from scorecards.exports import render
from scorecards.model import Scorecard
from tests.scorecards.exports.test_reports import HOSTILE, hostile
from tests.servers import cache_folder


@pytest.mark.all
def test_sarif_is_valid(reviewed: Scorecard) -> None:
    schema = json.loads((cache_folder().parent / "schemas" / "sarif-2.1.0.json").read_text("utf-8"))
    validator = jsonschema.Draft7Validator(schema, format_checker=jsonschema.Draft7Validator.FORMAT_CHECKER)
    for scorecard in (reviewed, *map(hostile, HOSTILE)):
        found = json.loads(render(scorecard, "sarif"))
        assert [error.message for error in validator.iter_errors(found)] == []
        assert len(found["runs"][0]["results"]) == len(scorecard.findings)
