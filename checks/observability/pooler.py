"""Whether the pooler has enough connections for those who come to it."""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Pool, Pooler, Server
from checks.evidence.evidence import Evidence
from checks.evidence.repository.facts import Repository
from checks.figures import seconds_in_words
from checks.model import Examined, Finding, Fix, NotApplicable, Reason, Severity, Subject, Unknown
from checks.registry import check

FULL_SHARE = 0.9


@check("observability.pooler-saturation", catalogue="O26", severity=Severity.MEDIUM, needs=[])
def pooler_saturation(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Clients wait for a connection of the pooler.

    The pool is smaller than what the application does at once: the statements are quick, and yet every request is slow, without a
    trace of it on the server. When max_client_conn is reached, new clients are refused.

    Fix: Shorter transactions first (no calls out within them), then a larger pool, below what the server can work on at once.

    Example: SHOW POOLS of PgBouncer: cl_waiting 85, sv_active 20, maxwait 12: twenty transactions that call a model hold the
    pool, and 85 clients wait.

    Source: PgBouncer documentation, "SHOW POOLS" (cl_waiting, maxwait); "default_pool_size"; "max_client_conn"

    Observed: pool_mode, clients, waiting, longest_wait_s, mean_wait_ms, servers_busy, servers_idle
    """
    pooler = evidence.find(Pooler)
    if pooler is None:
        _explain(evidence)
        pooler = evidence.get(Pooler)
    yield Examined(len(pooler.pools), len(pooler.pools), "pools")
    for pool in pooler.pools:
        mean = pooler.mean_wait_ms.get(pool.database, 0.0)
        waits = pool.waiting > 0 and pool.longest_wait_s >= evidence.limit("pooler_wait_s")
        if waits or mean >= evidence.limit("pooler_mean_wait_ms"):
            yield _waiting(evidence, pool, mean)
    most = pooler.settings.get("max_client_conn", "")
    clients = sum(pool.clients for pool in pooler.pools)
    if most.isdigit() and clients >= FULL_SHARE * int(most):
        yield Finding(
            Subject("node", (pooler.name,)),
            f"{clients} of {int(most):,} clients are connected to the pooler: the next ones are refused",
            Fix("Raise max_client_conn (and the limit of open files); look at who keeps connections that he does not use."),
            severity=Severity.HIGH,
            observed={"pool_mode": pooler.settings.get("pool_mode"), "clients": clients,
                      "waiting": sum(pool.waiting for pool in pooler.pools), "longest_wait_s": None, "mean_wait_ms": None,
                      "servers_busy": sum(pool.servers_busy for pool in pooler.pools),
                      "servers_idle": sum(pool.servers_idle for pool in pooler.pools)},
            discriminator="clients",
        )  # fmt: skip


def _waiting(evidence: Evidence, pool: Pool, mean: float) -> Finding:
    now = (
        f"{pool.waiting} client{'s wait' if pool.waiting > 1 else ' waits'} for a connection of pool "
        f"{pool.database}/{pool.user}, for up to {seconds_in_words(pool.longest_wait_s)}"
    )
    ever = f"A transaction waits {mean:,.0f} ms on average for a connection of pool {pool.database}/{pool.user}"
    far = pool.longest_wait_s >= 10 * evidence.limit("pooler_wait_s")
    return Finding(
        Subject("node", (f"{pool.database}/{pool.user}",)),
        now if pool.waiting else ever,
        Fix("See what keeps its server connections: transactions that are open while something else is done, slow statements; "
            "then enlarge the pool (pool_size), as long as the server has connections and cores for it."),
        severity=Severity.HIGH if far else Severity.MEDIUM,
        observed={"pool_mode": pool.mode, "clients": pool.clients, "waiting": pool.waiting,
                  "longest_wait_s": pool.longest_wait_s, "mean_wait_ms": mean, "servers_busy": pool.servers_busy,
                  "servers_idle": pool.servers_idle},
    )  # fmt: skip


def _explain(evidence: Evidence) -> None:
    """Raises NotApplicable where no pooler is seen and one was looked for, Unknown where it was not asked."""
    repository, server = evidence.find(Repository), evidence.find(Server)
    seen = server is not None and server.through_pooler
    deployed = any(fact.kind == "pooler" for fact in (repository.deployment if repository else ()))
    if repository is not None and server is not None and not (seen or deployed):
        raise NotApplicable("no pooler is seen, neither in the connection nor in the deployment")
    raise Unknown(
        Reason.NOT_OPTED_IN, "--pooler DSN reads PgBouncer's console (its database pgbouncer): who waits, and how long"
    )
