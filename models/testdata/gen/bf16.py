"""Goldens of bfloat16 products, in models/testdata/bf16.safetensors.

Sums in another order move activations that lie halfway between two bfloat16
numbers, and that grows from layer to layer: with float32 sums, PyTorch is as far
from its own NAME.rounded and the gradients of it, 3e-3 and 0.2 of the largest
element, as this script prints. Single layers show whether the products are right.

Made with torch 2.15.0, torchvision 0.29.0. Parameters, buffers and images are
filled as in models.py. Run: python3 models/testdata/gen/bf16.py

For the ResNet-20 of CIFAR (8x3x32x32, 10 classes) as "r20" and torchvision's
ResNet-18 (2x3x64x64, 1000 classes) as "r18":

    NAME.exact      [N C] logits in float64, running statistics
    NAME.autocast   [N C] logits under torch.autocast("cpu", torch.bfloat16)
    NAME.rounded    [N C] logits where each convolution and linear layer rounds its
                    input and its weight to bfloat16 and all else is float64; batch
                    norm is folded into the weights before

and for "r20" with batch statistics, labels (7*i) mod 10, mean cross entropy:

    loss.rounded    where each product, forward and backward, rounds both factors to
                    bfloat16
    loss.exact      in float64
    layer.NAME.*    a convolution in float64 of factors rounded to bfloat16: y [N K OH OW],
                    and for the gradient y.grad of it x.grad and w.grad, all filled from
                    their names; NAMEs and geometries are LAYERS below
    error.rounded, error.autocast  [P] the distance of all gradients of the
                    parameters "params" in the metadata from those in float64, over
                    the norm of the latter
"""

import copy
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from torch.nn.utils.fusion import fuse_conv_bn_eval

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..", "..")
sys.path[:0] = [os.path.join(ROOT, "internal", "golden"), os.path.join(ROOT, "peers", "torch"), HERE]
import golden  # noqa: E402
from models import filled  # noqa: E402
from resnet_cifar import CifarResNet  # noqa: E402


# x, w, stride, padding, dilation, groups.
LAYERS = {
    "plain": ((2, 16, 9, 7), (24, 16, 3, 3), 1, 1, 1, 1),
    "odd": ((1, 7, 8, 9), (5, 7, 3, 3), 2, 1, 1, 1),
    "point": ((2, 33, 5, 5), (18, 33, 1, 1), 1, 0, 1, 1),
    "grouped": ((2, 12, 8, 8), (10, 6, 3, 3), 1, 2, 2, 2),
}


def r(x):
    return x.float().bfloat16().to(x.dtype)


class Conv(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w, m):
        ctx.save_for_backward(r(x), r(w))
        ctx.m = m
        return F.conv2d(r(x), r(w), None, m.stride, m.padding, m.dilation, m.groups)

    @staticmethod
    def backward(ctx, dy):
        x, w = ctx.saved_tensors
        m = ctx.m
        args = (r(dy), m.stride, m.padding, m.dilation, m.groups)
        return torch.nn.grad.conv2d_input(x.shape, w, *args), torch.nn.grad.conv2d_weight(x, w.shape, *args), None


class Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(r(x), r(w))
        return r(x) @ r(w).T

    @staticmethod
    def backward(ctx, dy):
        x, w = ctx.saved_tensors
        return r(dy) @ w, r(dy).T @ x


def rounding(model):
    """Let convolutions and linear layers round."""
    for m in model.modules():
        if isinstance(m, torch.nn.Conv2d):
            def conv(x, m=m):
                y = Conv.apply(x, m.weight, m)
                return y if m.bias is None else y + m.bias[:, None, None]
            m.forward = conv
        elif isinstance(m, torch.nn.Linear):
            m.forward = lambda x, m=m: Linear.apply(x, m.weight) + m.bias
    return model


