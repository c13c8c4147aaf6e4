#!/usr/bin/python3
"""Goldens of whole models by PyTorch and torchvision, in models/testdata.

Made with torch 1.13.0, torchvision 0.14.1 (Debian 12), numpy 1.24.2; no random
numbers: each parameter and buffer is filled from its state-dict key, the images
from the name "input", by internal/golden/golden.py (Fill in package namefill
gives the same bits), so the files hold results only. num_batches_tracked is 0.
Run: python3 models/testdata/gen/models.py

MODEL.safetensors, for the ResNet-20 of CIFAR (option A; 8x3x32x32, 10 classes)
and torchvision's ResNet-18 (2x3x64x64, 1000 classes) and ResNet-50 (2x3x96x96,
1000 classes). All in float64, rounded once. Labels are (7*i) mod classes.

    labels                  [N] int64
    eval.logits             [N C], running statistics as filled
    eval.acts, train.acts   [stages 10]: digests of the outputs of metadata "stages"
    train.logits            [N C], batch statistics
    losses                  [3], mean cross entropy before each of three SGD steps
    grad.digest             [P 10]: digests of the first step's gradients, in the
                            order of metadata "params"
    grad.KEY                the whole gradient where it has at most 512 elements
    running.digest          [B 10]: digests of the running statistics after one
                            forward pass, in the order of metadata "buffers"
    running.KEY             whole
    after.digest            [P+B 10]: digests of the parameters, then the buffers,
                            after three steps of SGD with momentum 0.9, weight decay
                            1e-4 on all parameters, lr as in metadata "attrs", the
                            same batch each time

ResNet-50 is for the bottleneck block and has frozen statistics (attrs.lr is 0):
losses and grad.* are of eval mode, losses has one element, and there are no
running.KEY and after.digest.

A digest is: L2 norm, sum, the first 8 elements in N, C, H, W (O, I, H, W) order,
zeros where there are fewer. Metadata "float32_error" tells how far PyTorch's own
float32 run is from these numbers: the largest |difference| over the largest
|value| of each tensor (of each row's norm, for digests), as a guide to tolerances.

torchvision_NAME.txt.gz: the state-dict keys of NAME in order, "KEY d0xd1x..." a
line.
"""

import copy
import gzip
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F
import torchvision

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..", "..")
OUT = os.path.join(HERE, "..")
sys.path[:0] = [os.path.join(ROOT, "internal", "golden"), os.path.join(ROOT, "peers", "torch")]
import golden  # noqa: E402
from resnet_cifar import CifarResNet  # noqa: E402

MOMENTUM, WEIGHT_DECAY = 0.9, 1e-4


def digest(x):
    x = x.detach().double().reshape(-1)
    head = torch.zeros(8, dtype=torch.float64)
    head[:min(8, len(x))] = x[:8]
    return torch.cat([x.norm()[None], x.sum()[None], head])


def digests(xs):
    xs = list(xs)
    return torch.stack([digest(x) for x in xs]) if xs else torch.zeros(0, 10)


def filled(model):
    for k, v in model.state_dict().items():
        kind = golden.kind_of(k, v.ndim)
        if kind:
            v.copy_(torch.from_numpy(golden.fill(k, v.shape, kind)))
    return model


def forward(model, x, stages):
    """Return the logits and the digests of the stages' outputs."""
    seen = {}
    hooks = [model.get_submodule(s).register_forward_hook(
        lambda m, i, o, s=s: seen.__setitem__(s, digest(o))) for s in stages]
    y = model(x)
    for h in hooks:
        h.remove()
    return y, torch.stack([seen[s] for s in stages])


