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
    "vecs": (("vecs",), ("vecs.create_client",)),
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
_IMPORTS = re.compile(
    r"^[ \t]*from\s+(?P<py>[\w.]+)\s+import\s+(?P<names>\([^)]*\)|[^\n]*)|^[ \t]*import\s+(?P<module>[\w.]+)[ \t]*$"
    r"|\bimport\s+(?P<js>[^;'\"]{1,400}?)\s+from\s+['\"](?P<from>[^'\"\n]+)['\"]"
    r"|\b(?:const|let|var)\s+(?P<required>[^=\n]{1,200}?)\s*=\s*(?:await\s+import|require)\(\s*['\"](?P<where>[^'\"\n]+)['\"]",
    re.MULTILINE,
)
_REQUIREMENT = re.compile(
    r"""^\s*["']?(?P<name>@?[A-Za-z0-9][\w./-]*)(?:\[[\w,.\s-]*\])?["']?\s*(?:(?::|=(?!=))\s*)?["']?(?P<version>(?:[\^~<>=!]=?|==)?\s*v?\d[\w.*+-]*(?:\s*,\s*[<>=!~]+\s*\d[\w.*]*)?)""",
    re.MULTILINE,
)


def uses_of(file: SourceFile) -> Iterator[tuple[FrameworkUse, tuple[str, ...]]]:
    """Each component once, where the code first makes use of it, with the packages that may bring it."""
    wanted = [name for name, (_, components) in FRAMEWORKS.items() if any(entry in file.text for entry in components)]
    imports = list(_imports(file.text)) if wanted else []
    for name in wanted:
        packages, components = FRAMEWORKS[name]
        module = re.compile(_MODULES[name])
        for component in components:
            owner, _, attribute = component.rpartition(".")
            if any(
                module.search(source) and re.search(rf"\b{owner or attribute}\b", names) for source, names in imports
            ):
                yield FrameworkUse(name, component, Location(file.path, _first_use(file.text, component))), packages
    configured = _MEM0.search(file.text) if "mem0" in file.text else None
    if configured is not None:
        line = file.text.count("\n", 0, configured.start()) + 1
        yield FrameworkUse("mem0", "pgvector", Location(file.path, line)), ("mem0ai",)


def _imports(code: str) -> Iterator[tuple[str, str]]:
    """The modules that the file imports, with the names it takes from each."""
    for match in _IMPORTS.finditer(code):
        source = match.group("py") or match.group("module") or match.group("from") or match.group("where")
        names = match.group("names") or match.group("module") or match.group("js") or match.group("required")
        yield source, names


def _first_use(code: str, component: str) -> int:
    """The line of its first call, or else of its name."""
    called = re.search(
        rf"^(?![^\n]*(?:#|//|\*\s)[^\n]*{re.escape(component)})[^\n]*?\b{re.escape(component)}\s*[.(<]",
        code,
        re.MULTILINE,
    )
    offset = called.end() if called is not None else code.find(component)
    return code.count("\n", 0, offset) + 1


def versions_of(file: SourceFile) -> dict[str, str]:
    """The versions that a manifest asks for, by package."""
    wanted = {package for packages, _ in FRAMEWORKS.values() for package in packages} | {"mem0ai"}
    found: dict[str, str] = {}
    for match in _REQUIREMENT.finditer(file.text):
        package = match.group("name").lower().replace("_", "-")
        if package in wanted:
            found.setdefault(package, " ".join(match.group("version").split())[:40])
    return found
