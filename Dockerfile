# SPDX-License-Identifier: Apache-2.0
# The node in a container, for a vehicle. docs/jetson.md says which image runs where, and how to build on the target.
#
#   docker build --target desktop -t offroad_seg .                                   Jazzy, x86-64 or ARM server, NVIDIA GPU
#   docker build --target jetson  -t offroad_seg:jp7 .                               JetPack 7.2: Jazzy, Ubuntu 24.04
#   docker build --target jetson  -t offroad_seg:jp6 --build-arg ROS_DISTRO=humble \
#       --build-arg JETSON_IMAGE=nvidia/l4t-jetpack:r36.4.0 --build-arg JETSON_TENSORRT= .   JetPack 6.2: Humble, 22.04
#
# Images whose names begin with nvidia/l4t- are in NVIDIA's own registry: put its name before them.

ARG ROS_DISTRO=jazzy
ARG CUDA_IMAGE=nvidia/cuda:13.2.0-runtime-ubuntu24.04
ARG JETSON_IMAGE=nvidia/cuda:13.2.0-runtime-ubuntu24.04

# Only its package source and key are taken: everything else is installed on NVIDIA's image.
FROM ros:${ROS_DISTRO}-ros-core AS ros

# --- what both machines have in common, but for the image below it ------------------------------------------------------
FROM ${CUDA_IMAGE} AS desktop_base
# Of TensorRT only the run time, its parser and Python; the newest of that release that this CUDA has.
ARG TENSORRT=10.16
COPY docker/install_tensorrt.sh /tmp/
RUN /tmp/install_tensorrt.sh "${TENSORRT}" && rm /tmp/install_tensorrt.sh

FROM ${JETSON_IMAGE} AS jetson_base
# JetPack 6's image brings TensorRT 10.3 along: leave this empty there.
ARG JETSON_TENSORRT=10.16
COPY docker/install_tensorrt.sh /tmp/
RUN /tmp/install_tensorrt.sh "${JETSON_TENSORRT}" && rm /tmp/install_tensorrt.sh

# --- build: colcon, the C compiler and what they need stay here ---------------------------------------------------------
FROM ros:${ROS_DISTRO}-ros-core AS build
ARG ROS_DISTRO
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3-colcon-common-extensions python3-setuptools gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY config config
COPY launch launch
COPY ros2_ws ros2_ws
WORKDIR /build/ros2_ws
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
RUN . "/opt/ros/${ROS_DISTRO}/setup.bash" \
    && colcon build --merge-install --install-base /opt/offroad_seg --packages-select offroad_seg

# --- the images ---------------------------------------------------------------------------------------------------------
FROM desktop_base AS desktop
ARG ROS_DISTRO
COPY --from=ros /etc/apt/sources.list.d/ /etc/apt/sources.list.d/
COPY --from=ros /usr/share/keyrings/ /usr/share/keyrings/
COPY requirements/vehicle.txt docker/install_vehicle.sh /tmp/
RUN /tmp/install_vehicle.sh "${ROS_DISTRO}" /tmp/vehicle.txt && rm /tmp/vehicle.txt /tmp/install_vehicle.sh
COPY --from=build /opt/offroad_seg /opt/offroad_seg
COPY docker/entrypoint.sh /usr/local/bin/entrypoint.sh
ENV ROS_DISTRO=${ROS_DISTRO} PYTHONUNBUFFERED=1
USER offroad
WORKDIR /home/offroad
# The node's own state: a node that cannot load its bundle, or was deactivated, is not healthy.
HEALTHCHECK --interval=30s --timeout=15s --start-period=120s --retries=3 \
    CMD ["/usr/local/bin/entrypoint.sh", "offroad-seg", "node", "--state", "--timeout", "10"]
ENTRYPOINT ["/usr/local/bin/entrypoint.sh"]
CMD ["ros2", "launch", "offroad_seg", "perception.launch.py", "bundle:=/bundle", "autostart:=true"]

FROM jetson_base AS jetson
ARG ROS_DISTRO
COPY --from=ros /etc/apt/sources.list.d/ /etc/apt/sources.list.d/
COPY --from=ros /usr/share/keyrings/ /usr/share/keyrings/
COPY requirements/vehicle.txt docker/install_vehicle.sh /tmp/
RUN /tmp/install_vehicle.sh "${ROS_DISTRO}" /tmp/vehicle.txt && rm /tmp/vehicle.txt /tmp/install_vehicle.sh
COPY --from=build /opt/offroad_seg /opt/offroad_seg
COPY docker/entrypoint.sh /usr/local/bin/entrypoint.sh
ENV ROS_DISTRO=${ROS_DISTRO} PYTHONUNBUFFERED=1
USER offroad
WORKDIR /home/offroad
HEALTHCHECK --interval=30s --timeout=15s --start-period=120s --retries=3 \
    CMD ["/usr/local/bin/entrypoint.sh", "offroad-seg", "node", "--state", "--timeout", "10"]
ENTRYPOINT ["/usr/local/bin/entrypoint.sh"]
CMD ["ros2", "launch", "offroad_seg", "perception.launch.py", "bundle:=/bundle", "autostart:=true"]
