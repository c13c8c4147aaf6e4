#!/usr/bin/python3
"""Goldens of the families beside torchvision's, in models/testdata/families.

Made with torch 1.13.0, timm 0.6.13, numpy 1.24.2; no random numbers: filled from
names as models.py says, whose helpers are used here. The networks with
attention, ResNet-D's parts and blurring are timm's own; the others are written
below after the papers, and the pre-activation network is checked against timm's
resnetv2. Run: python3 models/testdata/gen/families.py [NAME ...|check|lists], with
timm installed.

NAME.safetensors holds, as in models.py: labels, eval.logits, eval.acts,
train.logits, train.acts, losses (one), grad.digest, running.digest.

timm_NAME.txt.gz: timm's state-dict keys of NAME in order, "KEY d0xd1x..." a line.
"""

import copy
import gzip
import os
import sys

import numpy as np
import timm
import torch
import torch.nn as nn
import torch.nn.functional as F
from timm.models import resnet as tr
from timm.models import resnetv2
from timm.models.layers import BatchNormAct2d, BlurPool2d, create_conv2d

import models
from models import golden

OUT = os.path.join(models.OUT, "families")
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "peers", "torch"))
from speedrun_net import SpeedrunNet  # noqa: E402


# ---- The networks that neither torchvision nor timm has, after the papers. ----

def conv(i, o, k, stride=1, bias=False):
    return nn.Conv2d(i, o, k, stride, k // 2, bias=bias)


class PadSubsample(nn.Module):  # option A
    def __init__(self, i, o, stride):
        super().__init__()
        self.extra, self.stride = (o - i) // 2, stride

    def forward(self, x):
        return F.pad(x[:, :, ::self.stride, ::self.stride], (0, 0, 0, 0, self.extra, self.extra))


def projection(i, o, stride, norm=True):
    return nn.Sequential(conv(i, o, 1, stride), *([nn.BatchNorm2d(o)] if norm else []))


class Joined(nn.Module):
    """The original two-layer unit with the shortcuts of He et al. 2016, table 1."""

    def __init__(self, i, o, stride, join, project_all=False):
        super().__init__()
        self.conv1, self.bn1 = conv(i, o, 3, stride), nn.BatchNorm2d(o)
        self.conv2, self.bn2 = conv(o, o, 3), nn.BatchNorm2d(o)
        if project_all:
            self.downsample = projection(i, o, stride)
        else:
            self.downsample = PadSubsample(i, o, stride) if i != o else nn.Identity()
        if "gate" in join:
            self.gate = nn.Conv2d(o, o, 1)
        self.how = join

    def forward(self, x):
        f = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        h = self.downsample(x)
        if self.how == "scale":
            h = h / 2
        elif self.how == "half":
            h, f = h / 2, f / 2
        elif self.how == "exclusive-gate":
            g = torch.sigmoid(self.gate(h))
            h, f = (1 - g) * h, g * f
        elif self.how == "shortcut-gate":
            h = (1 - torch.sigmoid(self.gate(h))) * h
        return torch.relu(h + f)


class Highway(nn.Module):
    """Srivastava et al. 2015, equation 3, with convolutions."""

    def __init__(self, i, o, stride, norm):
        super().__init__()
        self.conv1 = conv(i, o, 3, stride, bias=not norm)
        self.bn1 = nn.BatchNorm2d(o) if norm else nn.Identity()
        self.gate = conv(i, o, 3, stride, bias=True)
        self.carry = PadSubsample(i, o, stride)

    def forward(self, x):
        t = torch.sigmoid(self.gate(x))
        return torch.relu(self.bn1(self.conv1(x))) * t + self.carry(x) * (1 - t)


class PreAct(nn.Module):
    """Units of figure 4e; kernels (3, 3) or (1, 3, 1), stride on kernel number `at`."""

    def __init__(self, channels, kernels, at, stride, shortcut, first):
        super().__init__()
        for n, k in enumerate(kernels):
            self.add_module(f"bn{n + 1}", nn.BatchNorm2d(channels[n]))
            self.add_module(f"conv{n + 1}", conv(channels[n], channels[n + 1], k, stride if n == at else 1))
        self.n, self.both = len(kernels), first
        i, o = channels[0], channels[-1]
        if i != o or stride > 1:
            self.both = True
            self.downsample = PadSubsample(i, o, stride) if shortcut == "A" else projection(i, o, stride, False)

    def forward(self, x):
        y = torch.relu(self.bn1(x))
        h = y if self.both else x
        if hasattr(self, "downsample"):
            h = self.downsample(h)
        for n in range(1, self.n + 1):
            if n > 1:
                y = torch.relu(getattr(self, f"bn{n}")(y))
            y = getattr(self, f"conv{n}")(y)
        return h + y


class Net(nn.Module):
    """stages: lists of blocks; pre: pre-activation; imagenet: the stem; norm: batch norm in the stem."""

    def __init__(self, width, stages, out, classes, pre=False, imagenet=False, norm=True):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False) if imagenet else conv(3, width, 3, bias=not norm)
        self.bn1 = nn.BatchNorm2d(width) if norm and not pre else nn.Identity()
        self.pool = nn.MaxPool2d(3, 2, 1) if imagenet else nn.Identity()
        for n, blocks in enumerate(stages):
            self.add_module(f"layer{n + 1}", nn.Sequential(*blocks))
        self.norm = nn.BatchNorm2d(out) if pre else nn.Identity()
        self.fc = nn.Linear(out, classes)
        self.pre, self.stages = pre, len(stages)

    def forward(self, x):
        x = self.conv1(x)
        if not self.pre:
            x = torch.relu(self.bn1(x))
        x = self.pool(x)
        for n in range(self.stages):
            x = getattr(self, f"layer{n + 1}")(x)
        if self.pre:
            x = torch.relu(self.norm(x))
        return self.fc(x.mean((2, 3)))


