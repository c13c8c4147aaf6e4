#!/usr/bin/python3
"""Goldens of JPEG files decoded at a reduced size, by PIL, in data/testdata/draft.

Made with Pillow 9.4.0 on libjpeg-turbo 2.1.5 (Debian 12), seed 11. All pictures are
made here, none is anybody's. Run: python3 data/testdata/gen/draft.py

index.json is a list of {"in", "scale", "out"}: decoding the JPEG "in" at 1/scale of
its size (Image.draft) and converting to RGB gives the PNG "out"; with "box" and
"size", the result of that resized by resize(size, BILINEAR, box) does. For a file
with an EXIF orientation, all of that comes after exif_transpose.
"""

import io
import json
import os
import shutil

import numpy as np
from PIL import Image, ImageDraw, ImageOps

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "draft")
rng = np.random.default_rng(11)
W, H = 131, 97


def scene():
    """Smooth areas, edges, thin lines and some grain."""
    y, x = np.mgrid[0 : 4 * H, 0 : 4 * W]
    px = np.stack([60 + 150 * y / (4 * H), 200 - 120 * x / (4 * W), 90 + 90 * np.sin(x / 60) * np.cos(y / 40)], 2)
    big = Image.fromarray(px.clip(0, 255).astype(np.uint8))
    d = ImageDraw.Draw(big)
    for _ in range(14):
        a, b = rng.integers(0, 4 * W, 2), rng.integers(0, 4 * H, 2)
        c = tuple(int(v) for v in rng.integers(0, 256, 3))
        box = [int(min(a)), int(min(b)), int(max(a)), int(max(b))]
        [d.ellipse, d.rectangle][int(rng.integers(0, 2))](box, fill=c if rng.random() < 0.5 else None, outline=c, width=6)
    small = np.asarray(big.resize((W, H), Image.BICUBIC)).astype(float) + rng.normal(0, 4, (H, W, 3))
    return Image.fromarray(small.clip(0, 255).astype(np.uint8))


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    os.makedirs(OUT)
    im = scene()
    files = {
        "420": dict(subsampling=2),
        "422": dict(subsampling=1),
        "444": dict(subsampling=0),
        "progressive": dict(subsampling=2, progressive=True),
        "orientation6": dict(subsampling=2, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"),
        "grey": dict(),
    }
    index = []
    for name, opt in files.items():
        src = im.convert("L") if name == "grey" else im
        src.save(os.path.join(OUT, name + ".jpg"), quality=88, **opt)
        for scale in 2, 4, 8:
            with Image.open(os.path.join(OUT, name + ".jpg")) as f:
                f.draft(f.mode, (W // scale, H // scale))
                assert f.size == (-(-W // scale), -(-H // scale)), f.size
                out = ImageOps.exif_transpose(f).convert("RGB")
            entry = {"in": name + ".jpg", "scale": scale, "out": f"{name}_{scale}.png"}
            out.save(os.path.join(OUT, entry["out"]))
            index.append(entry)
            if scale < 8 and name in ("420", "orientation6"):
                box = [2.5, 1.25, out.width - 3.75, out.height - 0.5]
                size = [19, 15]
                entry = dict(entry, box=box, size=size, out=f"{name}_{scale}_box.png")
                out.resize(size, Image.BILINEAR, box=box).save(os.path.join(OUT, entry["out"]))
                index.append(entry)
    with open(os.path.join(OUT, "index.json"), "w") as f:
        json.dump(index, f, indent=1)
        f.write("\n")


main()
