"""Makes files of the kinds that are older, or hold more, than a state dict: see files.py.

    python3 kinds.py DIR

Seed 2. The committed folder is kinds (PyTorch 2.15.0, NumPy 2.4.6). expected.json
says what torch.load finds in them.
"""
import argparse
import collections
import dataclasses
import datetime
import enum
import io
import json
import pathlib
import pickle
import struct
import sys
import tarfile
import types
import zipfile

import numpy as np
import torch
from torch import nn

out = pathlib.Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)
torch.manual_seed(2)
torch.set_num_threads(1)
expected = {}
LEGACY = {"_use_new_zipfile_serialization": False}


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2), nn.PReLU())
        self.register_buffer("kept", torch.arange(3.0))
        self.register_buffer("scratch", torch.zeros(2), persistent=False)
        self.head = nn.ModuleDict({"fc": nn.Linear(2, 2)})
        self.scale = nn.Parameter(torch.tensor(0.5))

    def forward(self, x):
        return self.head["fc"](self.body(x).mean((2, 3))) * self.scale


def describe(state):
    d = {}
    for k, v in state.items():
        v = torch.as_tensor(np.array(v, v.dtype.newbyteorder("="), order="C") if isinstance(v, np.ndarray) else v)
        d[k] = {"dtype": str(v.dtype).removeprefix("torch."), "shape": list(v.shape),
                "values": v.detach().to(torch.float64 if v.is_floating_point() else torch.int64).flatten().tolist()}
    return d


def has(name, state, dict=""):
    expected[name] = {"tensors": describe(state), "dict": dict}


def save(name, obj, state, dict="", **kw):
    torch.save(obj, out / name, **kw)
    torch.load(out / name, weights_only=False)
    has(name, state, dict)


m = Block()
state = collections.OrderedDict((k, v.clone()) for k, v in m.state_dict().items())
persistent = {k: v for k, v in state.items() if k != "scratch"}
save("module.pth", m, persistent)
save("legacy_module.pth", m, persistent, **LEGACY)
save("parallel.pth", nn.DataParallel(m), persistent)
save("module_4.pth", {"model": m, "epoch": 3}, persistent, "model", pickle_protocol=4)
save("protocol1.pth", state, state, pickle_protocol=1)
save("legacy_protocol1.pth", {"state_dict": state, "epoch": 2}, state, "state_dict", pickle_protocol=1, **LEGACY)
save("list.pth", [state, 5], state, "0")
arrays = {"f": np.arange(6, dtype=np.float32).reshape(2, 3), "order": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
          "big": np.arange(3, dtype=">f4"), "half": np.array([0.5, 2], np.float16), "count": np.array([7, -1]), "scalar": np.array(3.0)}
for protocol in (2, 4):
    save(f"numpy_{protocol}.pth", {"model": arrays}, arrays, "model", pickle_protocol=protocol)
kinds = {"u16": torch.tensor([1, 65535], dtype=torch.uint16), "u32": torch.tensor([2**32 - 1], dtype=torch.uint32),
         "f": torch.tensor([1.5])}
save("unsigned.pth", kinds, kinds)
save("complex.pth", {**kinds, "c": torch.tensor([1j]), "f8": torch.tensor([1.5]).to(torch.float8_e4m3fn)}, kinds)


