"""Writes ../schedules.json and ../steps.json: learning rates and optimiser
steps as PyTorch computes them.

Made with PyTorch 1.13 (Debian's python3-torch), seed 1.
"""

import json
import math
import os
import warnings

import torch
from torch import nn
from torch.optim import lr_scheduler as S

warnings.filterwarnings("ignore")
torch.manual_seed(1)
HERE = os.path.dirname(os.path.abspath(__file__))


def rates(make, steps, peak=0.1):
    opt = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=peak)
    sched = make(opt)
    out = []
    for _ in range(steps):
        out.append(opt.param_groups[0]["lr"])
        opt.step()
        sched.step()
    return out


schedules = {
    "step": rates(lambda o: S.StepLR(o, 7, 0.2), 30),
    "multistep": rates(lambda o: S.MultiStepLR(o, [5, 20], 0.1), 30),
    "cosine": rates(lambda o: S.CosineAnnealingLR(o, 30), 30),
    "cosine-final": rates(lambda o: S.CosineAnnealingLR(o, 30, eta_min=0.01), 30),
    "polynomial": rates(lambda o: S.PolynomialLR(o, 30, power=2), 30),
    "one-cycle": rates(lambda o: S.OneCycleLR(o, 0.1, total_steps=30), 30),
    "one-cycle-own": rates(lambda o: S.OneCycleLR(o, 0.1, total_steps=31, pct_start=0.45, div_factor=10, final_div_factor=100), 31),
    # The recipe cifar-fast, written out: linear over W steps, then a cosine.
    "cifar-fast": [
        0.2 * (t + 1) / 780 if t < 780 else 0.2 * 0.5 * (1 + math.cos(math.pi * (t - 780) / (15600 - 780)))
        for t in range(0, 15600, 65)
    ],
}
with open(os.path.join(HERE, "..", "schedules.json"), "w") as f:
    json.dump(schedules, f)


class Net(nn.Module):
    """conv (with bias), batch norm, ReLU, mean, linear: every kind of parameter."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3, padding=1)
        self.bn = nn.BatchNorm2d(3)
        self.fc = nn.Linear(3, 4)

    def forward(self, x):
        return self.fc(torch.relu(self.bn(self.conv(x))).mean((2, 3)))


def groups(net, wd, norm, bias):
    g = {0.0: [], wd: []}
    for name, p in net.named_parameters():
        decays = norm if name.startswith("bn.") else bias if name.endswith("bias") else True
        g[wd if decays else 0.0].append(p)
    return [{"params": ps, "weight_decay": w} for w, ps in g.items() if ps]


def flat(t):
    return [float(v) for v in t.detach().reshape(-1)]


start = Net()
with torch.no_grad():
    start.bn.weight.copy_(torch.rand(3) + 0.5)
    start.bn.bias.copy_(torch.randn(3))
STEPS, N = 5, 6
xs = torch.randn(STEPS * 2, N, 2, 5, 5)
labels = torch.randint(0, 4, (STEPS * 2, N))
soft = torch.rand(STEPS * 2, N, 4)
lrs = [0.1, 0.2, 0.15, 0.1, 0.05]


class LARS(torch.optim.Optimizer):
    """You, Gitman and Ginsburg 2017, algorithm 1."""

    def __init__(self, groups, lr, momentum, trust, eps):
        super().__init__(groups, dict(lr=lr, momentum=momentum, trust=trust, eps=eps))

    @torch.no_grad()
    def step(self):
        for g in self.param_groups:
            for p in g["params"]:
                wd, pn, gn = g["weight_decay"], p.norm(), p.grad.norm()
                r = g["trust"] * pn / (gn + wd * pn + g["eps"]) if pn > 0 and gn > 0 else 1.0
                v = self.state[p].setdefault("v", torch.zeros_like(p))
                v.mul_(g["momentum"]).add_(g["lr"] * r * (p.grad + wd * p))
                p.sub_(v)


def run(make, loss, norm=False, bias=False, wd=0.05, clip=0, acc=1, ema=0, lr_scale=1.0):
    net = Net()
    net.load_state_dict(start.state_dict())
    opt = make(groups(net, wd, norm, bias))
    avg = {k: v.clone() for k, v in net.state_dict().items()}
    losses = []
    for t in range(STEPS):
        for g in opt.param_groups:
            g["lr"] = lrs[t] * lr_scale
        opt.zero_grad()
        for a in range(acc):
            l = loss(net(xs[t * acc + a]), t * acc + a)
            (l / acc).backward()
            losses.append(float(l))
        if clip:
            torch.nn.utils.clip_grad_norm_(net.parameters(), clip)
        opt.step()
        for k, v in net.state_dict().items():
            if v.dtype.is_floating_point:
                avg[k].mul_(ema).add_(v, alpha=1 - ema)
    state = {k: flat(v) for k, v in net.state_dict().items() if v.dtype.is_floating_point}
    if ema:
        state.update({"ema." + k: flat(v) for k, v in avg.items() if v.dtype.is_floating_point})
    return {"losses": losses, "state": state}


def ce(smoothing=0.0, weight=None):
    f = nn.CrossEntropyLoss(label_smoothing=smoothing, weight=weight)
    return lambda z, i: f(z, labels[i])


SGD = torch.optim.SGD
cases = {
    "sgd": run(lambda g: SGD(g, lr=0.1, momentum=0.9), ce(), norm=True, bias=True),
    "nesterov, weights decay only, smoothing": run(lambda g: SGD(g, lr=0.1, momentum=0.9, nesterov=True), ce(0.1)),
    "norms decay, clip, ema": run(lambda g: SGD(g, lr=0.1, momentum=0.9), ce(), norm=True, clip=0.3, ema=0.8),
    "biases decay, class weights": run(lambda g: SGD(g, lr=0.1, momentum=0.9), ce(0.0, torch.tensor([1.0, 2.0, 0.5, 1.5])), bias=True),
    "adamw": run(lambda g: torch.optim.AdamW(g, lr=0.1, betas=(0.8, 0.95), eps=1e-6), ce(), lr_scale=0.1),
    "lars": run(lambda g: LARS(g, 0.1, 0.9, 0.02, 1e-8), ce()),
    "accumulate": run(lambda g: SGD(g, lr=0.1, momentum=0.9), ce(), acc=2),
    "soft": run(lambda g: SGD(g, lr=0.1, momentum=0.9), lambda z, i: nn.functional.cross_entropy(z, soft[i] / soft[i].sum(1, keepdim=True))),
    "bce": run(lambda g: SGD(g, lr=0.1, momentum=0.9), lambda z, i: nn.functional.binary_cross_entropy_with_logits(z, soft[i].round())),
}
with open(os.path.join(HERE, "..", "steps.json"), "w") as f:
    json.dump(
        {
            "start": {k: flat(v) for k, v in start.state_dict().items() if v.dtype.is_floating_point},
            "x": [flat(x.permute(0, 2, 3, 1)) for x in xs],  # channels last
            "labels": labels.tolist(),
            "soft": [flat(s / s.sum(1, keepdim=True)) for s in soft],
            "hot": [flat(s.round()) for s in soft],
            "lrs": lrs,
            "cases": cases,
        },
        f,
        separators=(",", ":"),
    )
