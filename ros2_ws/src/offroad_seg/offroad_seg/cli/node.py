# SPDX-License-Identifier: Apache-2.0
"""``offroad-seg node``: the ROS 2 node without colcon."""

from __future__ import annotations

import argparse
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from offroad_seg.cli.command import Command
from offroad_seg.errors import InputError

_EPILOG = """\
examples:
  offroad-seg node --bundle BUNDLE
  offroad-seg node --bundle BUNDLE --param camera_mount.z=1.2 --param camera_mount.pitch=0.2 \\
      --remap image:=/camera/image_raw --remap camera_info:=/camera/camera_info
  offroad-seg node --state
  offroad-seg node --params-file config/perception.yaml --ros-args --log-level debug

Parameters: `docs/node.md`. The node configures and activates itself; --param autostart=false leaves that to a
lifecycle manager.
"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bundle", type=Path, help="folder of the bundle to run")
    parser.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter, such as class_cost.Rocks=lethal; may be given several times",
    )
    parser.add_argument(
        "--params-file", action="append", default=[], type=Path, metavar="YAML", help="a ROS parameter file"
    )
    parser.add_argument(
        "--remap",
        action="append",
        default=[],
        metavar="FROM:=TO",
        help="rename a topic, such as image:=/cam/image",
    )
    parser.add_argument("--namespace", default="", help="the node's namespace")
    parser.add_argument(
        "--state",
        action="store_true",
        help="start nothing: print the state of the node that runs; exit 0 only if it is active",
    )
    parser.add_argument(
        "--timeout", type=float, default=5.0, metavar="S", help="with --state: wait so long (default 5)"
    )
    parser.add_argument(
        "--ros-args",
        nargs=argparse.REMAINDER,
        default=[],
        metavar="…",
        help="anything else that ROS understands",
    )


def ros_arguments(args: argparse.Namespace, folder: Path) -> list[str]:
    """What ``rclpy.init`` takes, from our own options.

    Args:
        args: The parsed options.
        folder: Where the parameters are written to: a YAML file takes names with blanks, ROS's ``-p`` does not.

    Raises:
        InputError: A file is not there, or an option is malformed.
    """
    arguments = ["--ros-args"]
    for file in args.params_file:
        if not file.is_file():
            raise InputError("there is no such parameter file", where=str(file), mend="give a YAML file")
        arguments += ["--params-file", str(file)]
    values = dict(_parameter(text) for text in args.param)
    if args.bundle is not None:
        if not (args.bundle / "manifest.json").is_file():
            raise InputError(
                "there is no bundle",
                where=str(args.bundle),
                mend="offroad-seg export CHECKPOINT --height H --width W --out BUNDLE makes one",
            )
        values["bundle"] = str(args.bundle.resolve())
    if values:
        arguments += ["--params-file", str(_write_parameters(values, folder / "parameters.yaml"))]
    for rule in args.remap:
        if ":=" not in rule:
            raise InputError(f"'{rule}' is not a remapping", where="--remap", mend="write FROM:=TO")
        arguments += ["--remap", rule]
    if args.namespace:
        arguments += ["--remap", f"__ns:=/{args.namespace.strip('/')}"]
    return arguments + [word for word in args.ros_args if word != "--ros-args"]


def _parameter(text: str) -> tuple[str, Any]:
    import yaml

    name, sign, value = text.partition("=")
    name = name.removesuffix(":").strip()
    if not sign or not name:
        raise InputError(f"'{text}' is not a parameter", where="--param", mend="write NAME=VALUE")
    try:
        return name, yaml.safe_load(value)
    except yaml.YAMLError:
        raise InputError(
            f"'{value}' is not a value", where=f"--param {name}", mend="quote it as in YAML"
        ) from None


def _write_parameters(values: dict[str, Any], path: Path) -> Path:
    import yaml

    text = yaml.safe_dump({"/**": {"ros__parameters": values}}, allow_unicode=True)
    path.write_text(text, encoding="utf-8")
    return path


def _run(args: argparse.Namespace) -> int:
    if find_spec("rclpy") is None:
        raise InputError(
            "ROS 2 is not installed: there is no rclpy",
            mend="source /opt/ros/DISTRO/setup.bash, or pip install 'offroad-seg[ros]'",
        )
    if args.state:
        from offroad_seg.ros.state import lifecycle_state

        state = lifecycle_state(f"{args.namespace}/perception", args.timeout)
        print(state)
        return 0 if state == "active" else 1
    from offroad_seg.ros.main import run

    with tempfile.TemporaryDirectory(prefix="offroad_seg_node_") as folder:
        return run(ros_arguments(args, Path(folder)))


COMMAND = Command(
    name="node",
    help="run the ROS 2 node: images in, labels and a costmap out",
    add_arguments=_add_arguments,
    run=_run,
    epilog=_EPILOG,
)
