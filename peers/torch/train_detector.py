#!/usr/bin/env python3
"""Trains a detector with torchvision as `resnet train --recipe detect` does, from the same weights.

    python3 peers/torch/train_detector.py START.safetensors SCENES EPOCHS PEAK [SEED [OPTIMIZER]]

START is a detector on a ResNet-20 for CIFAR, saved by resnet; its metadata has the
sizes, anchors and thresholds. SCENES is a folder that internal/scenes/gen wrote. The
recipe: batches of 4, SGD with momentum 0.9 (or OPTIMIZER adamw, which a RetinaNet
needs in few epochs) and weight decay 1e-4, PEAK scaled by 4/16,
linear warm-up from a thousandth over half an epoch, cosine to 0, mirroring, frozen
batch norms and stem, 128 sampled boxes of each picture. Prints COCO's table by
pycocotools for boxes and masks. The order of pictures and the samples differ from
resnet's, so equal results are not to be expected, but equal ones within noise.

The other side, with the same numbers:

    resnet train --data coco:SCENES --recipe detect --model START.safetensors \\
        --set lr.peak=PEAK --set lr.warmup=0.5 --epochs EPOCHS [--set optimizer.name=adamw]

A START is made by a single step at no rate:

    resnet train --data coco:SCENES --recipe detect --model embedded:cifar10.safetensors --size 64 \\
        --set detect.kind=maskrcnn --set detect.channels=64 --set detect.box_features=256 --set detect.proposals=100 \\
        --set iterations=1 --set lr.peak=1e-30 --set lr.warmup=0 --set optimizer.weight_decay=0 --out START
"""

import json
import math
import os
import sys
import time

import numpy as np
import torch
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from resnet_cifar import CifarResNet, Stages
from safetensors import safe_open
from torchvision.models.detection import FasterRCNN, MaskRCNN, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork, LastLevelMaxPool, LastLevelP6P7
from torchvision.ops.misc import FrozenBatchNorm2d

torch.set_num_threads(int(os.environ.get("THREADS", "1")))
BATCH = 4


def freeze_norms(module):
    for name, child in module.named_children():
        if isinstance(child, torch.nn.BatchNorm2d):
            setattr(module, name, FrozenBatchNorm2d(child.num_features))
        else:
            freeze_norms(child)


def build(path):
    with safe_open(path, "pt") as f:
        conf = json.loads(f.metadata()["resnet.architecture"])
        state = {k: f.get_tensor(k) for k in f.keys() if not k.startswith(("optim.", "ema.")) and not k.endswith("num_batches_tracked")}
    d = conf["detection"]
    kind, channels, classes = d["kind"], d["channels"], conf["classes"]
    net, backbone = CifarResNet(20), torch.nn.Sequential()
    freeze_norms(net)
    backbone.add_module("body", Stages(net, {"layer1": "0", "layer2": "1", "layer3": "2"}))
    backbone.add_module("fpn", FeaturePyramidNetwork([16, 32, 64], channels, LastLevelP6P7(channels, channels) if kind == "retinanet" else LastLevelMaxPool()))
    backbone.out_channels = channels
    anchors = AnchorGenerator(tuple(map(tuple, d["anchors"]["sizes"])), (tuple(d["anchors"]["ratios"]),) * len(d["anchors"]["sizes"]))
    common = dict(min_size=d["min_size"], max_size=d["max_size"], image_mean=d["mean"], image_std=d["std"])
    if kind == "retinanet":
        model = RetinaNet(backbone, classes, anchor_generator=anchors, **common)
    else:
        names, features = ["0", "1", "2"], d["box_features"]
        common |= dict(rpn_anchor_generator=anchors, rpn_pre_nms_top_n_train=2 * d["top_k"], rpn_pre_nms_top_n_test=d["top_k"],
                       rpn_post_nms_top_n_train=2 * d["proposals"], rpn_post_nms_top_n_test=d["proposals"], box_batch_size_per_image=128,
                       box_roi_pool=MultiScaleRoIAlign(names, 7, 2), box_head=TwoMLPHead(channels * 49, features))
        if kind == "maskrcnn":
            common["mask_roi_pool"] = MultiScaleRoIAlign(names, 14, 2)
            common["mask_head"] = MaskRCNNHeads(channels, [channels] * 4, 1)
            common["mask_predictor"] = MaskRCNNPredictor(channels, channels, classes)
        common["box_predictor"] = FastRCNNPredictor(features, classes)
        model = (MaskRCNN if kind == "maskrcnn" else FasterRCNN)(backbone, None, **common)
    model.load_state_dict(state)
    for name, p in model.named_parameters():
        if name.startswith(("backbone.body.conv1", "backbone.body.bn1")):
            p.requires_grad_(False)
    return model, kind


