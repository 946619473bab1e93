# SPDX-License-Identifier: Apache-2.0
"""The layering of the project, on its real imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

RUNTIME = Path("ros2_ws/src/offroad_seg/offroad_seg")
ROS_MODULES = {
    "rclpy", "sensor_msgs", "nav_msgs", "std_msgs", "diagnostic_msgs", "lifecycle_msgs", "tf2_msgs", "tf2_ros",
    "vision_msgs", "nav2_msgs", "geometry_msgs", "rosgraph_msgs", "rcl_interfaces", "builtin_interfaces", "bond",
}  # fmt: skip
# A run time may be imported by the engine of its name, and by the builder that makes such engines.
ENGINE_MODULES = {
    "torch": {
        "engines/torch.py",
        "compile/tensorrt_dynamo.py",
        "compile/torch_graph.py",
        "compile/torch_half.py",
        "compile/torch_rewrite.py",
    },
    "onnxruntime": {
        "engines/onnxruntime.py",
        "compile/onnxruntime_builder.py",
        "compile/onnxruntime_int8.py",
        "compile/onnx_fold.py",
    },
    "tensorrt": {"engines/tensorrt.py", "compile/tensorrt_builder.py"},
    "tensorrt_rtx": {"engines/tensorrt_rtx.py", "compile/tensorrt_rtx_builder.py"},
    "torch_tensorrt": {"compile/tensorrt_dynamo.py"},
}

# Two steps of the projection on the plane name each other's results in annotations.
NAME_EACH_OTHER = {"offroad_seg.mapping.foot_range", "offroad_seg.mapping.looks"}


def imports_of(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.split(".")[0])
    return names


def runtime_files(root: Path) -> list[tuple[str, set[str]]]:
    folder = root / RUNTIME
    files = [(str(p.relative_to(folder)), imports_of(p)) for p in sorted(folder.rglob("*.py"))]
    assert len(files) > 20
    return files


def import_graph(top: Path) -> dict[str, set[str]]:
    """Module → modules of the runtime that it imports anywhere: in functions and for annotations alone, too."""
    files = {".".join(p.relative_to(top.parent).with_suffix("").parts): p for p in sorted(top.rglob("*.py"))}
    graph: dict[str, set[str]] = {}
    for module, path in files.items():
        found = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        graph[module] = found & files.keys()
    return graph


def test_no_imports_go_in_a_circle(repo_root):
    graph = import_graph(repo_root / RUNTIME)
    assert sum(map(len, graph.values())) > 800
    for module, imported in graph.items():
        # Kernels name, in annotations, the types of those that call them; at run time the layers forbid it.
        if module.startswith("offroad_seg.native."):
            graph[module] = {name for name in imported if not name.startswith("offroad_seg.mapping.")}
        if module in NAME_EACH_OTHER:
            graph[module] = imported - NAME_EACH_OTHER
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail("imports go in a circle: " + " ← ".join(error.args[1]))


def test_imports_only_point_down(repo_root):
    run = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"],
        cwd=repo_root, capture_output=True, text=True, timeout=250,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    assert "1 kept, 0 broken" in run.stdout


def test_only_the_ros_folder_imports_ros(repo_root):
    offenders = {f: names & ROS_MODULES for f, names in runtime_files(repo_root) if not f.startswith("ros/")}
    assert {f: n for f, n in offenders.items() if n} == {}


@pytest.mark.parametrize("module", ENGINE_MODULES)
def test_only_its_engine_imports_a_run_time(repo_root, module):
    importing = {f for f, names in runtime_files(repo_root) if module in names}
    assert importing <= ENGINE_MODULES[module]


def test_the_runtime_never_names_the_trainer(repo_root):
    for path in sorted((repo_root / RUNTIME).rglob("*.py")):
        assert "offroad_seg_train" not in path.read_text(encoding="utf-8"), path


def test_no_python_file_is_long(repo_root):
    files = [
        p
        for top in ("ros2_ws", "offroad_seg_train", "benchmarks", "launch")
        for p in (repo_root / top).rglob("*.py")
    ]
    lengths = {str(p.relative_to(repo_root)): len(p.read_text(encoding="utf-8").splitlines()) for p in files}
    assert {f: n for f, n in lengths.items() if n > 320} == {}


def test_every_file_says_its_licence(repo_root):
    files = [
        p
        for top in ("ros2_ws", "offroad_seg_train", "benchmarks", "launch", "tests")
        for p in (repo_root / top).rglob("*.py")
    ]
    silent = [
        str(p)
        for p in files
        if "SPDX-License-Identifier: Apache-2.0" not in p.read_text(encoding="utf-8")[:200]
    ]
    assert silent == []
