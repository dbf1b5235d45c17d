"""Where the functions stand that a file imports from other files of the same repository."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping
from functools import cached_property
from typing import NamedTuple

_FROM = re.compile(
    r"^[ \t]*from[ \t]+(?P<module>\.*[\w.]*)[ \t]+import[ \t]+(?P<names>\([^)]{0,4000}\)|[^\n\\(]{1,1000})",
    re.MULTILINE,
)
_IMPORT = re.compile(r"^import[ \t]+(?P<module>[\w.]+)[ \t]+as[ \t]+(?P<name>\w+)", re.MULTILINE)
_PYTHON_NAME = re.compile(r"([A-Za-z_]\w*)(?:\s+as\s+([A-Za-z_]\w*))?")
_SCRIPT = re.compile(
    r"^(?P<word>import|export)\s+(?!type\b)(?:(?P<default>[A-Za-z_$][\w$]*)\s*,?\s*)?"
    r"(?:\*(?:\s+as\s+(?P<space>[A-Za-z_$][\w$]*))?\s*|\{(?P<names>[^}]{0,4000})\}\s*)?from\s*[\"'](?P<module>[^\"'\n]{1,300})[\"']",
    re.MULTILINE,
)
_SCRIPT_NAME = re.compile(r"(?:^|,)\s*(?!type\s)([A-Za-z_$][\w$]*)(?:\s+as\s+([A-Za-z_$][\w$]*))?")
_EXTENSIONS = ("ts", "tsx", "js", "mjs", "jsx", "mts", "cts", "cjs")
_OF_ROOT = re.compile(r"^(?:@|~|#)/|^(?:src|app|lib|server)/")
_MAXIMUM_IMPORTS = 200


class Imported(NamedTuple):
    """What a local name stands for: a name of one of these files, or with `name` None one of the files itself. More than one
    file: the code does not tell which."""

    paths: tuple[str, ...]
    name: str | None


class Imports:
    """`paths` are all files that may be imported from, `packages` the folders of the workspace's packages by their names."""

    def __init__(self, paths: Iterable[str], packages: Mapping[str, str] | None = None) -> None:
        self._paths = frozenset(paths)
        self._packages = packages or {}
        self._modules: dict[tuple[str, str], tuple[str, ...]] = {}

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for path in sorted(self._paths):
            found.setdefault("/".join(path.rsplit("/", 2)[-2:]), []).append(path)
            found.setdefault(path.rpartition("/")[2], []).append(path)
        return found

    def of(self, path: str, code: str, used: Container[str] | None = None) -> dict[str, Imported]:
        """By local name what the file imports from files of the repository; of `used` names only, if they are given."""
        return self._of_python(path, code, used) if path.endswith(".py") else self._of_script(path, code, used)

    def _of_python(self, path: str, code: str, used: Container[str] | None) -> dict[str, Imported]:
        found: dict[str, Imported] = {}
        for number, match in enumerate(_FROM.finditer(code)):
            if number > _MAXIMUM_IMPORTS:
                break
            module = match.group("module")
            listed = re.sub(r"#[^\n]*", "", match.group("names"))
            for entry in _PYTHON_NAME.finditer(listed):
                if used is not None and (entry.group(2) or entry.group(1)) not in used:
                    continue
                own = self._module(path, module)
                inner = self._module(path, f"{module}{'' if module.endswith('.') else '.'}{entry.group(1)}")
                if inner:
                    found[entry.group(2) or entry.group(1)] = Imported(inner, None)
                elif own:
                    found[entry.group(2) or entry.group(1)] = Imported(own, entry.group(1))
        for match in _IMPORT.finditer(code):
            if (used is None or match.group("name") in used) and (paths := self._module(path, match.group("module"))):
                found[match.group("name")] = Imported(paths, None)
        return found

    def _module(self, path: str, module: str) -> tuple[str, ...]:
        """The files that a module's name may mean, as the file at `path` writes it."""
        key = (path.rpartition("/")[0], module)
        if key not in self._modules:
            self._modules[key] = self._resolved(path, module)
        return self._modules[key]

    def _resolved(self, path: str, module: str) -> tuple[str, ...]:
        dots = len(module) - len(module.lstrip("."))
        inner = module.lstrip(".").replace(".", "/")
        if dots:
            folder = path.split("/")[:-1]
            if dots - 1 > len(folder):
                return ()
            base = "/".join([*folder[: len(folder) - dots + 1], *([inner] if inner else [])])
            wanted = (f"{base}.py", f"{base}/__init__.py" if base else "__init__.py")
            return tuple(name for name in wanted if name in self._paths)[:1]
        if not inner:
            return ()
        for ending in (f"{inner}.py", f"{inner}/__init__.py"):
            if near := self._nearest(path, ending):
                return near
        return ()

    def _nearest(self, path: str, wanted: str) -> tuple[str, ...]:
        """The files whose path ends so, those that share the longest way with the file."""
        ending = f"/{wanted}"
        found = [
            name for name in self._by_name.get("/".join(wanted.rsplit("/", 2)[-2:]), ()) if f"/{name}".endswith(ending)
        ]
        if len(found) > 1:
            shared = {name: _shared(name, path) for name in found}
            most = max(shared.values())
            found = [name for name in found if shared[name] == most]
        return tuple(found)

    def _of_script(self, path: str, code: str, used: Container[str] | None) -> dict[str, Imported]:
        found: dict[str, Imported] = {}
        for number, match in enumerate(_SCRIPT.finditer(code)):
            if number > _MAXIMUM_IMPORTS:
                break
            names = [(entry.group(2) or entry.group(1), entry.group(1)) for entry in _names(match.group("names"))]
            locals_ = [match.group("space"), match.group("default"), *(local for local, _ in names)]
            if used is not None and not any(local in used for local in locals_ if local):
                continue
            paths = self._file(path, match.group("module"))
            if not paths:
                continue
            if match.group("space"):
                found[match.group("space")] = Imported(paths, None)
            elif match.group("word") == "export" and match.group("names") is None:
                found[f"* {match.group('module')}"] = Imported(paths, None)
            if match.group("default"):
                found[match.group("default")] = Imported(paths, "default")
            for local, name in names:
                found[local] = Imported(paths, name)
        return found

    def _file(self, path: str, module: str) -> tuple[str, ...]:
        key = (path.rpartition("/")[0], module)
        if key not in self._modules:
            self._modules[key] = self._file_of(path, module)
        return self._modules[key]

    def _file_of(self, path: str, module: str) -> tuple[str, ...]:
        if module.startswith("."):
            parts = path.split("/")[:-1]
            for part in module.split("/"):
                if part == ".." and not parts:
                    return ()
                parts = parts[:-1] if part == ".." else parts if part in (".", "") else [*parts, part]
            return tuple(name for name in _spelled("/".join(parts)) if name in self._paths)[:1]
        if (found := self._in_package(module)) is not None:
            return found
        if not _OF_ROOT.match(module):
            return ()
        for wanted in _spelled(re.sub(r"^[@~#]/", "", module)):
            if near := self._nearest(path, wanted):
                return near
        return ()

    def _in_package(self, module: str) -> tuple[str, ...] | None:
        """The file of a package of the workspace; None if it is none of those."""
        parts = module.split("/")
        own = 2 if module.startswith("@") else 1
        folder = self._packages.get("/".join(parts[:own]))
        if folder is None:
            return None
        inner = "/".join(parts[own:])
        places = [f"src/{inner}", inner, f"lib/{inner}"] if inner else ["src/index", "index", "lib/index"]
        wanted = (name for place in places for name in _spelled(f"{folder}/{place}".lstrip("/")))
        return tuple(name for name in wanted if name in self._paths)[:1]


def _names(listed: str | None) -> Iterator[re.Match[str]]:
    return _SCRIPT_NAME.finditer(listed or "")


def _spelled(base: str) -> list[str]:
    """The files that an import without, or with another, extension may mean."""
    plain = re.sub(r"\.[cm]?jsx?$", "", base)
    exact = [base] if base.endswith(_EXTENSIONS) else []
    return [*exact, *(f"{plain}.{ext}" for ext in _EXTENSIONS), *(f"{plain}/index.{ext}" for ext in _EXTENSIONS[:4])]


def _shared(one: str, other: str) -> int:
    count = 0
    for left, right in zip(one.split("/"), other.split("/"), strict=False):
        if left != right:
            break
        count += 1
    return count
