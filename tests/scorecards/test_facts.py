"""Each predicate on evidence that meets it, that does not, and that hides it."""

from __future__ import annotations

import datetime as dt

import msgspec
import pytest

from checks.configuration import Configuration, Override
from checks.evidence.database.facts import (
    Activity,
    FreezeAge,
    FreezeAges,
    PreparedTransaction,
    Replication,
    SentSetting,
    Session,
    Settings,
    Statements,
    Table,
    TableUsage,
    Usage,
)
from checks.evidence.evidence import Evidence
from checks.evidence.repository.facts import (
    Repository,
)
from checks.model import Reason, Unknown, Unobserved
from scorecards.facts import FACTS, PRECONDITIONS
from tests.scorecards.reviewed import NOW, catalog, evidence, server, statements
from tests.scorecards.varied import (
    ACTIVE,
    GB,
    HIDDEN,
    IDLE,
    STANDBY,
    WAITING,
    archiving,
    looked_for,
    pooler,
    status,
    synchronous,
    vector,
    with_column,
    with_deployed,
    with_facts,
    with_files,
    with_given_plans,
    with_indexes,
    with_migration,
    with_recall,
    with_replica,
    with_retry,
    with_sent,
    with_sequence,
    with_sessions,
    with_settings,
    with_size,
    with_slot,
    with_standbys,
    with_statement,
    with_updates,
)

