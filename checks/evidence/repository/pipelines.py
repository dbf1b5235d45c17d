"""What continuous integration does with migrations and plans, and how many processes an application runs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from checks.evidence.repository.files import SourceFile

Fact = tuple[str, str, int]
_BLOCK = 40

PIPELINE = re.compile(
    r"(?:^|/)(?:\.github/workflows/[^/]+\.ya?ml|\.gitlab-ci[^/]*\.ya?ml|\.circleci/config\.yml"
    r"|azure-pipelines[^/]*\.ya?ml|Jenkinsfile"
    r"|bitbucket-pipelines\.yml|\.buildkite/[^/]+\.ya?ml|\.pre-commit-config\.ya?ml|\.drone\.yml"
    r"|\.woodpecker[^/]*\.ya?ml|lefthook\.yml"
    r"|\.github/actions/.*\.ya?ml)$"
)
_LINTERS = {
    "squawk": re.compile(r"\bsquawk\b"),
    "Atlas": re.compile(r"\batlas\s+migrate\s+lint\b|ariga/atlas-action/migrate/lint"),
    "eugene": re.compile(r"\beugene\s+(?:lint|trace)\b"),
    "sqlfluff": re.compile(r"\bsqlfluff\s+lint\b"),
    "pgrls": re.compile(r"\bpgrls\b"),
    "pg-osc": re.compile(r"\bpglinter\b|\bschemalint\b"),
    "django-migration-linter": re.compile(r"\blintmigrations\b|django-migration-linter"),
    "Bytebase": re.compile(r"bytebase/(?:sql-review|release)-action"),
    "alembic check": re.compile(r"\balembic\s+check\b"),
    "makemigrations --check": re.compile(r"makemigrations\b.*--check"),
    "prisma migrate diff": re.compile(r"\bprisma\s+migrate\s+diff\b.*--exit-code"),
    "drizzle-kit check": re.compile(r"\bdrizzle-kit\s+check\b"),
    "Flyway validate": re.compile(r"\bflyway\b.*\bvalidate\b"),
}  # fmt: skip
_PLANS = {
    "EXPLAIN": re.compile(r"\bEXPLAIN\s*(?:\(|ANALYZE\b)"),
    "RegreSQL": re.compile(r"\bregresql\b", re.IGNORECASE),
    "pgTAP": re.compile(r"\bpg_prove\b|\bpgtap\b", re.IGNORECASE),
    "pganalyze": re.compile(r"\bpganalyze[/-]\w*"),
    "Query Doctor": re.compile(r"\bquery-doctor\b"),
    "pgsurveyor": re.compile(r"\bpgsurveyor\s+review\b"),
}  # fmt: skip
_COUNTS = re.compile(
    r"\b(?:assertNumQueries|assert_num_queries|django_assert_(?:max_)?num_queries|assertQueryCount|assert_query_count"
    r"|expectQueryCount|toHaveQueryCount|exceed_(?:all_)?query_limit|make_database_queries|perform_constant_number_of_queries"
    r"|assert_queries(?:_count)?|Bullet\.raise|Prosopite\.raise|nplusone|inlineSnapshotQueries|snapshot_queries)\b"
)
_RUNS = {
    "Alembic": re.compile(r"\balembic\s+upgrade\b"),
    "Prisma Migrate": re.compile(r"\bprisma\s+(?:migrate\s+(?:deploy|dev|reset)|db\s+push)\b|\bdb:(?:migrate|deploy)\b"),
    "Drizzle Kit": re.compile(r"\bdrizzle-kit\s+(?:migrate|push)\b"),
    "Django": re.compile(r"manage\.py\s+migrate\b"),
    "Supabase CLI": re.compile(r"\bsupabase\s+(?:db\s+(?:push|reset|lint)|migration\s+up)\b"),
    "Flyway": re.compile(r"\bflyway\b.*\bmigrate\b"),
    "dbmate": re.compile(r"\bdbmate\s+(?:up|migrate)\b"),
}  # fmt: skip
_PROCESSES = (
    ("gunicorn workers", re.compile(r"\bgunicorn\b[^\n]*?(?:\s-w\s*|--workers[ =])\"?(\d{1,3})\b")),
    ("uvicorn workers", re.compile(r"\buvicorn\b[^\n]*?--workers[ =]\"?(\d{1,3})\b")),
    ("fastapi workers", re.compile(r"\bfastapi\s+run\b[^\n]*?--workers[ =]\"?(\d{1,3})\b")),
    ("granian workers", re.compile(r"\bgranian\b[^\n]*?--workers[ =]\"?(\d{1,3})\b")),
    ("celery concurrency", re.compile(r"\bcelery\b[^\n]*?(?:\s-c\s*|--concurrency[ =])\"?(\d{1,4})\b")),
    ("puma workers", re.compile(r"\bpuma\b[^\n]*?(?:\s-w\s*|--workers[ =])(\d{1,3})\b")),
    ("pm2 instances", re.compile(r"\bpm2\b[^\n]*?\s-i\s*(\d{1,3})\b")),
    ("processes", re.compile(
        r"^\s*(?:-\s*|export\s+|ENV\s+)?[\"']?(?:WEB_CONCURRENCY|GUNICORN_WORKERS|UVICORN_WORKERS|WORKERS|NUM_WORKERS"
            r"|WEB_WORKERS)"
        r"[\"']?\s*[=:]\s*[\"']?(?:\$\{\w+:-)?(\d{1,3})\b")),
    ("replicas", re.compile(r"^\s*[\"']?(?:replicas|replicaCount|numInstances|min_machines_running|minReplicas"
        r"|min_replicas|desired_count|desiredCount)"
                            r"[\"']?\s*[:=]\s*[\"']?(\d{1,3})\b")),
    ("replicas at most", re.compile(r"^\s*[\"']?(?:maxReplicas|max_replicas|maxInstances|max_instances"
        r"|max_instance_count)[\"']?\s*[:=]\s*[\"']?(\d{1,4})\b")),
)  # fmt: skip


def pipeline_of(file: SourceFile) -> Iterator[Fact]:
    """Steps that lint migrations, look at plans or run migrations: `migration_lint`, `plan_test`, `migration_run`."""
    for number, line in enumerate(file.text.splitlines(), 1):
        if line.lstrip().startswith(("#", "//")) or len(line) > 2_000:
            continue
        for kind, tools in (("migration_lint", _LINTERS), ("plan_test", _PLANS), ("migration_run", _RUNS)):
            for tool, pattern in tools.items():
                if pattern.search(line):
                    yield kind, tool, number


def query_tests_of(file: SourceFile) -> Iterator[Fact]:
    """What tests say about statements: that they count them (`query_test`), or look at plans (`plan_test`)."""
    for number, line in enumerate(file.text.splitlines(), 1):
        if len(line) > 2_000 or line.lstrip().startswith(("#", "//", "*")):
            continue
        if match := _COUNTS.search(line):
            yield "query_test", match[0], number
        if _PLANS["EXPLAIN"].search(line):
            yield "plan_test", "EXPLAIN", number


def is_switched_off(lines: Sequence[str], number: int) -> bool:
    """Whether the mapping of YAML that the line stands in says `enabled: false` (autoscaling that nobody has switched on)."""
    line = lines[number - 1]
    indent = line[: len(line) - len(line.lstrip(" "))]
    for other in reversed(lines[max(0, number - 1 - _BLOCK) : number - 1]):
        if other.strip() and not other.startswith(indent):
            return False
        if other.startswith(f"{indent}enabled:"):
            return other.partition(":")[2].split("#")[0].strip() == "false"
    return False


def processes_of(line: str, number: int) -> Iterator[Fact]:
    """How many processes or copies the line asks for."""
    for name, pattern in _PROCESSES:
        if found := pattern.search(line):
            yield "processes", f"{found.group(1)} ({name})", number
            return
