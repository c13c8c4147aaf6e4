"""Models by our names, with He-initialized weights from a fixed seed."""

import torch
import torch.nn as nn
import torch.nn.functional as F
import torchvision
from torchvision.ops.misc import FrozenBatchNorm2d

from resnet_cifar import CifarResNet, init_


class Pixels(nn.Module):
    """A segmentation network: logits [N, classes, H, W]; in training also those of its auxiliary classifier."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def loss(self, x, y):
        out = self.net(x)
        return F.cross_entropy(out["out"], y) + 0.5 * F.cross_entropy(out["aux"], y)

    def load_state_dict(self, state):
        return self.net.load_state_dict(state)

    def forward(self, x):
        return F.interpolate(self.net.classifier(self.net.backbone(x)["out"]), size=x.shape[-2:], mode="bilinear", align_corners=False)


class Objects(nn.Module):
    """A detector: a picture [1, 3, H, W] with values from 0 to 1 in, objects out. outputs() gives what programs compare: the logits of the anchors."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def load_state_dict(self, state):
        return self.net.load_state_dict(state)

    def forward(self, x):
        return self.net([x[0]])[0]

    def objects(self, x):
        """Six objects of each picture, as internal/cli/bench/detector_train.go has them."""
        h, w = x.shape[-2:]
        boxes, masks = [], torch.zeros(6, h, w, dtype=torch.uint8)
        for k in range(6):
            x0, y0 = w * (k % 3) // 3, h * (k // 3) // 2
            x1, y1 = x0 + w // (4 + k % 3), y0 + h // (3 + k % 4)
            boxes.append([x0, y0, x1, y1])
            masks[k, y0:y1, x0:x1] = 1
        labels = [1 + k * 7 % 90 for k in range(6)]
        return [{"boxes": torch.tensor(boxes).float(), "labels": torch.tensor(labels), "masks": masks} for _ in x]

    def freeze_norms(self):
        """Batch norms as torchvision has them when a trained backbone is given."""
        def freeze(module):
            for name, child in module.named_children():
                if isinstance(child, nn.BatchNorm2d):
                    frozen = FrozenBatchNorm2d(child.num_features, eps=child.eps)
                    frozen.load_state_dict(child.state_dict())
                    setattr(module, name, frozen)
                else:
                    freeze(child)
        freeze(self.net)

    def outputs(self, x):
        images, _ = self.net.transform([x[0]])
        features = list(self.net.backbone(images.tensors).values())
        if hasattr(self.net, "head"):
            return self.net.head(features)["cls_logits"]
        logits, _ = self.net.rpn.head(features)
        return torch.cat([z.permute(0, 2, 3, 1).flatten(1) for z in logits], 1)


def build(name):
    """Return the model, in training mode, and its image size."""
    torch.manual_seed(1)
    if name.startswith(("fcn_", "deeplabv3_")):
        return Pixels(getattr(torchvision.models.segmentation, name)(weights=None, weights_backbone=None, aux_loss=True)), 520
    if name.startswith(("retinanet_", "fasterrcnn_", "maskrcnn_")):
        return Objects(getattr(torchvision.models.detection, name)(weights=None, weights_backbone=None)), 800
    if name.endswith("-cifar"):
        return init_(CifarResNet(int(name[len("resnet"):-len("-cifar")]))), 32
    make = getattr(torchvision.models, name, None)
    if make is None or not name.startswith(("resnet", "resnext", "wide_resnet")):
        raise SystemExit(f"unknown model {name!r}: resnet20-cifar, resnet18, resnet50, ...")
    model = make(weights=None)
    assert isinstance(model, nn.Module)
    return model, 224