def folded(model):
    for parent in list(model.modules()):
        children = dict(parent.named_children())
        names = list(children)
        for conv, bn in zip(names, names[1:]):
            if isinstance(children[conv], torch.nn.Conv2d) and isinstance(children[bn], torch.nn.BatchNorm2d):
                setattr(parent, conv, fuse_conv_bn_eval(children[conv], children[bn]))
                setattr(parent, bn, torch.nn.Identity())
    left = [k for k, m in model.named_modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert not left, left
    return model


def loss_and_grads(model, x, y, autocast=False):
    model.train()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        loss = F.cross_entropy(model(x), y)
    loss.backward()
    return loss.detach(), {k: p.grad.double() for k, p in model.named_parameters()}


def main():
    out, params = {}, []
    for name, model, shape in (("r20", CifarResNet(20), (8, 3, 32, 32)), ("r18", torchvision.models.resnet18(), (2, 3, 64, 64))):
        filled(model).eval()
        x = torch.from_numpy(golden.fill("input", shape, "input"))
        with torch.no_grad():
            exact = copy.deepcopy(model).double()(x.double())
            with torch.autocast("cpu", torch.bfloat16):
                autocast = model(x)
            rounded = rounding(folded(copy.deepcopy(model).double()))(x.double())
            again = rounding(folded(copy.deepcopy(model)))(x)
        size = exact.abs().max()
        print(name, *(f"{k} is off by {((v - exact).abs().max() / size).item():.2e} of the largest logit" for k, v in
                      (("autocast", autocast), ("rounded", rounded))),
              f"rounded with float32 sums is {((again - rounded).abs().max() / size).item():.2e} away from rounded", sep="; ")
        out.update({f"{name}.exact": exact, f"{name}.autocast": autocast, f"{name}.rounded": rounded})
        if name == "r20":
            y = torch.arange(shape[0]) * 7 % 10
            loss, want = loss_and_grads(copy.deepcopy(model).double(), x.double(), y)
            rloss, rgrads = loss_and_grads(rounding(copy.deepcopy(model).double()), x.double(), y)
            _, agrads = loss_and_grads(copy.deepcopy(model), x, y, True)
            _, fgrads = loss_and_grads(rounding(copy.deepcopy(model)), x, y)
            away = [((fgrads[k] - rgrads[k]).abs().max() / rgrads[k].abs().max()).item() for k in want]
            print(f"gradients of rounded with float32 sums away from rounded: {max(away):.2g}")
            params = list(want)
            error = lambda g: torch.stack([(g[k] - want[k]).norm() / want[k].norm() for k in params])  # noqa: E731
            out.update({"loss.exact": loss, "loss.rounded": rloss, "error.rounded": error(rgrads), "error.autocast": error(agrads)})
            print("loss", loss.item(), rloss.item(), "gradients off by: rounded", error(rgrads).median().item(), "autocast", error(agrads).median().item())
    for name, (xs, ws, *geometry) in LAYERS.items():
        x, w = (torch.from_numpy(golden.fill(f"layer.{name}.{k}", s, "input")).double() for k, s in (("x", xs), ("w", ws)))
        y = F.conv2d(r(x), r(w), None, *geometry)
        dy = torch.from_numpy(golden.fill(f"layer.{name}.y.grad", y.shape, "input")).double()
        out.update({f"layer.{name}.y": y, f"layer.{name}.x.grad": torch.nn.grad.conv2d_input(xs, r(w), r(dy), *geometry),
                    f"layer.{name}.w.grad": torch.nn.grad.conv2d_weight(r(x), ws, r(dy), *geometry)})
    path = os.path.join(HERE, "..", "bf16.safetensors")
    golden.write(path, {k: v.detach().float().numpy().astype(np.float32) for k, v in out.items()},
                 {"params": params, "torch": torch.__version__, "torchvision": torchvision.__version__})
    print(os.path.getsize(path), "bytes")


if __name__ == "__main__":
    main()
