"""The browser mode in a real browser, driven over its own debugging protocol."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.e2e.conftest import PROGRAM, Run

pytestmark = pytest.mark.all

WAIT_S = 120


class Tab:
    """One page of the browser."""

    def __init__(self, connection: aiohttp.ClientWebSocketResponse) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)

    async def call(self, method: str, **parameters: Any) -> Any:
        number = next(self._numbers)
        await self._connection.send_json({"id": number, "method": method, "params": parameters})
        while (answer := await self._connection.receive_json()).get("id") != number:
            pass
        return answer["result"]

    async def value(self, expression: str) -> Any:
        found = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return found["result"].get("value")

    async def press(self, key: str) -> None:
        for kind, text in (("keyDown", key), ("keyUp", "")):
            await self.call("Input.dispatchKeyEvent", type=kind, key=key, text=text)

    async def until(self, expression: str) -> None:
        await within(lambda: self.value(expression))


async def within(holds: Callable[[], Any]) -> None:
    """Until that holds. Raises TimeoutError."""
    async with asyncio.timeout(WAIT_S):
        while True:
            held = holds()
            if await held if asyncio.iscoroutine(held) else held:
                return
            await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def chromium(folder: Path) -> AsyncIterator[Tab]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run")
    where = (f"--user-data-dir={folder / 'chromium'}", f"--remote-debugging-port={port}", "about:blank")
    browser = subprocess.Popen(
        ["chromium", *options, *where], env={**os.environ, "HOME": str(folder)}, stderr=subprocess.DEVNULL
    )
    try:
        async with aiohttp.ClientSession() as session:
            pages: list[dict[str, str]] = []
            async with asyncio.timeout(WAIT_S):
                while not pages:
                    with contextlib.suppress(aiohttp.ClientConnectionError):
                        listed = await (await session.get(f"http://127.0.0.1:{port}/json/list")).json()
                        pages = [page for page in listed if page["type"] == "page"]
                    await asyncio.sleep(0.1)
            async with session.ws_connect(pages[0]["webSocketDebuggerUrl"]) as connection:
                yield Tab(connection)
    finally:
        browser.terminate()
        browser.wait()


async def test_a_review_in_a_browser(
    pgsurveyor: Run, repository: Callable[..., Path], home: Path, tmp_path: Path
) -> None:
    """Keys work without a click, closing the page ends the program behind it, and ctrl+c everything."""
    code = repository({"migrations/001.sql": "CREATE TABLE loose (id int, at timestamp);\n"})
    assert pgsurveyor("run", "--no-database", str(code), "--output", "scorecard.md").returncode == 0
    review = pgsurveyor("reviews").stdout.split()[0]
    [folder] = (home / ".local" / "share" / "pgsurveyor" / "reviews").iterdir()
    environment = {"HOME": str(home), "PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1"}
    server = subprocess.Popen(
        [*PROGRAM, "serve", "--port", "0", review],
        cwd=home, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert server.stdout is not None
        link = next(line.strip() for line in iter(server.stdout.readline, "") if "token=" in line)
        url = link.partition("/?")[0]
        async with chromium(tmp_path) as tab:

            async def asked(address: str) -> str:
                await tab.call("Page.navigate", url=address)
                return str(await tab.value("document.body ? document.body.innerText : ''"))

            async with asyncio.timeout(WAIT_S):
                while "its terminal shows the next" not in (await asked(f"{url}/?token=guessed")).lower():
                    await asyncio.sleep(0.1)
            await tab.call("Page.navigate", url=link)
            await tab.until(
                "document.body.classList.contains('-first-byte') && document.activeElement.tagName == 'TEXTAREA'"
            )
            await within(lambda: any((folder / ".presence").glob("*.json")))
            await tab.press("%")
            await within(lambda: any(home.glob("pgsurveyor-walk-*.svg")))
            await tab.call("Page.navigate", url="about:blank")
            await within(lambda: not any((folder / ".presence").glob("*.json")))
            await tab.call("Page.navigate", url=url)
            await within(lambda: any((folder / ".presence").glob("*.json")))
            server.send_signal(signal.SIGINT)
            await tab.until("document.body.classList.contains('-closed') && document.activeElement.tagName == 'BUTTON'")
        _, said = server.communicate(timeout=WAIT_S)
        assert (server.returncode, said) == (0, "")
        assert not any((folder / ".presence").glob("*.json"))
        with socket.socket() as closed:
            assert closed.connect_ex(("127.0.0.1", int(url.rpartition(":")[2]))) != 0
    finally:
        server.kill()
        server.communicate()
