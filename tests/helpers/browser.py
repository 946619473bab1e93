# SPDX-License-Identifier: Apache-2.0
"""A page in a headless Chromium: what its script finds, what its console says, how it looks."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

_FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--hide-scrollbars", "--enable-logging=stderr",
]  # fmt: skip


def chromium() -> str:
    """The browser; the test is skipped where there is none."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    pytest.skip("no Chromium here (apt-get install chromium)")


def run_in_page(
    page: Path, script: str, folder: Path, *, size: tuple[int, int] = (1280, 900)
) -> tuple[Any, list[str]]:
    """Open a page, run an asynchronous script in it, and take what it returns.

    Args:
        page: The HTML file.
        script: Body of an async function; its result must be JSON.
        folder: For the copy of the page that has the script in it, and the browser's profile.
        size: Of the window.

    Returns:
        The result, and the errors and warnings of the console.
    """
    probe = (
        # A frame that is being written holds back the load event, which --dump-dom waits for.
        "<script>(async () => { const hold = document.createElement('iframe'); hold.hidden = true;"
        " document.body.append(hold); hold.contentDocument.open(); let result; try { result = await (async () => {"
        + script
        + "})(); } catch (error) { result = {failed: String(error)}; }"
        " const out = document.createElement('pre'); out.id = 'probe-result';"
        " out.textContent = JSON.stringify(result); document.body.append(out); hold.contentDocument.close(); })();"
        "</script></body>"
    )
    copy = folder / f"probe_{page.name}"
    copy.write_text(page.read_text(encoding="utf-8").replace("</body>", probe), encoding="utf-8")
    done = _run(
        [f"--window-size={size[0]},{size[1]}", "--dump-dom", copy.as_uri()],
        folder,
    )
    found = re.search(r'<pre id="probe-result">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stdout[-2000:] + done.stderr[-2000:]
    return json.loads(unescape(found[1])), console(done.stderr)


def console(log: str) -> list[str]:
    """The lines that the page's console wrote."""
    return [line for line in log.splitlines() if ":CONSOLE" in line]


def _run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    profile = folder / "browser_profile"
    shutil.rmtree(profile, ignore_errors=True)
    command = [chromium(), *_FLAGS, f"--user-data-dir={profile}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=250, check=False)
