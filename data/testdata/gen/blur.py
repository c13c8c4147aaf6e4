"""Goldens of Gaussian blur by torchvision, in data/testdata/blur.

Made with torchvision 0.29.2. Run: python3 data/testdata/gen/blur.py

index.json is a list of {"in", "kernel", "sigma", "out"}: blurring the picture "in" of
../transforms, at its size, gives the PNG "out".
"""

import json
import os

import torchvision.transforms.functional as F
from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "..", "blur")
os.makedirs(OUT, exist_ok=True)
index = []
for name in "patch", "noise":
    for kernel, sigma in (1, 1.0), (3, 0.1), (3, 0.7), (3, 2.0), (5, 1.3), (23, 2.0):
        im = Image.open(os.path.join(HERE, "..", "transforms", name + ".png")).convert("RGB")
        out = f"{name}_{kernel}_{sigma}.png"
        F.gaussian_blur(im, [kernel, kernel], [sigma, sigma]).save(os.path.join(OUT, out), optimize=True)
        index.append({"in": name + ".png", "kernel": kernel, "sigma": sigma, "out": out})
with open(os.path.join(OUT, "index.json"), "w") as f:
    json.dump(index, f, indent=1)
    f.write("\n")
