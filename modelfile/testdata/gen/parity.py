"""Makes a network of torchvision, timm or transformers with random weights and
batch norm statistics that are not the initial ones, and what it computes.

    python3 parity.py SOURCE NAME WEIGHTS ANSWER

SOURCE is torchvision, timm or transformers. WEIGHTS is written as torch.save
does; ANSWER is {"input": [2, 3, size, size], "logits": [2, classes]}. Seed 1.
"""
import sys

import torch

source, name, weights, answer = sys.argv[1:]
torch.manual_seed(1)
if source == "torchvision":
    import torchvision
    model = getattr(torchvision.models, name)(weights=None)
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
x = torch.randn(2, 3, 224, 224)
with torch.no_grad():
    y = model(x)
y = getattr(y, "logits", y)
torch.save(model.state_dict(), weights)
torch.save({"input": x, "logits": y}, answer)
