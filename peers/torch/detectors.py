#!/usr/bin/env python3
"""Compares `resnet detect` with torchvision's six detectors, on the same random weights.

    python3 peers/torch/detectors.py RESNET PICTURE [MODEL...]

RESNET is the program, PICTURE a file that Pillow reads. Each model gets random
weights, batch norms with statistics that are not 0 and 1, and heads scaled so that
scores spread; first versions get frozen batch norms with eps 0 and no counters, as
in their published files. The state dict is written to a file, both programs read
it, and boxes, scores, labels and masks are compared: the largest differences are
printed, in pixels and in scores, and masks as differing pixels. Made with torch
2.15.0, torchvision 0.29.2.
"""

import json
import os
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch
import torchvision
from PIL import Image
from torchvision.ops.misc import FrozenBatchNorm2d

MODELS = [f"{kind}_resnet50_fpn{v}" for kind in ("retinanet", "fasterrcnn", "maskrcnn") for v in ("", "_v2")]


def freeze(module):
    for name, child in module.named_children():
        if isinstance(child, torch.nn.BatchNorm2d):
            frozen = FrozenBatchNorm2d(child.num_features, eps=0.0)
            frozen.load_state_dict({k: v for k, v in child.state_dict().items() if k != "num_batches_tracked"})
            setattr(module, name, frozen)
        else:
            freeze(child)


def build(name, seed):
    torch.manual_seed(seed)
    model = getattr(torchvision.models.detection, name)(weights=None, weights_backbone=None)
    for m in model.modules():
        if isinstance(m, torch.nn.BatchNorm2d):
            m.running_mean.normal_(0, 0.1)
            m.running_var.uniform_(0.7, 1.4)
            torch.nn.init.uniform_(m.weight, 0.8, 1.2)
            torch.nn.init.normal_(m.bias, 0, 0.1)
    if not name.endswith("_v2"):
        freeze(model.backbone.body)
    return model.eval()


@torch.no_grad()
def spread(model, x):
    """Scales the last layers so that logits have a deviation near 1 and few scores are high."""
    seen = {}

    def watch(layer, std, shift=0.0, by=None):
        hook = layer.register_forward_hook(lambda m, i, o: seen.setdefault(m, []).append(o.detach().flatten()))
        model([x])
        hook.remove()
        now = torch.cat(seen.pop(layer)).double()
        layer.weight.mul_(std / max(now.std().item(), 1e-9))
        layer.bias.zero_().add_(shift)
        if by is not None:
            layer.bias.add_(torch.randn_like(layer.bias) * by)

    if hasattr(model, "head"):
        watch(model.head.classification_head.cls_logits, 1.5, -5.0)
        watch(model.head.regression_head.bbox_reg, 0.3)
        return
    watch(model.rpn.head.cls_logits, 2.0)
    watch(model.rpn.head.bbox_pred, 0.3)
    watch(model.roi_heads.box_predictor.cls_score, 1.0, 0.0, 1.5)
    watch(model.roi_heads.box_predictor.bbox_pred, 1.0)
    if model.roi_heads.mask_predictor is not None:
        watch(model.roi_heads.mask_predictor.mask_fcn_logits, 2.0)


def decode(counts, size):
    from pycocotools import mask
    return mask.decode({"size": size, "counts": counts}).astype(bool)


def iou(a, b):
    w = np.minimum(a[2:], b[:, 2:]) - np.maximum(a[:2], b[:, :2])
    inter = np.clip(w, 0, None).prod(-1)
    area = lambda v: (v[..., 2] - v[..., 0]) * (v[..., 3] - v[..., 1])  # noqa: E731
    return inter / (area(a) + area(b) - inter)


def compare(name, resnet, path, seed=1):
    model = build(name, seed)
    x = torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1).float() / 255
    spread(model, x)
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, name + ".pth")
        torch.save(model.state_dict(), file)
        with torch.no_grad():
            model([x])
            start = time.time()
            want = {k: v.numpy() for k, v in model([x])[0].items()}
            seconds = time.time() - start
        run = subprocess.run([resnet, "detect", "-m", f"{name}@{file}", "--json", "--threshold", "0", path],
                             check=True, capture_output=True, text=True)
    got = json.loads(run.stdout)["objects"]
    print(f"{name}: {len(got)} objects, torchvision {len(want['scores'])}, scores {want['scores'][:1]} to {want['scores'][-1:]}; torchvision took {seconds:.2f} s")
    boxes = np.array([o["bbox"] for o in got]).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    labels, scores = np.array([o["category_id"] for o in got]), np.array([o["score"] for o in got])
    worst, missing, used, pixels = np.zeros(2), 0, set(), 0
    for i, b in enumerate(want["boxes"]):
        near = [j for j in np.flatnonzero(labels == want["labels"][i]) if j not in used and abs(scores[j] - want["scores"][i]) < 1e-3 and np.abs(boxes[j] - b).max() < 0.1]
        if not near:
            missing += 1
            print("   missing:", want["labels"][i], want["scores"][i], b)
            continue
        j = min(near, key=lambda j: np.abs(boxes[j] - b).max())
        used.add(j)
        worst = np.maximum(worst, [np.abs(boxes[j] - b).max(), abs(scores[j] - want["scores"][i])])
        if "masks" in want:
            seg = got[j]["segmentation"]
            pixels = max(pixels, int((decode(seg["counts"], seg["size"]) != (want["masks"][i, 0] > 0.5)).sum()))
    print(f"   largest difference: {worst[0]:.2g} pixels, {worst[1]:.2g} in scores"
          + (f", {pixels} pixels of a mask" if "masks" in want else "") + f"; {missing} missing, {len(got) - len(used)} more")
    return missing == 0 and len(got) == len(used) and worst.max() < 1e-2


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ.get("THREADS", "1")))
    ok = [compare(name, *sys.argv[1:3]) for name in sys.argv[3:] or MODELS]
    sys.exit(0 if all(ok) else 1)
