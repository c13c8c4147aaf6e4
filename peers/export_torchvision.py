#!/usr/bin/env python3
"""Writes torchvision's classification networks as ONNX files, by PyTorch's exporter, with random weights.

    python3 peers/export_torchvision.py FOLDER [NAME...]

Networks that FOLDER has are left. Without names, one or two of each family, small
enough for two cores. docs/speed/run.sh measures them.
"""

import os
import sys
import warnings

NAMES = """alexnet vgg11 vgg16_bn squeezenet1_1 resnet18 resnet50 resnext50_32x4d wide_resnet50_2 densenet121 googlenet inception_v3
mobilenet_v2 mobilenet_v3_small mobilenet_v3_large mnasnet1_0 shufflenet_v2_x1_0 efficientnet_b0 efficientnet_v2_s
regnet_x_400mf regnet_y_400mf convnext_tiny vit_b_16 vit_b_32 swin_t swin_v2_t maxvit_t""".split()


def export(name, path):
    import torch
    import torchvision

    torch.manual_seed(0)
    net = getattr(torchvision.models, name)(weights=None).eval()
    size = 299 if name == "inception_v3" else 224
    torch.onnx.export(net, torch.randn(1, 3, size, size), path + ".tmp", dynamo=False, input_names=["input"], opset_version=17)
    os.replace(path + ".tmp", path)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    folder, names = sys.argv[1], sys.argv[2:] or NAMES
    os.makedirs(folder, exist_ok=True)
    warnings.simplefilter("ignore")
    for name in names:
        path = os.path.join(folder, name + ".onnx")
        if not os.path.exists(path):
            export(name, path)


if __name__ == "__main__":
    main()