CASES: list[tuple[str, Evidence, str]] = [
    ("sequences_have_room", with_sequence(899), "met"),
    ("sequences_have_room", with_sequence(900), "unmet"),
    ("sequences_have_room", with_sequence(None), "met"),
    ("sequences_have_room", with_sequence(None, readable=False), "unknown"),
    ("sequences_have_room", with_sequence(900, cycle=True), "not_applicable"),
    ("sequences_have_room", with_sequence(-950, minimum=-1_000, maximum=-1, increment=-1), "unmet"),
    ("sequences_have_room", evidence(catalog=HIDDEN), "unknown(not_permitted)"),
    ("small_keys_below_half", with_sequence(900), "not_applicable"),
    ("freeze_ages_below_failsafe", evidence(), "met"),
    ("freeze_ages_below_failsafe", evidence(freeze_ages=FreezeAges((FreezeAge(("a",), 1, 1_600_000_000),))), "unmet"),
    ("freeze_ages_below_failsafe", evidence(freeze_ages=FreezeAges()), "unknown"),
    ("migrations_in_repository", evidence(), "met"),
    ("migrations_in_repository", with_deployed("orm", "Prisma"), "met"),
    ("migrations_in_repository", evidence(repository=Repository("r")), "unknown"),
    ("exact_types", evidence(), "met"),
    ("exact_types", with_column("unit_price", "float8"), "unmet"),
    ("exact_types", with_column("temperature", "float8"), "met"),
    ("exact_types", with_column("discounted_at_float", "float8"), "met"),
    ("exact_types", with_column("external_id", "text", default="gen_random_uuid"), "unmet"),
    ("exact_types", with_column("external_id", "text"), "met"),
    ("no_huge_unpartitioned_table", with_size(100 * GB), "met"),
    ("no_huge_unpartitioned_table", with_size(100 * GB + 1), "unmet"),
    ("no_huge_unpartitioned_table", with_size(None), "unknown"),
    ("no_large_table_rewritten", with_files(GB, 1), "not_applicable"),
    ("no_large_table_rewritten", with_files(GB + 1, 1), "met"),
    ("no_large_table_rewritten", with_files(GB + 1, 2), "unknown"),
    ("no_large_table_rewritten", with_files(GB + 1, 2, earlier=2, days=89), "unknown"),
    ("no_large_table_rewritten", with_files(GB + 1, 2, earlier=2, days=90), "met"),
    ("no_large_table_rewritten", with_files(GB + 1, 2, earlier=1, days=20), "unmet"),
    ("no_large_table_rewritten", with_files(GB + 1, 2, earlier=1, days=200), "unknown"),
    ("no_large_table_rewritten", with_files(GB + 1, 2, earlier=1, days=20, inserted=1_000), "unknown"),
    ("no_large_table_rewritten", with_files(None, 1), "unknown"),
    ("hot_updates", with_updates(8_000), "met"),
    ("hot_updates", with_updates(7_999), "unmet"),
    ("hot_updates", evidence(usage=Usage()), "not_applicable"),
    ("hot_updates", evidence(server=STANDBY), "unknown"),
    ("unique_indexes_valid", evidence(), "met"),
    ("index_budget", with_indexes(15), "met"),
    ("index_budget", with_indexes(16), "unmet"),
    ("index_budget", evidence(usage=Usage()), "not_applicable"),
    ("no_old_transaction", with_sessions(ACTIVE), "met"),
    ("no_old_transaction", with_sessions(IDLE), "unmet"),
    ("no_old_transaction", with_sessions(msgspec.structs.replace(ACTIVE, transaction_age_s=86_400)), "unmet"),
    ("no_old_transaction", with_sessions(prepared=(PreparedTransaction("p", "a", "app", 86_400),)), "unmet"),
    ("no_old_transaction", with_sessions(ACTIVE, states_hidden=True), "unknown"),
    ("no_old_transaction", with_sessions(IDLE, states_hidden=True), "unmet"),
    ("connections_available", with_sessions(*[ACTIVE] * 8), "met"),
    ("connections_available", with_sessions(*[ACTIVE] * 9), "unmet"),
    ("connections_available", with_sessions(max_connections=0), "unknown"),
    ("statements_readable", evidence(), "met"),
    ("statements_readable", evidence(statements=Unobserved(Reason.EXTENSION_MISSING)), "unmet"),
    ("statements_readable", evidence(statements=HIDDEN), "unknown"),
    ("statements_readable", evidence(statements=msgspec.structs.replace(statements(), hidden=4)), "unknown"),
    ("statements_cover_a_week", evidence(configuration=Configuration()), "met"),
    ("statements_cover_a_week", evidence(statements=msgspec.structs.replace(statements(), evicted=42)), "unmet"),
    ("statements_cover_a_week",
     evidence(statements=msgspec.structs.replace(statements(), since=NOW), configuration=Configuration()),
     "unknown(window_too_short)"),
    ("plans_captured", evidence(), "unknown"),
    ("plans_captured", with_settings(auto_explain__log_min_duration="500", auto_explain__log_buffers="on"), "met"),
    ("plans_captured", with_settings(auto_explain__log_min_duration="500", auto_explain__log_buffers="off"), "unknown"),
    ("hot_statements_are_fast", with_statement(100, 10**6), "met"),
    ("hot_statements_are_fast", with_statement(101, 10**6), "unmet"),
    ("hot_statements_are_fast", with_statement(101, 1_000), "met"),
    ("hot_statements_are_fast", with_statement(1_001, 10), "unmet"),
    ("hot_statements_are_fast", with_statement(1_001, 9), "met"),
    ("hot_statements_are_fast",
     msgspec.structs.replace(with_statement(1, 1), activity=Activity((WAITING,), 10)), "unmet"),
    ("joins_are_narrow", evidence(), "met"),
    ("joins_are_narrow",
     with_statement(1, 10, "SELECT 1 FROM " + " CROSS JOIN ".join(f"messages m{n}" for n in range(8))), "unmet"),
    ("sessions_named", with_sessions(*[ACTIVE] * 9, Session("", "app", "a", "idle", None, 1)), "met"),
    ("sessions_named", with_sessions(*[ACTIVE] * 8, *[Session("", "app", "a", "idle", None, 1)] * 2), "unmet"),
    ("sessions_named", with_sessions(Session("psql", "ada", "a", "idle", None, 1)), "unknown"),
    ("autovacuum_on", evidence(), "met"),
    ("autovacuum_on", with_settings(autovacuum="off"), "unmet"),
    ("autovacuum_on", evidence(settings=Settings()), "unknown"),
    ("durability_on", evidence(), "met"),
    ("durability_on", with_settings(fsync="off"), "unmet"),
    ("durability_on", with_settings(synchronous_commit="off"), "unmet"),
    ("slow_statements_recorded", evidence(), "unmet"),
    ("slow_statements_recorded", msgspec.structs.replace(evidence(), server=server(flavour="rds")), "unknown"),
    ("slow_statements_recorded", with_settings(log_min_duration_statement="5000"), "met"),
    ("slow_statements_recorded", with_settings(log_min_duration_sample="100"), "met"),
    ("slow_threshold", with_settings(log_min_duration_statement="1000"), "met"),
    ("slow_threshold", with_settings(log_min_duration_statement="1001"), "unmet"),
    ("slow_threshold", evidence(), "unmet"),
    ("events_logged", evidence(), "unmet"),
    ("events_logged", with_settings(log_lock_waits="on", log_temp_files="0"), "met"),
    ("events_logged", with_settings(log_lock_waits="on", log_temp_files="0", log_autovacuum_min_duration="-1"), "unmet"),
    ("ddl_history", evidence(), "unknown"),
    ("ddl_history", with_settings(log_statement="ddl"), "met"),
    ("ddl_history", with_settings(pgaudit__log="read, DDL"), "met"),
    ("metrics_agent", evidence(), "unknown"),
    ("metrics_agent", with_sessions(Session("postgres_exporter", "m", "a", "idle", None, 1)), "met"),
    ("metrics_agent", with_deployed("metrics_agent", "datadog"), "met"),
    ("slots_are_safe", evidence(), "met"),
    ("slots_are_safe", with_slot(), "met"),
    ("slots_are_safe", with_slot(wal_status="unreserved"), "unmet"),
    ("slots_are_safe", with_slot(wal_status="lost", invalidation_reason="wal_removed"), "unmet"),
    ("slots_are_safe", with_slot(name="gone", wal_status="lost", invalidation_reason="wal_removed"), "met"),
    ("slots_are_safe", with_slot(wal_status="lost", invalidation_reason="idle_timeout"), "met"),
    ("slots_are_safe", with_slot(retained_bytes=10 * GB + 1), "unmet"),
    ("slots_are_safe", with_slot(retained_bytes=10 * GB + 1, active=True), "met"),
    ("slots_are_safe", with_slot("1024", retained_bytes=10 * GB + 1), "met"),
    ("slots_are_safe", evidence(server=STANDBY), "unknown"),
    ("synchronous_standby_streams", evidence(), "not_applicable"),
    ("synchronous_standby_streams", synchronous("streaming"), "met"),
    ("synchronous_standby_streams", synchronous("catchup"), "unmet"),
    ("synchronous_standby_streams", synchronous(None), "unmet"),
    ("synchronous_standby_streams", synchronous(None, standbys_hidden=True), "unknown"),
    ("archiver_not_failing", evidence(), "unknown"),
    ("archiver_not_failing", archiving(60, 7_200), "unknown"),
    ("archiver_not_failing", archiving(3_601, 10), "unmet"),
    ("archiver_not_failing", archiving(3_599, 10), "unknown"),
    ("backup_in_deployment", evidence(), "unknown"),
    ("backup_in_deployment", with_deployed("backup", "pgbackrest"), "met"),
    ("pools_fit", with_deployed("pool_size", "pool_size=50", "max: 31"), "unmet"),
    ("pools_fit", with_deployed("pool_size", "pool_size=50", "max: 30"), "unknown"),
    ("pools_fit", with_facts(pool_size="20 (max)", processes="4 (replicas)"), "met"),
    ("pools_fit", with_facts(pool_size="21 (max)", processes="4 (replicas)"), "unmet"),
    ("pools_fit", with_facts(pool_size="21 (max)", processes="4 (replicas)", pooler="pgbouncer"), "unknown"),
    ("topology_documented", with_standbys("standby1"), "unknown"),
    ("topology_documented", with_standbys("standby1", standby="1 of 2 instances"), "met"),
    ("topology_documented", with_standbys("standby1", standby="2 of 3 instances"), "unmet"),
    ("topology_documented", with_standbys(standby="primary_conninfo"), "unmet"),
    ("topology_documented", with_standbys("standby1", high_availability="Patroni"), "met"),
    ("topology_documented", with_standbys(), "unknown"),
    ("topology_documented", evidence(server=STANDBY), "unknown"),
    ("topology_documented", evidence(server=server(flavour="rds")), "unknown"),
    ("reads_on_replicas", with_replica("SELECT a FROM t", 9_000), "met"),
    ("reads_on_replicas", with_replica("SELECT a FROM t", 500), "unknown"),
    ("reads_on_replicas", with_replica("SELECT a FROM t", 1), "unmet"),
    ("reads_on_replicas", with_replica("SELECT a FROM t FOR UPDATE", 9_000), "unmet"),
    ("reads_on_replicas", with_replica("WITH w AS (INSERT INTO t VALUES ($1) RETURNING a) SELECT a FROM w", 9_000), "unmet"),
    ("reads_on_replicas", with_replica(None, 0), "unknown"),
    ("reads_on_replicas", with_standbys("standby1"), "unknown"),
    ("pooler_stands_close", with_facts(pooler="pgbouncer", server_image="postgres:18"), "unknown"),
    ("pooler_stands_close",
     with_facts(pooler="pgbouncer", server_image="postgres:18", pooler_timeout="server_idle_timeout = 60"), "met"),
    ("pooler_stands_close", with_facts(pooler="pgbouncer", pooler_timeout="server_idle_timeout = 60"), "unknown"),
    ("pooler_stands_close", evidence(), "unknown"),
    ("pools_fit", evidence(), "unknown"),
    ("replication_alerts", with_deployed("alert_rules", "disk full"), "unknown"),
    ("replication_alerts", with_deployed("alert_rules", "ReplicationLag"), "met"),
    ("transaction_pooling", with_deployed("pooler", "pgbouncer, pool_mode = transaction"), "met"),
    ("transaction_pooling", with_deployed("pooler", "pgbouncer, pool_mode = session"), "unknown"),
    ("transaction_pooling", evidence(pooler=pooler("transaction")), "met"),
    ("transaction_pooling", evidence(pooler=pooler("transaction", "session")), "unmet"),
    ("retries_back_off", evidence(repository=with_retry()), "unmet"),
    ("retries_back_off", evidence(repository=Repository("r")), "unknown"),
    ("costliest_plans_given", with_given_plans(1.0), "met"),
    ("costliest_plans_given", with_given_plans(0.0), "unknown"),
    ("costliest_plans_given", evidence(), "unknown"),
    ("plans_captured", with_given_plans(1.0), "met"),
    ("pgvector_safe", vector("0.8.6"), "met"),
    ("pgvector_safe", vector("0.8.2"), "met"),
    ("pgvector_safe", vector("0.8.1"), "unmet"),
    ("pgvector_safe", vector("0.6.0"), "unmet"),
    ("pgvector_safe", vector("0.5.1"), "met"),
    ("pgvector_safe", vector("0.8.1", "0.8.4"), "met"),
    ("pgvector_safe", vector("0.8.4", "0.8.1"), "unmet"),
    ("pgvector_safe", evidence(server=server(extensions=())), "not_applicable"),
    ("vectors_have_dimensions", evidence(), "met"),
    ("vectors_have_dimensions", with_column("embedding", "vector"), "unmet"),
    ("embeddings_have_provenance", evidence(), "met"),
    ("embeddings_have_provenance", with_column("embedding", "vector"), "unknown"),
    ("embeddings_follow_source", evidence(), "unknown"),
    ("embeddings_follow_source", looked_for("embedded_at < updated_at"), "met"),
    ("embeddings_follow_source", looked_for("updated_at < now()"), "unknown"),
    ("dimensions_indexable", evidence(), "met"),
    ("embeddings_rarely_updated", evidence(), "met"),
    ("embeddings_rarely_updated", evidence(usage=Usage((TableUsage(4, 0, 0, 0, 10, 61, 0, 0, 500, 0, 0),))), "unmet"),
    ("search_breadth_set_safely", evidence(catalog=type(catalog())()), "not_applicable"),
    ("search_breadth_set_safely", with_sent(), "unknown"),
    ("search_breadth_set_safely", with_sent(SentSetting("hnsw.ef_search", True, 5)), "met"),
    ("search_breadth_set_safely", with_sent(SentSetting("hnsw.ef_search", False, 5)), "unmet"),
    ("search_breadth_set_safely", with_sent(setting="hnsw.ef_search"), "met"),
    ("recall_measured", evidence(catalog=type(catalog())()), "not_applicable"),
    ("recall_measured", with_sent(), "unknown"),
    ("recall_measured", with_recall(0.97), "met"),
    ("recall_measured", with_recall(0.71), "unmet"),
    ("recall_measured", with_recall(None), "unknown"),
    ("ddl_guarded", with_migration("add_column", linted=True, bounded=True), "met"),
    ("ddl_guarded", with_migration("add_column", linted=True), "unknown"),
    ("ddl_guarded", with_migration("add_column", bounded=True), "unknown"),
    ("uniqueness_promised", evidence(), "unknown"),
    ("indexes_built_concurrently", evidence(), "not_applicable"),
    ("indexes_built_concurrently", with_migration("create_index"), "unmet"),
    ("indexes_built_concurrently", with_migration("add_column"), "unknown"),
    ("fixed_predicates_served", evidence(), "unknown(database_not_given)"),
    ("plan_changes_noticed", evidence(), "unknown"),
    ("plan_changes_noticed", with_deployed("plan_test", "EXPLAIN"), "met"),
    ("plan_changes_noticed", with_deployed("metrics_agent", "pganalyze"), "met"),
    ("plan_changes_noticed", with_settings(**{"auto_explain.log_min_duration": "500"}), "met"),
    ("orm_statements_tested", evidence(), "not_applicable"),
    ("orm_statements_tested", with_deployed("orm", "Prisma"), "unknown"),
    ("generic_plans_fit", evidence(), "unknown"),
    ("backfills_in_batches", evidence(), "not_applicable"),
    ("backfills_in_batches", with_migration("update"), "unmet"),
    ("backfills_in_batches", with_migration("add_column"), "unknown"),
    ("ids_in_columns", with_statement(1, 10, "SELECT id FROM accounts WHERE id = $1"), "met"),
    ("ids_in_columns",
     with_statement(1, 10, "SELECT id FROM messages WHERE metadata ->> 'customer_id' = $1"), "unmet"),
    ("ids_in_columns", with_statement(1, 10, "SELECT id FROM messages WHERE metadata ->> $1 = $2"), "unknown"),
    ("ids_in_columns", with_statement(1, 10, "SELECT id FROM messages WHERE metadata ->> 'colour' = $1"), "met"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "given", "expected"), CASES, ids=[f"{name}-{to}" for name, _, to in CASES])
