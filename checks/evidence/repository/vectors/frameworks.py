"""Frameworks that keep tables of their own in PostgreSQL, where code makes use of them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from checks.evidence.repository.facts import FrameworkUse
from checks.evidence.repository.files import SourceFile
from checks.model import Location

# By framework: its packages, and its classes that speak to PostgreSQL, as the code names them.
FRAMEWORKS = {
    "langgraph": (
        ("langgraph-checkpoint-postgres", "@langchain/langgraph-checkpoint-postgres", "langgraph"),
        ("PostgresSaver", "AsyncPostgresSaver", "ShallowPostgresSaver", "AsyncShallowPostgresSaver",
         "PostgresStore", "AsyncPostgresStore"),
    ),
    "langchain": (
        ("langchain-postgres", "langchain-community", "@langchain/community", "@langchain/pgvector", "langchain"),
        ("PGVector", "PGVectorStore", "PGEngine", "PostgresChatMessageHistory", "SQLRecordManager", "PostgresRecordManager",
         "SupabaseVectorStore", "TypeORMVectorStore"),
    ),
    "llama_index": (
        ("llama-index-vector-stores-postgres", "llama-index-storage-docstore-postgres", "@llamaindex/postgres", "llama-index",
         "llamaindex"),
        ("PGVectorStore", "PostgresDocumentStore", "PostgresIndexStore", "PostgresKVStore", "PostgresChatStore"),
    ),
    "haystack": (
        ("pgvector-haystack", "haystack-ai"),
        ("PgvectorDocumentStore", "PgvectorEmbeddingRetriever", "PgvectorKeywordRetriever"),
    ),
    "agno": (
        ("agno", "phidata"),
        ("PgVector", "PgVector2", "PostgresDb", "PgAgentStorage", "PostgresAgentStorage", "PostgresStorage"),
    ),
    "mastra": (("@mastra/pg",), ("PgVector", "PostgresStore")),
    "vecs": (("vecs",), ("vecs.create_client", "vecs.Client")),
    "pgai": (("pgai",), ("pgai.install", "create_vectorizer")),
    "pg-boss": (("pg-boss",), ("PgBoss",)),
    "graphile-worker": (("graphile-worker",), ("makeWorkerUtils", "quickAddJob", "runTaskList")),
    "procrastinate": (("procrastinate",), ("PsycopgConnector", "SyncPsycopgConnector", "AiopgConnector")),
}  # fmt: skip
# What the file must import for a class to be that framework's.
_MODULES = {
    "langgraph": r"langgraph", "langchain": r"langchain", "llama_index": r"llama_?index", "haystack": r"haystack",
    "agno": r"\b(?:agno|phi)\b", "mastra": r"@mastra/pg", "vecs": r"\bvecs\b", "pgai": r"\bpgai\b", "pg-boss": r"pg-boss",
    "graphile-worker": r"graphile-worker", "procrastinate": r"procrastinate",
}  # fmt: skip
_MEM0 = re.compile(r"[\"']?provider[\"']?\s*:\s*[\"'](?:pgvector|supabase)[\"']")
_IMPORT = r"^[^\n#]*\b(?:import|from|require)\b[^\n]*(?:{0})"
_COMPILED = [
    (
        name,
        re.compile(_IMPORT.format(_MODULES[name]), re.MULTILINE),
        re.compile(rf"(?<![\w.])(?P<component>{'|'.join(re.escape(entry) for entry in components)})(?=\s*(?:[.(<]))"),
        packages,
        tuple(components),
    )
    for name, (packages, components) in FRAMEWORKS.items()
]  # fmt: skip
_REQUIREMENT = re.compile(
    r"""^\s*["']?(?P<name>@?[A-Za-z0-9][\w./-]*)(?:\[[\w,.\s-]*\])?["']?\s*(?:[:=]\s*)?["']?(?P<version>(?:[\^~<>=!]=?|==)?\s*v?\d[\w.*+-]*(?:\s*,\s*[<>=!~]+\s*\d[\w.*]*)?)""",
    re.MULTILINE,
)


def uses_of(file: SourceFile) -> Iterator[tuple[FrameworkUse, tuple[str, ...]]]:
    """Each component once, where the code first makes use of it, with the packages that may bring it."""
    for name, imports, component, packages, components in _COMPILED:
        if not any(entry in file.text for entry in components) or not imports.search(file.text):
            continue
        seen: set[str] = set()
        for match in component.finditer(file.text):
            found = match.group("component")
            line = file.text.count("\n", 0, match.start()) + 1
            begin = file.text.rfind("\n", 0, match.start()) + 1
            before = file.text[begin : match.start()]
            if found in seen or re.search(r"#|//|^\s*\*|\bclass\s*$", before):
                continue
            seen.add(found)
            yield FrameworkUse(name, found, Location(file.path, line)), packages
    configured = _MEM0.search(file.text) if "mem0" in file.text else None
    if configured is not None:
        line = file.text.count("\n", 0, configured.start()) + 1
        yield FrameworkUse("mem0", "pgvector", Location(file.path, line)), ("mem0ai",)


def versions_of(file: SourceFile) -> dict[str, str]:
    """The versions that a manifest asks for, by package."""
    wanted = {package for packages, _ in FRAMEWORKS.values() for package in packages} | {"mem0ai"}
    found: dict[str, str] = {}
    for match in _REQUIREMENT.finditer(file.text):
        package = match.group("name").lower().replace("_", "-")
        if package in wanted:
            found.setdefault(package, " ".join(match.group("version").split())[:40])
    return found