def run(model, x, y, lr, stages):
    params = [k for k, _ in model.named_parameters()]
    buffers = [k for k, b in model.named_buffers() if b.ndim and k in model.state_dict()]  # persistent ones
    out = {"labels": y}
    with torch.no_grad():
        out["eval.logits"], out["eval.acts"] = forward(model.eval(), x, stages)
    model.train(lr > 0)
    opt = torch.optim.SGD(model.parameters(), lr, MOMENTUM, weight_decay=WEIGHT_DECAY)
    losses = []
    for step in range(3 if lr else 1):
        logits, acts = forward(model, x, stages)
        loss = F.cross_entropy(logits, y)
        opt.zero_grad()
        loss.backward()
        losses.append(loss.detach())
        if step == 0:
            grads = {k: p.grad.clone() for k, p in model.named_parameters()}
            out["grad.digest"] = digests(grads.values())
            out.update({"grad." + k: g for k, g in grads.items() if g.numel() <= 512})
            if not lr:
                with torch.no_grad():
                    logits, acts = forward(model.train(), x, stages)
            out["train.logits"], out["train.acts"] = logits.detach(), acts
            stats = {k: b.clone() for k, b in model.named_buffers() if k in buffers}
            out["running.digest"] = digests(stats.values())
            if lr:
                out.update({"running." + k: b for k, b in stats.items()})
        opt.step()
    out["losses"] = torch.stack(losses)
    if lr:
        state = model.state_dict()
        out["after.digest"] = digests(state[k] for k in params + buffers)
    return out, params, buffers


def error(name, got, want):
    got, want = got.double(), want.double()
    diff = (got - want).abs()
    if name.endswith((".acts", ".digest")):  # against each row's norm, without the sum
        return (diff[:, [0, *range(2, 10)]] / want[:, :1].clamp(min=1e-30)).max().item()
    return (diff.max() / want.abs().max().clamp(min=1e-30)).item()


def model_golden(name, model, shape, classes, lr, stages):
    x = torch.from_numpy(golden.fill("input", shape, "input"))
    y = torch.arange(shape[0]) * 7 % classes
    filled(model)
    got, _, _ = run(copy.deepcopy(model), x, y, lr, stages)
    want, params, buffers = run(model.double(), x.double(), y, lr, stages)
    errors = {}
    for k in want:
        group = k if k in ("eval.logits", "train.logits", "losses") or k.endswith((".acts", ".digest")) \
            else k.split(".")[0] + ".*"
        if k != "labels":
            errors[group] = max(errors.get(group, 0), error(k, got[k], want[k]))
    errors = {k: float(f"{v:.2g}") for k, v in errors.items()}
    tensors = {k: v.numpy() if k == "labels" else v.numpy().astype(np.float32) for k, v in want.items()}
    attrs = dict(input=shape, classes=classes, lr=lr, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    meta = {"op": name, "attrs": attrs, "stages": stages, "params": params,
            "buffers": buffers, "float32_error": errors, "torch": torch.__version__,
            "torchvision": torchvision.__version__}
    path = os.path.join(OUT, name + ".safetensors")
    golden.write(path, tensors, meta)
    print(f"{name}: {os.path.getsize(path)} bytes, losses {want['losses'].tolist()}, "
          f"largest logit {want['eval.logits'].abs().max():.3g}, float32 errors {errors}")


def key_lists():
    for name in ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d", "resnext101_32x8d",
                 "resnext101_64x4d", "wide_resnet50_2", "wide_resnet101_2"):
        model = getattr(torchvision.models, name)(weights=None)
        text = "".join(f"{k} {'x'.join(map(str, v.shape))}".rstrip() + "\n" for k, v in model.state_dict().items())
        with open(os.path.join(OUT, f"torchvision_{name}.txt.gz"), "wb") as f:
            f.write(gzip.compress(text.encode(), 9, mtime=0))


def main():
    # The rates keep the losses away from 0. In float32 the gradients of a ResNet-50 through the
    # statistics of so small a batch lose all but two digits, those with frozen statistics do not.
    model_golden("resnet20_cifar", CifarResNet(20), (8, 3, 32, 32), 10, 0.05, ["bn1", "layer1", "layer2", "layer3"])
    stages = ["bn1", "maxpool", "layer1", "layer2", "layer3", "layer4"]
    tv = torchvision.models
    model_golden("resnet18", tv.resnet18(weights=None), (2, 3, 64, 64), 1000, 0.005, stages)
    model_golden("resnet50", tv.resnet50(weights=None), (2, 3, 96, 96), 1000, 0.0, stages)
    key_lists()


if __name__ == "__main__":
    main()