def test_fact(name: str, given: Evidence, expected: str) -> None:
    assert status(name, given) == expected


def test_every_fact_is_tried() -> None:
    assert {name for name, _, _ in CASES} == set(FACTS)


@pytest.mark.parametrize("name", sorted(FACTS))
def test_no_fact_decides_what_nobody_looked_at(name: str) -> None:
    nothing = Evidence(tool_version="0.1.0", observed_at=NOW)
    assert status(name, nothing).startswith("unknown")


@pytest.mark.parametrize("name", sorted(FACTS))
def test_no_fact_breaks_on_a_server_that_shows_little(name: str) -> None:
    bare = evidence(
        catalog=type(catalog())(), usage=Usage(), settings=Settings(hidden=True), activity=Activity(states_hidden=True),
        freeze_ages=FreezeAges(), replication=Replication(standbys_hidden=True), repository=Repository("r"),
        statements=Statements("1.12", None, None, 0), configuration=Configuration(),
    )  # fmt: skip
    assert status(name, bare).partition("(")[0] in {"met", "unmet", "unknown", "not_applicable"}


def test_preconditions() -> None:
    assert {name: bool(precondition(evidence())) for name, precondition in PRECONDITIONS.items()} == {
        "json_columns": False,
        "documents": False,
        "gin_indexes": True,
        "large_tables": True,
        "vectors": False,
    }


