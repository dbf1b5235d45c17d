from __future__ import annotations

import msgspec

from checks.evidence.database.facts import Server, Statements
from checks.model import Outcome, Severity
from tests.checks.altered import of_flavour, with_setting
from tests.checks.survey import conclude, names, survey
from tests.checks.workload import prepare
from tests.servers import Database

GB = 1024**3


def test_plans_that_are_switched_off(database: Database) -> None:
    role = f"r_{database.name}"
    evidence = survey(database)
    assert conclude(evidence, "plans.planner-switch-off").outcome is Outcome.PASSED
    assert names(conclude(with_setting(evidence, "enable_seqscan", "off"), "plans.planner-switch-off")) == {
        "enable_seqscan"
    }

    database.execute(
        f"CREATE ROLE {role} LOGIN; ALTER ROLE {role} SET enable_nestloop = off;"
        f"ALTER DATABASE {database.name} SET enable_hashjoin = off; ALTER ROLE {role} SET enable_partitionwise_join = off"
    )
    try:
        result = conclude(survey(database), "plans.planner-switch-off")
    finally:
        database.execute(f"DROP ROLE {role}")
    assert {found.fix.sql for found in result.findings} == {
        f"ALTER ROLE {role} RESET enable_nestloop;",
        f"ALTER DATABASE {database.name} RESET enable_hashjoin;",
    }
    assert {found.severity for found in result.findings} == {Severity.MEDIUM}


def test_what_a_page_costs(database: Database) -> None:
    evidence = survey(database)
    (found,) = conclude(evidence, "plans.random-page-cost").findings
    assert found.severity is Severity.LOW
    assert (
        conclude(with_setting(evidence, "random_page_cost", "1.1"), "plans.random-page-cost").outcome is Outcome.PASSED
    )
    assert conclude(of_flavour(evidence, "rds"), "plans.random-page-cost").outcome is Outcome.PASSED
    (found,) = conclude(with_setting(evidence, "random_page_cost", "0.5"), "plans.random-page-cost").findings
    assert found.severity is Severity.MEDIUM


def test_memory(database: Database) -> None:
    prepare(database, "CREATE TABLE t (id int)")
    database.execute("SELECT * FROM t")
    evidence = survey(database)
    for check in ("work-mem", "effective-cache-size", "shared-buffers", "statistics-target"):
        assert conclude(evidence, f"plans.{check}").outcome is Outcome.PASSED, check

    greedy = with_setting(with_setting(evidence, "work_mem", str(GB // 1024)), "max_connections", "500")
    (found,) = conclude(greedy, "plans.work-mem").findings
    assert found.severity is Severity.HIGH
    statements = evidence.get(Statements)
    spilling = tuple(msgspec.structs.replace(entry, temp_blocks_written=5_000_000) for entry in statements.entries)
    spilled = msgspec.structs.replace(evidence, statements=msgspec.structs.replace(statements, entries=spilling))
    (found,) = conclude(spilled, "plans.work-mem").findings
    assert found.severity is Severity.MEDIUM

    small = with_setting(evidence, "effective_cache_size", "100")
    assert names(conclude(small, "plans.effective-cache-size")) == {"effective_cache_size"}
    server = msgspec.structs.replace(evidence.get(Server), size_bytes=50 * GB)
    large = with_setting(msgspec.structs.replace(evidence, server=server), "shared_buffers", "16384")
    assert names(conclude(large, "plans.shared-buffers")) == {"shared_buffers"}
    assert conclude(of_flavour(large, "neon"), "plans.shared-buffers").outcome is Outcome.PASSED
    assert names(conclude(with_setting(evidence, "default_statistics_target", "10"), "plans.statistics-target"))


def test_statements_that_are_mostly_compiled(database: Database) -> None:
    prepare(database, "CREATE TABLE t (id int)")
    database.execute("SELECT * FROM t")
    evidence = with_setting(survey(database), "jit", "on")
    statements = evidence.get(Statements)

    def compiled(jit_ms: float | None) -> Outcome:
        entries = tuple(
            msgspec.structs.replace(entry, calls=1_000, total_ms=9_000.0, jit_ms=jit_ms) for entry in statements.entries
        )
        altered = msgspec.structs.replace(evidence, statements=msgspec.structs.replace(statements, entries=entries))
        return conclude(altered, "plans.jit-for-oltp").outcome

    assert [compiled(value) for value in (8_000.0, 100.0, None)] == [Outcome.FOUND, Outcome.PASSED, Outcome.UNKNOWN]
    assert conclude(with_setting(evidence, "jit", "off"), "plans.jit-for-oltp").outcome is Outcome.NOT_APPLICABLE


def test_how_many_orders_of_joins_are_compared(database: Database) -> None:
    evidence = survey(database)
    assert conclude(evidence, "plans.collapse-limits").outcome is Outcome.PASSED
    for value, found in (("1", {"join_collapse_limit"}), ("12", set()), ("30", {"join_collapse_limit"})):
        changed = with_setting(evidence, "join_collapse_limit", value)
        assert names(conclude(changed, "plans.collapse-limits")) == found, value
