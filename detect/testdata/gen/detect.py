"""Goldens of package detect by torchvision, in detect/testdata.

Made with torch 2.15.0, torchvision 0.29.2; no random numbers: weights are filled
from their names by internal/golden/golden.py, the scales of a few last layers are
changed so that scores spread. Run: python3 detect/testdata/gen/detect.py

transform.safetensors: a picture [23 41 3] of bytes (as float32) and what the
    transform of min_size 37, max_size 60 makes of it: [3 h w].
NAME.safetensors, of detectors of 5 classes on a ResNet-18 whose batch norms have
    eps 0 in the first version, min_size 128, max_size 200, R-CNNs with 60 proposals and 20 detections, for picture.png, 120 x 90:
    boxes [N 4], scores [N], labels [N] int64, after the whole model; where it has
    masks, the pixels of each above 0.5, mask_areas [N], and, which, mask_bits
    [N words] int64, row by row from the lowest bit. Attributes: "change", by key the factor and the summand of
    a weight.
loss_NAME.safetensors: "loss.PART" of the same detectors on a batch of two inputs [2 3 96
    128], filled from the name "batch", with the boxes and labels of the attributes, batch
    norms by their statistics, in float64; of R-CNNs with 60 proposals, of all anchors and
    boxes, and with the ellipses inside the boxes as masks. Of the parameters "params" of the
    attributes: "norms" [P] of their gradients, and "sums" [P], their products with
    what is filled from the name "dot." + key.
"""

import os
import sys

import numpy as np
import torch
from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "..")
ROOT = os.path.join(HERE, "..", "..", "..")
sys.path[:0] = [os.path.join(ROOT, "internal", "golden"), os.path.join(ROOT, "models", "testdata", "gen")]
import golden  # noqa: E402
from detection import filled, rcnn, retina  # noqa: E402
from torchvision.models.detection.image_list import ImageList  # noqa: E402
from torchvision.models.detection.transform import GeneralizedRCNNTransform  # noqa: E402
from torchvision.models.detection._utils import BalancedPositiveNegativeSampler  # noqa: E402

torch.set_num_threads(1)


def picture(name, h, w):
    return np.floor((golden.fill(name, (h, w, 3), "input") + 1) * 127.99).astype(np.float32)


def smooth(name, h, w):
    """A picture with structure: few values, scaled up."""
    small = torch.from_numpy(picture(name, 9, 12)).permute(2, 0, 1)[None]
    return torch.nn.functional.interpolate(small, (h, w), mode="bilinear").floor()[0].permute(1, 2, 0).numpy()


def tensor(pix):
    return torch.from_numpy(pix).permute(2, 0, 1) / 255


MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def transform():
    p = picture("picture", 23, 41)
    t = GeneralizedRCNNTransform(37, 60, MEAN, STD)
    x = tensor(p)
    y = t.resize(t.normalize(x), None)[0]
    golden.write(os.path.join(OUT, "transform.safetensors"), {"picture": p, "want": y.numpy()}, {"op": "transform"})


