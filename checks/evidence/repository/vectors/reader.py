"""Collects what a repository does with vectors while its files are read."""

from __future__ import annotations

import re
from functools import partial

import msgspec

from checks.evidence.repository.behaviour.outline import Outline
from checks.evidence.repository.behaviour.reader import is_production
from checks.evidence.repository.cache import Cache, NoCache, file_key
from checks.evidence.repository.facts import EmbeddingModel, FrameworkUse, VectorCall
from checks.evidence.repository.files import SourceFile
from checks.evidence.repository.languages import TYPESCRIPT
from checks.evidence.repository.orm.syntax import source_of
from checks.evidence.repository.vectors import embeddings, frameworks, stores

MAXIMUM = 5_000

_SETTINGS = re.compile(r"(?:^|/)(?:[^/]*\.env(?:\.[^/]*)?|[^/]*\.(?:ya?ml|toml))$", re.IGNORECASE)
_MANIFESTS = re.compile(
    r"(?:^|/)(?:requirements[^/]*\.(?:txt|in)|pyproject\.toml|package\.json|Pipfile)$", re.IGNORECASE
)


class _Found(msgspec.Struct, frozen=True):
    models: list[EmbeddingModel]
    calls: list[VectorCall]


class VectorReader:
    """`models`, `calls` and `uses` grow while files are read, each up to 5,000."""

    def __init__(self, cache: Cache | None = None) -> None:
        self._cache = cache if cache is not None else NoCache()
        self.models: list[EmbeddingModel] = []
        self.calls: list[VectorCall] = []
        self._uses: list[tuple[FrameworkUse, tuple[str, ...]]] = []
        self._versions: dict[str, str] = {}

    def read(self, file: SourceFile) -> None:
        """Takes note of the file. Tests, examples and scripts are left out."""
        if _MANIFESTS.search(file.path):
            self._versions = frameworks.versions_of(file) | self._versions
        if not is_production(file.path) or len(self.models) + len(self.calls) > MAXIMUM:
            return
        if _SETTINGS.search(file.path) and ".github/" not in file.path:
            self.models += embeddings.configured_models_of(file)
            return
        if file.extension != "py" and file.extension not in TYPESCRIPT:
            return
        self._uses += frameworks.uses_of(file)
        names_models, calls_stores = embeddings.is_candidate(file.text), stores.is_candidate(file.text)
        if names_models or calls_stores:
            read = partial(_read, file, names_models=names_models, calls_stores=calls_stores)
            found = self._cache.remember("vectors", (file_key(file),), _Found, read)
            self.models += found.models
            self.calls += found.calls

    def uses(self) -> tuple[FrameworkUse, ...]:
        """The uses of frameworks, with the version that some manifest asks for."""
        found = []
        for use, packages in self._uses:
            version = next((self._versions[package] for package in packages if package in self._versions), None)
            found.append(msgspec.structs.replace(use, version=version))
        return tuple(sorted(set(found), key=lambda use: (use.location, use.component)))


def _read(file: SourceFile, *, names_models: bool, calls_stores: bool) -> _Found:
    outline = Outline(source_of(file))
    return _Found(
        list(embeddings.embedding_models_of(outline)) if names_models else [],
        list(stores.vector_calls_of(outline)) if calls_stores else [],
    )
