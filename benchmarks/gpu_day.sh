#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Everything that wants a GPU, in one command that ends in time, on a machine without a network: the tests on a real
# driver, then the table of engines, then the three levels of `bench` with the best engine that there is.
#
#   benchmarks/gpu_day.sh OUT [MINUTES]        (25)
#
# PYTHON=python3   a Python with what requirements/dev.txt names for the trainer (torch, timm, lightning, kornia, jsonargparse,
#                  segmentation-models-pytorch, onnx, onnxscript), and onnxruntime, OpenCV, scipy, tqdm, pytest, hypothesis
# WHEELS=FOLDER    wheels to install first, such as tensorrt's, tensorrt-rtx's or onnxruntime-gpu's; one that had to be cut
#                  into pieces is put together again: split -b 40M NAME.whl NAME.whl.part-
# SITE=FOLDER      where they are installed (OUT/site)
#
# It may be started again with the same OUT: what was measured is kept.
set -euo pipefail
out=${1:?usage: benchmarks/gpu_day.sh OUT [MINUTES]}
minutes=${2:-25}
root=$(cd "$(dirname "$0")/.." && pwd)
started=$SECONDS
left() { echo $((minutes * 60 - (SECONDS - started))); }
mkdir -p "${out}"
out=$(cd "${out}" && pwd)
cd "${root}"
python=${PYTHON:-python3}
site=${SITE:-${out}/site}
export PYTHONPATH="${site}:${root}/ros2_ws/src/offroad_seg:${root}${PYTHONPATH:+:${PYTHONPATH}}" PYTHONUNBUFFERED=1
# Its caches stay with the results, and outside the user's own.
export XDG_CACHE_HOME="${out}/cache"

if [ -n "${WHEELS:-}" ]; then
    mkdir -p "${out}/wheels"
    cp "${WHEELS}"/*.whl "${out}/wheels/" 2>/dev/null || true
    for first in "${WHEELS}"/*.whl.part-aa; do
        [ -e "${first}" ] || continue
        name=$(basename "${first%.part-aa}")
        cat "${WHEELS}/${name}".part-* > "${out}/wheels/${name}"
    done
    "${python}" -m pip install --quiet --no-index --no-deps --upgrade --target "${site}" "${out}"/wheels/*.whl
fi

status=0
{
    date -u
    nvidia-smi || echo "nvidia-smi does not answer"
    "${python}" -m offroad_seg.cli.main doctor || true
} > "${out}/machine.txt" 2>&1

echo "== tests on the GPU"
timeout 300 "${python}" -m pytest -q -rs -p no:cacheprovider -m gpu tests/unit/offroad_seg/engines 2>&1 | tee "${out}/tests.txt" || status=1

echo "== engines"
# What follows takes two minutes.
budget=$(($(left) / 60 - 3))
if [ "${budget}" -gt 0 ]; then
    "${python}" benchmarks/engine_gpu.py ${DEVICE:+--device "${DEVICE}"} --budget "${budget}" --resume --seconds 4 \
        --out "${out}/engine_gpu.json" ${ROWS:-} 2>&1 | tee -a "${out}/engine_gpu.txt" || status=$?
fi

echo "== from the image to the costmap"
if [ -n "${BUNDLE:-}" ]; then
    timeout "$(($(left) > 30 ? $(left) : 30))" "${python}" -m offroad_seg.cli.main bench "${BUNDLE}" --size 1280x720 \
        --seconds 5 --out "${out}/bench" --overwrite 2>&1 | tee "${out}/bench.txt" || status=1
else
    echo "left out: BUNDLE=FOLDER names a compiled bundle (or a portable one)"
fi
rm -rf "${out}/cache" "${out}/wheels"
echo "== done after $((SECONDS - started)) s: ${out}"
exit "${status}"
