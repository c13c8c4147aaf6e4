"""Writes models as PyTorch exports them, with an input for each.

    python3 torch_models.py small OUT      the committed goldens (run ort.py after)
    python3 torch_models.py NAME OUT       a torchvision model, such as resnet50
    python3 torch_models.py NAME-bn OUT    the same with batch norms kept

PyTorch 1.13.0 and torchvision 0.14.1 (Debian 12), seed 0. Weights are random;
batch norms have statistics, scales and shifts far from 0 and 1, so that no
mistake in them hides.
"""
import json
import struct
import sys

import numpy as np
import torch
from torch import nn
import torch.nn.functional as F


def safetensors(path, **arrays):
    header, data = {}, b""
    for k, a in arrays.items():
        a = np.ascontiguousarray(a, dtype=np.float32)
        header[k] = {"dtype": "F32", "shape": list(a.shape), "data_offsets": [len(data), len(data) + a.nbytes]}
        data += a.tobytes()
    h = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(h)) + h + data)


def randomize(m):
    """Draws batch norms far from identity, and calibrates them on noise so that
    activations keep a sane size in deep networks."""
    for b in m.modules():
        if isinstance(b, nn.BatchNorm2d):
            nn.init.uniform_(b.weight, 0.5, 1.5)
            nn.init.uniform_(b.bias, -0.5, 0.5)
    x = torch.randn(4, 3, *m.size)
    for b in m.modules():
        if isinstance(b, nn.BatchNorm2d):
            b.momentum = 1.0
    with torch.no_grad():
        m.train()(x)
    for b in m.modules():
        if isinstance(b, nn.BatchNorm2d):
            b.momentum = 0.1
            b.running_mean.add_(torch.randn_like(b.running_mean) * b.running_var.sqrt() * 0.1)
            b.running_var.mul_(torch.rand_like(b.running_var) * 0.5 + 0.75)
    return m.eval()


class Block(nn.Module):
    def __init__(self, cin, cout, stride, act, groups=1, se=False):
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cout, 3, stride, 1, groups=groups, bias=False)
        self.bn1 = nn.BatchNorm2d(cout)
        self.act = act
        self.conv2 = nn.Conv2d(cout, cout, 3, 1, 2, dilation=2, bias=False)
        self.bn2 = nn.BatchNorm2d(cout)
        self.fc = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(cout, 4, 1), nn.ReLU(), nn.Conv2d(4, cout, 1), nn.Hardsigmoid()) if se else None
        self.down = nn.Sequential(nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False), nn.Conv2d(cin, cout, 1, bias=False), nn.BatchNorm2d(cout)) if stride > 1 else None

    def forward(self, x):
        y = self.bn2(self.conv2(self.act(self.bn1(self.conv1(x)))))
        if self.fc is not None:
            y = y * self.fc(y)
        return self.act(y + (x if self.down is None else self.down(x)))


class Net(nn.Module):
    size = (16, 18)

    def __init__(self, act, groups=1, se=False, tail="flatten"):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8), act, nn.MaxPool2d(3, 2, 1))
        self.layer1 = nn.Sequential(Block(8, 8, 1, act, groups, se), Block(8, 16, 2, act, groups, se))
        self.fc = nn.Linear(16, 5)
        self.tail = tail

    def forward(self, x):
        x = self.layer1(self.stem(x))
        if self.tail == "resize":
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = F.interpolate(x, size=(6, 7), mode="nearest")
            x = F.adaptive_avg_pool2d(x, 1).view(x.size(0), -1)
        elif self.tail == "view":
            x = F.adaptive_max_pool2d(x, 1)
            x = x.reshape(x.shape[0], x.shape[1])
        elif self.tail == "mean":
            x = torch.cat([x[:, :8].mean((2, 3)), x[:, 8:].mean((2, 3))], 1)
            return F.log_softmax(self.fc(x), 1)
        else:
            x = torch.flatten(F.adaptive_avg_pool2d(x, 1), 1)
        return self.fc(F.dropout(x, 0.5, self.training))


SMALL = {
    # name: network, opset, batch norms kept, dynamic batch
    "relu-op7": (lambda: Net(nn.ReLU()), 7, False, True),
    "relu-bn-op9": (lambda: Net(nn.ReLU()), 9, True, True),
    "silu-view-op11": (lambda: Net(nn.SiLU(), tail="view"), 11, False, True),
    "hardswish-se-op14": (lambda: Net(nn.Hardswish(), se=True), 14, True, True),
    "gelu-resize-op13": (lambda: Net(nn.GELU(), tail="resize"), 13, False, True),
    "relu6-groups-mean-op16": (lambda: Net(nn.ReLU6(), groups=4, tail="mean"), 16, True, True),
    "leaky-fixed-op12": (lambda: Net(nn.LeakyReLU(0.1), tail="view"), 12, True, False),
}


def export(m, path, opset, keep, dynamic, n):
    x = torch.randn(n, 3, *m.size)
    with torch.no_grad():
        y = m(x)
    mode = torch.onnx.TrainingMode.PRESERVE if keep else torch.onnx.TrainingMode.EVAL
    torch.onnx.export(m, x[: 1 if not dynamic else n], path, opset_version=opset, training=mode, do_constant_folding=True,
                      input_names=["input"], output_names=["logits"],
                      dynamic_axes={"input": {0: "batch"}, "logits": {0: "batch"}} if dynamic else None)
    return x.numpy(), y.numpy()


def main():
    what, out = sys.argv[1:]
    if what == "small":
        for name, (make, opset, keep, dynamic) in SMALL.items():
            torch.manual_seed(0)
            x, y = export(randomize(make()), f"{out}/{name}.onnx", opset, keep, dynamic, 2)
            safetensors(f"{out}/{name}.safetensors", x=x, torch=y)
        return
    import torchvision

    name, _, keep = what.partition("-")
    torch.manual_seed(0)
    m = getattr(torchvision.models, name)()
    m.size = (224, 224)
    x, y = export(randomize(m), f"{out}/{what}.onnx", 13, keep == "bn", True, 2)
    safetensors(f"{out}/{what}.safetensors", x=x, torch=y)


main()
