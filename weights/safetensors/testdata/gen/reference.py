"""Writes ../reference.safetensors (by the safetensors package) and ../half.json
(float32 bits and the float16 bits that NumPy rounds them to).

Made with safetensors 0.8.0 and NumPy 2; seed 3.
"""

import json
import os

import numpy as np
from safetensors.numpy import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
rng = np.random.default_rng(3)
save_file(
    {
        "f64": np.array([1 / 3, -1e300], np.float64),
        "f32": np.arange(6, dtype=np.float32).reshape(2, 3) / 7,
        "f16": np.array([1, -2.5, 65504, 6e-8], np.float16),
        "i64": np.array([2**62, -1], np.int64),
        "i32": np.array([-(2**31), 5], np.int32),
        "i16": np.array([-300], np.int16),
        "i8": np.array([-1, 127], np.int8),
        "u8": np.array([0, 255], np.uint8),
        "bool": np.array([True, False]),
        "scalar": np.array(4.5, np.float32),
        "empty": np.zeros((2, 0), np.float32),
        "u32": np.array([7], np.uint32),
    },
    os.path.join(HERE, "..", "reference.safetensors"),
    metadata={"who": "the reference", "é": '"quoted"'},
)
x = np.concatenate([
    rng.integers(0, 2**32, 600, dtype=np.uint32),
    np.float32(rng.normal(size=300)).view(np.uint32),
    np.float32(rng.normal(size=300) * 1e-6).view(np.uint32),
    np.array([0, 0x80000000, 0x477FEFFF, 0x477FF000, 0x33000000, 0x33000001, 0x387FFFFF, 0x38800000, 0x3F801000, 0x3F803000], np.uint32),
])
f = x.view(np.float32)
x = x[~np.isnan(f)]
with np.errstate(over="ignore"):
    h = x.view(np.float32).astype(np.float16).view(np.uint16)
with open(os.path.join(HERE, "..", "half.json"), "w") as out:
    json.dump([[int(a), int(b)] for a, b in zip(x, h)], out, separators=(",", ":"))
