#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What the node needs on a vehicle: the distribution's packages, which package.xml names, and what has none.
#   install_vehicle.sh ROS_DISTRO REQUIREMENTS
set -euo pipefail
distro=$1
requirements=$2
export DEBIAN_FRONTEND=noninteractive
apt-get update
# ros2lifecycle and ros2node are for people who look into the container.
apt-get install -y --no-install-recommends \
    ros-"${distro}"-builtin-interfaces \
    ros-"${distro}"-cv-bridge \
    ros-"${distro}"-diagnostic-msgs \
    ros-"${distro}"-geometry-msgs \
    ros-"${distro}"-launch \
    ros-"${distro}"-launch-ros \
    ros-"${distro}"-lifecycle-msgs \
    ros-"${distro}"-nav-msgs \
    ros-"${distro}"-rcl-interfaces \
    ros-"${distro}"-rclpy \
    ros-"${distro}"-rmw-fastrtps-cpp \
    ros-"${distro}"-ros2cli \
    ros-"${distro}"-ros2launch \
    ros-"${distro}"-ros2lifecycle \
    ros-"${distro}"-ros2node \
    ros-"${distro}"-ros2run \
    ros-"${distro}"-ros2topic \
    ros-"${distro}"-sensor-msgs \
    ros-"${distro}"-std-msgs \
    ros-"${distro}"-tf2-msgs \
    python3-numpy \
    python3-opencv \
    python3-pip \
    python3-scipy \
    python3-tqdm \
    python3-yaml
# Ubuntu 24.04 guards its Python against pip; this container holds nothing else. --no-cache-dir: a smaller image.
PIP_BREAK_SYSTEM_PACKAGES=1 python3 -m pip install --no-cache-dir --no-deps -r "${requirements}"
rm -rf /var/lib/apt/lists/*
# Not root. `video` and `render` own the GPU's devices on a Jetson.
groupadd --force --system render
useradd --create-home --user-group --groups video,render offroad
