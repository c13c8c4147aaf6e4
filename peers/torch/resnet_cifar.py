"""ResNet for CIFAR (He et al. 2015, section 4.2), in PyTorch, for comparison only.

Depth 6n+2, shortcut option A: where the shape changes, the shortcut takes every
second pixel and pads the channels with zeros, half before and half after. The
state-dict keys read like torchvision's: conv1, bn1, layer1.0.conv1, ..., fc.
"""

import torch
import torch.nn as nn
import torch.nn.functional as F


class BasicBlock(nn.Module):
    def __init__(self, inp, planes, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inp, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.stride = stride
        self.pad = (planes - inp) // 2

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.stride != 1 or self.pad:
            s = self.stride
            x = F.pad(x[:, :, ::s, ::s], (0, 0, 0, 0, self.pad, self.pad))
        return F.relu(out + x)


class CifarResNet(nn.Module):
    def __init__(self, depth=20, classes=10):
        super().__init__()
        if (depth - 2) % 6:
            raise ValueError(f"depth {depth} is not 6n+2")
        n = (depth - 2) // 6
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        inp = 16
        for i, planes in enumerate((16, 32, 64)):
            blocks = []
            for j in range(n):
                blocks.append(BasicBlock(inp, planes, 2 if i and not j else 1))
                inp = planes
            setattr(self, f"layer{i + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(64, classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(x.mean((2, 3)))


class Stages(nn.ModuleDict):
    """A CifarResNet without its last layer; gives stages under names ({"layer3": "out"}), as torchvision's IntermediateLayerGetter does of others."""

    def __init__(self, net, names):
        super().__init__({k: v for k, v in net.named_children() if k != "fc"})
        self.names = names

    def forward(self, x):
        x, out = F.relu(self["bn1"](self["conv1"](x))), {}
        for stage in ("layer1", "layer2", "layer3"):
            x = self[stage](x)
            if stage in self.names:
                out[self.names[stage]] = x
        return out


def init_(model):
    """He normal, fan out, for convolutions; BN at 1 and 0; fc as PyTorch does it."""
    for m in model.modules():
        if isinstance(m, nn.Conv2d):
            nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
    return model


def param_groups(model, wd):
    """Weight decay on convolution and linear weights only: tensors of rank 2 or more."""
    decay = [p for p in model.parameters() if p.ndim > 1]
    rest = [p for p in model.parameters() if p.ndim <= 1]
    return [{"params": decay, "weight_decay": wd}, {"params": rest, "weight_decay": 0.0}]