def stages_of(make, width, planes, counts):
    """make(i, p, stride, first) gives a block and its channels."""
    i, out = width, []
    for s, (p, n) in enumerate(zip(planes, counts)):
        blocks = []
        for b in range(n):
            block, i = make(i, p, 2 if s and not b else 1, not s and not b)
            blocks.append(block)
        out.append(blocks)
    return out, i


def pre_basic(shortcut):
    return lambda i, p, s, first: (PreAct([i, p, p], (3, 3), 0, s, shortcut, first), p)


def pre_bottleneck(at):
    return lambda i, p, s, first: (PreAct([i, p, p, 4 * p], (1, 3, 1), at, s, "B", first), 4 * p)


def net(make, width, planes, counts, classes=10, **kw):
    blocks, out = stages_of(make, width, planes, counts)
    return Net(width, blocks, out, classes, **kw)


def cifar(make, n, **kw):
    return net(make, 16, (16, 32, 64), (n, n, n), **kw)


def joined(join, project_all=False):
    return cifar(lambda i, p, s, _: (Joined(i, p, s, join, project_all), p), 1)


def check_preact():
    """The network of pre-activation bottlenecks above and timm's resnetv2 agree."""
    ours = models.filled(net(pre_bottleneck(1), 64, (64, 128, 256, 512), (2, 1, 1, 1), pre=True, imagenet=True))
    theirs = resnetv2.ResNetV2([2, 1, 1, 1], num_classes=10, conv_layer=create_conv2d, norm_layer=BatchNormAct2d)
    state = {}
    for k, v in ours.state_dict().items():
        k = k.replace("downsample.0", "downsample.conv").replace("conv1", "stem.conv", k.startswith("conv1"))
        if k.startswith("layer"):
            stage, block, rest = k[5:].split(".", 2)
            k = f"stages.{int(stage) - 1}.blocks.{block}.{rest.replace('bn', 'norm')}"
        elif k.startswith("fc"):
            k = "head." + k
            v = v[:, :, None, None] if v.ndim == 2 else v
        state[k] = v
    theirs.load_state_dict(state)
    x = torch.from_numpy(golden.fill("input", (2, 3, 64, 64), "input"))
    for train in (False, True):
        a, b = ours.train(train).double()(x.double()), theirs.train(train).double()(x.double())
        assert torch.allclose(a, b, rtol=1e-10, atol=1e-10), (a - b).abs().max()
    print("pre-activation bottlenecks equal timm's resnetv2")


def timm_net(block, layers=(1, 1, 1, 1), **kw):
    return tr.ResNet(block, layers, num_classes=10, **kw)


def attn(kind):
    return dict(block_args=dict(attn_layer=kind))