def detector(name, model, change):
    filled(model)
    state = model.state_dict()
    for k, (factor, summand) in change.items():
        state[k].mul_(factor).add_(summand)
    model.transform = GeneralizedRCNNTransform(128, 200, MEAN, STD)
    model.eval()
    p = smooth("picture", 90, 120)
    with torch.no_grad():
        got = model([tensor(p)])[0]
        double = model.double()([tensor(p).double()])[0]
    gaps = (got["scores"][:-1] - got["scores"][1:]).abs()
    out = {"boxes": got["boxes"].numpy(), "scores": got["scores"].numpy(), "labels": got["labels"].numpy()}
    if "masks" in got:
        bits = got["masks"][:, 0].numpy() > 0.5
        out["mask_areas"] = bits.sum((1, 2)).astype(np.int64)
        packed = np.packbits(bits.reshape(len(bits), -1), 1, bitorder="little")
        out["mask_bits"] = np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8))).view("<i8")
    path = os.path.join(OUT, name + ".safetensors")
    golden.write(path, out, {"op": name, "attrs": {"change": change}})
    n = len(got["scores"])
    same = n == len(double["scores"]) and torch.equal(got["labels"], double["labels"])
    print(name, os.path.getsize(path), n, "objects, scores", out["scores"][[0, 1, 2, n // 2]], out["scores"][-1:], "least gap", gaps.min().item(),
          "same in float64:", same, (got["boxes"] - double["boxes"]).abs().max().item() if same else "")


@torch.no_grad()
def factors(model, stds):
    """The factors of weights that give the outputs of layers these deviations, one layer after the other."""
    model = filled(model).eval()
    model.transform = GeneralizedRCNNTransform(128, 200, MEAN, STD)
    change = {}
    for layer, (std, bias) in stds.items():
        seen = []
        module = model.get_submodule(layer)
        hook = module.register_forward_hook(lambda m, i, o: seen.append((o - (m.bias[:, None, None] if o.ndim == 4 else m.bias)).flatten()))
        model([tensor(smooth("picture", 90, 120))])
        hook.remove()
        factor = float(f"{std / torch.cat(seen).std().item():.2g}")
        module.weight.mul_(factor)
        module.bias.mul_(bias)
        change[layer + ".weight"], change[layer + ".bias"] = (factor, 0), (bias, 0)
    return change


RCNN_STDS = {"rpn.head.cls_logits": (2, 1), "rpn.head.bbox_pred": (0.3, 1),
             "roi_heads.box_predictor.cls_score": (1, 10), "roi_heads.box_predictor.bbox_pred": (1, 1)}

ALL = 10 ** 6


def everything(model):
    """Makes an R-CNN learn of all anchors and boxes, and keep 60 proposals, so that no random numbers are needed."""
    model.rpn.fg_bg_sampler = BalancedPositiveNegativeSampler(ALL, 0.5)
    model.roi_heads.fg_bg_sampler = BalancedPositiveNegativeSampler(ALL, 0.25)
    model.rpn._post_nms_top_n["training"] = 60
    return model


def ellipses(boxes, h, w):
    """A mask for each box: the ellipse inside it."""
    y, x = torch.meshgrid(torch.arange(h) + 0.5, torch.arange(w) + 0.5, indexing="ij")
    return torch.stack([(2 * (x - (b[0] + b[2]) / 2) / (b[2] - b[0])) ** 2 + (2 * (y - (b[1] + b[3]) / 2) / (b[3] - b[1])) ** 2 <= 1 for b in boxes]).to(torch.uint8)


BOXES = [[[8.0, 6.0, 60.0, 50.0], [40.0, 30.0, 110.0, 90.0], [70.0, 8.0, 90.0, 24.0]], [[20.0, 16.0, 100.0, 80.0]]]
LABELS = [[1, 3, 2], [4]]


def losses(name, model, change):
    """The losses on a batch of two inputs, [2 3 96 128], as they are fed to the backbone, and their gradients."""
    filled(model)
    state = model.state_dict()
    for k, (factor, summand) in change.items():
        state[k].mul_(factor).add_(summand)
    model = model.double().train()
    for m in model.modules():  # statistics as filled
        if isinstance(m, torch.nn.BatchNorm2d):
            m.eval()
    x = torch.from_numpy(golden.fill("batch", (2, 3, 96, 128), "input")).double()
    model.transform.forward = lambda images, targets: (ImageList(x, [(96, 128)] * 2), targets)
    targets = [{"boxes": torch.tensor(b).double(), "labels": torch.tensor(l), "masks": ellipses(b, 96, 128)} for b, l in zip(BOXES, LABELS)]
    got = model(list(x), targets)
    sum(got.values()).backward()
    out = {"loss." + k: v.detach().float().numpy() for k, v in got.items()}
    params = [(k, p) for k, p in model.named_parameters() if p.grad is not None]
    out["norms"] = np.array([p.grad.norm().item() for _, p in params], np.float32)
    out["sums"] = np.array([(p.grad * torch.from_numpy(golden.fill("dot." + k, p.shape, "input"))).sum().item() for k, p in params], np.float32)
    golden.write(os.path.join(OUT, f"loss_{name}.safetensors"), out,
                 {"op": name, "attrs": {"change": change, "params": [k for k, _ in params], "boxes": BOXES, "labels": LABELS}})
    print(name, {k: v.item() for k, v in got.items()})


if __name__ == "__main__":
    transform()
    Image.fromarray(smooth("picture", 90, 120).astype(np.uint8)).save(os.path.join(OUT, "picture.png"))
    cls, reg = "head.classification_head.cls_logits.", "head.regression_head.bbox_reg."
    detector("retinanet", retina(False), {cls + "weight": (0.02, 0), cls + "bias": (1, -4), reg + "weight": (0.005, 0)})
    detector("retinanet_v2", retina(True), {cls + "weight": (1, 0), cls + "bias": (1, -4), reg + "weight": (0.2, 0)})
    losses("retinanet", retina(False), {cls + "weight": (0.02, 0), cls + "bias": (1, -4), reg + "weight": (0.005, 0)})
    losses("retinanet_v2", retina(True), {cls + "weight": (1, 0), cls + "bias": (1, -4), reg + "weight": (0.2, 0)})
    for v2 in (False, True):
        for kind in ("fasterrcnn", "maskrcnn"):
            stds = dict(RCNN_STDS)
            if kind == "maskrcnn":
                stds["roi_heads.mask_predictor.mask_fcn_logits"] = (2, 1)
            model = rcnn(v2, kind == "maskrcnn")
            model.rpn._post_nms_top_n["testing"], model.roi_heads.detections_per_img = 60, 20  # for speed
            change = factors(model, stds)
            detector(kind + "_v2" * v2, model, change)
            losses(kind + "_v2" * v2, everything(rcnn(v2, kind == "maskrcnn")), change)