class Color(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Config:
    lr: float = 0.1
    out: object = pathlib.PurePosixPath("x/y")


class Bag(dict):
    pass


class Lines(list):
    pass


lib = types.ModuleType("trainer_like")
sys.modules["trainer_like"] = lib
for c in (Color, Config, Bag, Lines):
    c.__module__, c.__qualname__ = "trainer_like", c.__name__
    setattr(lib, c.__name__, c)
others = {
    "config": Config(), "bag": Bag(a=1), "lines": Lines([1, 2]), "args": argparse.Namespace(lr=0.1, path=pathlib.PurePosixPath("a")),
    "when": datetime.datetime(2024, 1, 1), "delta": datetime.timedelta(1), "set": {1, 2}, "frozen": frozenset({3}), "raw": bytearray(b"abc"),
    "default": collections.defaultdict(list, {"a": [1]}), "deque": collections.deque([1, 2]), "complex": 1j, "slice": slice(1, 2),
    "score": np.float64(0.5), "names": np.array(["a", "b"], object), "generator": np.random.default_rng(1), "numpy state": np.random.get_state(),
    "device": torch.device("cpu"), "dtype": torch.float32, "size": torch.Size([1, 2]), "layout": torch.strided, "format": torch.channels_last,
    "class": Config, "function": torch.relu, "sparse": torch.eye(2).to_sparse(), "callbacks": {Config: {"best": 1.5}}, "rng": torch.get_rng_state(),
    "warning": UserWarning("x"), "ordered": collections.OrderedDict(a=1), "big": 2**100, "negative": -(2**100), "none": None,
}
for k in list(others):
    try:
        torch.save(others[k], io.BytesIO(), pickle_protocol=2)
    except TypeError:  # in this version
        print("left out:", k)
        del others[k]
for protocol in (2, 4):
    save(f"others_{protocol}.pth", {"state_dict": state, **others}, state, "state_dict", pickle_protocol=protocol)
save("bag.pth", Bag(state), state)
torch.jit.script(m).save(str(out / "script.pt"))
has("script.pt", m.state_dict() | {"scratch": torch.zeros(2)})
torch.jit.trace(m.eval(), torch.zeros(1, 2, 3, 3)).save(str(out / "trace.pt"))
has("trace.pt", m.state_dict() | {"scratch": torch.zeros(2)})

# A file of a big-endian machine: torch.load turns the elements around.
plain = {"half": torch.tensor([0.5, -3]).half(), "float": torch.tensor([1.5, 7]), "long": torch.tensor([1, -2])}
torch.save(plain, out / "little.pth")
with zipfile.ZipFile(out / "little.pth") as z, zipfile.ZipFile(out / "big.pth", "w") as w:
    for n in z.namelist():
        b = z.read(n)
        if n.endswith("byteorder"):
            b = b"big"
        elif "/data/" in n:
            size = {"0": 2, "1": 4, "2": 8}[n[-1]]
            b = np.frombuffer(b, f"<u{size}").byteswap().tobytes()
        w.writestr(n, b)
(out / "little.pth").unlink()
got = torch.load(out / "big.pth")
assert all(torch.equal(got[k], v) for k, v in plain.items())
has("big.pth", plain)

# The first format: a tar archive (torch/serialization.py, legacy_load).
P = lambda v: pickle.dumps(v, 2)
one, two = torch.arange(6.0), torch.tensor([7, 8])
storages = P(2) + P((11, "cpu", torch.FloatStorage)) + struct.pack("<q", 6) + one.numpy().tobytes()
storages += P((12, "cpu", torch.LongStorage)) + struct.pack("<q", 2) + two.numpy().tobytes()
storages += P([(13, 11, 2, 4)])
tensors = P(3)
for key, storage, shape, stride, offset in ((21, 11, (2, 3), (3, 1), 0), (22, 12, (2,), (1,), 0), (23, 13, (2,), (2,), 1)):
    tensors += P((key, storage, torch.FloatTensor)) + struct.pack("<ii", len(shape), 0) + struct.pack(f"<{2 * len(shape) + 1}q", *shape, *stride, offset)


class Ref:
    def __init__(self, key):
        self.key = key


class Pickler(pickle.Pickler):
    def persistent_id(self, o):
        return str(o.key) if isinstance(o, Ref) else None


f = io.BytesIO()
Pickler(f, 2).dump({"state_dict": collections.OrderedDict(w=Ref(21), n=Ref(22), part=Ref(23)), "epoch": 1})
with tarfile.open(out / "tar.pth", "w:", format=tarfile.USTAR_FORMAT) as t:
    for name, b in (("sys_info", P({"protocol_version": 1000})), ("pickle", f.getvalue()), ("storages", storages), ("tensors", tensors)):
        i = tarfile.TarInfo(name)
        i.size = len(b)
        t.addfile(i, io.BytesIO(b))
has("tar.pth", torch.load(out / "tar.pth", weights_only=False)["state_dict"], "state_dict")

lines = ",\n".join(f'  {json.dumps(k)}: {json.dumps(v)}' for k, v in sorted(expected.items()))
(out / "expected.json").write_text(f'{{"torch": {json.dumps(torch.__version__)}, "files": {{\n{lines}\n}}}}\n')
