#!/usr/bin/env python3
"""Makes ../vec.json: results of PyTorch that the tests of the element-wise,
loss, pooling, resize and optimizer kernels compare with.

Made with torch 1.13.0a0 (Debian 1.13.1+dfsg-4), numpy 1.24.2, seed 20251124.
Run: python3 vec.py > ../vec.json
"""
import json
import sys

import numpy as np
import torch
import torch.nn.functional as F

torch.manual_seed(20251124)
torch.set_num_threads(1)
out = {}


def flat(t):
    """Floats in the shortest form that gives the same float32 again."""
    return [float(np.format_float_positional(np.float32(v), unique=True)) if np.isfinite(v) else str(float(v))
            for v in t.detach().contiguous().reshape(-1).tolist()]


def nhwc(t):
    return flat(t.permute(0, 2, 3, 1))


# Element-wise: forward and gradient with dy = 1.
points = torch.cat([torch.linspace(-6, 6, 25), torch.tensor([-90.0, -20.0, -1e-3, 1e-5, 0.37, 12.5, 88.0])])
positive = points.abs() + 0.01
fns = {
    "ReLU": (F.relu, points, 0, 0), "Clamp": (lambda x: F.hardtanh(x, -1, 2), points, -1, 2),
    "LeakyReLU": (lambda x: F.leaky_relu(x, 0.1), points, 0.1, 0), "Sigmoid": (torch.sigmoid, points, 0, 0),
    "Tanh": (torch.tanh, points, 0, 0), "SiLU": (F.silu, points, 0, 0), "GELU": (F.gelu, points, 0, 0),
    "Exp": (torch.exp, points, 0, 0), "Log": (torch.log, positive, 0, 0), "Sqrt": (torch.sqrt, positive, 0, 0),
    "Rsqrt": (torch.rsqrt, positive, 0, 0), "Neg": (torch.neg, points, 0, 0), "Abs": (torch.abs, points, 0, 0),
    "Square": (torch.square, points, 0, 0), "Reciprocal": (torch.reciprocal, positive, 0, 0),
    "HardSigmoid": (F.hardsigmoid, points, 1 / 6, 0.5), "HardSwish": (F.hardswish, points, 0, 0),
    "Softplus": (lambda x: F.softplus(x, threshold=200), points, 0, 0), "ELU": (lambda x: F.elu(x, 1.5), points, 1.5, 0),
    "Erf": (torch.erf, points, 0, 0),
}
unary = []
for name, (fn, x, a, b) in fns.items():
    x64 = x.double().requires_grad_()
    y = fn(x64)
    y.sum().backward()
    unary.append(dict(op=name, a=a, b=b, x=flat(x), y=flat(y), dx=flat(x64.grad)))
out["unary"] = unary

# Losses.
rows, c = 7, 5
x = torch.randn(rows, c) * 3
labels = torch.tensor([0, 4, 2, -100, 1, 3, 2])
weight = torch.rand(c) + 0.5
ce = []
for smoothing in (0.0, 0.1):
    for w in (None, weight):
        v = x.clone().requires_grad_()
        per = F.cross_entropy(v, labels, weight=w, label_smoothing=smoothing, reduction="none")
        mean = F.cross_entropy(v, labels, weight=w, label_smoothing=smoothing)
        mean.backward()
        ce.append(dict(smoothing=smoothing, weight=[] if w is None else flat(w), loss=flat(per), mean=float(mean), dx=flat(v.grad)))
soft = torch.softmax(torch.randn(rows, c), 1)
sce = []
for smoothing in (0.0, 0.2):
    for w in (None, weight):
        v = x.clone().requires_grad_()
        per = F.cross_entropy(v, soft, weight=w, label_smoothing=smoothing, reduction="none")
        mean = F.cross_entropy(v, soft, weight=w, label_smoothing=smoothing)
        mean.backward()
        sce.append(dict(smoothing=smoothing, weight=[] if w is None else flat(w), loss=flat(per), mean=float(mean), dx=flat(v.grad)))
target = (torch.rand(rows, c) * 1.5).clamp(0, 1)
bce = []
for w in (None, weight):
    v = x.clone().requires_grad_()
    mean = F.binary_cross_entropy_with_logits(v, target, pos_weight=w)
    mean.backward()
    bce.append(dict(weight=[] if w is None else flat(w), mean=float(mean), dx=flat(v.grad)))
out["loss"] = dict(rows=rows, c=c, x=flat(x), labels=labels.tolist(), soft=flat(soft), target=flat(target), ce=ce, softce=sce, bce=bce)

# Pooling: N, C, H, W in torch, N, H, W, C here.
pools = []
for kind, n, ch, h, w, k, s, p, d in [
    ("max", 2, 3, 7, 9, 3, 2, 1, 1), ("max", 1, 5, 6, 6, 2, 2, 0, 1), ("max", 1, 2, 9, 8, 3, 1, 1, 2),
    ("avg", 2, 3, 7, 9, 3, 2, 1, 1), ("avg", 1, 5, 6, 6, 2, 2, 0, 1), ("avgx", 1, 2, 5, 7, 3, 1, 1, 1),
]:
    v = torch.randint(-4, 5, (n, ch, h, w)).float()  # equal values on purpose
    v.requires_grad_()
    if kind == "max":
        y = F.max_pool2d(v, k, s, p, dilation=d)
    else:
        y = F.avg_pool2d(v, k, s, p, count_include_pad=kind == "avg")
    dy = torch.randn_like(y)
    y.backward(dy)
    pools.append(dict(kind=kind, n=n, c=ch, h=h, w=w, k=k, s=s, p=p, d=d, oh=y.shape[2], ow=y.shape[3],
                      x=nhwc(v), y=nhwc(y), dy=nhwc(dy), dx=nhwc(v.grad)))
out["pool"] = pools

resizes = []
for mode, n, ch, h, w, oh, ow in [
    ("nearest", 2, 2, 3, 4, 6, 8), ("nearest", 1, 3, 7, 5, 4, 9), ("bilinear", 2, 2, 3, 4, 6, 8),
    ("bilinear", 1, 3, 7, 5, 4, 9), ("bilinear", 1, 1, 1, 1, 3, 2),
]:
    v = torch.randn(n, ch, h, w, requires_grad=True)
    y = F.interpolate(v, size=(oh, ow), mode=mode, **({} if mode == "nearest" else dict(align_corners=False)))
    dy = torch.randn_like(y)
    y.backward(dy)
    resizes.append(dict(mode=mode, n=n, c=ch, h=h, w=w, oh=oh, ow=ow, x=nhwc(v), y=nhwc(y), dy=nhwc(dy), dx=nhwc(v.grad)))
out["resize"] = resizes

# Optimizers: three steps with given gradients.
p0, grads = torch.randn(37), [torch.randn(37) for _ in range(3)]
optims = []
for name, make in {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "sgd-wd": lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.01),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=5e-4),
    "dampening": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.3),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.02),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.05),
}.items():
    p = p0.clone().requires_grad_()
    o = make([p])
    steps = []
    for g in grads:
        p.grad = g.clone()
        o.step()
        steps.append(flat(p))
    optims.append(dict(name=name, steps=steps))
out["optim"] = dict(p=flat(p0), grads=[flat(g) for g in grads], runs=optims)

json.dump(out, sys.stdout, separators=(",", ":"))
