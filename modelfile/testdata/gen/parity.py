"""Makes a network of torchvision, timm, transformers or
segmentation_models_pytorch with random weights and batch norm statistics that
are not the initial ones, and what it computes.

    python3 parity.py SOURCE NAME WEIGHTS ANSWER [ONNX]

SOURCE is torchvision, timm, transformers, or torchvision.segmentation or
segmentation_models_pytorch for segmentation networks. WEIGHTS is written as
torch.save does; ANSWER is {"input": [2, 3, size, size], "logits": [2, classes]},
of segmentation networks {"input": [1, 3, 520, 680], "logits": [1, 21, 520, 680]}
(U-Net: 256 x 352). Seed 1. ONNX, a folder, gets the exports of both of PyTorch's
exporters, old.onnx and dynamo.onnx, with free height and width.
"""
import sys

import torch

source, name, weights, answer = sys.argv[1:5]
torch.manual_seed(1)
if source == "torchvision":
    import torchvision
    model = getattr(torchvision.models, name)(weights=None)
elif source == "torchvision.segmentation":
    from torchvision.models import segmentation
    model = getattr(segmentation, name)(weights=None, weights_backbone=None, num_classes=21, aux_loss=True)
elif source == "segmentation_models_pytorch":
    import segmentation_models_pytorch
    model = segmentation_models_pytorch.Unet(name.removeprefix("unet_"), encoder_weights=None, classes=21)
elif source == "timm":
    import timm
    model = timm.create_model(name, pretrained=False)
else:
    from transformers import ResNetConfig, ResNetForImageClassification
    layers = {"resnet18": [2, 2, 2, 2], "resnet50": [3, 4, 6, 3]}[name]
    basic = name == "resnet18"
    model = ResNetForImageClassification(ResNetConfig(
        depths=layers, layer_type="basic" if basic else "bottleneck", num_labels=1000,
        hidden_sizes=[64, 128, 256, 512] if basic else [256, 512, 1024, 2048]))
    # As in the published files, the head is random, not zero.
for m in model.modules():
    if isinstance(m, torch.nn.BatchNorm2d):
        with torch.no_grad():
            m.weight.uniform_(0.5, 1.5)
            m.bias.normal_(0, 0.1)
            m.running_mean.normal_(0, 0.1)
            m.running_var.uniform_(0.5, 2)
            m.num_batches_tracked.fill_(100)
model.eval()
shape = {"torchvision.segmentation": (1, 3, 520, 680), "segmentation_models_pytorch": (1, 3, 256, 352)}.get(source, (2, 3, 224, 224))
x = torch.randn(*shape)
with torch.no_grad():
    y = model(x)
y = y["out"] if source == "torchvision.segmentation" else getattr(y, "logits", y)
torch.save(model.state_dict(), weights)
torch.save({"input": x, "logits": y}, answer)
if len(sys.argv) > 5:
    # The exporters trace with another size than x has.
    small = torch.randn(1, 3, 64, 96)
    torch.onnx.export(model, small, sys.argv[5] + "/old.onnx", dynamo=False, opset_version=17, input_names=["x"],
                      dynamic_axes={"x": {2: "h", 3: "w"}})
    free = torch.export.Dim.AUTO if source == "segmentation_models_pytorch" else None
    h, w = (free, free) if free else (torch.export.Dim("h", min=33, max=2000), torch.export.Dim("w", min=33, max=2000))
    torch.onnx.export(model, (small,), sys.argv[5] + "/dynamo.onnx", dynamo=True, external_data=False, dynamic_shapes={"x": {2: h, 3: w}})
