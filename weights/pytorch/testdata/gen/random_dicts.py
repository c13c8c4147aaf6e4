"""random_dicts.py DIR SEED COUNT: COUNT files of torch.save with state dicts drawn at random, DIR/N.pth, and what PyTorch
reads from each, DIR/N.json: dtype, shape and elements by name. The tensors have all element types that convert, ranks 0 to
5, and are views (transposed, sliced, expanded, of shared storages), parameters or plain tensors; the files have both
formats, and a dictionary around the state dict or none.
"""

import collections
import json
import os
import random
import sys

import torch

TYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool]


def tensor(r, shared):
    shape = [r.randint(0 if r.random() < 0.1 else 1, 5) for _ in range(r.randint(0, 5))]
    t = (torch.randn(shape) * 3).to(r.choice(TYPES))
    if r.random() < 0.3 and shared:
        t = r.choice(shared)
    for _ in range(r.randint(0, 2)):
        how = r.choice(["transpose", "slice", "expand", "narrow", "flatten"])
        if how == "transpose" and t.dim() > 1:
            t = t.transpose(*r.sample(range(t.dim()), 2))
        elif how == "slice" and t.dim() > 0 and t.shape[0] > 1:
            t = t[r.randint(0, t.shape[0] - 1)::r.choice([1, 2])]
        elif how == "expand" and t.dim() < 5 and t.numel() < 500:
            t = t.unsqueeze(0).expand(2, *t.shape)
        elif how == "narrow" and t.dim() > 0 and t.shape[-1] > 1:
            t = t.narrow(-1, 1, t.shape[-1] - 1)
        elif how == "flatten":
            t = t.flatten()
    shared.append(t)
    if t.is_floating_point() and r.random() < 0.2:
        return torch.nn.Parameter(t)
    return t


def one(n, folder):
    r = random.Random(n)
    torch.manual_seed(n)
    d, shared = collections.OrderedDict(), []
    for i in range(r.randint(1, 8)):
        d[f"layer{i}.{r.choice(['weight', 'bias', 'running_mean', 'é', 'a b'])}"] = tensor(r, shared)
    if r.random() < 0.5:
        d = dict(d)
    whole = d
    if r.random() < 0.4:
        whole = {"epoch": r.randint(-5, 2**40), "lr": 0.1, "note": None, "list": [1, "x", (2.5, True)], r.choice(["state_dict", "model"]): d}
    path = os.path.join(folder, f"{n}.pth")
    torch.save(whole, path, _use_new_zipfile_serialization=r.random() < 0.7)
    back = torch.load(path, weights_only=False)
    back = back.get("state_dict", back.get("model", back))
    out = {}
    for k, t in back.items():
        t = t.detach()
        out[k] = {"DType": str(t.dtype).split(".")[1], "Shape": list(t.shape), "Values": t.to(torch.float64).flatten().tolist()}
    with open(path[:-3] + "json", "w") as f:
        json.dump(out, f)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for n in range(int(sys.argv[2]), int(sys.argv[2]) + int(sys.argv[3])):
        one(n, sys.argv[1])
