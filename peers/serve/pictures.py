"""Compares reading JPEG files with Pillow: decoding to RGB, and that with a resize of
the shorter side to 256 and a crop of 224 x 224, on one thread.

    go test -c -o bench.test ./data
    python peers/serve/pictures.py FOLDER bench.test [older.test…] [--rounds 5]

Each program is a test binary of package data, whose BenchmarkFiles is run; ours goes on
to the network's input of floats. All take turns, and the least time of each file
counts, so that other work on the machine does not.
"""

import argparse
import glob
import io
import os
import re
import subprocess
import time

import PIL
from PIL import Image, features


def pillow(files, repeat):
    out = {}
    for name, data in files.items():
        for what in ("decode", "prepare"):
            least = 1e9
            for _ in range(repeat):
                start = time.perf_counter()
                im = Image.open(io.BytesIO(data)).convert("RGB")
                if what == "prepare":
                    w, h = im.size
                    w, h = (256, 256 * h // w) if w <= h else (256 * w // h, 256)
                    im = im.resize((w, h), Image.BILINEAR)
                    x, y = (w - 224) // 2, (h - 224) // 2
                    im.crop((x, y, x + 224, y + 224)).tobytes()
                least = min(least, time.perf_counter() - start)
            out[what, name] = round(least * 1e6)
    return out


def ours(program, folder, repeat):
    text = subprocess.run(
        [os.path.abspath(program), "-test.run", "^$", "-test.bench", "^BenchmarkFiles$", "-test.v", "-test.cpu", "1", "-test.benchtime", f"{repeat}x"],
        env=dict(os.environ, RESNET_PHOTOS=folder), check=True, capture_output=True, text=True).stdout
    out, found = {}, []
    for line in text.splitlines():
        if m := re.search(r": (\S+): (\d+) µs$", line):
            found.append((m[1], int(m[2])))
        elif m := re.match(r"BenchmarkFiles/(\w+)\s+\d", line):
            out.update({(m[1], name): t for name, t in found})
            found = []
    return out


def main():
    p = argparse.ArgumentParser()
    p.add_argument("folder")
    p.add_argument("program", nargs="+")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--repeat", type=int, default=10)
    args = p.parse_args()
    files = {os.path.basename(f): open(f, "rb").read() for f in sorted(glob.glob(os.path.join(args.folder, "*.[jJ][pP]*[gG]")))}
    least = {}
    for _ in range(args.rounds):
        for who in ["Pillow"] + args.program:
            times = pillow(files, args.repeat) if who == "Pillow" else ours(who, args.folder, args.repeat)
            for k, t in times.items():
                least[who, *k] = min(t, least.get((who, *k), t))
    print(f"Pillow {PIL.__version__}, libjpeg-turbo {features.version('libjpeg_turbo')}; microseconds")
    for what in ("decode", "prepare"):
        print(f"\n| {what} | " + " | ".join(["Pillow"] + args.program) + " |\n| --- |" + " ---: |" * (1 + len(args.program)))
        rows = {name: [least[who, what, name] for who in ["Pillow"] + args.program] for name in files}
        rows["mean"] = [round(sum(r[i] for r in rows.values()) / len(files)) for i in range(1 + len(args.program))]
        for name, r in rows.items():
            print(f"| {name} | " + " | ".join(map(str, r)) + " |")


main()
