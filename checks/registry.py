"""The checks there are. A check is one function; everything said about it stands in its docstring and decorator."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib.metadata import entry_points

import msgspec

from checks.evidence.evidence import Evidence
from checks.model import Area, Examined, Finding, Severity

CheckFunction = Callable[[Evidence], Iterator[Finding | Examined]]

_ID = re.compile(rf"({'|'.join(Area)})\.[a-z0-9]+(-[a-z0-9]+)*")
_LABELS = ("Fix", "Example", "Source", "Observed")


class Check(msgspec.Struct, frozen=True):
    """`needs` are evidence sections, `window` the limit of days that cumulative statistics must cover; `title`, `why`, `fix`,
    `example` and `source` come from the docstring. `observed` names the keys of a finding's `observed` that scripts may rely
    on."""

    id: str
    catalogue: str
    severity: Severity
    needs: tuple[type, ...]
    run: CheckFunction
    title: str
    why: str
    fix: str
    source: str
    observed: tuple[str, ...] = ()
    style: bool = False
    window: str = ""
    example: str = ""

    @property
    def area(self) -> Area:
        return Area(self.id.partition(".")[0])


def check(
    id: str, *, catalogue: str, severity: Severity, needs: Sequence[type], window: str = "", style: bool = False
) -> Callable[[CheckFunction], CheckFunction]:
    """Declare the function below as a check. Its docstring is its page: a title line, why one should care, then paragraphs
    that begin with `Fix:`, `Source:`, where one helps, `Example:`, and where scripts may rely on keys, `Observed:`. It is
    shown as plain text, where backquotes would only be noise: they are left out."""

    def declare(function: CheckFunction) -> CheckFunction:
        function.declaration = _declaration(id, catalogue, severity, tuple(needs), window, style, function)  # type: ignore[attr-defined]
        return function

    return declare


def _declaration(
    id: str,
    catalogue: str,
    severity: Severity,
    needs: tuple[type, ...],
    window: str,
    style: bool,
    function: CheckFunction,
) -> Check:
    if not _ID.fullmatch(id):
        raise ValueError(f"{id!r} is not AREA.failing-state")
    page = (inspect.getdoc(function) or "").replace("`", "")
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", page)]
    labelled = dict.fromkeys(_LABELS, "")
    plain: list[str] = []
    for paragraph in paragraphs:
        label, _, text = paragraph.partition(": ")
        if label in labelled:
            labelled[label] = text
        else:
            plain.append(paragraph)
    if len(plain) < 2 or not labelled["Fix"] or not labelled["Source"]:
        raise ValueError(f"{id}: the docstring needs a title, a why, a `Fix:` and a `Source:`")
    observed = tuple(key.strip(" .`") for key in labelled["Observed"].split(",") if key.strip(" .`"))
    return Check(
        id, catalogue, severity, needs, function, plain[0].rstrip("."), " ".join(plain[1:]), labelled["Fix"],
        labelled["Source"], observed, style, window, labelled["Example"],
    )  # fmt: skip


@cache
def all_checks() -> dict[str, Check]:
    """Every check by id: the built-in ones, one module per topic in a package per area, and plug-ins (entry-point group
    `pgsurveyor.checks`, each naming a module). Raises ValueError if two have one id."""
    modules = [
        importlib.import_module(f"checks.{area}.{module.name}")
        for area in Area
        for module in pkgutil.iter_modules(importlib.import_module(f"checks.{area}").__path__)
    ]
    modules += [entry.load() for entry in entry_points(group="pgsurveyor.checks")]
    found: dict[str, Check] = {}
    for module in modules:
        for value in vars(module).values():
            declared = getattr(value, "declaration", None)
            if not isinstance(declared, Check) or value.__module__ != module.__name__:
                continue
            if declared.id in found:
                raise ValueError(f"two checks are called {declared.id}")
            found[declared.id] = declared
    return dict(sorted(found.items()))
