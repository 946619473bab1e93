# SPDX-License-Identifier: Apache-2.0
"""Nothing that the runtime reads can run code: no pickle, no eval, no shell, only safe YAML and weights."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

RUNTIME = Path("ros2_ws/src/offroad_seg/offroad_seg")
PICKLES = {"pickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "jsonpickle"}
RUNS_TEXT = {"eval", "exec", "compile", "__import__", "execfile"}
RUNS_SHELL = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"}
SAFE_LOADERS = {"SafeLoader", "CSafeLoader"}


def name_of(node: ast.expr) -> str:
    """``a.b.c`` of an expression; empty for any other."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (left := name_of(node.value)):
        return f"{left}.{node.attr}"
    return ""


def is_true(call: ast.Call, keyword: str) -> bool:
    return any(
        k.arg == keyword and isinstance(k.value, ast.Constant) and k.value.value is True
        for k in call.keywords
    )


def problem_of_call(call: ast.Call) -> str:
    name = name_of(call.func)
    last = name.rpartition(".")[2]
    if name in RUNS_TEXT or name in RUNS_SHELL:
        return name
    if name.startswith("yaml.") and last in {"load", "load_all", "full_load", "unsafe_load", "full_load_all"}:
        loaders = {name_of(v).rpartition(".")[2] for v in [*call.args[1:], *(k.value for k in call.keywords)]}
        return "" if last in {"load", "load_all"} and loaders & SAFE_LOADERS else name
    if name == "torch.load" and not is_true(call, "weights_only"):
        return "torch.load without weights_only=True"
    if name in {"np.load", "numpy.load"} and any(k.arg == "allow_pickle" for k in call.keywords):
        return "np.load with allow_pickle"
    if is_true(call, "shell"):
        return f"{name} with shell=True"
    return ""


def problems(source: str) -> list[str]:
    """What in a file could run what it reads, with its line."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            module = [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            found += [f"{node.lineno}: {name}" for name in module if name.split(".")[0] in PICKLES]
        elif isinstance(node, ast.Call) and (problem := problem_of_call(node)):
            found.append(f"{node.lineno}: {problem}")
    return found


def test_nothing_in_the_runtime_can_run_what_it_reads(repo_root):
    files = sorted((repo_root / RUNTIME).rglob("*.py")) + sorted((repo_root / "launch").glob("*.py"))
    assert len(files) > 50
    found = {str(f.relative_to(repo_root)): problems(f.read_text(encoding="utf-8")) for f in files}
    assert {file: each for file, each in found.items() if each} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "def f():\n    import dill.detect",
        "eval('1')",
        "exec(text)",
        "import yaml\nyaml.load(text)",
        "import yaml\nyaml.load(text, Loader=yaml.FullLoader)",
        "import yaml\nyaml.unsafe_load(text)",
        "import torch\ntorch.load(path)",
        "import torch\ntorch.load(path, weights_only=False)",
        "import numpy as np\nnp.load(path, allow_pickle=True)",
        "import subprocess\nsubprocess.run(text, shell=True)",
        "import os\nos.system(text)",
    ],
)
def test_it_is_found(source):
    assert problems(source)


@pytest.mark.parametrize(
    "source",
    [
        "import yaml\nyaml.safe_load(text)",
        "import yaml\nyaml.load(text, Loader=yaml.CSafeLoader)",
        "import torch\ntorch.load(path, map_location='cpu', weights_only=True)",
        "import re\nre.compile('a')",
        "import subprocess\nsubprocess.run(['ls'])",
    ],
)
def test_what_is_safe_is_let_through(source):
    assert problems(source) == []