def cases():
    small, large = (8, 3, 16, 16), (2, 3, 40, 40)  # 40 gives 10, 5, 3 and 2 pixels: odd sizes
    three = ["layer1", "layer2", "layer3"]
    four = three + ["layer4"]
    yield "preact_basic", cifar(pre_basic("A"), 2, pre=True), small, three
    yield "preact_bottleneck", net(pre_bottleneck(0), 16, (16, 32, 64), (2, 1, 1), pre=True), (4, 3, 16, 16), three
    yield "wide", net(pre_basic("B"), 16, (32, 64, 128), (1, 1, 1), pre=True), small, three
    for name, norm in (("highway", True), ("highway_no_norm", False)):
        make = lambda i, p, s, _: (Highway(i, p, s, norm), p)  # noqa: E731
        yield name, cifar(make, 2, norm=norm), small, three
    for join in ("scale", "half", "exclusive-gate", "shortcut-gate"):
        yield "join_" + join.replace("-", "_"), joined(join), small, three
    yield "shortcut_c", joined("add", True), small, three
    yield "speedrun", SpeedrunNet(stem=8, width=16), (8, 3, 16, 16), three  # made with torch 2.15
    yield "resnet_d", timm_net(tr.BasicBlock, (2, 1, 1, 1), stem_type="deep", stem_width=32, avg_down=True), large, ["maxpool"] + four
    yield "se", timm_net(tr.Bottleneck, **attn("se")), large, four
    yield "eca", timm_net(tr.BasicBlock, **attn("eca")), (2, 3, 48, 48), four
    yield "cbam", timm_net(tr.BasicBlock, **attn("cbam")), large, four
    yield "blur_basic", timm_net(tr.BasicBlock, aa_layer=BlurPool2d), large, ["maxpool"] + four
    yield "blur_bottleneck", timm_net(tr.Bottleneck, aa_layer=BlurPool2d), large, ["maxpool"] + four


KEPT = ("labels", "eval.logits", "eval.acts", "train.logits", "train.acts", "losses", "grad.digest", "running.digest")


def write(name, model, shape, stages):
    x = torch.from_numpy(golden.fill("input", shape, "input"))
    y = torch.arange(shape[0]) * 7 % 10
    models.filled(model)

    def results(m, x):
        out, params, buffers = models.run(m, x, y, 0.01, stages)
        out["losses"] = out["losses"][:1]
        return {k: out[k] for k in KEPT if out[k].numel()}, params, buffers

    got, _, _ = results(copy.deepcopy(model), x)
    want, params, buffers = results(model.double(), x.double())
    errors = {k: float(f"{models.error(k, got[k], want[k]):.2g}") for k in want if k != "labels"}
    tensors = {k: v.numpy() if k == "labels" else v.numpy().astype(np.float32) for k, v in want.items()}
    meta = {"op": name, "attrs": dict(input=shape, classes=10), "stages": stages, "params": params, "buffers": buffers,
            "float32_error": errors, "torch": torch.__version__, "timm": timm.__version__}
    path = os.path.join(OUT, name + ".safetensors")
    golden.write(path, tensors, meta)
    print(f"{name}: {os.path.getsize(path)} bytes, loss {want['losses'].tolist()}, "
          f"largest logit {want['eval.logits'].abs().max():.3g}, float32 errors {errors}")


def timm_lists():
    """Keys of one model of a kind. Models that timm has no name for are built from its parts."""
    for f in ("kaiming_normal_", "kaiming_uniform_", "uniform_", "zeros_", "normal_"):
        setattr(nn.init, f, lambda *args, **kw: None)  # values are not looked at
    made = {n: timm.create_model(n) for n in ("resnet18d", "resnet50d", "seresnet18", "seresnet50", "ecaresnet50d")}
    made["cbamresnet50"] = tr.ResNet(tr.Bottleneck, (3, 4, 6, 3), **attn("cbam"))
    for name in ("resnet18d", "resnet50d", "seresnet18", "seresnet50", "ecaresnet50d", "cbamresnet50"):
        text = "".join(f"{k} {'x'.join(map(str, v.shape))}".rstrip() + "\n" for k, v in made[name].state_dict().items())
        with open(os.path.join(OUT, f"timm_{name}.txt.gz"), "wb") as f:
            f.write(gzip.compress(text.encode(), 9, mtime=0))


def main(only):
    os.makedirs(OUT, exist_ok=True)
    if not only or "check" in only:
        check_preact()
    for name, model, shape, stages in cases():
        if not only or name in only:
            write(name, model, shape, stages)
    if not only or "lists" in only:
        timm_lists()


if __name__ == "__main__":
    main(sys.argv[1:])
