"""The Python half of package golden: writes golden files and fills tensors from their names.

`write` makes plain safetensors files: 8 bytes header length, a JSON header, the
elements little-endian. `fill` is the name-keyed deterministic fill, documented
in golden.go; the two halves give the same bits.
"""

import json
import struct

import numpy as np

DTYPES = {"float32": "F32", "int64": "I64"}


def write(path, tensors, meta):
    """Write tensors (name -> float32 or int64 array) and meta (str -> str or JSON value)."""
    header = {"__metadata__": {k: v if isinstance(v, str) else json.dumps(v) for k, v in meta.items()}}
    blobs, at = [], 0
    for name, x in tensors.items():
        x = np.asarray(x)
        blob = np.ascontiguousarray(x).astype(x.dtype.newbyteorder("<")).tobytes()
        header[name] = {"dtype": DTYPES[x.dtype.name], "shape": list(x.shape), "data_offsets": [at, at + len(blob)]}
        blobs.append(blob)
        at += len(blob)
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(head)) + head + b"".join(blobs))


def fnv1a64(s):
    h = 0xCBF29CE484222325
    for b in s.encode():
        h = (h ^ b) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return h


def uniform(name, n):
    """n float64 values in [-1, 1), multiples of 2^-23, keyed by the name and the index."""
    with np.errstate(over="ignore"):
        z = np.uint64(fnv1a64(name)) + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(40)).astype(np.float64) * 2.0**-23 - 1


def kind_of(key, rank):
    """The kind of fill for a state-dict key of a ResNet; None for num_batches_tracked (0)."""
    last = key.rsplit(".", 1)[-1]
    if last in ("running_mean", "running_var"):
        return last
    if last == "num_batches_tracked":
        return None
    if last == "weight":
        return "weight" if rank > 1 else "bn_weight"
    return "bias"


def fill(name, shape, kind):
    """float32 array filled from its name; see Fill in golden.go for the kinds."""
    n = int(np.prod(shape, dtype=np.int64))
    u = uniform(name, n)
    if kind == "weight":
        u = u * np.sqrt(6.0 / (n // shape[0]))
    elif kind == "bn_weight":
        u = 1 + 0.1 * u
    elif kind in ("bias", "running_mean"):
        u = 0.1 * u
    elif kind == "running_var":
        u = 1 + 0.4 * np.abs(u)
    elif kind != "input":
        raise ValueError(f"unknown kind {kind!r}")
    return u.astype(np.float32).reshape(shape)


if __name__ == "__main__":  # the file that golden_test.go compares with
    import os

    cases = {"conv1.weight": (4, 3, 3, 3), "layer1.0.bn1.weight": (5,), "bn1.bias": (5,), "bn1.running_mean": (5,),
             "bn1.running_var": (5,), "fc.weight": (3, 7), "input": (1, 3, 2, 2)}
    got = {k: fill(k, s, "input" if k == "input" else kind_of(k, len(s))) for k, s in cases.items()}
    got["labels"] = np.array([[3, -1, 2**40]], np.int64)
    here = os.path.dirname(os.path.abspath(__file__))
    write(os.path.join(here, "testdata", "fill.safetensors"), got, {"op": "fill", "attrs": {"numpy": np.__version__}})
