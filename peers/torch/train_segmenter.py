#!/usr/bin/env python3
"""Trains a segmenter with torchvision, or U-Net with segmentation_models_pytorch, as `resnet train --recipe segment` does.

    python3 peers/torch/train_segmenter.py START.safetensors SCENES EPOCHS PEAK [SEED]

START is fcn_resnetN, deeplabv3_resnetN, unet_resnetN, or one of the first two on
resnetN-cifar, saved by resnet. SCENES is a folder that internal/scenes/gen wrote. The recipe: batches of 8 whole pictures, half of
them mirrored, SGD with momentum 0.9, PEAK scaled by 8/32 and ten times that for the
auxiliary head, falling to 0 with the power 0.9 of the steps left, cross entropy plus half
that of the auxiliary head. Prints the mean IoU. The order of pictures differs from
resnet's, so equal results are not to be expected, but equal ones within noise.

The other side, with the same numbers:

    resnet train --data voc:SCENES --recipe segment --model START.safetensors --size 64 \\
        --set augment.random_scale.min=1 --set augment.random_scale.max=1 --set preprocess.resize=64 \\
        --set batch_size=8 --set optimizer.weight_decay=0 --set lr.peak=PEAK --epochs EPOCHS

A START is made by that with --model NAME --set iterations=1 --set lr.peak=1e-30.
"""

import json
import os
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from resnet_cifar import CifarResNet, Stages
from safetensors import safe_open
from torchvision.models import segmentation
from torchvision.models.segmentation.deeplabv3 import DeepLabHead, DeepLabV3
from torchvision.models.segmentation.fcn import FCN, FCNHead

torch.set_num_threads(int(os.environ.get("THREADS", "1")))
BATCH, MEAN, STD = 8, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def build(path):
    with safe_open(path, "pt") as f:
        conf = json.loads(f.metadata()["resnet.architecture"])
        state = {k: f.get_tensor(k) for k in f.keys() if not k.startswith(("optim.", "ema."))}
    head, _, encoder = conf["name"].partition("_")
    if head == "unet":
        import segmentation_models_pytorch as smp

        model = smp.Unet(encoder, encoder_weights=None, classes=conf["classes"])
    elif encoder.endswith("-cifar"):
        net = CifarResNet(int(encoder[len("resnet"):-len("-cifar")]))
        body, other = Stages(net, {"layer3": "out", "layer2": "aux"}), FCNHead(32, conf["classes"])
        if head == "fcn":
            model = FCN(body, FCNHead(64, conf["classes"]), other)
        else:
            model = DeepLabV3(body, DeepLabHead(64, conf["classes"]), other)
    else:
        model = getattr(segmentation, conf["name"])(weights=None, weights_backbone=None, num_classes=conf["classes"], aux_loss=True)
    model.load_state_dict(state)
    return model, conf["classes"]


class Scenes:
    def __init__(self, folder, part):
        self.folder = folder
        with open(os.path.join(folder, "ImageSets", "Segmentation", f"{part}.txt")) as f:
            self.names = f.read().split()

    def sample(self, i):
        name = self.names[i]
        picture = np.array(Image.open(os.path.join(self.folder, "JPEGImages", name + ".png")).convert("RGB"), np.float32) / 255
        x = torch.from_numpy(((picture - MEAN) / STD).astype(np.float32)).permute(2, 0, 1)
        return x, torch.from_numpy(np.array(Image.open(os.path.join(self.folder, "SegmentationClass", name + ".png")), np.int64))


def outputs(model, x):
    y = model(x)
    return (y["out"], y["aux"]) if isinstance(y, dict) else (y, None)


@torch.no_grad()
def evaluate(model, ds, classes):
    model.eval()
    confusion = torch.zeros(classes, classes, dtype=torch.int64)
    for i in range(len(ds.names)):
        x, y = ds.sample(i)
        got = outputs(model, x[None])[0].argmax(1)[0]
        keep = y != 255
        confusion += torch.bincount(y[keep] * classes + got[keep], minlength=classes**2).reshape(classes, classes)
    right = confusion.diag().double()
    iou = right / (confusion.sum(0) + confusion.sum(1) - right)
    print(f"mIoU {iou.mean():.4f}, accuracy {right.sum() / confusion.sum():.4f}, IoU", [round(v, 4) for v in iou.tolist()])


def main(start, folder, epochs, peak, seed=0):
    epochs, peak = int(epochs), float(peak) * BATCH / 32
    torch.manual_seed(int(seed))
    model, classes = build(start)
    train, val = Scenes(folder, "train"), Scenes(folder, "val")
    aux = [p for n, p in model.named_parameters() if n.startswith("aux_classifier.")]
    rest = [p for n, p in model.named_parameters() if not n.startswith("aux_classifier.")]
    opt = torch.optim.SGD([{"params": rest, "k": 1}] + [{"params": aux, "k": 10}] * bool(aux), lr=peak, momentum=0.9)
    per_epoch, step, began = len(train.names) // BATCH, 0, time.time()
    for epoch in range(epochs):
        model.train()
        order, total = torch.randperm(len(train.names)).tolist(), 0.0
        for at in range(0, per_epoch * BATCH, BATCH):
            for g in opt.param_groups:
                g["lr"] = g["k"] * peak * (1 - step / (epochs * per_epoch)) ** 0.9
            xs, ys = zip(*((t.flip(-1) for t in s) if torch.rand(1).item() < 0.5 else s for s in map(train.sample, order[at:at + BATCH])))
            out, other = outputs(model, torch.stack(xs))
            y = torch.stack(ys)
            loss = F.cross_entropy(out, y, ignore_index=255)
            if other is not None:
                loss = loss + 0.5 * F.cross_entropy(other, y, ignore_index=255)
            opt.zero_grad()
            loss.backward()
            opt.step()
            step += 1
            total += loss.item() / per_epoch
        print(f"epoch {epoch + 1}: loss {total:.4f}, {time.time() - began:.0f} s", flush=True)
    evaluate(model, val, classes)


if __name__ == "__main__":
    main(*sys.argv[1:])
