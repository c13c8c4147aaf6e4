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


def norms():
    def params(*shape):
        return [r(*shape, scale=0.3, shift=1), r(*shape, scale=0.3)]
    for tag, shape, groups in (("4d", (2, 6, 4, 5), 3), ("32", (1, 64, 5, 4), 32), ("3d", (2, 4, 7), 2), ("5d", (2, 4, 2, 3, 2), 4)):
        case("group_norm_" + tag, "group_norm", dict(groups=groups, eps=1e-5),
             lambda: [r(*shape, scale=2, shift=0.5)] + params(shape[1]),
             lambda x, w, b: F.group_norm(x, groups, w, b, 1e-5))
    for tag, shape, last in (("1", (3, 2, 7), 1), ("2", (2, 3, 4, 5), 2), ("3", (2, 3, 4, 3), 3)):
        case("layer_norm_" + tag, "layer_norm", dict(eps=1e-6), lambda: [r(*shape, scale=2)] + params(*shape[-last:]),
             lambda x, w, b: F.layer_norm(x, shape[-last:], w, b, 1e-6))
    case("instance_norm", "instance_norm", dict(eps=1e-5), lambda: [r(2, 3, 4, 5)] + params(3),
         lambda x, w, b: F.instance_norm(x, weight=w, bias=b, eps=1e-5))


def upsample():
    for mode, kw in (("nearest", {}), ("bilinear", dict(align_corners=False))):
        for tag, hw, scale in (("1.5", (5, 7), (1.5, 1.5)), ("mixed", (9, 10), (0.5, 2.3)), ("same", (4, 5), (1.2, 1.1))):
            size = [int(hw[0] * scale[0]), int(hw[1] * scale[1])]
            case(f"upsample_{mode}_scale_{tag}", "upsample_" + mode, dict(size=size, scale_hw=scale), lambda: [r(2, 3, *hw)],
                 lambda x: F.interpolate(x, scale_factor=scale, mode=mode, **kw))


def main():
    for part in (roi_align, norms, upsample):
        part()


if __name__ == "__main__":
    main()
