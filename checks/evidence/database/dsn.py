"""How a person or an application writes down a connection, made into what libpq takes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote

import msgspec
from psycopg import ProgrammingError, conninfo, pq

from checks.errors import UsageError

SCHEMES = {"postgres", "postgresql", "postgis", "pgsql"}
TRANSACTION_POOLING_PORT = "6543"

_KEYWORDS = frozenset(option.keyword.decode() for option in pq.Conninfo.get_defaults())
_SSL_MODES = {"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}
_SPELLINGS = {"username": "user", "database": "dbname", "applicationname": "application_name", "hostname": "host"}
_URL = re.compile(r"\s*(?:jdbc:)?([a-z][a-z0-9]*)((?:\+[a-z0-9_]+)?)://(.*)", re.IGNORECASE | re.DOTALL)
_PAIR = re.compile(r"\s*(\w+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s'\\]|\\.)(?:[^\s\\]|\\.)*)?)(?=\s|$)", re.DOTALL)
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})|%00")


class Dsn(msgspec.Struct, frozen=True, repr_omit_defaults=True):
    """`conninfo` is for libpq and may hold a password; `display` names the target and never does. `notices` say what was
    left out of the argument; `transaction_pooling` that the argument itself gives a transaction pooler away."""

    conninfo: str
    display: str
    notices: tuple[str, ...] = ()
    transaction_pooling: bool = False

    def __repr__(self) -> str:
        return f"Dsn({self.display!r})"

    def value(self, keyword: str) -> str | None:
        """What libpq will use for that keyword, from the argument or else the environment; None where neither says."""
        return _effective(self.parameters, keyword)

    @property
    def parameters(self) -> dict[str, str]:
        return {name: str(value) for name, value in conninfo.conninfo_to_dict(self.conninfo).items()}

    def redact(self, text: str) -> str:
        """`text` in one line and without the password, should libpq have echoed it."""
        for secret in (self.value("password"), self.value("sslpassword")):
            if secret:
                text = text.replace(secret, "***")
        return " ".join(text.split())


def is_dsn(argument: str) -> bool:
    """Whether an argument is a DSN: it has `://`, or is `key=value` as libpq reads it."""
    if "://" in argument:
        return True
    first = re.match(r"\s*(\w+)\s*=", argument)
    return first is not None and any(
        name.lower() in _KEYWORDS for name in [first[1], *re.findall(r"\s(\w+)\s*=", argument)]
    )


def understand(argument: str) -> Dsn:
    """The connection that `argument` means; what it leaves open, libpq's environment, service and password files decide.

    Raises UsageError, which never repeats a value of the argument: any of them may be a password.
    """
    if "\x00" in argument:
        raise UsageError("the DSN holds a NUL character", "give it as postgresql://USER@HOST/DATABASE")
    pairs = _of_url(argument) if "://" in argument else _of_pairs(argument)
    parameters, notices, pooling = _sorted_out(pairs)
    try:
        made = conninfo.make_conninfo("", **parameters)
    except (ProgrammingError, ValueError) as error:
        raise UsageError("libpq does not take this DSN", "give it as postgresql://USER@HOST/DATABASE") from error
    ports = (_effective(parameters, "port") or "").split(",")
    hosts = (_effective(parameters, "host") or "").split(",")
    pooling = (
        pooling or TRANSACTION_POOLING_PORT in ports or any(host.split(".")[0].endswith("-pooler") for host in hosts)
    )
    return Dsn(made, _display(parameters), notices, pooling)


def _of_url(argument: str) -> list[tuple[str, str]]:
    matched = _URL.fullmatch(argument)
    if not matched:
        raise UsageError("the DSN has no scheme before ://", "give it as postgresql://USER@HOST/DATABASE")
    scheme, _, rest = matched.groups()
    if scheme.lower() not in SCHEMES:
        raise UsageError(
            f"{scheme.lower()}:// is not a PostgreSQL address", "give it as postgresql://USER@HOST/DATABASE"
        )
    if _BAD_PERCENT.search(rest):
        raise UsageError("the DSN has a % that starts no escape", "write a % in a password as %25")
    place, _, query = rest.rstrip().partition("?")
    authority, slash, database = place.partition("/")
    if "@" in database and re.search(r":(?!\d*$)", authority) and "@" not in authority:
        # A password with a slash that was not escaped: what follows the last @ is the host, as drivers read it.
        head, _, tail = place.rpartition("@")
        host, slash, database = tail.partition("/")
        authority = f"{head}@{host}"
    login, _, hosts = authority.rpartition("@")
    user, colon, password = login.partition(":")
    pairs = [("user", user)] if user else []
    pairs += [("password", password)] if colon and password else []
    if hosts:
        pairs += _of_hosts(hosts.split(","))
    if slash and database:
        pairs.append(("dbname", database))
    pairs = [(name, unquote(value)) for name, value in pairs]
    extra = [part.partition("=") for part in query.split("&") if part]
    named = [(unquote(name), unquote(value)) for name, _, value in extra]
    several = [value for name, value in named if name == "host"]
    if len(several) > 1 or any(re.search(r"^[^/:]+:\d+$", value) for value in several):
        named = [(name, value) for name, value in named if name != "host"] + _of_hosts(several)
    return pairs + named


def _of_hosts(hosts: Iterable[str]) -> list[tuple[str, str]]:
    names, ports = [], []
    for entry in hosts:
        matched = re.fullmatch(r"(\[[^\]]*\]|[^:]*)(?::(\d*))?", entry)
        if not matched:
            raise UsageError("the DSN has a port that is no number", "escape : in a password as %3A, @ as %40")
        names.append(matched[1].strip("[]"))
        ports.append(matched[2] or "")
    found = [("host", ",".join(names))] if any(names) else []
    return found + ([("port", ",".join(ports))] if any(ports) else [])


def _of_pairs(argument: str) -> list[tuple[str, str]]:
    pairs, position = [], 0
    argument = argument.rstrip()
    while position < len(argument):
        matched = _PAIR.match(argument, position)
        if not matched:
            raise UsageError("the DSN is not key=value all along", "quote values that hold spaces: password='...'")
        value = matched[2] if matched[2] is not None else matched[3] or ""
        pairs.append((matched[1], re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL)))
        position = matched.end()
    return pairs


def _sorted_out(pairs: Iterable[tuple[str, str]]) -> tuple[dict[str, str], tuple[str, ...], bool]:
    parameters: dict[str, str] = {}
    dropped: list[str] = []
    notices: list[str] = []
    pooling = False
    for given, value in pairs:
        name = given if given in _KEYWORDS else _SPELLINGS.get(given.lower(), given.lower())
        if name == "ssl":
            name, value = (
                "sslmode",
                {"true": "require", "1": "require", "false": "prefer", "0": "prefer"}.get(value, value),
            )
        if name == "sslmode" and value == "no-verify":
            value = "require"
            notices.append("sslmode=no-verify is read as require")
        if name == "pgbouncer":
            pooling = pooling or value.lower() in {"true", "1", "yes", "on", "transaction"}
        if name not in _KEYWORDS or (name == "sslmode" and value not in _SSL_MODES):
            dropped.append(given)
        elif value:
            parameters[name] = value
    if dropped:
        shown = ", ".join(sorted({name if name.isidentifier() else ascii(name) for name in dropped}))
        notices.insert(0, f"left out of the DSN, because libpq does not know it: {shown}")
    return parameters, tuple(notices), pooling


def _effective(parameters: dict[str, str], keyword: str) -> str | None:
    if keyword in parameters:
        return parameters[keyword]
    for option in pq.Conninfo.get_defaults():
        if option.keyword.decode() == keyword:
            return option.val.decode("utf-8", "replace") if option.val else None
    return None


def _display(parameters: dict[str, str]) -> str:
    service = _effective(parameters, "service")
    if service and "host" not in parameters:
        return f"service {service}"
    hosts = (_effective(parameters, "host") or _effective(parameters, "hostaddr") or "/").split(",")
    ports = (_effective(parameters, "port") or "5432").split(",")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    places = [_place(host, port) for host, port in zip(hosts, ports, strict=False)]
    user = _effective(parameters, "user") or "?"
    database = _effective(parameters, "dbname") or user
    return f"{user}@{','.join(places)}/{database}"


def _place(host: str, port: str) -> str:
    if host.startswith(("/", "@")):
        return "[local]"
    bracketed = f"[{host}]" if ":" in host else host
    return bracketed if not port or port == "5432" else f"{bracketed}:{port}"
