"""Goldens of segmentation networks by torchvision and segmentation_models_pytorch, to train/testdata/segmentation.

Made with torch 2.15.0, torchvision 0.29.2, segmentation_models_pytorch 0.6.0; no
random numbers: each parameter and buffer is filled from its state-dict key, the
pictures from the name "input", by internal/golden/golden.py (Fill in package
namefill gives the same bits), so the files hold results only. All in float64,
rounded once. The pictures are 2x3x65x81, of no multiple of anything; label i of
the pixels, counted through the batch, is (7*i + i//13) % 5, and every 11th pixel
does not count. Dropout is 0. Run: python3 train/testdata/gen/segmentation.py

    logits       [2 5 11 14]: every 6th pixel of the logits, running statistics as filled
    loss         [3]: all, and its parts: CE(out), CE(aux) of torchvision's networks (loss
                 CE(out) + 0.5 CE(aux)); CE, DiceLoss("multiclass") of U-Net (CE + 0.7 Dice)
    grad.digest  [P 10]: L2 norm, sum and first 8 elements of the gradients of the loss, in
                 the order of metadata "params"

Gradients of torchvision's networks are with frozen statistics: through the
statistics of so small a batch a ResNet-50 in float32 loses all but two digits.
U-Net on ResNet-18 is in training mode.
"""

import os
import sys

import numpy as np
import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from torchvision.models import segmentation

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "..", "..", "internal", "golden")]
import golden  # noqa: E402

CLASSES, IGNORE, SHAPE = 5, 255, (2, 3, 65, 81)


def digest(x):
    x = x.detach().double().reshape(-1)
    head = torch.zeros(8, dtype=torch.float64)
    head[:min(8, len(x))] = x[:8]
    return torch.cat([x.norm()[None], x.sum()[None], head])


def write(name, model, training):
    for m in model.modules():
        if isinstance(m, torch.nn.Dropout):
            m.p = 0
    for k, v in model.state_dict().items():
        kind = golden.kind_of(k, v.ndim)
        if kind:
            v.copy_(torch.from_numpy(golden.fill(k, v.shape, kind)))
    model = model.double()
    x = torch.from_numpy(golden.fill("input", SHAPE, "input")).double()
    i = torch.arange(SHAPE[0] * SHAPE[2] * SHAPE[3])
    y = (7 * i + i // 13) % CLASSES
    y[::11] = IGNORE
    y = y.reshape(SHAPE[0], SHAPE[2], SHAPE[3])
    model.eval()
    if name.startswith("unet"):  # which refuses sizes that are no multiple of 32
        model.check_input_shape = lambda x: None
    with torch.no_grad():
        out = model(x)
        logits = out["out"] if isinstance(out, dict) else out
    model.train(training)
    out = model(x)
    if isinstance(out, dict):
        parts = [F.cross_entropy(out[k], y, ignore_index=IGNORE) for k in ("out", "aux")]
        loss = parts[0] + 0.5 * parts[1]
    else:
        parts = [F.cross_entropy(out, y, ignore_index=IGNORE), smp.losses.DiceLoss("multiclass", ignore_index=IGNORE)(out, y)]
        loss = parts[0] + 0.7 * parts[1]
    loss.backward()
    params = [k for k, _ in model.named_parameters()]
    tensors = {"logits": logits[:, :, ::6, ::6], "loss": torch.stack([loss, *parts]),
               "grad.digest": torch.stack([digest(p.grad) for p in model.parameters()])}
    path = os.path.join(HERE, "..", "segmentation", name + ".safetensors")
    golden.write(path, {k: v.detach().numpy().astype(np.float32) for k, v in tensors.items()}, {"params": params, "torch": torch.__version__})
    print(name, os.path.getsize(path), "bytes, loss", [float(p.detach()) for p in (loss, *parts)], "largest logit", float(logits.abs().max()))


def main():
    torch.set_num_threads(1)
    for name in ("fcn_resnet50", "fcn_resnet101", "deeplabv3_resnet50", "deeplabv3_resnet101"):
        write(name, getattr(segmentation, name)(weights=None, weights_backbone=None, num_classes=CLASSES, aux_loss=True), False)
    write("unet_resnet18", smp.Unet("resnet18", encoder_weights=None, classes=CLASSES), True)
    write("unet_resnet34", smp.Unet("resnet34", encoder_weights=None, classes=CLASSES), False)


if __name__ == "__main__":
    main()
