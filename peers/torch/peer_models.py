"""Models by our names, with He-initialized weights from a fixed seed."""

import torch
import torch.nn as nn
import torchvision

from resnet_cifar import CifarResNet, init_


def build(name):
    """Return the model, in training mode, and its image size."""
    torch.manual_seed(1)
    if name.endswith("-cifar"):
        return init_(CifarResNet(int(name[len("resnet"):-len("-cifar")]))), 32
    make = getattr(torchvision.models, name, None)
    if make is None or not name.startswith(("resnet", "resnext", "wide_resnet")):
        raise SystemExit(f"unknown model {name!r}: resnet20-cifar, resnet18, resnet50, ...")
    model = make(weights=None)
    assert isinstance(model, nn.Module)
    return model, 224