class Scenes:
    def __init__(self, folder, part, masks):
        self.folder, self.masks = folder, masks
        self.coco = COCO(os.path.join(folder, f"instances_{part}.json"))
        self.ids = [i for i in sorted(self.coco.imgs) if part == "val" or self.coco.getAnnIds(i)]
        self.categories = sorted(self.coco.cats)

    def picture(self, i):
        name = self.coco.imgs[i]["file_name"]
        path = os.path.join(self.folder, name)
        if not os.path.exists(path):
            path = os.path.join(self.folder, "JPEGImages", name)
        return torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1).float() / 255

    def sample(self, i, flip):
        x, found = self.picture(i), self.coco.loadAnns(self.coco.getAnnIds(i))
        b = torch.tensor([a["bbox"] for a in found]).float()
        b[:, 2:] += b[:, :2]
        t = {"boxes": b, "labels": torch.tensor([self.categories.index(a["category_id"]) + 1 for a in found])}
        if self.masks:
            t["masks"] = torch.from_numpy(np.stack([self.coco.annToMask(a) for a in found]))
        if flip:
            w = x.shape[-1]
            x = x.flip(-1)
            t["boxes"] = t["boxes"][:, [2, 1, 0, 3]]
            t["boxes"][:, [0, 2]] = w - t["boxes"][:, [0, 2]]
            if self.masks:
                t["masks"] = t["masks"].flip(-1)
        return x, t


@torch.no_grad()
def evaluate(model, ds, masks):
    model.eval()
    results = []
    for i in ds.ids:
        got = model([ds.picture(i)])[0]
        for k in range(len(got["scores"])):
            x1, y1, x2, y2 = got["boxes"][k].tolist()
            r = {"image_id": i, "category_id": ds.categories[got["labels"][k] - 1], "bbox": [x1, y1, x2 - x1, y2 - y1], "score": got["scores"][k].item()}
            if masks:
                r["segmentation"] = coco_mask.encode(np.asfortranarray((got["masks"][k, 0] > 0.5).numpy().astype(np.uint8)))
            results.append(r)
    for what in ["bbox"] + ["segm"] * masks:
        shown = [{k: v for k, v in r.items() if k != ("segmentation" if what == "bbox" else "bbox")} for r in results]
        e = COCOeval(ds.coco, ds.coco.loadRes(shown), what)
        e.evaluate()
        e.accumulate()
        e.summarize()


def main(start, folder, epochs, peak, seed=0, optimizer="sgd"):
    epochs, peak = int(epochs), float(peak) * BATCH / 16
    torch.manual_seed(int(seed))
    model, kind = build(start)
    masks = kind == "maskrcnn"
    train, val = Scenes(folder, "train", masks), Scenes(folder, "val", masks)
    trained = [p for p in model.parameters() if p.requires_grad]
    if optimizer == "adamw":
        opt = torch.optim.AdamW(trained, lr=peak, weight_decay=1e-4)
    else:
        opt = torch.optim.SGD(trained, lr=peak, momentum=0.9, weight_decay=1e-4)
    per_epoch = len(train.ids) // BATCH
    warm, total, step, began = round(0.5 * per_epoch), epochs * per_epoch, 0, time.time()
    for epoch in range(epochs):
        model.train()
        order, sums = torch.randperm(len(train.ids)).tolist(), {}
        for at in range(0, per_epoch * BATCH, BATCH):
            rate = peak * (0.001 + 0.999 * (step + 1) / warm) if step < warm else peak * 0.5 * (1 + math.cos(math.pi * (step - warm) / (total - warm)))
            for g in opt.param_groups:
                g["lr"] = rate
            xs, ts = zip(*(train.sample(train.ids[i], torch.rand(1).item() < 0.5) for i in order[at:at + BATCH]))
            parts = model(list(xs), list(ts))
            loss = sum(parts.values())
            opt.zero_grad()
            loss.backward()
            opt.step()
            step += 1
            for k, v in parts.items():
                sums[k] = sums.get(k, 0) + v.item() / per_epoch
        print(f"epoch {epoch + 1}: loss {sum(sums.values()):.4f}", {k: round(v, 3) for k, v in sums.items()}, f"{time.time() - began:.0f} s", flush=True)
    evaluate(model, val, masks)


if __name__ == "__main__":
    main(*sys.argv[1:])
