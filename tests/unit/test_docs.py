# SPDX-License-Identifier: Apache-2.0
"""The documentation names nothing that is not there: links, files, make targets, commands and their options.

Commands are parsed as the command line parses them; nothing is run.
"""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path

import pytest

from offroad_seg.cli.main import build_parser

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMES = [str(p.relative_to(ROOT)) for p in PAGES]
FOLDERS = "benchmarks|config|docs|launch|tests|requirements|ros2_ws|offroad_seg_train"
LEFT_OUT = re.compile(r"…|\.\.\.")
SHELL_WORDS = ("docker", "sudo", "time", "env")


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(text: str) -> list[str]:
    """The fenced code blocks that are not of another language."""
    found = re.findall(r"^ *```(\w*)\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    return [body for language, body in found if language in ("", "bash", "sh", "console")]


def spans(text: str) -> list[str]:
    """What stands between single backticks, outside of the blocks."""
    outside = re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"`([^`\n]+)`", outside)


def command_lines(text: str, program: str) -> list[str]:
    """The command lines of the blocks that call a program, from the program's name on; comments are cut off."""
    found = []
    for block in blocks(text):
        for line in re.sub(r"\\\n\s*", " ", block).splitlines():
            for part in re.split(r"&&|\||;(?=\s)", re.sub(r"(^|\s)#\s.*$", "", line)):
                match = re.match(rf"\s*(?:\$ )?((?:[A-Z_]+=\S+ )*)(.*?\b)??({re.escape(program)} .*)$", part)
                before = (match[2] or "").split() if match else []
                # Prose in a block, as in the output of a command, may name a program in the middle of a sentence.
                if match and (not before or before[0] in SHELL_WORDS):
                    found.append(match[3].strip())
    return found


@cache
def parsers() -> dict[str, object]:
    parser = build_parser()
    choices = next(a.choices for a in parser._actions if a.dest == "command")
    return {"": parser, **choices}


def options(command: str) -> set[str]:
    return {o for action in parsers()[command]._actions for o in action.option_strings}


def check_words(words: list[str]) -> str:
    """Why a command line whose arguments were left out cannot be right; empty where nothing is wrong."""
    if not words or words[0] not in parsers():
        return f"no command {words[0] if words else ''!r}"
    known = options(words[0])
    wrong = [w for w in words[1:] if w.startswith("--") and w.split("=")[0] not in known]
    return f"no option {' '.join(wrong)}" if wrong else ""


def check_line(line: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Why a whole command line cannot be right; empty where nothing is wrong."""
    words = shlex.split(line)[1:]
    if not words or words[0].startswith("--") or LEFT_OUT.search(line):
        return check_words([w for w in words if not LEFT_OUT.search(w)] or ["doctor"])
    if (wrong := check_words(words)) or "--help" in words:
        return wrong
    problems: list[str] = []

    def refuse(message: str) -> None:
        problems.append(message)
        raise SystemExit

    monkeypatch.setattr(parsers()[words[0]], "error", refuse)
    try:
        parsers()[""].parse_args(words)
    except SystemExit:
        return problems[0] if problems else ""
    return ""


@pytest.mark.parametrize("name", NAMES)
def test_every_command_line_can_be_parsed(name, monkeypatch):
    wrong = {
        line: problem
        for line in command_lines(text_of(name), "offroad-seg")
        if (problem := check_line(line, monkeypatch))
    }
    assert wrong == {}


@pytest.mark.parametrize("name", NAMES)
def test_commands_named_in_the_text_exist_with_their_options(name):
    wrong = {}
    for span in spans(text_of(name)):
        if span.startswith("offroad-seg "):
            words = [w for w in span.split()[1:] if not LEFT_OUT.search(w)]
            if words and re.match(r"[a-z-]", words[0]) and (problem := check_words(words)):
                wrong[span] = problem
    assert wrong == {}


@pytest.mark.parametrize("name", NAMES)
def test_recipes_and_ontologies_named_in_commands_exist(name):
    wrong = []
    for line in command_lines(text_of(name), "offroad-seg"):
        for option, folder in (("--config", "train"), ("--ontology", "ontologies")):
            for value in re.findall(rf"{option}[ =](\w+)(?=\s|$)", line):
                if value.islower() and not (ROOT / "config" / folder / f"{value}.yaml").is_file():
                    wrong.append(f"{option} {value}")
    assert wrong == []


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_to_files_and_headings_that_exist(name):
    text = re.sub(r"^ *```.*?^ *```", "", text_of(name), flags=re.MULTILINE | re.DOTALL)
    wrong = []
    for target in re.findall(r"\]\(([^)\s]+)\)|<img[^>]+src=\"([^\"]+)\"", text):
        link = target[0] or target[1]
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        file = (ROOT / name).parent / path if path else ROOT / name
        if not file.exists() or (anchor and anchor not in headings(file)):
            wrong.append(link)
    assert wrong == []


def headings(file: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    lines = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


@pytest.mark.parametrize("name", NAMES)
def test_files_named_in_the_text_exist(name):
    named = {s for s in spans(text_of(name)) if re.fullmatch(rf"(?:{FOLDERS})/[\w./-]+", s)}
    assert {s for s in named if not (ROOT / s).exists()} == set()


@pytest.mark.parametrize("name", NAMES)
def test_scripts_and_make_targets_exist(name):
    text = text_of(name)
    targets = set(
        re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    )
    wrong = []
    for line in [*command_lines(text, "make"), *(s for s in spans(text) if s.startswith("make "))]:
        wrong += [w for w in line.split()[1:] if re.fullmatch(r"[a-z][\w-]*", w) and w not in targets]
    for line in [*command_lines(text, "python"), *(s for s in spans(text) if s.startswith("python "))]:
        script = next((w for w in line.split()[1:] if w.endswith(".py")), None)
        if script is None or not re.match(FOLDERS, script):
            continue
        if not (ROOT / script).is_file():
            wrong.append(script)
            continue
        known = (ROOT / script).read_text(encoding="utf-8")
        wrong += [f"{script} {o}" for o in re.findall(r"(--[a-z][\w-]*)", line) if f'"{o}"' not in known]
    for launch in re.findall(r"ros2 launch offroad_seg (\S+\.launch\.py)", text):
        if not (ROOT / "launch" / launch).is_file():
            wrong.append(launch)
    assert wrong == []


def test_the_checks_find_what_is_wrong(monkeypatch):
    page = "```\noffroad-seg replay B bag --out o --nope 1\nX=1 offroad-seg fly \\\n  --high\noffroad-seg replay B bag # --out o\n```"
    found = command_lines(page, "offroad-seg")
    assert [line.split()[1] for line in found] == ["replay", "fly", "replay"]
    assert "--nope" in check_line(found[0], monkeypatch)
    assert "fly" in check_line(found[1], monkeypatch)
    assert "--out" in check_line(found[2], monkeypatch)
    assert check_line("offroad-seg doctor", monkeypatch) == ""


def test_the_pages_hold_commands_to_check():
    assert sum(len(command_lines(text_of(name), "offroad-seg")) for name in NAMES) > 40
