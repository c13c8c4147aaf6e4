"""Makes the small files that the reader is tested with.

    python3 files.py DIR [NAME...]

Seed 1. DIR is named after the version of PyTorch; with names, only those files
are made. The committed folders are torch1.13 (all files, Debian 13's PyTorch
1.13.0) and torch2.15 (2.15.0; those that newer versions write differently:
flat.pth protocol4.pth checkpoint.pth legacy_checkpoint.pth ema.pth views.pth
dtypes.pth attribute.pth whole_model.pth evil_system.pth uint16.pth). There, expected.json says what PyTorch itself finds in them: for
each file its tensors' values by name, or the Python object that must be refused.
"""
import argparse
import collections
import json
import os
import pathlib
import pickle
import sys

import numpy as np
import torch
from torch import nn

out = pathlib.Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)
only = sys.argv[2:]
torch.manual_seed(1)
expected = {"torch": torch.__version__, "files": {}}
NEW = tuple(int(x) for x in torch.__version__.split(".")[:2]) >= (2, 1)


def network():
    m = nn.Sequential(collections.OrderedDict(
        conv1=nn.Conv2d(2, 3, 3, bias=False), bn1=nn.BatchNorm2d(3), relu=nn.ReLU(),
        fc=nn.Linear(3, 4)))
    with torch.no_grad():
        for p in list(m.parameters()) + [m.bn1.running_mean, m.bn1.running_var]:
            p.copy_(torch.randn(p.shape))
        m.bn1.num_batches_tracked.fill_(77)
    return m


def describe(state):
    d = {}
    for k, v in state.items():
        d[k] = {"dtype": str(v.dtype).removeprefix("torch."), "shape": list(v.shape),
                "values": v.detach().to(torch.float64 if v.is_floating_point() else torch.int64).flatten().tolist()}
    return d


def save(name, obj, tensors=None, dict=None, refused=None, **kw):
    if only and name not in only:
        return
    torch.save(obj, out / name, **kw)
    e = expected["files"][name] = {}
    if tensors is not None:
        e["tensors"] = describe(tensors)
    if dict is not None:
        e["dict"] = dict
    if refused is not None:
        e["refused"] = refused


def prefixed(state, prefix):
    return collections.OrderedDict((prefix + k, v) for k, v in state.items())


m = network()
state = m.state_dict()
LEGACY = {"_use_new_zipfile_serialization": False}

save("flat.pth", state, state, "")
save("legacy.pth", state, state, "", **LEGACY)
for p in (3, 4, 5):
    save(f"protocol{p}.pth", state, state, "", pickle_protocol=p)
    save(f"legacy_protocol{p}.pth", state, state, "", pickle_protocol=p, **LEGACY)

opt = torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9)
loss = sum((p ** 2).sum() for p in m.parameters())
loss.backward()
opt.step()
state = collections.OrderedDict((k, v.clone()) for k, v in m.state_dict().items())
sched = torch.optim.lr_scheduler.MultiStepLR(opt, [2, 3])
checkpoint = {
    "epoch": 3, "arch": "resnet18", "state_dict": state, "best_acc1": torch.tensor(71.5),
    "optimizer": opt.state_dict(), "scheduler": sched.state_dict(),
    "args": argparse.Namespace(lr=0.1, data="/data", nested=[1, (2, None), {"a": True}]),
    "loss": np.float64(0.25), "seed": 2 ** 70,
    "size": torch.Size([1, 3, 32, 32]), "device": torch.device("cpu"),
}
save("checkpoint.pth", checkpoint, state, "state_dict")
save("legacy_checkpoint.pth", checkpoint, state, "state_dict", **LEGACY)
save("ddp.pth", {"model": prefixed(state, "module."), "epoch": 1}, state, "model")
save("compiled.pth", prefixed(state, "_orig_mod."), state, "")
save("compiled_ddp.pth", prefixed(state, "module._orig_mod."), state, "")

avg = torch.optim.swa_utils.AveragedModel(m)
with torch.no_grad():
    for p in avg.parameters():
        p.mul_(2)
