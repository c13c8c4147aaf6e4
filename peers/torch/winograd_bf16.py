#!/usr/bin/python3
"""What Winograd's convolutions cost in accuracy if their products take bfloat16 operands.

    winograd_bf16.py --weights cifar10-resnet20.th --data cifar-10-batches-bin

computes a ResNet-20 with convolutions in float32, with operands rounded to bfloat16 (direct), and with the transformed
tiles and filters of F(2x2,3x3) and F(4x4,3x3) (Lavin and Gray 2015; points 0, ±5/8, ±3/2 as in package wino) rounded to bfloat16; sums are
float32 everywhere. It prints the largest and the root mean square of the changes of logits, as shares of their range, how
many answers change, and top-1. Layers of stride 2 and the first one are direct.
"""

import argparse
import os

import numpy as np
import torch
import torch.nn.functional as F

from resnet_cifar import CifarResNet


def four(a, b):
    """Matrices of F(4x4,3x3) for the points 0, ±a, ±b and infinity, as package wino has them."""
    a2, b2 = a * a, b * b
    inputs = [[a2 * b2, 0, -a2 - b2, 0, 1, 0]]
    filters = [[1 / (a2 * b2), 0, 0]]
    for p, q2 in ((a, b2), (-a, b2), (b, a2), (-b, a2)):
        inputs.append([0, -p * q2, -q2, p, 1, 0])
        f = 1 / (2 * p * p * (p * p - q2))
        filters.append([f, f * p, f * p * p])
    points = [1, 1, 1, 1], [a, -a, b, -b], [a2, a2, b2, b2], [a ** 3, -a ** 3, b ** 3, -b ** 3]
    outputs = [[float(i == 0), *row, float(i == 3)] for i, row in enumerate(points)]
    return inputs + [[0, a2 * b2, 0, -a2 - b2, 0, 1]], filters + [[0, 0, 1]], outputs


TRANSFORMS = {
    2: ([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]],
        [[1, 0, 0], [.5, .5, .5], [.5, -.5, .5], [0, 0, 1]],
        [[1, 1, 1, 0], [0, 1, -1, -1]]),
    4: four(5 / 8, 3 / 2),
}


def rounded(x):
    return x.bfloat16().float()


def winograd(x, w, m, half):
    """A 3x3 convolution with padding 1 of [N C H W] by tiles of m x m, whose sides divide H and W."""
    b, g, a = (torch.tensor(t, dtype=torch.float32) for t in TRANSFORMS[m])
    t = m + 2
    n, c, height, width = x.shape
    tiles = F.pad(x, (1, 1, 1, 1)).unfold(2, t, m).unfold(3, t, m)  # N C tiles tiles t t
    v = torch.einsum("ij,ncyxjk,lk->ilncyx", b, tiles, b)
    u = torch.einsum("ij,ocjk,lk->iloc", g, w, g)
    if half:
        v, u = rounded(v), rounded(u)
    p = torch.einsum("iloc,ilncyx->ilnoyx", u, v)
    y = torch.einsum("ai,ilnoyx,bl->noyaxb", a, p, a)
    return y.reshape(n, w.shape[0], height, width)


class Conv(torch.nn.Module):
    def __init__(self, old, way):
        super().__init__()
        self.weight, self.stride, self.way = old.weight, old.stride, way

    def forward(self, x):
        m = {"F(2x2)": 2, "F(4x4)": 4}.get(self.way.split()[0])
        half = self.way.endswith("bf16")
        if m and self.stride == (1, 1) and self.weight.shape[1] > 3:
            return winograd(x, self.weight, m, half)
        w = self.weight
        if half:
            x, w = rounded(x), rounded(w)
        return F.conv2d(x, w, stride=self.stride, padding=1)


def replaced(net, way):
    for module in list(net.modules()):
        for name, child in module.named_children():
            if isinstance(child, torch.nn.Conv2d):
                setattr(module, name, Conv(child, way))
    return net


def load(path):
    raw = np.fromfile(os.path.join(path, "test_batch.bin"), np.uint8).reshape(-1, 3073)
    x = torch.from_numpy(raw[:, 1:].reshape(-1, 3, 32, 32).copy()).float() / 255
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    return (x - mean) / std, torch.from_numpy(raw[:, 0].astype(np.int64))


@torch.no_grad()
def logits(net, x):
    return torch.cat([net(x[i:i + 100]) for i in range(0, len(x), 100)])


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--weights", required=True, help="cifar10-resnet20.th of akamaster/pytorch_resnet_cifar10")
    p.add_argument("--data", required=True, help="folder of CIFAR-10's binary files")
    p.add_argument("--pictures", type=int, default=10000)
    p.add_argument("--threads", type=int, default=1)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    state = torch.load(a.weights, map_location="cpu", weights_only=True)
    state = {k.removeprefix("module.").replace("linear.", "fc."): v for k, v in state["state_dict"].items()}
    x, y = load(a.data)
    x, y = x[:a.pictures], y[:a.pictures]
    exact = None
    print(f"{len(x)} pictures, PyTorch {torch.__version__}")
    for way in ("float32", "direct bf16", "F(2x2) float32", "F(4x4) float32", "F(2x2) bf16", "F(4x4) bf16"):
        net = CifarResNet(20)
        net.load_state_dict(state)
        out = logits(replaced(net, way).eval(), x)
        if exact is None:
            exact = out
        span = (exact.max() - exact.min()).item()
        diff = out - exact
        print(f"{way:15} logits change by {100 * diff.abs().max().item() / span:8.4f} % of their range at most, "
              f"{100 * diff.square().mean().sqrt().item() / span:8.5f} % rms; {(out.argmax(1) != exact.argmax(1)).sum().item():4d} other answers; "
              f"top-1 {100 * (out.argmax(1) == y).float().mean().item():.2f} %", flush=True)


if __name__ == "__main__":
    main()
