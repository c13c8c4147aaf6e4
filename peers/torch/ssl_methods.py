"""Self-supervised methods in PyTorch, for comparison only, written from the papers.

A Network is a ResNet for CIFAR without its last layer, with what each method has above
it. Keys are those of package ssl: the backbone's own, and pretext.projector.0.weight ...
Each method's loss takes the views of a batch, [rows*N C H W], one view after another.
"""

import math
import os
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__))]
from resnet_cifar import CifarResNet  # noqa: E402

DEFAULTS = {
    "simsiam": dict(layers=2, hidden=2048, dim=2048, predictor=512),
    "byol": dict(layers=2, hidden=4096, dim=256, predictor=4096, momentum=0.99),
    "simclr": dict(layers=2, hidden=2048, dim=128, temperature=0.5),
    "barlow": dict(layers=3, hidden=2048, dim=2048, lam=0.0051, scale=0.1),
    "vicreg": dict(layers=3, hidden=2048, dim=2048, similarity=25.0, variance=25.0, covariance=1.0),
    "rotation": {},
}


class Encoder(CifarResNet):
    """The backbone: features [N width]. Depth 18 is ResNet-18 with CIFAR's stem."""

    def __init__(self, depth):
        if depth != 18:
            super().__init__(depth)
            del self.fc
            self.width = 64
            return
        nn.Module.__init__(self)
        from torchvision.models import resnet18
        net = resnet18()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False), net.bn1
        self.layer1, self.layer2, self.layer3, self.layer4 = net.layer1, net.layer2, net.layer3, net.layer4
        self.width = 512

    def features(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return (self.layer4(x) if self.width == 512 else x).mean((2, 3))

    def forward(self, x):
        return self.features(x)


def projector(inp, o, norm):
    layers = []
    for _ in range(o["layers"] - 1):
        layers += [nn.Linear(inp, o["hidden"], bias=False), nn.BatchNorm1d(o["hidden"]), nn.ReLU()]
        inp = o["hidden"]
    if norm:
        return nn.Sequential(*layers, nn.Linear(inp, o["dim"], bias=False), plain(o["dim"]))
    return nn.Sequential(*layers, nn.Linear(inp, o["dim"]))


def plain(n):
    """BatchNorm1d(affine=False), with parameters that are not trained so that keys agree."""
    b = nn.BatchNorm1d(n)
    b.weight.requires_grad = b.bias.requires_grad = False
    return b


def cosine(a, b):
    return F.cosine_similarity(a, b, dim=1).mean()


class Network(Encoder):
    def __init__(self, method, depth=20, **options):
        super().__init__(depth)
        self.method, self.o = method, {**DEFAULTS[method], **options}
        o, p = self.o, {}
        if method == "rotation":
            p["turned"] = nn.Linear(self.width, 4)
        else:
            p["projector"] = projector(self.width, o, method == "simsiam")
        if method in ("simsiam", "byol"):
            p["predictor"] = nn.Sequential(nn.Linear(o["dim"], o["predictor"], bias=method == "byol"), nn.BatchNorm1d(o["predictor"]),
                                           nn.ReLU(), nn.Linear(o["predictor"], o["dim"]))
        if method == "barlow":
            p["norm"] = plain(o["dim"])
        if method == "byol":
            p["target"], p["targetproj"] = Encoder(depth), projector(self.width, o, False)
            for q in [*p["target"].parameters(), *p["targetproj"].parameters()]:
                q.requires_grad = False
        self.pretext = nn.ModuleDict(p)

    def start(self):
        """BYOL's target begins as the online network."""
        if self.method == "byol":
            own = self.state_dict()
            for k, v in own.items():
                if k.startswith("pretext.target."):
                    v.copy_(own[k[len("pretext.target."):]])
                elif k.startswith("pretext.targetproj."):
                    v.copy_(own[k.replace("targetproj", "projector")])

    @torch.no_grad()
    def follow(self, tau):
        """The target's update after the optimizer's step."""
        if self.method == "byol":
            for t, p in [*zip(self.pretext["target"].parameters(), self.online()),
                         *zip(self.pretext["targetproj"].parameters(), self.pretext["projector"].parameters())]:
                t.copy_(tau * t + (1 - tau) * p)

    def online(self):
        return [p for k, p in self.named_parameters() if not k.startswith("pretext.")]

    def loss(self, x):
        o, m = self.o, self.pretext
        if self.method == "rotation":
            n = len(x) // 4
            return F.cross_entropy(m["turned"](self.features(x)), torch.arange(4).repeat_interleave(n))
        views = x.chunk(2)
        z = [m["projector"](self.features(v)) for v in views]
        self.spread = (F.normalize(z[0].detach(), dim=1).std(0).mean() * math.sqrt(o["dim"])).item()
        if self.method == "simsiam":
            p = [m["predictor"](v) for v in z]
            stop = (lambda v: v) if o.get("no_stop_gradient") else (lambda v: v.detach())
            return -(cosine(p[0], stop(z[1])) + cosine(p[1], stop(z[0]))) / 2
        if self.method == "byol":
            p = [m["predictor"](v) for v in z]
            with torch.no_grad():
                t = [m["targetproj"](m["target"](v)) for v in views]
            return (2 - 2 * cosine(p[0], t[1])) + (2 - 2 * cosine(p[1], t[0]))
        if self.method == "simclr":
            a = F.normalize(torch.cat(z), dim=1)
            s = a @ a.T / o["temperature"]
            s.fill_diagonal_(float("-inf"))
            n = len(a) // 2
            return F.cross_entropy(s, torch.cat([torch.arange(n) + n, torch.arange(n)]))
        if self.method == "barlow":
            c = m["norm"](z[0]).T @ m["norm"](z[1]) / len(z[0])
            on = (torch.diagonal(c) - 1).pow(2).sum()
            off = c.pow(2).masked_select(~torch.eye(len(c), dtype=torch.bool)).sum()
            return o["scale"] * (on + o["lam"] * off)
        loss = o["similarity"] * F.mse_loss(z[0], z[1])
        for v in z:
            v = v - v.mean(0)
            loss = loss + o["variance"] * F.relu(1 - torch.sqrt(v.var(0) + 1e-4)).mean() / 2
            c = v.T @ v / (len(v) - 1)
            off = c.pow(2).masked_select(~torch.eye(len(c), dtype=torch.bool)).sum()
            loss = loss + o["covariance"] * off / len(c)
        return loss
