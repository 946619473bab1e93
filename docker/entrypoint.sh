#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Sources ROS and the node, then becomes the command: signals reach it.
set -eo pipefail
for setup in "${ROS_PREFIX:-/opt/ros/${ROS_DISTRO:?}}/setup.bash" "${OFFROAD_SEG_PREFIX:-/opt/offroad_seg}/setup.bash"; do
    if [ ! -f "${setup}" ]; then
        echo "error: there is no ${setup}: set ROS_DISTRO to a distribution that this container has" >&2
        exit 2
    fi
    # shellcheck disable=SC1090
    . "${setup}"
done
exec "$@"
