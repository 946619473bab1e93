# SPDX-License-Identifier: Apache-2.0
"""The drive and the network that the replay benchmarks run: a rendered desert, and labels that look like it.

The network is a recipe's, with random weights but for its last layer. That one is fitted to the drive's own truth, so
that labels, confidence and OOD score have edges and areas as those of a trained network have: a network that shows one
class everywhere would leave little to count, to draw and to compress.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer

from offroad_seg.bundle import Bundle, write_bundle
from offroad_seg.image import Letterbox, Normalization
from offroad_seg.manifest import PORTABLE, Manifest
from offroad_seg.ontology import load_ontology
from offroad_seg.replay.annotated_messages import Messages, message_store
from offroad_seg.transforms import Transform
from offroad_seg.types import UNLABELLED
from offroad_seg_train.synthetic.bag import drive_seed
from offroad_seg_train.synthetic.dataset import cached_world
from offroad_seg_train.synthetic.drive import Drive, base_T_optical
from offroad_seg_train.synthetic.render import default_camera, render

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from offroad_seg_train.export.logit_sample import LogitSample

START_NS, STEP_NS = 1_700_000_000_000_000_000, 100_000_000
SIZE = (960, 540)
NETWORK = (266, 476)
FITTED_VIEWS, FITTED_STEPS, FITTED_RATE = 4, 300, 0.05


def _panorama(width: int, height: int) -> Any:
    world = cached_world(drive_seed(0))
    pose = Drive(world.terrain, start=20.0).poses(np.array([0.0]))[0]
    return render(world, default_camera(width + width // 4, height), pose @ base_T_optical(), (0,))


def write_bag(path: Path, frames: int, size: tuple[int, int]) -> None:
    """A camera that pans over one picture of the desert, with truth and a vehicle that drives straight on."""
    width, height = size
    picture = _panorama(width, height)
    camera = default_camera(width, height)
    store = message_store()
    make, connections = Messages(store), {}
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:

        def write(topic: str, at_ns: int, message: Any) -> None:
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, message.__msgtype__, typestore=store)
            writer.write(connections[topic], at_ns, store.serialize_cdr(message, message.__msgtype__))

        write("/tf_static", START_NS, make.transforms(START_NS, [("base_link", "camera", base_T_optical())]))
        for index in range(frames):
            at, left = START_NS + index * STEP_NS, 3 * index % (width // 4)
            header = make.header(at, "camera")
            view = np.ascontiguousarray(picture.image_HWC[:, left : left + width])
            base = Transform.from_rpy(0.0, 0.0, 0.0, (0.05 * index, 0.0, 0.0))
            write("/tf", at, make.transforms(at, [("odom", "base_link", base)]))
            write("/camera/camera_info", at, make.camera_info(camera, header))
            write("/camera/image/compressed", at, make.jpeg(view, header))
            truth = np.ascontiguousarray(picture.labels_HW[:, left : left + width])
            write("/camera/labels_truth", at, make.mono8(truth, header))


def write_network(path: Path, model: str, size: tuple[int, int] = NETWORK) -> Bundle:
    """A bundle of a recipe's network that shows something like the desert, with an OOD score."""
    import torch

    from offroad_seg_train.export.calibrate import PERCENTILE, fit_ood
    from offroad_seg_train.export.graph import DeployedModel, export_program, onnx_bytes
    from offroad_seg_train.models import NormalizedModel, build_model
    from offroad_seg_train.training.recipe import load_recipe

    torch.manual_seed(0)
    ontology, normalization = load_ontology("duality_desert"), Normalization()
    config = load_recipe(model, ["model.backbone_weights=none"]).model
    network = NormalizedModel(build_model(config, ontology.n_classes), normalization).eval()
    images_BCHW, truth_BHW = _views(size)
    sample = _fit_last_layer(network.requires_grad_(False), images_BCHW, truth_BHW)
    ood = fit_ood(sample, "energy")
    graph = onnx_bytes(export_program(DeployedModel(network, ood=ood), *size))
    manifest = Manifest(
        name=model, ontology=ontology.to_dict(), input_height=size[0], input_width=size[1],
        mean=normalization.mean, std=normalization.std, pad_value=Letterbox(*size).pad_value, precision="fp32",
        backend=PORTABLE, backends=("onnxruntime",),
        ood={
            "score": ood.score, "threshold": ood.threshold, "scale": ood.scale, "percentile": PERCENTILE,
            "fitted_on": {"part": "the drive itself"},
        },
    )  # fmt: skip
    return write_bundle(path, manifest, {"model.onnx": graph})


def _views(size: tuple[int, int]) -> tuple[Tensor, NDArray[np.uint8]]:
    """Views of the drive as the network gets them, uint8 (B, 3, H, W), and their truth, (B, H, W)."""
    import torch

    picture, box = _panorama(*SIZE), Letterbox(*size)
    images, truths = [], []
    for left in np.linspace(0, SIZE[0] // 4, FITTED_VIEWS).astype(int):
        part = slice(left, left + SIZE[0])
        images.append(box.apply(np.ascontiguousarray(picture.image_HWC[:, part])))
        truths.append(box.apply_mask(np.ascontiguousarray(picture.labels_HW[:, part])))
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2), np.stack(truths)


def _fit_last_layer(network: nn.Module, images_BCHW: Tensor, truth_BHW: NDArray[np.uint8]) -> LogitSample:
    """Softmax regression from what the last layer gets to the truth; what it gives for the pixels it was fitted on."""
    import torch
    from torch.nn import functional

    from offroad_seg_train.export.logit_sample import LogitSample

    layer = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)][-1]
    caught: list[Tensor] = []
    hook = layer.register_forward_hook(lambda _, inputs, __: caught.append(inputs[0]))
    network(images_BCHW)
    hook.remove()
    features_BCHW = caught[0]
    height, width = features_BCHW.shape[2:]
    truth = torch.from_numpy(truth_BHW)[:, None]
    truth_N = functional.interpolate(truth, (height, width), mode="nearest")[:, 0].flatten().long()
    inputs_NC = features_BCHW.permute(0, 2, 3, 1).flatten(0, 2)
    known_N = truth_N != UNLABELLED
    inputs_NC, truth_N = inputs_NC[known_N], truth_N[known_N]
    mean_C, std_C = inputs_NC.mean(0), inputs_NC.std(0) + 1e-6
    fitted = torch.nn.Linear(inputs_NC.shape[1], layer.out_channels)
    optimizer = torch.optim.Adam(fitted.parameters(), FITTED_RATE)
    for _ in range(FITTED_STEPS):
        optimizer.zero_grad()
        functional.cross_entropy(fitted((inputs_NC - mean_C) / std_C), truth_N).backward()
        optimizer.step()
    weight_KC = fitted.weight.detach() / std_C
    bias_K = fitted.bias.detach() - weight_KC @ mean_C
    layer.weight.copy_(weight_KC[:, :, None, None])
    layer.bias.copy_(bias_K)
    logits_NC = (inputs_NC @ weight_KC.T + bias_K).numpy()
    frames_N = torch.arange(len(images_BCHW)).repeat_interleave(height * width)[known_N].numpy()
    return LogitSample(logits_NC, truth_N.numpy(), frames_N, len(images_BCHW), (height, width))
