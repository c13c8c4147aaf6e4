"""Goldens of detectors by torchvision, in models/testdata/detection.

Made with torch 2.15.0, torchvision 0.29.2, numpy 2; no random numbers: weights and
the picture are filled from their names as in models.py, so the files hold results
only. Run: python3 models/testdata/gen/detection.py

NAME.safetensors, for detectors of 5 classes on a ResNet-18, frozen batch norms with
eps 0 where that is "frozen" in the metadata, and an input [1 3 96 120] (not the transform's
work). In float64, rounded once:

    logits.N, deltas.N   every 5th element of the head's output [1 anchors classes|4]
                         on level N of the pyramid

torchvision_NAME.txt.gz: the state-dict keys of NAME in order, as in models.py.
"""

import gzip
import os
import sys

import torch
import torchvision
from torchvision.models.detection import retinanet
from torchvision.models.detection.backbone_utils import _resnet_fpn_extractor
from torchvision.ops.feature_pyramid_network import LastLevelP6P7
from torchvision.ops.misc import FrozenBatchNorm2d

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "..", "detection")
sys.path[:0] = [os.path.join(HERE, "..", "..", "..", "internal", "golden")]
import golden  # noqa: E402

torch.set_num_threads(1)
CLASSES = 5


def filled(model):
    for k, v in model.state_dict().items():
        kind = golden.kind_of(k, v.ndim)
        if kind:
            v.copy_(torch.from_numpy(golden.fill(k, v.shape, kind)))
    return model


def body(frozen):
    norm = FrozenBatchNorm2d if frozen else torch.nn.BatchNorm2d
    net = torchvision.models.resnet18(weights=None, norm_layer=norm)
    for m in net.modules():
        if isinstance(m, FrozenBatchNorm2d):
            m.eps = 0.0
    return net


def retina(v2):
    extra = LastLevelP6P7(512 if v2 else 256, 256)
    backbone = _resnet_fpn_extractor(body(not v2), 5, returned_layers=[2, 3, 4], extra_blocks=extra)
    if not v2:
        return retinanet.RetinaNet(backbone, CLASSES)
    anchors = retinanet._default_anchorgen()
    head = retinanet.RetinaNetHead(256, anchors.num_anchors_per_location()[0], CLASSES,
                                   norm_layer=lambda c: torch.nn.GroupNorm(32, c))
    head.regression_head._loss_type = "giou"
    return retinanet.RetinaNet(backbone, CLASSES, anchor_generator=anchors, head=head)


def rcnn(v2, masks):
    """A Faster or Mask R-CNN as torchvision's builders make it, on a ResNet-18."""
    from torchvision.models.detection import faster_rcnn as f
    from torchvision.models.detection import mask_rcnn as m

    bn = torch.nn.BatchNorm2d
    backbone = _resnet_fpn_extractor(body(not v2), 5, norm_layer=bn if v2 else None)
    kind = m.MaskRCNN if masks else f.FasterRCNN
    if not v2:
        return kind(backbone, CLASSES)
    anchors = f._default_anchorgen()
    kwargs = {"mask_head": m.MaskRCNNHeads(backbone.out_channels, [256] * 4, 1, norm_layer=bn)} if masks else {}
    return kind(backbone, CLASSES, rpn_anchor_generator=anchors,
                rpn_head=f.RPNHead(backbone.out_channels, anchors.num_anchors_per_location()[0], conv_depth=2),
                box_head=f.FastRCNNConvFCHead((backbone.out_channels, 7, 7), [256] * 4, [1024], norm_layer=bn), **kwargs)


def levels(name, model, frozen):
    model = filled(model).eval().double()
    x = torch.from_numpy(golden.fill("input", (1, 3, 96, 120), "input")).double()
    out = {}
    with torch.no_grad():
        for i, f in enumerate(model.backbone(x).values()):
            y = model.head([f])
            out[f"logits.{i}"], out[f"deltas.{i}"] = (y[k].reshape(-1)[::5].float().numpy() for k in ("cls_logits", "bbox_regression"))
    path = os.path.join(OUT, name + ".safetensors")
    golden.write(path, out, {"op": name, "attrs": dict(classes=CLASSES, frozen=frozen)})
    print(name, os.path.getsize(path), {k: f"{abs(v).max():.3g}" for k, v in out.items()})


def keys(name):
    model = getattr(torchvision.models.detection, name)(weights=None, weights_backbone=None)
    text = "".join(f"{k} {'x'.join(map(str, v.shape))}".rstrip() + "\n" for k, v in model.state_dict().items())
    with open(os.path.join(OUT, f"torchvision_{name}.txt.gz"), "wb") as f:
        f.write(gzip.compress(text.encode(), 9, mtime=0))


if __name__ == "__main__":
    os.makedirs(OUT, exist_ok=True)
    for kind in ("retinanet", "fasterrcnn", "maskrcnn"):
        for v in ("", "_v2"):
            keys(f"{kind}_resnet50_fpn{v}")
    levels("retinanet", retina(False), True)
    levels("retinanet_v2", retina(True), False)
