#!/usr/bin/env python3
"""Goldens of the operators for detection, segmentation and attention, by PyTorch and torchvision.

Made with torch 2.15.0, torchvision 0.29.2, segmentation_models_pytorch 0.6.0 and numpy 2.4.6; form and seeds as in ops.py. Run: python3 graph/testdata/gen/vision.py
"""

import os

import numpy as np
import torch
import torch.nn.functional as F
import segmentation_models_pytorch as smp
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


def targets(n, *shape, ignore=-100):
    t = ops.labels(int(np.prod(shape)), n)
    t[::4] = ignore
    return t.reshape(shape)


def losses():
    for smooth in (0.0, 0.1):
        tag = "_smooth" if smooth else ""
        attrs = dict(label_smoothing=smooth)
        case("cross_entropy_dense" + tag, "cross_entropy", attrs, lambda: [r(2, 5, 4, 3, scale=2), targets(5, 2, 4, 3)],
             lambda x, y: F.cross_entropy(x, y, label_smoothing=smooth))
        case("cross_entropy_dense_weighted" + tag, "cross_entropy", attrs,
             lambda: [r(2, 5, 4, 3, scale=2), targets(5, 2, 4, 3), 0.2 + np.abs(r(5))],
             lambda x, y, w: F.cross_entropy(x, y, w, label_smoothing=smooth), [0])

    def soft():
        t = np.abs(r(2, 5, 3, 2))
        return [r(2, 5, 3, 2, scale=2), (t / t.sum(1, keepdims=True)).astype(np.float32)]
    case("cross_entropy_dense_soft", "cross_entropy_soft", dict(label_smoothing=0.1), soft,
         lambda x, t: F.cross_entropy(x, t, label_smoothing=0.1), [0])

    def one_hot(y, classes):
        t = torch.zeros(len(y), classes, dtype=torch.float64)
        for i, c in enumerate(y):
            if c >= 0:
                t[i, c] = 1
        return t
    for tag, alpha, gamma in (("", 0.25, 2.0), ("_plain", -1.0, 1.5)):
        case("focal" + tag, "focal", dict(alpha=alpha, gamma=gamma), lambda: [r(9, 7, scale=3), targets(7, 9, ignore=-1)],
             lambda x, y: torchvision.ops.sigmoid_focal_loss(x, one_hot(y, 7), alpha, gamma, "sum"))
        case("focal_soft" + tag, "focal", dict(alpha=alpha, gamma=gamma),
             lambda: [r(4, 6, scale=3), (r(4, 6) > 0).astype(np.float32), 0.5 + np.abs(r(4))],
             lambda x, t, w: (torchvision.ops.sigmoid_focal_loss(x, t, alpha, gamma) * w[:, None]).sum(), [0])

    def pair(*weights):
        return lambda: [r(6, 4), r(6, 4), 0.5 + np.abs(r(*weights))]
    for beta in (1 / 9, 1.0):
        case(f"smooth_l1_loss_{beta:.1f}", "smooth_l1_loss", dict(beta=beta), pair(6, 1),
             lambda x, y, w: (F.smooth_l1_loss(x, y, beta=beta, reduction="none") * w).sum())
    case("l1_loss", "l1_loss", {}, pair(6, 4), lambda x, y, w: (F.l1_loss(x, y, reduction="none") * w).sum())

    def giou():
        b = [np.abs(r(8, 4)) + np.array([0, 0, 2, 2], np.float32) for _ in range(2)]
        b = [np.concatenate([np.minimum(x[:, :2], x[:, 2:]), np.maximum(x[:, :2], x[:, 2:])], 1) for x in b]
        b[1][0] += 5  # apart
        return [x.astype(np.float32) for x in b] + [0.5 + np.abs(r(8, 1))]
    case("giou_loss", "giou_loss", dict(eps=1e-7), giou,
         lambda x, y, w: (torchvision.ops.generalized_box_iou_loss(x, y) * w[:, 0]).sum())
    case("bce_loss", "bce_loss", {}, lambda: [r(3, 5, scale=3), (r(3, 5) > 0).astype(np.float32), 0.5 + np.abs(r(3, 5))],
         lambda x, t, w: (F.binary_cross_entropy_with_logits(x, t, reduction="none") * w).sum(), [0, 2])
    for smooth in (0.0, 1.0):
        dice = smp.losses.DiceLoss("multiclass", smooth=smooth, ignore_index=-100)

        def make():
            y = targets(5, 2, 4, 3)
            y[y == 3] = 2  # a class that does not occur
            return [r(2, 5, 4, 3, scale=2), y]
        # This package counts smooth twice, in front of its factor of 2.
        case(f"dice_loss_{smooth:.0f}", "dice_loss", dict(smooth=2 * smooth), make, dice)


