#!/usr/bin/python3
"""How often the embedded model is sure of pictures that it knows, and of others: the table of embedded/cifar10.md.

    unsure.py PROGRAM CIFAR10_JPEG_ZIP IMAGENET_SAMPLES

Others are clothes (the first 1,000 test images of Fashion-MNIST, as Debian's dataset-fashion-mnist has them), the
20 photographs and drawings of scikit-image that show none of the ten classes, noise and plain colors. The photographs of
ImageNet are listed one by one. Needs numpy, Pillow and scikit-image.
"""

import glob
import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import skimage
from PIL import Image

SKIMAGE = ("astronaut brick camera cell chessboard_RGB clock_motion coffee coins grass gravel hubble_deep_field ihc logo "
           "microaneurysms moon page phantom retina rocket text").split()


def pictures(root):
    """Writes a folder of pictures for each set."""
    def save(name, arrays):
        os.makedirs(os.path.join(root, name))
        for i, a in enumerate(arrays):
            Image.fromarray(a).save(os.path.join(root, name, f"{i:04d}.png"))

    raw = gzip.open("/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz").read()
    save("clothes", np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 28, 28)[:1000])
    r = np.random.default_rng(1)
    save("noise", r.integers(0, 256, (200, 32, 32, 3), dtype=np.uint8))
    save("colors", [np.full((32, 32, 3), c, np.uint8) for c in r.integers(0, 256, (200, 3), dtype=np.uint8)])
    os.makedirs(os.path.join(root, "photographs and drawings"))
    for name in SKIMAGE:
        for f in glob.glob(os.path.join(os.path.dirname(skimage.__file__), "data", name + ".*")):
            shutil.copy(f, os.path.join(root, "photographs and drawings"))


def predict(program, source):
    done = subprocess.run([program, "predict", "--json", "--topk", "1", source], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def main():
    program, cifar, photos = sys.argv[1:]
    print("| pictures | number | sure | of these right |\n| --- | ---: | ---: | ---: |")
    rows = [r for r in predict(program, cifar) if "test/" in r["image"]]
    sure = [r for r in rows if not r.get("unsure")]
    right = sum(r["predictions"][0]["class"] == os.path.basename(os.path.dirname(r["image"])) for r in sure)
    print(f"| CIFAR-10's test images | {len(rows):,} | {len(sure)/len(rows):.1%} | {right/len(sure):.2%} |")
    with tempfile.TemporaryDirectory() as root:
        pictures(root)
        for name in sorted(os.listdir(root)):
            rows = predict(program, os.path.join(root, name))
            n = sum(not r.get("unsure") for r in rows)
            print(f"| {name} | {len(rows):,} | {n/len(rows):.1%} | |")
    print("\n| photograph | answer |\n| --- | --- |")
    for r in predict(program, photos):
        p = r["predictions"][0]
        name = os.path.splitext(os.path.basename(r["image"]))[0].split("_", 1)[1].replace("_", " ")
        print(f"| {name} | {'unsure: ' if r.get('unsure') else ''}{p['class']} {p['probability']:.0%} |")


main()
