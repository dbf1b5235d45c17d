"""Small predicates over evidence that the rubric names: each says whether a criterion is met, or why that is unknown."""

from __future__ import annotations

from scorecards.facts import hybrid, indexing, migrations, plans, schema, server, topology, workload
from scorecards.facts.verdict import Precondition, Predicate, Verdict

__all__ = ["FACTS", "PRECONDITIONS", "Verdict"]

FACTS: dict[str, Predicate] = {
    predicate.__name__: predicate
    for predicate in (
        schema.sequences_have_room,
        schema.small_keys_below_half,
        schema.freeze_ages_below_failsafe,
        schema.migrations_in_repository,
        schema.exact_types,
        schema.no_huge_unpartitioned_table,
        schema.no_large_table_rewritten,
        schema.hot_updates,
        schema.unique_indexes_valid,
        schema.index_budget,
        indexing.uniqueness_promised,
        indexing.indexes_built_concurrently,
        indexing.fixed_predicates_served,
        migrations.ddl_guarded,
        migrations.backfills_in_batches,
        workload.no_old_transaction,
        workload.connections_available,
        workload.statements_readable,
        workload.statements_cover_a_week,
        workload.plans_captured,
        workload.costliest_plans_given,
        workload.hot_statements_are_fast,
        workload.joins_are_narrow,
        workload.sessions_named,
        plans.plan_changes_noticed,
        plans.orm_statements_tested,
        plans.generic_plans_fit,
        server.autovacuum_on,
        server.durability_on,
        server.slow_statements_recorded,
        server.slow_threshold,
        server.events_logged,
        server.ddl_history,
        server.metrics_agent,
        server.slots_are_safe,
        server.synchronous_standby_streams,
        server.archiver_not_failing,
        server.backup_in_deployment,
        topology.pools_fit,
        topology.topology_documented,
        topology.reads_on_replicas,
        topology.pooler_stands_close,
        server.replication_alerts,
        server.transaction_pooling,
        server.retries_back_off,
        hybrid.pgvector_safe,
        hybrid.vectors_have_dimensions,
        hybrid.embeddings_have_provenance,
        hybrid.embeddings_follow_source,
        hybrid.dimensions_indexable,
        hybrid.ids_in_columns,
        hybrid.embeddings_rarely_updated,
        hybrid.search_breadth_set_safely,
        hybrid.recall_measured,
    )
}

PRECONDITIONS: dict[str, Precondition] = {
    precondition.__name__: precondition
    for precondition in (
        schema.json_columns,
        schema.documents,
        schema.gin_indexes,
        schema.large_tables,
        hybrid.vectors,
    )
}
