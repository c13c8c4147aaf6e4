"""Prints what PyTorch (any version from 1.13) finds in a state dict, as JSON."""
import json
import sys

import torch

state = torch.load(sys.argv[1], weights_only=True)
print(json.dumps([{
    "name": k, "dtype": str(v.dtype).removeprefix("torch."), "shape": list(v.shape),
    "values": v.to(torch.float64 if v.is_floating_point() else torch.int64).flatten().tolist(),
} for k, v in state.items()]))
