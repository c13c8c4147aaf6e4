#!/usr/bin/env python3
"""Writes ../plateau.json, ../distill.json and ../focal.json: the learning rates of
PyTorch's ReduceLROnPlateau, and the losses of knowledge distillation and of focal
loss with their gradients.

Made with PyTorch 2.x, seed 1. Run: python3 train/testdata/gen/more.py
"""

import json
import os

import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

HERE = os.path.dirname(os.path.abspath(__file__))
torch.manual_seed(1)


def plateau(losses, **kw):
    opt = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    sched = ReduceLROnPlateau(opt, **kw)
    rates = []
    for loss in losses:
        rates.append(opt.param_groups[0]["lr"])
        sched.step(loss)
    return {"losses": losses, "rates": rates}


falling = [2.0, 1.5, 1.2, 1.3, 1.1999, 1.25, 1.19, 1.19, 1.19, 1.19, 1.18, 1.2, 1.2, 1.2, 1.2, 1.2, 1.2, 1.2, 1.2, 1.2]
with open(os.path.join(HERE, "..", "plateau.json"), "w") as f:
    json.dump({
        "patience-2": plateau(falling, patience=2),
        "patience-1-half": plateau(falling, patience=1, factor=0.5, min_lr=0.02),
        "default": plateau([1.0] * 30),
    }, f)


def distill(weight, t):
    z = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    teacher = torch.randn(4, 3, dtype=torch.float64) * 3
    y = torch.tensor([0, 2, 1, 1])
    # KLDivLoss differs from the cross entropy by the teacher's entropy, a constant.
    p = F.softmax(teacher / t, 1)
    entropy = -(p * p.log()).sum(1).mean()
    soft = F.kl_div(F.log_softmax(z / t, 1), p, reduction="batchmean") + entropy
    loss = (1 - weight) * F.cross_entropy(z, y) + weight * t * t * soft
    loss.backward()
    flat = lambda x: x.detach().flatten().tolist()  # noqa: E731
    return {"weight": weight, "temperature": t, "logits": flat(z), "teacher": flat(teacher), "labels": y.tolist(),
            "loss": loss.item(), "grad": flat(z.grad)}


with open(os.path.join(HERE, "..", "distill.json"), "w") as f:
    json.dump([distill(0.5, 4), distill(0.9, 2), distill(1, 1)], f)


def focal(gamma, weights, smoothing):
    """The loss of RetinaNet with a softmax in place of the sigmoids."""
    z = (torch.randn(4, 3, dtype=torch.float64) * 3).requires_grad_()
    y = torch.tensor([0, 2, 1, 1])
    target = F.one_hot(y, 3) * (1 - smoothing) + smoothing / 3
    logp = F.log_softmax(z, 1)
    w = torch.tensor(weights or [1.0] * 3, dtype=torch.float64)
    loss = -(target * w * (1 - logp.exp()) ** gamma * logp).sum() / 4
    loss.backward()
    flat = lambda x: x.detach().flatten().tolist()  # noqa: E731
    return {"gamma": gamma, "weights": weights, "smoothing": smoothing, "logits": flat(z), "labels": y.tolist(), "loss": loss.item(), "grad": flat(z.grad)}


with open(os.path.join(HERE, "..", "focal.json"), "w") as f:
    json.dump([focal(2, None, 0), focal(1.5, [1, 2, 0.5], 0), focal(2, None, 0.1), focal(0, [1, 2, 3], 0)], f)
