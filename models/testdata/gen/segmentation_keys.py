"""State-dict keys and shapes of segmentation networks, to models/testdata/segmentation/*.txt.gz.

Made with torch 2.15.0, torchvision 0.29.2, segmentation_models_pytorch 0.6.0. One
line for each entry, in the order of the state dict: its key and its shape. Run:
python3 models/testdata/gen/segmentation_keys.py
"""

import gzip
import os

import segmentation_models_pytorch as smp
import torch
from torchvision.models import segmentation

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "segmentation")


def write(name, model):
    text = "".join(f"{k} {'x'.join(map(str, v.shape))}".rstrip() + "\n" for k, v in model.state_dict().items())
    with open(os.path.join(OUT, name + ".txt.gz"), "wb") as f, gzip.GzipFile("", "wb", 9, f, mtime=0) as z:
        z.write(text.encode())


def main():
    os.makedirs(OUT, exist_ok=True)
    with torch.device("meta"):
        for name in ("fcn_resnet50", "fcn_resnet101", "deeplabv3_resnet50", "deeplabv3_resnet101"):
            for aux in (True, False):
                model = getattr(segmentation, name)(weights=None, weights_backbone=None, num_classes=21, aux_loss=aux)
                write(f"torchvision_{name}" + ("" if aux else "_noaux"), model)
        for encoder in ("resnet18", "resnet34", "resnet50"):
            write(f"smp_unet_{encoder}", smp.Unet(encoder, encoder_weights=None, classes=21))


if __name__ == "__main__":
    main()
