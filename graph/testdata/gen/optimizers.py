#!/usr/bin/env python3
"""Goldens of Adam, RMSprop (PyTorch's) and LAMB (timm's), in graph/testdata/ops.

Made with torch 2.x and timm 1.x; the form of the files is that of ops.py, which see.
timm applies LAMB's trust ratio only where there is weight decay, so both cases have one.
Run: python3 graph/testdata/gen/optimizers.py
"""

import numpy as np
import torch
from timm.optim import Lamb

from ops import optim, torch_step

LRS = (0.01, 0.01, 0.005)


def main():
    for name, wd in (("adam", 0.0), ("adam_wd", 0.05)):
        optim(name, "adam", dict(beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=wd),
              torch_step(lambda ps: torch.optim.Adam(ps, lr=0.1, weight_decay=wd)), lrs=LRS)
    for name, kw in (("rmsprop", {}), ("rmsprop_momentum_wd", dict(momentum=0.9, weight_decay=0.02, alpha=0.9, eps=1e-3))):
        attrs = dict(dict(momentum=0.0, weight_decay=0.0, alpha=0.99, eps=1e-8), **kw)
        attrs["decay"] = attrs.pop("alpha")
        optim(name, "rmsprop", attrs, torch_step(lambda ps: torch.optim.RMSprop(ps, lr=0.1, **kw)), lrs=LRS)
    for name, p in (("lamb", None), ("lamb_zero", np.zeros((2, 3), np.float32))):
        optim(name, "lamb", dict(beta1=0.9, beta2=0.999, eps=1e-6, weight_decay=0.05),
              torch_step(lambda ps: Lamb(ps, lr=0.1, weight_decay=0.05, max_grad_norm=None)), p=p, lrs=LRS)


if __name__ == "__main__":
    main()
