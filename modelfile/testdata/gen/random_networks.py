"""random_networks.py DIR SEED COUNT: COUNT networks drawn at random, as people save them, and what PyTorch computes.

DIR/N.pth, .pt, .bin or .safetensors has a state dict: of a network for CIFAR (with shortcuts A, B, C or none, of
pre-activation, wide) or of torchvision's ResNet-18, with any number of classes, batch norms of odd statistics, keys as
several repositories have them, in float32, float64, float16 or bfloat16, contiguous or not, with shared storages, both
formats of torch.save, and what else checkpoints have. DIR/N.json has the file and the name that it is opened by;
DIR/N.answer.safetensors the input and PyTorch's logits.
"""

import json
import os
import random
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F
import torchvision
from safetensors.torch import save_file


def conv(i, o, k, stride=1):
    return nn.Conv2d(i, o, k, stride, k // 2, bias=False)


class Pad(nn.Module):  # option A
    def __init__(self, i, o, stride):
        super().__init__()
        self.extra, self.stride = (o - i) // 2, stride

    def forward(self, x):
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.extra, self.extra))


class Basic(nn.Module):
    def __init__(self, i, o, stride, shortcut, first):
        super().__init__()
        self.conv1, self.bn1 = conv(i, o, 3, stride), nn.BatchNorm2d(o)
        self.conv2, self.bn2 = conv(o, o, 3), nn.BatchNorm2d(o)
        self.plain, changes = shortcut == "none", i != o or stride > 1
        if shortcut == "A" and changes:
            self.downsample = Pad(i, o, stride)
        elif shortcut == "C" or shortcut == "B" and changes:
            self.downsample = nn.Sequential(conv(i, o, 1, stride), nn.BatchNorm2d(o))
        else:
            self.downsample = nn.Identity()

    def forward(self, x):
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y if self.plain else y + self.downsample(x))


class Pre(nn.Module):
    def __init__(self, i, o, stride, shortcut, first):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(i), conv(i, o, 3, stride)
        self.bn2, self.conv2 = nn.BatchNorm2d(o), conv(o, o, 3)
        changes = i != o or stride > 1
        self.both = first or changes
        if changes:
            self.downsample = Pad(i, o, stride) if shortcut == "A" else nn.Sequential(conv(i, o, 1, stride))

    def forward(self, x):
        y = torch.relu(self.bn1(x))
        h = y if self.both else x
        if hasattr(self, "downsample"):
            h = self.downsample(h)
        return h + self.conv2(torch.relu(self.bn2(self.conv1(y))))


class Cifar(nn.Module):
    def __init__(self, n, widen, block, shortcut, classes):
        super().__init__()
        self.pre, i = block is Pre, 16
        self.conv1 = conv(3, 16, 3)
        if not self.pre:
            self.bn1 = nn.BatchNorm2d(16)
        for s in range(3):
            blocks, o = [], 16 * widen << s
            for b in range(n):
                blocks.append(block(i, o, 2 if s and not b else 1, shortcut, not s and not b))
                i = o
            self.add_module(f"layer{s + 1}", nn.Sequential(*blocks))
        if self.pre:
            self.norm = nn.BatchNorm2d(i)
        self.fc = nn.Linear(i, classes)

    def forward(self, x):
        x = self.conv1(x)
        if not self.pre:
            x = torch.relu(self.bn1(x))
        x = self.layer3(self.layer2(self.layer1(x)))
        if self.pre:
            x = torch.relu(self.norm(x))
        return self.fc(x.mean((2, 3)))


def network(r):
    """A name and its network."""
    classes, n = r.choice([2, 3, 7, 10, 10, 100, 1000]), r.choice([1, 1, 2, 3])
    kind = r.choice(["resnet"] * 4 + ["shortcut", "plain", "preresnet", "wrn"] * 2 + ["resnet18"])
    if kind == "resnet18":
        return kind, torchvision.models.resnet18(num_classes=classes)
    if kind == "wrn":
        k = r.randint(1, 3)
        return f"wrn-{6 * n + 4}-{k}", Cifar(n, k, Pre, "B", classes)
    depth = 6 * n + 2
    if kind == "preresnet":
        return f"preresnet{depth}-cifar", Cifar(n, 1, Pre, "A", classes)
    if kind == "shortcut":
        s = r.choice("BC")
        return f"resnet{depth}-cifar+shortcut-{s.lower()}", Cifar(n, 1, Basic, s, classes)
    return f"{kind}{depth}-cifar", Cifar(n, 1, Basic, "A" if kind == "resnet" else "none", classes)


