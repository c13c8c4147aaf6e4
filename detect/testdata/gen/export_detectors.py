"""Exports small torchvision detectors to ONNX and runs each by onnxruntime on a picture.

    python export_detectors.py picture.png FOLDER

For each detector, FOLDER gets NAME.onnx, as PyTorch's older exporter writes it, and NAME.json, what onnxruntime finds with it.
PyTorch's newer exporter (dynamo) refuses all of torchvision's detectors, because their results vary in number.
Made with torch 2.15, torchvision 0.29, onnxruntime 1.32.
"""

import json
import sys
import warnings
from functools import partial

import numpy as np
import onnxruntime
import torch
from PIL import Image
from torchvision.models.detection import FasterRCNN, MaskRCNN, RetinaNet
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead, FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.retinanet import RetinaNetHead, _default_anchorgen
from torchvision.models.detection.rpn import RPNHead
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool, LastLevelP6P7
from torchvision.ops.misc import FrozenBatchNorm2d

warnings.filterwarnings("ignore")
torch.set_num_threads(1)
NARROW = 16  # the networks have a 16th of the usual channels


class Narrow(ResNet):
    def _make_layer(self, block, planes, blocks, stride=1, dilate=False):
        if planes == 64:
            self.inplanes = 64 // NARROW
            self.conv1 = torch.nn.Conv2d(3, self.inplanes, 7, 2, 3, bias=False)
            self.bn1 = self._norm_layer(self.inplanes)
        return super()._make_layer(block, planes // NARROW, blocks, stride, dilate)


def build(kind, v2, block, layers, classes, min_size):
    torch.manual_seed(1)
    norm = torch.nn.BatchNorm2d if v2 else FrozenBatchNorm2d
    body = Narrow(block, list(layers), norm_layer=norm)
    retina = kind == "retinanet"
    width = 64 if retina and v2 else 32
    stages = [2, 3, 4] if retina else [1, 2, 3, 4]
    channels = [64 // NARROW * block.expansion * 2 ** (i - 1) for i in stages]
    extra = LastLevelP6P7(channels[-1] if v2 else width, width) if retina else LastLevelMaxPool()
    backbone = BackboneWithFPN(body, {f"layer{k}": str(i) for i, k in enumerate(stages)}, channels, width, extra_blocks=extra,
                               norm_layer=torch.nn.BatchNorm2d if v2 and not retina else None)
    size = dict(min_size=min_size, max_size=160)
    if retina:
        anchors = _default_anchorgen()
        head = RetinaNetHead(width, anchors.num_anchors_per_location()[0], classes, norm_layer=partial(torch.nn.GroupNorm, 32)) if v2 else None
        m = RetinaNet(backbone, classes, anchor_generator=anchors, head=head, topk_candidates=200, detections_per_img=20, score_thresh=0.06, nms_thresh=0.4, **size)
        for conv in [c[0] for c in list(m.head.classification_head.conv) + list(m.head.regression_head.conv)]:
            torch.nn.init.kaiming_normal_(conv.weight)
        torch.nn.init.normal_(m.head.classification_head.cls_logits.weight, std=0.02 if v2 else 0.01)
        torch.nn.init.normal_(m.head.classification_head.cls_logits.bias, std=1)
        torch.nn.init.normal_(m.head.regression_head.bbox_reg.weight, std=0.01)
    else:
        options = dict(rpn_post_nms_top_n_test=50, rpn_pre_nms_top_n_test=100, box_detections_per_img=10, box_score_thresh=0.06, box_nms_thresh=0.4, rpn_nms_thresh=0.6)
        norm = torch.nn.BatchNorm2d if v2 else None
        if v2:
            options["rpn_head"] = RPNHead(width, 3, conv_depth=2)
            options["box_head"] = FastRCNNConvFCHead((width, 7, 7), [width] * 4, [16], norm_layer=norm)
        else:
            options["box_head"] = TwoMLPHead(width * 49, 16)
        options["box_predictor"] = FastRCNNPredictor(16, classes)
        if kind == "maskrcnn":
            options["mask_head"] = MaskRCNNHeads(width, [width] * 4, 1, norm_layer=norm)
            options["mask_predictor"] = MaskRCNNPredictor(width, width, classes)
        m = (MaskRCNN if kind == "maskrcnn" else FasterRCNN)(backbone, **options, **size)
        for layer, std in [(m.roi_heads.box_predictor.cls_score, 0.6), (m.roi_heads.box_predictor.bbox_pred, 0.3), (m.rpn.head.cls_logits, 0.5), (m.rpn.head.bbox_pred, 0.3)]:
            torch.nn.init.normal_(layer.weight, std=std)
    for n, mod in m.named_modules():
        if isinstance(mod, (torch.nn.BatchNorm2d, FrozenBatchNorm2d, torch.nn.GroupNorm)):
            mod.weight.data.uniform_(0.7, 1.3)
            mod.bias.data.normal_(0, 0.2)
            if hasattr(mod, "running_mean"):
                mod.running_mean.normal_(0, 0.2)
                mod.running_var.uniform_(0.5, 1.5)
        elif isinstance(mod, torch.nn.Conv2d) and mod.bias is not None and "cls_logits" not in n:
            torch.nn.init.normal_(mod.bias, std=0.1)
    return m.eval()


CASES = {
    "retinanet": ("retinanet", False, Bottleneck, (1, 2, 1, 1), 4, 96),
    "retinanet_v2": ("retinanet", True, BasicBlock, (1, 1, 1, 1), 5, 128),
    "fasterrcnn": ("fasterrcnn", False, BasicBlock, (2, 1, 1, 2), 4, 96),
    "fasterrcnn_v2": ("fasterrcnn", True, Bottleneck, (1, 1, 2, 1), 5, 96),
    "maskrcnn": ("maskrcnn", False, Bottleneck, (2, 1, 1, 1), 4, 128),
    "maskrcnn_v2": ("maskrcnn", True, BasicBlock, (1, 2, 1, 1), 3, 96),
}

if __name__ == "__main__":
    picture = np.asarray(Image.open(sys.argv[1]).convert("RGB"), dtype=np.float32).transpose(2, 0, 1) / 255
    for name, case in CASES.items():
        m = build(*case)
        path = f"{sys.argv[2]}/{name}.onnx"
        outputs = ["boxes", "scores", "labels"] if case[0] == "retinanet" else ["boxes", "labels", "scores", "masks"][: 4 if case[0] == "maskrcnn" else 3]
        # Another picture than the one that is tested.
        torch.onnx.export(m, ([torch.rand(3, 90, 120)],), path, dynamo=False, opset_version=17, input_names=["image"], output_names=outputs,
                          dynamic_axes={"image": {1: "height", 2: "width"}})
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        out = dict(zip(outputs, session.run(outputs, {"image": picture})))
        line = {"boxes": out["boxes"].ravel().tolist(), "labels": out["labels"].tolist(), "scores": out["scores"].tolist()}
        if "masks" in out:
            line["shape"] = list(out["masks"].shape)
            line["masks"] = np.round(out["masks"].astype(np.float64), 6).ravel().tolist()
        with open(f"{sys.argv[2]}/{name}.json", "w") as f:
            json.dump(line, f)
