"""Masks of interpolated logits by PyTorch, to segment/testdata/upsample.json.

Made with torch 2.15.0: argmax of F.interpolate(logits, size, mode="bilinear",
align_corners=False), as torchvision's segmentation networks scale their logits up,
here in float64. Logits are random integers over 64, so that few sums are close.
Run: python3 segment/testdata/gen/upsample.py
"""

import json
import os

import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))


def main():
    torch.manual_seed(5)
    cases = []
    for classes, h, w, oh, ow in ((3, 5, 7, 11, 20), (2, 4, 4, 4, 4), (4, 9, 6, 3, 4), (3, 1, 1, 5, 6), (3, 8, 3, 16, 2)):
        z = torch.randint(-900, 900, (1, classes, h, w)).double() / 64
        mask = F.interpolate(z, (oh, ow), mode="bilinear", align_corners=False).argmax(1)
        cases.append({"logits": z.reshape(-1).tolist(), "shape": [classes, h, w], "size": [ow, oh], "mask": mask.reshape(-1).tolist()})
    with open(os.path.join(HERE, "..", "upsample.json"), "w") as f:
        json.dump(cases, f)
        f.write("\n")


if __name__ == "__main__":
    main()
