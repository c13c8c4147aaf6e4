#!/usr/bin/env python3
"""Goldens of the operators for detection, segmentation and attention, by PyTorch and torchvision.

Made with torch 2.15.0, torchvision 0.29.2 and numpy 2.4.6; form and seeds as in ops.py. Run: python3 graph/testdata/gen/vision.py
"""

import os

import numpy as np
import torch
import torch.nn.functional as F
import torchvision

import ops
from ops import case, r

torch.set_num_threads(1)


def boxes(k, n, h, w, scale):
    """k boxes of n pictures, most within h x w pixels of the map, some beyond its edges."""
    b = np.zeros((k, 5), np.float32)
    for i in range(k):
        x = np.sort(ops.rng.uniform(0, w, 2)) / scale
        y = np.sort(ops.rng.uniform(0, h, 2)) / scale
        if i % 5 == 3:
            x, y = x - 0.4 * w / scale, y + 0.3 * h / scale
        if i % 5 == 4:
            x = np.array([x[0], x[0] + 0.01])
        b[i] = (ops.rng.integers(0, n), x[0], y[0], x[1], y[1])
    # Quarters, so that positions in float64 differ less from those in float32.
    return np.round(b * 4) / 4


def roi_align():
    for tag, out, scale, ratio, aligned in (
            ("box_head", (7, 7), 0.25, 2, False), ("aligned", (7, 7), 0.25, 2, True), ("adaptive", (3, 2), 0.125, 0, False),
            ("adaptive_aligned", (2, 5), 0.25, -1, True), ("one", (1, 1), 1.0, 1, False)):
        attrs = dict(size=out, scale=scale, sampling_ratio=ratio, aligned=aligned)
        case("roi_align_" + tag, "roi_align", attrs, lambda: [r(2, 3, 9, 11), boxes(10, 2, 9, 11, scale)],
             lambda x, b: torchvision.ops.roi_align(x, b, out, scale, ratio, aligned), [0])


def main():
    for part in (roi_align,):
        part()


if __name__ == "__main__":
    main()
