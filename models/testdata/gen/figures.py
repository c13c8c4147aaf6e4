"""Parameters and multiply-adds of every network of the table by PyTorch, to models/testdata/figures.json.

Made with torch 2.15.0, torchvision 0.29.2, timm 1.0, segmentation_models_pytorch 0.6.0.
Nothing is computed: the
networks run on PyTorch's device "meta", and its own counter
(torch.utils.flop_counter) counts 2 operations a multiply-add of convolutions and
matrix products, as the graph does; those of the fixed blur of resnetblur, which
nothing learns, are left out. Run: python3 models/testdata/gen/figures.py

Each network has "params", "macs" and "source": torchvision or timm (with their
name), or the PyTorch code here and in families.py after a paper, and, where
torchvision publishes a figure with its weights, "published" (10^9 multiply-adds).
"""

import json
import os
import sys
import warnings

warnings.simplefilter("ignore")

import segmentation_models_pytorch as smp  # noqa: E402
import timm  # noqa: E402
import torch  # noqa: E402
import torchvision  # noqa: E402
from torch import nn  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "..", "..", "peers", "torch")]
import families as fam  # noqa: E402
from resnet_cifar import CifarResNet  # noqa: E402


def count(make, size):
    with torch.device("meta"):
        model = make().eval()
        x = torch.empty(1, 3, size, size)
    blur = []
    for m in model.modules():
        if isinstance(m, fam.BlurPool2d):
            m.register_forward_hook(lambda m, i, o: blur.append(9 * o.numel()))
    with FlopCounterMode(display=False) as c, torch.no_grad():
        model(x)
    return {"params": sum(p.numel() for p in model.parameters()), "macs": c.get_total_flops() // 2 - sum(blur)}


class Plain(nn.Module):
    """A basic block without shortcut."""

    def __init__(self, i, o, stride):
        super().__init__()
        self.conv1, self.bn1 = fam.conv(i, o, 3, stride), nn.BatchNorm2d(o)
        self.conv2, self.bn2 = fam.conv(o, o, 3), nn.BatchNorm2d(o)

    def forward(self, x):
        return torch.relu(self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x))))))


class Bottle(nn.Module):
    """A bottleneck with its stride on the first 1x1 (He et al. 2015) and shortcut B."""

    def __init__(self, i, p, stride):
        super().__init__()
        o = 4 * p
        self.conv1, self.bn1 = fam.conv(i, p, 1, stride), nn.BatchNorm2d(p)
        self.conv2, self.bn2 = fam.conv(p, p, 3), nn.BatchNorm2d(p)
        self.conv3, self.bn3 = fam.conv(p, o, 1), nn.BatchNorm2d(o)
        self.short = fam.projection(i, o, stride) if i != o or stride > 1 else nn.Identity()

    def forward(self, x):
        y = torch.relu(self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x))))))
        return torch.relu(self.bn3(self.conv3(y)) + self.short(x))


def plain(i, p, s, _):
    return Plain(i, p, s), p


def bottle(i, p, s, _):
    return Bottle(i, p, s), 4 * p


class OneStage(nn.Module):
    """A RetinaNet without the preparation of pictures and what follows the heads."""

    def __init__(self, model):
        super().__init__()
        self.backbone, self.head = model.backbone, model.head

    def forward(self, x):
        return self.head(list(self.backbone(x).values()))


class TwoStage(nn.Module):
    """An R-CNN without what chooses: the heads on 1000 proposals and 100 detections."""

    def __init__(self, model):
        super().__init__()
        self.backbone, self.head, self.heads = model.backbone, model.rpn.head, model.roi_heads

    def forward(self, x):
        self.head(list(self.backbone(x).values()))
        boxes = self.heads.box_predictor(self.heads.box_head(torch.empty(1000, 256, 7, 7, device=x.device)))
        if self.heads.mask_head is None:
            return boxes
        return self.heads.mask_predictor(self.heads.mask_head(torch.empty(100, 256, 14, 14, device=x.device)))


