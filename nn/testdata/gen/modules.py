#!/usr/bin/env python3
"""Goldens of modules: PyTorch's state dict, an output and the gradients, in nn/testdata/modules.

Made with torch 2.15.0 and numpy 2.4.6, seeded with crc32(name). Run: python3 nn/testdata/gen/modules.py

Tensors: x (and x.1, x.2 of attention), y, dy, dx, the state dict as it is, and d.KEY for the
gradient of each parameter, computed in float64 from float32 numbers and rounded once.
"""

import os
import sys
import zlib

import numpy as np
import torch
from torch import nn

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "..", "internal", "golden"))
import golden  # noqa: E402

OUT = os.path.join(HERE, "..", "modules")
torch.set_num_threads(1)


def save(name, module, *inputs, call=None):
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.from_numpy(np.asarray(rng.standard_normal(p.shape) * 0.4 + 0.2, np.float32)))
    t = {k: v.detach().numpy().copy() for k, v in module.state_dict().items()}
    module.double()
    xs = []
    for i, x in enumerate(inputs):
        x = np.asarray(rng.standard_normal(x), np.float32) if isinstance(x, tuple) else x
        t["x" if i == 0 else f"x.{i}"] = x
        x = torch.from_numpy(x)
        xs.append(x.double().requires_grad_() if x.is_floating_point() else x)
    y = call(module, *xs) if call else module(*xs)
    dy = np.asarray(rng.standard_normal(y.shape), np.float32)
    y.backward(torch.from_numpy(dy).double())
    t["y"], t["dy"] = y.detach().numpy().astype(np.float32), dy
    for i, x in enumerate(xs):
        if x.is_floating_point():
            t["dx" if i == 0 else f"dx.{i}"] = x.grad.numpy().astype(np.float32)
    for k, p in module.named_parameters():
        t["d." + k] = p.grad.numpy().astype(np.float32)
    golden.write(os.path.join(OUT, name + ".safetensors"), t, {"op": name, "torch": torch.__version__})


def main():
    os.makedirs(OUT, exist_ok=True)
    save("group_norm", nn.GroupNorm(3, 6), (2, 6, 4, 3))
    save("group_norm_1d", nn.GroupNorm(2, 4), (2, 4, 5))
    save("layer_norm", nn.LayerNorm((4, 3)), (2, 5, 4, 3))
    save("instance_norm", nn.InstanceNorm2d(3), (2, 3, 4, 3))
    save("instance_norm_affine", nn.InstanceNorm2d(3, affine=True), (2, 3, 4, 3))
    save("conv_transpose", nn.ConvTranspose2d(3, 5, 2, 2), (2, 3, 4, 3))
    save("conv_transpose_3", nn.ConvTranspose2d(4, 2, 3, 2, 1, 1, groups=2, bias=False), (2, 4, 3, 4))
    save("upsample_nearest", nn.Upsample(scale_factor=2), (2, 3, 3, 4))
    save("upsample_bilinear", nn.Upsample(scale_factor=1.5, mode="bilinear"), (2, 3, 5, 4))
    save("upsample_size", nn.Upsample(size=(7, 3), mode="bilinear"), (2, 3, 5, 4))
    save("prelu", nn.PReLU(), (2, 3, 4, 3))
    save("prelu_channels", nn.PReLU(3), (2, 3, 4, 3))
    save("embedding", nn.Embedding(7, 5), np.array([[0, 6, 3], [3, 3, 1]], np.int64))
    attend = dict(embed_dim=12, num_heads=3, batch_first=True)
    save("attention", nn.MultiheadAttention(**attend), (2, 5, 12), call=lambda m, x: m(x, x, x, need_weights=False)[0])
    save("attention_no_bias", nn.MultiheadAttention(bias=False, **attend), (2, 5, 12),
         call=lambda m, x: m(x, x, x, need_weights=False)[0])
    save("attention_memory", nn.MultiheadAttention(**attend), (2, 5, 12), (2, 7, 12),
         call=lambda m, q, k: m(q, k, k, need_weights=False)[0])
    save("attention_mask", nn.MultiheadAttention(**attend), (2, 5, 12), (2, 7, 12), (2, 7, 12), (5, 7),
         call=lambda m, q, k, v, mask: m(q, k, v, need_weights=False, attn_mask=mask)[0])


if __name__ == "__main__":
    main()
