"""resnet11-speedrun in PyTorch, for comparison only; keys as in ours.

Three stages, each a 3x3 convolution with 2x2 max pooling, norm and ReLU, and a basic
block with an identity shortcut; a 3x3 stem; the mean over the image; a last layer
whose logits are scaled.
"""

import torch
import torch.nn as nn
import torch.nn.functional as F


def conv(i, o):
    return nn.Conv2d(i, o, 3, padding=1, bias=False)


class Pooled(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.conv, self.bn = conv(i, o), nn.BatchNorm2d(o)

    def forward(self, x):
        return F.relu(self.bn(F.max_pool2d(self.conv(x), 2)))


class Block(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.conv1, self.bn1 = conv(n, n), nn.BatchNorm2d(n)
        self.conv2, self.bn2 = conv(n, n), nn.BatchNorm2d(n)

    def forward(self, x):
        return F.relu(x + self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))


class SpeedrunNet(nn.Module):
    def __init__(self, stem=32, width=64, stages=3, classes=10, scale=0.125):
        super().__init__()
        self.conv1, self.bn1 = conv(3, stem), nn.BatchNorm2d(stem)
        i, self.stages, self.scale = stem, stages, scale
        for n in range(stages):
            o = width << n
            self.add_module(f"layer{n + 1}", nn.Sequential(Pooled(i, o), Block(o)))
            i = o
        self.fc = nn.Linear(i, classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        for n in range(self.stages):
            x = getattr(self, f"layer{n + 1}")(x)
        return self.scale * self.fc(x.mean((2, 3)))
