"""Train a ResNet for CIFAR without labels, in PyTorch, for comparison only.

    python3 train_ssl.py --data DIR --method simsiam --epochs 10 --batch 128

DIR has train/CLASS/*.jpg and test/CLASS/*.jpg. The recipes are those of train/recipes
(simsiam.yaml, simclr.yaml) of resnet: the same augmentation, optimizer, schedule and
initial distributions; random numbers differ. After each epoch, one line of JSON has the
mean loss, the spread at its end, and the accuracy of weighted nearest
neighbors (k 200, t 0.1); the last line has a linear probe by scikit-learn, if it is
installed. With --checkpoint FILE, a run that was stopped goes on after its last epoch.
"""

import argparse
import json
import math
import os
import time

import numpy as np
import torch
import torch.nn.functional as F
import torchvision.transforms as T
from torchvision.datasets import ImageFolder

from resnet_cifar import init_
from ssl_methods import Network

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


class Views:
    def __init__(self):
        self.t = T.Compose([
            T.RandomResizedCrop(32, (0.2, 1.0)), T.RandomHorizontalFlip(),
            T.RandomApply([T.ColorJitter(0.4, 0.4, 0.4, 0.1)], 0.8), T.RandomGrayscale(0.2),
            T.ToTensor(), T.Normalize(MEAN, STD)])

    def __call__(self, im):
        return self.t(im), self.t(im)


class LARS:
    """You et al. 2017, algorithm 1; biases and norms as by SGD."""

    def __init__(self, params, wd, momentum=0.9, trust=1e-3):
        self.params, self.wd, self.m, self.trust = list(params), wd, momentum, trust
        self.v = [torch.zeros_like(p) for p in self.params]

    @torch.no_grad()
    def step(self, lrs):
        for p, v, lr in zip(self.params, self.v, lrs):
            g = p.grad
            if p.ndim == 1:
                v.mul_(self.m).add_(g)
                p.sub_(lr * v)
                continue
            pn, gn = p.norm(), g.norm()
            r = self.trust * pn / (gn + self.wd * pn + 1e-8) if pn > 0 and gn > 0 else 1.0
            v.mul_(self.m).add_(lr * r * (g + self.wd * p))
            p.sub_(v)


class SGD:
    """PyTorch's SGD with weight decay on all parameters."""

    def __init__(self, params, wd, momentum=0.9):
        self.params, self.wd, self.m = list(params), wd, momentum
        self.v = [torch.zeros_like(p) for p in self.params]

    @torch.no_grad()
    def step(self, lrs):
        for p, v, lr in zip(self.params, self.v, lrs):
            v.mul_(self.m).add_(p.grad + self.wd * p)
            p.sub_(lr * v)


def features(net, loader):
    net.eval()
    with torch.no_grad():
        f, y = zip(*[(net.features(x), y) for x, y in loader])
    net.train()
    return torch.cat(f), torch.cat(y)


def knn(known, labels, queries, truth, k=200, t=0.1):
    s = F.normalize(queries, dim=1) @ F.normalize(known, dim=1).T
    top, i = s.topk(min(k, len(known)), dim=1)
    votes = torch.zeros(len(queries), int(labels.max()) + 1)
    votes.scatter_add_(1, labels[i], (top / t).exp())
    return (votes.argmax(1) == truth).float().mean().item()


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--data", required=True)
    a.add_argument("--method", default="simsiam")
    a.add_argument("--depth", type=int, default=20)
    a.add_argument("--epochs", type=int, default=10)
    a.add_argument("--batch", type=int, default=128)
    a.add_argument("--warmup", type=float, default=0)
    a.add_argument("--seed", type=int, default=0)
    a.add_argument("--threads", type=int, default=1)
    a.add_argument("--checkpoint", default="")
    o = a.parse_args()
    torch.set_num_threads(o.threads)
    torch.manual_seed(o.seed)
    np.random.seed(o.seed)
    plain = T.Compose([T.ToTensor(), T.Normalize(MEAN, STD)])
    gen = torch.Generator().manual_seed(o.seed)
    train = torch.utils.data.DataLoader(ImageFolder(o.data + "/train", Views()), o.batch, shuffle=True, drop_last=True, generator=gen)
    known = torch.utils.data.DataLoader(ImageFolder(o.data + "/train", plain), 256)
    test = torch.utils.data.DataLoader(ImageFolder(o.data + "/test", plain), 256)
    net = init_(Network(o.method, o.depth)).train()
    net.start()
    named = [(k, p) for k, p in net.named_parameters() if p.requires_grad]
    params = [p for _, p in named]
    if o.method == "simsiam":
        opt, peak = SGD(params, 5e-4), 0.03 * o.batch / 256
    else:
        opt, peak = LARS(params, 1e-4), 1.0 * o.batch / 256
    total, warm, step = o.epochs * len(train), int(o.warmup * len(train)), 0
    began, first = time.time(), 0
    if o.checkpoint and os.path.exists(o.checkpoint):
        c = torch.load(o.checkpoint, weights_only=False)
        net.load_state_dict(c["net"])
        opt.v, first, step = c["slots"], c["epoch"], c["step"]
        torch.set_rng_state(c["rng"])
        gen.set_state(c["gen"])
    for epoch in range(first, o.epochs):
        losses, start = [], time.time()
        for (one, two), _ in train:
            lr = peak * (step + 1) / warm if step < warm else peak * (1 + math.cos(math.pi * (step - warm) / (total - warm))) / 2
            fixed = o.method == "simsiam"
            lrs = [peak if fixed and k.startswith("pretext.predictor.") else lr for k, _ in named]
            loss = net.loss(torch.cat([one, two]))
            for p in params:
                p.grad = None
            loss.backward()
            opt.step(lrs)
            losses.append(loss.item())
            step += 1
        rate = len(losses) * o.batch / (time.time() - start)
        (f, y), (q, z) = features(net, known), features(net, test)
        print(json.dumps(dict(epoch=epoch + 1, loss=float(np.mean(losses)), spread=net.spread, knn=knn(f, y, q, z), images_per_second=rate)), flush=True)
        if o.checkpoint:
            torch.save(dict(net=net.state_dict(), slots=opt.v, epoch=epoch + 1, step=step, rng=torch.get_rng_state(), gen=gen.get_state()), o.checkpoint + ".new")
            os.replace(o.checkpoint + ".new", o.checkpoint)
    if first == o.epochs:
        return
    try:
        from sklearn.linear_model import LogisticRegression
        from sklearn.preprocessing import StandardScaler
    except ImportError:
        return
    scale = StandardScaler().fit(f)
    probe = LogisticRegression(max_iter=300).fit(scale.transform(f), y)
    print(json.dumps(dict(linear_probe=float(probe.score(scale.transform(q), z)), seconds=time.time() - began)))


if __name__ == "__main__":
    main()
