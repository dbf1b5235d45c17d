"""Where an embedded server lives, whose it is, and how its programs are run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from checks.errors import TargetError
from checks.shadow.account import server_account
from checks.shadow.binaries import copy_for_everyone, find_binaries, library_folder, server_major
from checks.shadow.folders import kept_server_folder, lock, temporary_folder
from checks.shadow.guardian import Guardian
from checks.shadow.process import end_with_parent, launch

LOCK_WAIT_S = 10.0


class Home:
    """Where a server lives: the folder with its data, the temporary one with its socket and log, and its programs."""

    def __init__(self, folder: Path | None, binaries: Path | None, memory_bytes: int | None = None) -> None:
        found = find_binaries(binaries)
        self._memory_bytes = memory_bytes
        self.kept = folder is not None
        self._locks: list[int] = []
        self._guardian: Guardian | None = None
        if folder is not None:
            folder = folder.absolute()
            _make_folder(folder)
            descriptor = lock(folder, wait_s=LOCK_WAIT_S)
            if descriptor is None:
                raise TargetError(f"another process is using {folder}", "end it, or wait until it has ended")
            self._locks.append(descriptor)
        try:
            self.account = server_account(folder / "server" if folder is not None else None)
            self.run, descriptor = temporary_folder(self.account)
            self._locks.append(descriptor)
            sockets = self.run / "server"
            sockets.mkdir(mode=0o700)
            self.account.own(sockets)
            self.folder = self.run if folder is None else folder
            self.files = sockets if folder is None else kept_server_folder(folder, self.account)
            self.binaries, self.major = self._reachable(found)
        except BaseException:
            self.leave()
            raise

    def guard(self) -> None:
        """Has the temporary folder removed as soon as this process is gone, even by SIGKILL."""
        if self._guardian is None:
            self._guardian = Guardian(self.run)

    def leave(self) -> None:
        """Removes what is temporary and lets go of the folders."""
        if hasattr(self, "run"):
            shutil.rmtree(self.run, ignore_errors=True)
        if self._guardian is not None:
            self._guardian.dismiss()
            self._guardian = None
        while self._locks:
            os.close(self._locks.pop())

    def launch(self, command: list[str], log: Path) -> subprocess.Popen[bytes]:
        return launch(
            command,
            environment=self._environment(self.binaries),
            cwd=self.files,
            log=log,
            account=self.account,
            memory_bytes=self._memory_bytes,
        )

    def execute(self, program: str, *arguments: str) -> None:
        """Runs one of PostgreSQL's programs to its end. Raises TargetError with its last words if it fails."""
        run = subprocess.run(
            [str(self.binaries / program), *arguments],
            env=self._environment(self.binaries),
            cwd=self.files,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            start_new_session=True,
            preexec_fn=end_with_parent(os.getpid()),
            **self.account.process_arguments(),
        )
        if run.returncode:
            words = re.search(r"(?:error|FATAL|PANIC): +(.+)", run.stderr)
            why = words[1] if words else f"exit status {run.returncode}"
            raise TargetError(f"{program} failed: {why}", "see that there are room on the disk and memory")

    def write(self, path: Path, text: str) -> None:
        """Writes a file of the server's account, never through a link that this account may have put there."""
        path.unlink(missing_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        self.account.own(path)

    def _reachable(self, binaries: Path) -> tuple[Path, int]:
        """The programs as the server's account can run them: copied if they lie in a closed folder."""
        if self.account.switch and not self.account.reaches(binaries / "postgres"):
            binaries = copy_for_everyone(binaries, self.run)
        return binaries, server_major(binaries, self._environment(binaries), self.account)

    def _environment(self, binaries: Path) -> dict[str, str]:
        """Ours without what would direct libpq or the server elsewhere."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("PG", "LC_"))}
        environment |= {"LC_ALL": "C", "LANG": "C"}
        libraries = library_folder(binaries)
        if libraries is not None:
            environment["LD_LIBRARY_PATH"] = str(libraries)
        return environment


def _make_folder(folder: Path) -> None:
    """A new one lets the server's account pass where that is not our own."""
    if not folder.exists():
        folder.mkdir(parents=True)
        folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