def test_no_vectors_only_where_both_database_and_repository_were_seen() -> None:
    columns = tuple(column for column in catalog().columns if column.base_type != "vector")
    plain = msgspec.structs.replace(catalog(), columns=columns)
    vectors = PRECONDITIONS["vectors"]
    assert vectors(evidence(catalog=plain, repository=Repository("r")))
    assert not vectors(evidence(catalog=plain))
    with pytest.raises(Unknown):
        vectors(evidence(catalog=plain, repository=Unobserved(Reason.REPO_NOT_GIVEN)))


def test_a_threshold_of_the_user_counts() -> None:
    stricter = Configuration((Override("key_used_red", 0.5, 0.9, "user", False),))
    given = msgspec.structs.replace(with_sequence(600), configuration=stricter)
    assert status("sequences_have_room", given) == "unmet"


def test_an_observation_says_which_threshold_an_override_put_in_force() -> None:
    covered, asked = statements(), Configuration((Override("window_days", 0, 7, "repository", True),))
    young = msgspec.structs.replace(covered, since=NOW - dt.timedelta(seconds=9))

    told = [FACTS["statements_cover_a_week"](evidence(statements=each, configuration=asked)).observed
            for each in (young, covered)]  # fmt: skip

    assert told == [
        "window of 9 s (an override asks for 0 days in place of 7), entries evicted 3 times",
        "window of 41 days, entries evicted 3 times",
    ]


def test_a_view_has_no_size_and_makes_no_table_large() -> None:
    seen = catalog()
    view = Table(90, "public", "pg_stat_statements", "view", "app", total_bytes=None)
    with_view = msgspec.structs.replace(seen, tables=(*seen.tables, view))
    assert PRECONDITIONS["large_tables"](evidence(catalog=with_view)) == "no table is larger than 10 GB"
    unknown = msgspec.structs.replace(seen, tables=(*seen.tables, msgspec.structs.replace(view, kind="table")))
    assert PRECONDITIONS["large_tables"](evidence(catalog=unknown)) == ""