def main():
    out = {}

    def add(name, source, make, size=32, **more):
        out[name] = {**count(make, size), "source": source, **more}

    for name in ("resnet18 resnet34 resnet50 resnet101 resnet152 resnext50_32x4d resnext101_32x8d resnext101_64x4d "
                 "wide_resnet50_2 wide_resnet101_2").split():
        weights = torchvision.models.get_model_weights(name).DEFAULT
        add(name, "torchvision", getattr(torchvision.models, name), 224, published=weights.meta["_ops"])
        assert out[name]["params"] == weights.meta["num_params"]
    for depth, counts in ((18, (2, 2, 2, 2)), (34, (3, 4, 6, 3))):
        add(f"plain{depth}", "PyTorch after He et al. 2015",
            lambda c=counts: fam.net(plain, 64, (64, 128, 256, 512), c, 1000, imagenet=True), 224)
        add(f"preresnet{depth}", "PyTorch after He et al. 2016b",
            lambda c=counts: fam.net(fam.pre_basic("B"), 64, (64, 128, 256, 512), c, 1000, pre=True, imagenet=True), 224)
    for name in ("resnet18d resnet34d resnet50d resnet101d resnet152d resnetblur18 resnetblur50 seresnet18 seresnet34 seresnet50 "
                 "seresnet101 seresnet152 seresnext50_32x4d ecaresnet50d cbamresnet50").split():
        if name in timm.list_models():
            add(name, "timm " + name, lambda n=name: timm.create_model(n), 224)
        else:
            kind = {"resnetblur18": dict(block=fam.tr.BasicBlock, layers=(2, 2, 2, 2), aa_layer=fam.BlurPool2d),
                    "resnetblur50": dict(block=fam.tr.Bottleneck, layers=(3, 4, 6, 3), aa_layer=fam.BlurPool2d),
                    "cbamresnet50": dict(block=fam.tr.Bottleneck, layers=(3, 4, 6, 3), **fam.attn("cbam"))}[name]
            add(name, "timm ResNet(" + ", ".join(k for k in kind if k != "block") + ")", lambda k=kind: fam.tr.ResNet(**k), 224)
    add("ecaresnet50", "timm ResNet(attn_layer eca)", lambda: fam.tr.ResNet(fam.tr.Bottleneck, (3, 4, 6, 3), **fam.attn("eca")), 224)
    for depth, counts in ((50, (3, 4, 6, 3)), (101, (3, 4, 23, 3)), (152, (3, 8, 36, 3)), (200, (3, 24, 36, 3))):
        name = f"resnetv2_{depth}"
        if name in timm.list_models():
            add(f"preresnet{depth}", "timm " + name, lambda n=name: timm.create_model(n), 224)
        else:
            add(f"preresnet{depth}", "PyTorch after He et al. 2016b",
                lambda c=counts: fam.net(fam.pre_bottleneck(1), 64, (64, 128, 256, 512), c, 1000, pre=True, imagenet=True), 224)
    for depth in (20, 32, 44, 56, 110, 1202):
        add(f"resnet{depth}-cifar", "PyTorch after He et al. 2015", lambda d=depth: CifarResNet(d))
    for depth in (20, 32, 44, 56, 110):
        add(f"plain{depth}-cifar", "PyTorch after He et al. 2015", lambda n=(depth - 2) // 6: fam.cifar(plain, n))
        add(f"highway{depth}-cifar", "PyTorch after Srivastava et al. 2015",
            lambda n=(depth - 2) // 6: fam.cifar(lambda i, p, s, _: (fam.Highway(i, p, s, True), p), 2 * n))
    for depth in (20, 56, 110):
        add(f"preresnet{depth}-cifar", "PyTorch after He et al. 2016b",
            lambda n=(depth - 2) // 6: fam.cifar(fam.pre_basic("A"), n, pre=True))
    for depth in (164, 1001):
        n = (depth - 2) // 9
        add(f"resnet{depth}-cifar", "PyTorch after He et al. 2016b", lambda n=n: fam.cifar(bottle, n))
        add(f"preresnet{depth}-cifar", "PyTorch after He et al. 2016b", lambda n=n: fam.cifar(fam.pre_bottleneck(0), n, pre=True))
    for depth, k in ((16, 4), (16, 8), (22, 8), (28, 10), (40, 1), (40, 2), (40, 4)):
        n = (depth - 4) // 6
        add(f"wrn-{depth}-{k}", "PyTorch after Zagoruyko & Komodakis 2016",
            lambda n=n, k=k: fam.net(fam.pre_basic("B"), 16, (16 * k, 32 * k, 64 * k), (n, n, n), pre=True))
    add("resnet11-speedrun", "PyTorch after Page 2018 and Jordan 2024", fam.SpeedrunNet)
    for name in ("fcn_resnet50", "fcn_resnet101", "deeplabv3_resnet50", "deeplabv3_resnet101"):
        weights = torchvision.models.get_model_weights(name).DEFAULT
        build = getattr(torchvision.models.segmentation, name)
        add(name, "torchvision", lambda b=build: b(weights=None, weights_backbone=None, num_classes=21, aux_loss=True), 520,
            published=weights.meta["_ops"])
        assert out[name]["params"] == weights.meta["num_params"]
    for encoder in ("resnet18", "resnet34", "resnet50"):
        add(f"unet_{encoder}", "segmentation_models_pytorch Unet", lambda e=encoder: smp.Unet(e, encoder_weights=None, classes=21), 256)
    for version in ("retinanet_resnet50_fpn", "retinanet_resnet50_fpn_v2"):
        build = getattr(torchvision.models.detection, version)
        add(version, "torchvision: backbone and head", lambda b=build: OneStage(b(weights=None, weights_backbone=None)), 800,
            published=torchvision.models.get_model_weights(version).DEFAULT.meta["_ops"])
    for version in ("fasterrcnn_resnet50_fpn", "fasterrcnn_resnet50_fpn_v2", "maskrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_v2"):
        build = getattr(torchvision.models.detection, version)
        published = torchvision.models.get_model_weights(version).DEFAULT.meta["_ops"]
        if version == "maskrcnn_resnet50_fpn":  # counted where no object was found
            published = 0
        add(version, "torchvision: backbone, RPN, heads on 1000 proposals" + ", masks of 100" * ("mask" in version),
            lambda b=build: TwoStage(b(weights=None, weights_backbone=None)), 800, **{"published": published} if published else {})
    versions = {"torch": torch.__version__.split("+")[0], "torchvision": torchvision.__version__.split("+")[0], "timm": timm.__version__}
    with open(os.path.join(HERE, "..", "figures.json"), "w") as f:
        json.dump({"versions": versions, "networks": out}, f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main()
