"""Makes the HDF5 files that the tests of package hdf5 read.

Usage: python hdf5.py DIR      (DIR is internal/hdf5/testdata)

Made with h5py 3.16.0 (HDF5 2.0.0), numpy 2.4.6, ml_dtypes 0.6.0; no random
numbers. The values are formulas that the tests repeat.
"""

import gzip
import os
import sys

import h5py
import ml_dtypes
import numpy as np


def ramp(shape, dtype):
    n = int(np.prod(shape))
    return (np.arange(n) - n // 3).astype(dtype).reshape(shape)


def fill(f):
    for t in ["<f4", ">f4", "<f8", ">f8", "<f2", ">f2", "<i4", ">i4", "<i8", "<i1", ">i2"]:
        f[f"types/{'le' if t[0] == '<' else 'be'}{t[1:]}"] = ramp((3, 5), t)
    f["types/bf16"] = ramp((3, 5), np.float32).astype(ml_dtypes.bfloat16)
    for t in ["u1", "u2", "u4", "u8"]:
        f["types/" + t] = np.arange(15).astype(t).reshape(3, 5)
    f["types/bool"] = np.array([True, False, True])
    f["types/special"] = np.array([np.inf, -np.inf, np.nan, -0.0, 1e-42, 3.4e38], "<f4")
    f["types/special16"] = np.array([np.inf, -np.inf, np.nan, -0.0, 6e-8, 65504], "<f2")
    f["types/scalar"] = np.float32(2.5)
    f["types/empty"] = np.zeros((0, 4), "<f4")
    f["types/null"] = h5py.Empty("f4")
    f["types/complex"] = np.array([1 + 2j], "c8")
    f["types/fixed"] = np.array([b"ab", b"", b"abcd"])
    f.create_dataset("types/var", data=["x", "", "été"], dtype=h5py.string_dtype())

    g = f.create_group("chunks")
    x = ramp((7, 5, 3), "<f4")
    g.create_dataset("plain", data=x, chunks=(3, 2, 2))
    g.create_dataset("gzip", data=x, chunks=(3, 2, 2), compression="gzip")
    g.create_dataset("all", data=x, chunks=(4, 5, 3), compression="gzip", shuffle=True, fletcher32=True)
    g.create_dataset("one", data=x, chunks=(7, 5, 3), compression="gzip")
    g.create_dataset("lzf", data=x, chunks=(3, 2, 2), compression="lzf")
    g.create_dataset("hole", shape=(4,), chunks=(2,), dtype="<f4")[:2] = 1
    g.create_dataset("never", shape=(4,), dtype="<f4")
    p = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    p.set_layout(h5py.h5d.COMPACT)
    s = h5py.h5s.create_simple((7, 5, 3))
    h5py.h5d.create(g.id, b"compact", h5py.h5t.IEEE_F32LE, s, p).write(h5py.h5s.ALL, h5py.h5s.ALL, x)

    g = f.create_group("attrs")
    g.attrs["text"] = "naïve"
    g.attrs["bytes"] = b"bytes"
    g.attrs["names"] = [b"a", b"bcd", b""]
    g.attrs["long"] = "x" * 70000
    g.attrs["float"] = np.float64(1.5)
    g.attrs["ints"] = np.arange(3)
    g.attrs["none"] = h5py.Empty("f4")
    g.attrs["complex"] = np.complex64(1)

    g = f.create_group("many")
    for i in range(40):
        g.attrs[f"attr{i}"] = i
        g[f"link{i:03}"] = np.int32(i)
    f["soft"] = h5py.SoftLink("/many")
    f["external"] = h5py.ExternalLink("other.h5", "/x")
    f["hard"] = f["many"]


def main(dir):
    for libver in ["earliest", "latest"]:
        with h5py.File(os.path.join(dir, libver + ".h5"), "w", libver=libver) as f:
            fill(f)
    # With tracked order even the usual version writes new-style groups, whose
    # attributes become dense.
    with h5py.File(os.path.join(dir, "ordered.h5"), "w", track_order=True, userblock_size=512) as f:
        g = f.create_group("many", track_order=True)
        for i in range(300):
            g.attrs[f"attr{i}"] = "v" * i
        for i in range(300):
            g.create_group(f"link{i:03}")
    # Small ones, from which fuzzing starts.
    for libver in ["earliest", "latest"]:
        with h5py.File(os.path.join(dir, f"seed_{libver}.h5"), "w", libver=libver, track_order=libver == "latest") as f:
            for i in range(9):
                f.attrs[f"a{i}"] = i
                f.create_group(f"g{i}")
            f.create_dataset("x", data=ramp((4, 3), "<f4"), chunks=(2, 2), compression="gzip", shuffle=True, fletcher32=True)
            f.create_dataset("s", data=["x", "yz"], dtype=h5py.string_dtype())
    for name in ["seed_earliest.h5", "seed_latest.h5", "earliest.h5", "latest.h5", "ordered.h5"]:
        path = os.path.join(dir, name)
        with open(path, "rb") as f, open(path + ".gz", "wb") as out:
            out.write(gzip.compress(f.read(), mtime=0))
        os.remove(path)


if __name__ == "__main__":
    main(sys.argv[1])
