"""Goldens of package boxes, in boxes/testdata/boxes.safetensors.

Made with torch 2.15.0, torchvision 0.29.2 on a CPU, seed 12.
Run: python3 boxes/testdata/gen/boxes.py

    pairs.{a,b}       [P 4]; pairs.iou, pairs.giou [P]: box_iou (equal rows), generalized_box_iou_loss
    clip.{boxes,want} [P 4], clipped to a picture of 90 x 70 (width x height)
    code.{anchors,boxes,codes,deltas,decoded} [P 4], by the weights 10, 10, 5, 5
    anchors.retinanet, anchors.rpn  [A 4]: all levels, ratios as in the models, of a padded
                      input 160 x 224 and the feature sizes in "levels" of the metadata
    cells.retinanet, cells.rpn      [.. 4]
    match.{objects,anchors} and match.HIGH.LOW.LOWQUALITY  [A] int64
    nms.N.{boxes,scores,groups}, nms.N.keep, nms.N.batched: by 0.5, N boxes
    nms.1000.batched  of the first 1000 boxes of 1001, 500 times as large: 1000 is the
                      largest number that torchvision shifts apart
"""

import os
import sys

import numpy as np
import torch
from torchvision.models.detection._utils import BoxCoder, Matcher
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.retinanet import _default_anchorgen
from torchvision.models.detection.faster_rcnn import _default_anchorgen as rpn_anchorgen
from torchvision.ops import box_iou, clip_boxes_to_image, generalized_box_iou, nms
from torchvision.ops.boxes import batched_nms

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "..", "internal", "golden"))
import golden  # noqa: E402

torch.manual_seed(12)
out, meta = {}, {}


def random_boxes(n, size=100.0, least=1.0):
    xy = torch.rand(n, 2) * size
    return torch.cat([xy, xy + least + torch.rand(n, 2) * size / 2], 1)


a, b = random_boxes(60), random_boxes(60)
b[:20] = a[:20] + torch.randn(20, 4)
b[20], b[21, 2:], a[22], b[22] = a[20], b[21, :2], torch.zeros(4), torch.zeros(4)
out["pairs.a"], out["pairs.b"] = a, b
out["pairs.iou"] = box_iou(a, b).diag()
out["pairs.giou"] = generalized_box_iou(a, b).diag()
out["clip.boxes"] = c = random_boxes(30) - 20
out["clip.want"] = clip_boxes_to_image(c, (70, 90))

coder = BoxCoder((10.0, 10.0, 5.0, 5.0))
deltas = torch.randn(60, 4) * torch.tensor([3.0, 3.0, 5.0, 5.0])
deltas[0], deltas[1] = 100.0, -100.0
out["code.anchors"], out["code.boxes"] = a[:20], b[:20].clone()
out["code.boxes"][:, 2:] = torch.maximum(out["code.boxes"][:, 2:], out["code.boxes"][:, :2] + 1)
out["code.codes"] = coder.encode_single(out["code.boxes"], out["code.anchors"])
out["code.deltas"] = deltas[:20]
out["code.decoded"] = coder.decode_single(deltas[:20], a[:20])

for name, gen, levels in [
    ("retinanet", _default_anchorgen(), [(20, 28), (10, 14), (5, 7), (3, 4), (2, 2)]),
    ("rpn", rpn_anchorgen(), [(40, 56), (20, 28), (10, 14), (5, 7), (3, 4)]),
]:
    levels = levels[2:] if name == "retinanet" else levels[3:]
    out["cells." + name] = torch.cat(gen.cell_anchors)
    part = AnchorGenerator(gen.sizes[-len(levels):], gen.aspect_ratios[-len(levels):])
    image = ImageList(torch.zeros(1, 3, 160, 224), [(160, 224)])
    out["anchors." + name] = part(image, [torch.zeros(1, 1, h, w) for h, w in levels])[0]
    meta["levels." + name] = levels

objects, anchors = random_boxes(9), random_boxes(400)
objects[3] = objects[2]
anchors[7] = objects[5]
anchors[8] = objects[2]
out["match.objects"], out["match.anchors"] = objects, anchors
for high, low, lowq in [(0.5, 0.4, True), (0.7, 0.3, True), (0.5, 0.5, False)]:
    out[f"match.{high}.{low}.{lowq}"] = Matcher(high, low, lowq)(box_iou(objects, anchors))

for n in (200, 1001):
    boxes, groups, scores = random_boxes(n, 60.0), torch.randint(0, 5, (n,)), torch.randperm(n).float() / n
    for k, v in [("boxes", boxes), ("scores", scores), ("groups", groups)]:
        out[f"nms.{n}.{k}"] = v
    out[f"nms.{n}.keep"] = nms(boxes, scores, 0.5)
    out[f"nms.{n}.batched"] = batched_nms(boxes, scores, groups, 0.5)
# The first 1000 boxes 500 times as large: shifting rounds their coordinates.
out["nms.1000.batched"] = batched_nms(boxes[:1000] * 500, scores[:1000], groups[:1000], 0.5)
golden.write(os.path.join(HERE, "..", "boxes.safetensors"), {k: v.numpy() for k, v in out.items()}, meta)