def fill(r, net):
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean.normal_(0, r.choice([0.1, 1]))
            m.running_var.uniform_(0.05, 3).mul_(r.choice([1, 1, 1e-4, 30]))
            m.weight.normal_(1, 0.4)  # some are negative
            m.bias.normal_(0, 0.3)
            if r.random() < 0.1:
                m.weight.zero_()
            m.num_batches_tracked.fill_(r.choice([0, 1, 390625]))
    net.fc.bias.normal_()
    return net.eval()


def rename(r, d, name):
    """The keys of other repositories, and prefixes of wrappers."""
    out = {}
    linear = "cifar" in name and "pre" not in name and r.random() < 0.4
    tracked = r.random() < 0.8
    prefix = r.choice(["", "", "module.", "model.", "net.", "backbone.", "module.model."])
    for k, v in d.items():
        if not tracked and k.endswith("num_batches_tracked"):
            continue
        if linear:
            k = k.replace("fc.", "linear.").replace(".downsample.", ".shortcut.")
        out[prefix + k] = v
    return out


def stored(r, d):
    """The same values in other types, orders and storages."""
    dtype = r.choice([torch.float32] * 4 + [torch.float64, torch.float16, torch.bfloat16])
    d = {k: v.detach().to(dtype) if v.is_floating_point() else v for k, v in d.items()}
    how = r.choice(["plain", "plain", "flat", "last", "strided", "parameters"])
    if how == "flat":  # all in one storage
        keys = [k for k, v in d.items() if v.is_floating_point()]
        flat, at = torch.cat([d[k].flatten() for k in keys]), 0
        for k in keys:
            n = d[k].numel()
            d[k], at = flat[at : at + n].view(d[k].shape), at + n
    for k, v in d.items():
        if how == "last" and v.dim() == 4:
            d[k] = v.contiguous(memory_format=torch.channels_last)
        elif how == "strided" and v.dim() > 0 and v.is_floating_point():
            wide = torch.full((*v.shape[:-1], 2 * v.shape[-1]), float("nan"), dtype=v.dtype)
            wide[..., ::2] = v
            d[k] = wide[..., ::2]
        elif how == "parameters" and v.is_floating_point():
            d[k] = nn.Parameter(v, requires_grad=r.random() < 0.5)
    return d


def one(n, folder):
    r = random.Random(n)
    torch.manual_seed(n)
    name, net = network(r)
    with torch.no_grad():
        fill(r, net)
        d = stored(r, net.state_dict())
        net.load_state_dict({k: v.to(torch.float32) if v.is_floating_point() else v for k, v in d.items()})
        size = r.choice([32, 64]) if name == "resnet18" else 32
        x = torch.randn(2, 3, size, size)
        answer = net.double()(x.double())
    d = rename(r, d, name)
    path = os.path.join(folder, f"{n}." + r.choice(["pth", "pth", "pt", "bin", "safetensors"]))
    if path.endswith("safetensors"):
        save_file({k: v.detach().contiguous().clone() for k, v in d.items()}, path)
    else:
        optimizer = {"state": {0: {"momentum_buffer": torch.randn(16, 3, 3, 3)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
        whole = r.choice([d, d, {"state_dict": d, "epoch": 3, "optimizer": optimizer}, {"model": d, "args": None, "epoch": 1}, {"net": d, "acc": 91.5, "epoch": 7}])
        torch.save(whole, path, _use_new_zipfile_serialization=r.random() < 0.8)
    save_file({"input": x, "logits": answer.to(torch.float32).contiguous()}, os.path.join(folder, f"{n}.answer.safetensors"))
    with open(os.path.join(folder, f"{n}.json"), "w") as f:
        json.dump({"name": name, "file": path}, f)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for n in range(int(sys.argv[2]), int(sys.argv[2]) + int(sys.argv[3])):
        one(n, sys.argv[1])
