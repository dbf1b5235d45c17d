"""Who may connect from where, and what he has to show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from checks.evidence.database.facts import Host, HostRule, Server, Settings
from checks.evidence.database.shown import DEFAULT, EMPTY
from checks.evidence.evidence import Evidence
from checks.evidence.repository.facts import DeploymentFact, Repository
from checks.model import Confidence, Examined, Finding, Fix, Reason, Severity, Subject, Unknown
from checks.registry import check
from checks.relations import user_name
from checks.settings import is_managed, is_on, is_tried_out

_FILE = Subject("file", ("pg_hba.conf",))
_NEAR = frozenset({"socket", "this machine"})
_FAR = frozenset({"any address", "public network"})
# What stands for the value of listen_addresses, a free text, where it is empty or the default, localhost.
_LISTENS_NEAR = frozenset({EMPTY, DEFAULT})


@check("observability.host-based-access", catalogue="O33", severity=Severity.HIGH, needs=[])
def host_based_access(evidence: Evidence) -> Iterator[Finding | Examined]:
    """pg_hba.conf lets in who should show more.

    A line with trust asks nobody for a password: whoever reaches the port is whoever he says, the superuser too. With password it
    goes over the network as it is; md5 can be broken from what was overheard. A line that an earlier one shadows never takes
    effect, and one with an error keeps the server from starting again.

    Fix: hostssl lines with scram-sha-256, for the roles, databases and networks that need it; then pg_reload_conf().

    Example: host all all 0.0.0.0/0 trust: psql -h db -U postgres from any machine that reaches the port is a superuser's
    session. hostssl app app 10.0.0.0/8 scram-sha-256 lets in one role, with its password, over TLS.

    Source: PostgreSQL manual, "The pg_hba.conf File"; "pg_hba_file_rules"

    Observed: lines, methods, users, reach
    """
    deployed = _deployed(evidence)
    rules = _rules(evidence, bool(deployed))
    yield Examined(len(rules) + len(deployed), len(rules) + len(deployed), "lines")
    yield from _of_deployment(deployed, known=bool(rules))
    if not rules:
        return
    broken = [rule for rule in rules if rule.error]
    if broken:
        yield _finding(
            broken,
            "an error",
            "pg_hba.conf has an error: the server goes on with the lines of before, and would not start",
            "Put it right, then look at pg_hba_file_rules until its column error is empty.",
            Severity.HIGH,
        )
    effective = [rule for rule in rules if not (rule.error or rule.idle) and rule.shadowed_by is None]
    listens = _listens(evidence)
    trusted = [rule for rule in effective if rule.method == "trust" and not rule.certificate]
    far = [rule for rule in trusted if rule.reach not in _NEAR] if listens else []
    if far:
        anywhere = any(rule.reach in _FAR for rule in far)
        whence = "any address" if anywhere else "other machines"
        yield _finding(
            far,
            "trust",
            f"{_whom(far)} may connect from {whence} without a password",
            "Ask for scram-sha-256, over hostssl; give each role a password before the reload.",
            Severity.CRITICAL if anywhere else Severity.HIGH,
        )
    elif near := [rule for rule in trusted if rule.reach in _NEAR]:
        yield _finding(
            near,
            "trust",
            "Every process on the server's machine may connect as any role, without a password",
            "Ask for scram-sha-256, or peer on the socket; in a container nobody else is there.",
            Severity.NOTE,
        )
    if listens:
        yield from _of_passwords(effective)
        yield from _of_encryption(evidence, effective)
    yield from _of_shadows(rules)


def _of_passwords(effective: Sequence[HostRule]) -> Iterator[Finding]:
    clear = [
        rule for rule in effective if rule.method == "password" and rule.reach not in _NEAR and rule.kind != "hostssl"
    ]
    if clear:
        yield _finding(
            clear,
            "password",
            "Passwords may cross the network as they are",
            "Ask for scram-sha-256 instead of password, over hostssl.",
            Severity.HIGH,
        )
    weak = [rule for rule in effective if rule.method == "md5" and rule.reach not in _NEAR]
    if weak:
        yield _finding(
            weak,
            "md5",
            "pg_hba.conf takes md5 where it should ask for scram-sha-256",
            "Set each password anew under password_encryption = scram-sha-256, then write scram-sha-256 in these lines.",
            Severity.LOW,
        )


def _of_encryption(evidence: Evidence, effective: Sequence[HostRule]) -> Iterator[Finding]:
    settings = evidence.find(Settings)
    open_to_all = [
        rule
        for rule in effective
        if rule.reach in _FAR
        and rule.kind in {"host", "hostnossl"}
        and rule.method not in {"trust", "reject", "password"}
    ]
    if not open_to_all or settings is None:
        return
    on = is_on(settings.value("ssl"))
    yield _finding(
        open_to_all,
        "open",
        f"{_whom(open_to_all)} may connect from any address, "
        + ("with TLS or without" if on else "and there is no TLS"),
        "Write hostssl, and the networks of the application and of the administrators, instead of any address."
        + ("" if on else " First give the server a certificate and ssl = on."),
        Severity.LOW,
    )


def _of_shadows(rules: Sequence[HostRule]) -> Iterator[Finding]:
    """Only where the line would have asked for more: the others do no harm."""
    by_line = {(rule.file, rule.line): rule for rule in rules}
    hidden = []
    for rule in rules:
        earlier = by_line.get((rule.file, rule.shadowed_by)) if rule.shadowed_by is not None else None
        if earlier and earlier.method != rule.method and (rule.method == "reject" or earlier.method == "trust"):
            hidden.append(rule)
    if hidden:
        first = hidden[0]
        yield _finding(
            hidden,
            "shadowed",
            f"Line {first.line} of {first.file or 'pg_hba.conf'} ({first.method}) never takes effect: "
            f"line {first.shadowed_by} takes its connections first",
            "The first line that fits decides: put the narrower line before the wider one.",
            Severity.MEDIUM,
        )


def _of_deployment(deployed: Sequence[DeploymentFact], *, known: bool) -> Iterator[Finding]:
    """What the server itself tells of its lines is not read from files again; the network around it is in files only."""
    groups: dict[str, list[DeploymentFact]] = {}
    for fact in deployed:
        of_lines = fact.detail.startswith(("trust", "password"))
        if not (of_lines and known):
            groups.setdefault(fact.detail, []).append(fact)
    for detail, facts in groups.items():
        asks_nobody = detail.startswith("trust")
        yield Finding(
            Subject("file", (facts[0].location.path,)),
            f"The deployment gives the server {detail}" if not asks_nobody else f"The deployment lets everybody in: {detail}",
            Fix("Take it away, and give the superuser a password from a secret."
                if asks_nobody
                else "Leave the server in a private network, and name the networks that may connect."),
            severity=Severity.MEDIUM,
            confidence=Confidence.INFERRED,
            observed={"lines": [fact.location.line for fact in facts], "methods": [detail], "users": [], "reach": []},
            locations=tuple(fact.location for fact in facts)[:5],
            discriminator=detail,
        )  # fmt: skip


def _finding(rules: Sequence[HostRule], what: str, title: str, advice: str, severity: Severity) -> Finding:
    return Finding(
        _FILE,
        title,
        Fix(f"{advice} Lines: {', '.join(_place(rule) for rule in rules[:8])}."),
        severity=severity,
        observed={
            "lines": [rule.line for rule in rules],
            "methods": sorted({rule.method for rule in rules} - {""}),
            "users": sorted({user for rule in rules for user in rule.users})[:8],
            "reach": sorted({rule.reach for rule in rules} - {""}),
        },
        discriminator=what,
    )


def _place(rule: HostRule) -> str:
    return f"{rule.file}:{rule.line}" if rule.file else str(rule.line)


def _whom(rules: Sequence[HostRule]) -> str:
    users = sorted({user for rule in rules for user in rule.users})
    return "Every role" if "all" in users else ", ".join(users[:3]) + (" and others" if len(users) > 3 else "")


def _rules(evidence: Evidence, told_otherwise: bool) -> Sequence[HostRule]:
    """The server's lines; none where only the deployment tells. Raises Unknown where nothing does."""
    host, server = evidence.find(Host), evidence.find(Server)
    managed = server is not None and is_managed(server)
    if host is not None and host.rules is not None and not managed:
        return host.rules
    if told_otherwise:
        return ()
    if managed:
        raise Unknown(
            Reason.MANAGED_SERVICE_HIDES,
            "ask which networks may connect, and whether TLS is required: the provider's network rules decide",
        )
    evidence.get(Host)
    raise Unknown(
        Reason.NOT_PERMITTED,
        f"GRANT EXECUTE ON FUNCTION pg_catalog.pg_hba_file_rules() TO {user_name(evidence)};",
    )


def _listens(evidence: Evidence) -> bool:
    """Whether other machines can reach the port at all."""
    settings = evidence.find(Settings)
    return settings is None or settings.value("listen_addresses") not in _LISTENS_NEAR


def _deployed(evidence: Evidence) -> list[DeploymentFact]:
    repository = evidence.find(Repository)
    facts = repository.deployment if repository else ()
    return [fact for fact in facts if fact.kind == "host_access" and not is_tried_out(fact.location.path)]
