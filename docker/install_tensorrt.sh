#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# TensorRT's run time, ONNX parser and Python binding, of one release (such as 10.16) and for the image's own CUDA.
# The image must bring NVIDIA's package source, as nvidia/cuda does. An empty release: the image has TensorRT already.
set -euo pipefail
release=${1?the release of TensorRT, such as 10.16, or an empty word}
if [ -z "${release}" ]; then
    python3 -c 'import tensorrt; print("TensorRT", tensorrt.__version__)'
    exit
fi
# Without a pin apt takes the newest, which is for a newer CUDA: such an engine does not load.
cat > /etc/apt/preferences.d/tensorrt <<PIN
Package: libnvinfer* libnvonnxparsers* python3-libnvinfer*
Pin: version ${release}.*+cuda${CUDA_VERSION%.*}
Pin-Priority: 1001
PIN
apt-get update
apt-get install -y --no-install-recommends \
    libnvinfer-plugin"${release%%.*}" \
    libnvonnxparsers"${release%%.*}" \
    python3-libnvinfer
rm -rf /var/lib/apt/lists/*