averaged = {k.removeprefix("module."): v for k, v in avg.state_dict().items() if k != "n_averaged"}
save("ema.pth", {"model": state, "model_ema": avg.state_dict()}, averaged, "model_ema")

save("parameters.pth", collections.OrderedDict(m.named_parameters()), dict(m.named_parameters()), "")
with_attribute = torch.arange(6.).reshape(2, 3)
with_attribute.note = "kept beside the tensor"
save("attribute.pth", {"a": with_attribute}, {"a": with_attribute}, "")

dtypes = {
    "float64": torch.randn(5, dtype=torch.float64), "float32": torch.randn(2, 3),
    "float16": torch.tensor([0.1, -2.5, 65504, 6e-8, float("inf")]).half(),
    "bfloat16": torch.tensor([0.1, -2.5, 3e38, 1e-40]).bfloat16(),
    "int64": torch.tensor([1, -2 ** 62]), "int32": torch.tensor([-5, 7], dtype=torch.int32),
    "int16": torch.tensor([-300], dtype=torch.int16), "int8": torch.tensor([-100, 100], dtype=torch.int8),
    "uint8": torch.tensor([0, 200, 255], dtype=torch.uint8), "bool": torch.tensor([True, False]),
}
dtypes["float16"][4] = 3.0
save("dtypes.pth", dtypes, dtypes, "")
save("legacy_dtypes.pth", dtypes, dtypes, "", **LEGACY)

base = torch.arange(24.)
views = {
    "whole": base, "tail": base[17:], "every third": base[1::3], "transposed": base.view(4, 6).t(),
    "permuted": base.view(2, 3, 4).permute(2, 0, 1), "column": base.view(4, 6)[:, 2:3],
    "expanded": torch.arange(3.).view(3, 1).expand(3, 5), "scalar": torch.tensor(2.5),
    "empty": torch.zeros(0, 3), "one of many": base[5],
    "channels_last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
}
save("views.pth", views, views, "")
save("legacy_views.pth", views, views, "", **LEGACY)

nested = {"encoder": {"conv": {"weight": torch.ones(2)}}, "head": collections.OrderedDict(weight=torch.zeros(1))}
save("nested.pth", {"net": nested, "version": "1"},
     {"encoder.conv.weight": torch.ones(2), "head.weight": torch.zeros(1)}, "net")
save("only.pth", {"something": state, "epoch": 1}, state, "something")

save("tensor.pth", torch.ones(3))
save("whole_model.pth", m, m.state_dict(), "")


class Evil:
    def __init__(self, f, *args):
        self.f, self.args = f, args

    def __reduce__(self):
        return self.f, self.args


marker = "touch /tmp/resnet-pickle-ran"
for name, evil, refused in [
    ("system", Evil(os.system, marker), "posix.system"),
    ("eval", Evil(eval, "1+1"), "__builtin__.eval"),
    ("exec", Evil(exec, "x = 1"), "__builtin__.exec"),
    ("getattr", Evil(getattr, "a", "upper"), "__builtin__.getattr"),
    ("loads", Evil(pickle.loads, b"N."), "pickle.loads"),
    ("from_bytes", Evil(torch.storage._load_from_bytes, b"N."), "torch.storage._load_from_bytes"),
]:
    save(f"evil_{name}.pth", {"state_dict": state, "x": evil}, refused=refused)
    if name == "system":
        save(f"legacy_evil_{name}.pth", {"state_dict": state, "x": evil}, refused=refused, **LEGACY)
        save(f"evil_{name}_4.pth", {"state_dict": state, "x": evil}, refused=refused, pickle_protocol=4)

if NEW:
    unsigned = {"w": torch.ones(2), "u": torch.tensor([1, 2], dtype=torch.uint16)}
    save("uint16.pth", unsigned, unsigned, "")

lines = ",\n".join(f'  {json.dumps(k)}: {json.dumps(v)}' for k, v in expected["files"].items())
(out / "expected.json").write_text(f'{{"torch": {json.dumps(expected["torch"])}, "files": {{\n{lines}\n}}}}\n')
