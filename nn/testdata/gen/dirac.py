"""Writes ../dirac.json: weights by torch.nn.init.dirac_, where what it does not set is 7.

Made with PyTorch 2.15.
"""

import json
import os

import torch

HERE = os.path.dirname(os.path.abspath(__file__))
dirac = {}
for shape in [(6, 4, 3, 3), (4, 6, 3, 3), (3, 3, 1, 1), (2, 2, 5, 3)]:
    w = torch.full(shape, 7.0)
    w[:min(shape[0], shape[1])] = 0
    torch.nn.init.dirac_(w[:shape[1]])
    dirac["x".join(map(str, shape))] = w.reshape(-1).tolist()
with open(os.path.join(HERE, "..", "dirac.json"), "w") as f:
    json.dump(dirac, f, separators=(",", ":"))

