"""`pgsurveyor.toml`: what the reviewed wrote is read with care, what the reviewer wrote must be right."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from checks.configuration import FILE_NAME, MAXIMUM_BYTES, Configuration, Prices, read_configuration
from checks.errors import UsageError

WHOLE = """
[limits]
lag_seconds = 10
window_days = 1

[[waivers]]
check = "indexing.unused-index"
objects = ["public.events_*"]
reason = "planned"
owner = "ada"
expires = 2027-03-01

[[waivers]]
finding = "0123456789abcdef"
reason = "false-positive"
owner = "grace"
expires = 2027-01-01
note = "it is a view"

[prices]
currency = "EUR"
storage_gb_month = 0.12
server_month = 800
"""


def read(folder: Path, text: str | bytes) -> Configuration:
    data = text if isinstance(text, bytes) else text.encode()
    (folder / FILE_NAME).write_bytes(data)
    return read_configuration(folder, None)


def test_all_that_there_is(tmp_path: Path) -> None:
    found = read(tmp_path, WHOLE)
    assert [(entry.name, entry.value, entry.lowered) for entry in found.overrides] == [
        ("lag_seconds", 10.0, False),
        ("window_days", 1.0, True),
    ]
    assert [(entry.check or entry.finding, entry.expires) for entry in found.waivers] == [
        ("indexing.unused-index", dt.date(2027, 3, 1)),
        ("0123456789abcdef", dt.date(2027, 1, 1)),
    ]
    assert found.prices == Prices("EUR", 0.12, 800.0)
    assert found.notices == ()


@pytest.mark.parametrize(
    "text",
    [
        "[prices]\nstorage_gb_month = -1",
        "[prices]\nserver_month = nan",
        "[prices]\nserver_month = 1e300",
        '[prices]\nserver_month = "800"',
        "[prices]\ngold = 1",
        'prices = "much"',
        '[prices]\ncurrency = "a very long one"',
        '[prices]\ncurrency = "\\u202e"',
        "[limits]\nno_such_limit = 1",
        "[limits]\nlag_seconds = -1",
        "[limits]\nlag_seconds = true",
        '[[waivers]]\nreason = "because"\nowner = "ada"\nexpires = 2027-01-01\ncheck = "a"',
        '[[waivers]]\nreason = "planned"\nowner = "ada"\nexpires = 2027-01-01',
        '[[waivers]]\nreason = "planned"\nowner = "ada"\ncheck = "a"',
        "[[waivers]]\n",
        "not toml",
        b"\xff\xfe",
        "a = " + "[" * 20_000,
        "# " + "x" * MAXIMUM_BYTES,
    ],
)
def test_a_mistake_is_a_notice_in_the_repository_and_an_error_of_the_user(tmp_path: Path, text: str | bytes) -> None:
    found = read(tmp_path, text)
    assert len(found.notices) == 1
    assert (found.overrides, found.waivers, found.prices) == ((), (), None)
    with pytest.raises(UsageError):
        read_configuration(None, tmp_path)


def test_the_repository_counts_over_the_user_and_a_link_is_not_followed(tmp_path: Path) -> None:
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    for folder, price in ((mine, 1), (theirs, 2)):
        folder.mkdir()
        (folder / FILE_NAME).write_text(f"[prices]\nserver_month = {price}\n[limits]\nlag_seconds = {price}\n")
    both = read_configuration(theirs, mine)
    assert both.prices == Prices(server_month=2.0)
    assert both.limit("lag_seconds") == 2
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / FILE_NAME).symlink_to(theirs / FILE_NAME)
    assert read_configuration(linked, None) == Configuration()
