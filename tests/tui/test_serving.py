"""The browser mode as a browser sees it: the gate, and the program behind it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import aiohttp
import pytest
from aiohttp import web

from checks.errors import TargetError, UsageError
from tui import serving
from tui.serving import Gate, Served

HOST = "127.0.0.1"


class Site(NamedTuple):
    url: str
    tokens: list[str]


@contextlib.asynccontextmanager
async def served(command: str, *, with_token: bool = True) -> AsyncIterator[Site]:
    tokens: list[str] = []
    port = serving._free_port(HOST, 0)
    url = f"http://{HOST}:{port}"
    server = Served(command, HOST, port, url, Gate(tokens.append) if with_token else None)
    runner = web.AppRunner(await server._make_app())
    await runner.setup()
    await web.TCPSite(runner, HOST, port).start()
    try:
        yield Site(url, tokens)
    finally:
        await runner.cleanup()


def browsing() -> aiohttp.ClientSession:
    """A browser, which keeps cookies of an address without a name too."""
    return aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))


async def test_a_link_lets_one_browser_in_once() -> None:
    async with served("true") as site, browsing() as browser, browsing() as other:
        assert (await browser.get(site.url)).status == 403
        assert (await browser.get(f"{site.url}/?token=guess")).status == 403
        first = await browser.get(f"{site.url}/?token={site.tokens[0]}", allow_redirects=False)
        assert (first.status, first.headers["Location"]) == (303, "/")
        cookie = first.cookies[serving.COOKIE]
        assert cookie["httponly"]
        assert cookie["samesite"] == "Strict"
        page = await browser.get(site.url)
        assert page.status == 200
        text = await page.text()
        assert "token" not in text
        assert set(re.findall(r"https?://[^/\"]*", text)) == {site.url}
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
        assert (await browser.get(f"{site.url}/static/js/textual.js")).status == 200
        assert (await other.get(f"{site.url}/?token={site.tokens[0]}")).status == 403
        assert (await other.get(f"{site.url}/static/js/textual.js")).status == 403
        assert len(site.tokens) == 2
        assert (await other.get(f"{site.url}/?token={site.tokens[1]}")).status == 200


async def test_another_site_cannot_reach_in() -> None:
    async with served("true") as site, browsing() as browser:
        await browser.get(f"{site.url}/?token={site.tokens[0]}")
        for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example"}):
            assert (await browser.get(site.url, headers=headers)).status == 403
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await browser.ws_connect(f"{site.url}/ws", headers={"Origin": "http://evil.example"})


async def test_the_program_runs_in_the_browser(tmp_path: Path) -> None:
    """Also where the current folder, which may be the reviewed repository, has modules of the same names."""
    (tmp_path / "tui").mkdir()
    for name in ("tui/__init__.py", "click.py"):
        (tmp_path / name).write_text("raise SystemExit('imported from the current folder')\n")
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1"}
    command = [str(Path(sys.executable).with_name("pgsurveyor")), "serve", "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=tmp_path)
    try:
        assert server.stdout is not None
        lines = iter(server.stdout.readline, "")
        link = next(line.strip() for line in lines if "token=" in line)
        url = link.partition("/?")[0]
        async with browsing() as browser:
            async with asyncio.timeout(30):
                while True:
                    with contextlib.suppress(aiohttp.ClientConnectionError):
                        assert (await browser.get(link)).status == 200
                        break
                    await asyncio.sleep(0.1)
            seen = b""
            async with (
                browser.ws_connect(f"{url}/ws?width=100&height=30", headers={"Origin": url}) as socket,
                asyncio.timeout(30),
            ):
                while b"READ-ONLY" not in seen:
                    message = await socket.receive()
                    seen += message.data if isinstance(message.data, bytes) else b""
                await socket.send_json(["stdin", "\x11"])
                while not socket.closed:
                    await socket.receive()
    finally:
        server.terminate()
        server.wait(timeout=30)
        assert server.stdout is not None
        server.stdout.close()


def test_what_cannot_be_served_is_said() -> None:
    with pytest.raises(UsageError, match="without a token"):
        serving.serve("true", "0.0.0.0", 0, None, with_token=False)
    with pytest.raises(TargetError, match="cannot listen"):
        serving.serve("true", "203.0.113.1", 0, None, with_token=True)