def gathers():
    def index(limit, *shape):
        return ops.labels(int(np.prod(shape)), limit).reshape(shape)
    case("gather_embedding", "gather", dict(axis=0), lambda: [r(7, 5), index(7, 2, 3)], lambda w, i: F.embedding(i, w))
    case("gather_1", "gather", dict(axis=1), lambda: [r(2, 5, 3, 2), index(5, 4)], lambda x, i: x.index_select(1, i))
    case("gather_elements", "gather_elements", dict(axis=1), lambda: [r(3, 5, 2), index(5, 3, 7, 2)],
         lambda x, i: torch.gather(x, 1, i))
    case("gather_elements_0", "gather_elements", dict(axis=0), lambda: [r(3, 5), index(3, 4, 2)],
         lambda x, i: torch.gather(x, 0, i))
    for tag, shape, axis, k, smallest in (("last", (3, 9), 1, 4, False), ("channels", (2, 6, 3, 2), 1, 3, False), ("smallest", (7, 2), 0, 3, True)):
        case("topk_" + tag, "topk", dict(axis=axis, k=k, smallest=smallest), lambda: [r(*shape)],
             lambda x: x.topk(k, axis, not smallest))
    for i, fn in enumerate((torch.lt, torch.le, torch.gt, torch.ge, torch.eq, torch.ne)):
        case("where_" + fn.__name__, "where", dict(compare=i),
             lambda: [np.round(r(2, 3, 4)), np.round(r(3, 1)), r(2, 3, 4), r(4)],
             lambda a, b, x, y: torch.where(fn(a, b), x, y), [2, 3])

    def edge(x):
        x.reshape(-1)[:3] = 0
        return x
    for tag, count in (("channels", 3), ("one", 1)):
        case("prelu_" + tag, "prelu", {}, lambda: [edge(r(2, 3, 4, 2)), r(count)], F.prelu)


def transposed():
    for tag, x, w, s, p, extra, d, groups, bias in (
            ("mask_head", (2, 5, 3, 4), (5, 7, 2, 2), (2, 2), (0, 0), (0, 0), (1, 1), 1, True),
            ("decoder", (1, 3, 4, 4), (3, 4, 3, 3), (2, 2), (1, 1), (1, 1), (1, 1), 1, True),
            ("groups", (1, 4, 5, 3), (4, 3, 4, 4), (2, 2), (1, 1), (0, 0), (1, 1), 2, False),
            ("dilation", (1, 2, 3, 3), (2, 2, 3, 3), (1, 1), (1, 1), (2, 2), (3, 3), 1, False),
            ("uneven", (1, 3, 4, 3), (3, 2, 3, 2), (3, 1), (0, 1), (2, 0), (1, 2), 1, True)):
        attrs = dict(stride=s, padding=p, output_padding=extra, dilation=d, groups=groups)
        case("conv_transpose2d_" + tag, "conv_transpose2d", attrs,
             lambda: [r(*x), r(*w, scale=0.3)] + ([r(w[1] * groups)] if bias else []),
             lambda x, w, b=None: F.conv_transpose2d(x, w, b, s, p, extra, groups, d))


def main():
    for part in (roi_align, norms, upsample, losses, gathers, transposed):
        part()


if __name__ == "__main__":
    main()
