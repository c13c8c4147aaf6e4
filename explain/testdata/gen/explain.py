"""Goldens of package explain by PyTorch, in explain/testdata.

Made with torch 2.15.0, torchvision 0.29.0, numpy 2; checked against pytorch-grad-cam
1.5.7. No random numbers: parameters and images are filled from their names by
internal/golden/golden.py. Run: python3 explain/testdata/gen/explain.py, with
--peer to compare with the package grad-cam from PyPI, too.

NAME.safetensors, for the ResNet-20 of CIFAR (3x32x32), and torchvision's ResNet
with one basic block and with one bottleneck a stage, for 10 classes, at 64x64; the
class is the first whose maps are all more than zeros. All in float64, rounded once;
metadata "float32_error" says how far PyTorch's own float32 is from it, by the
largest value. Grad-CAM++ divides by sums that come near 0 where a layer's
activations have both signs, so it is left out for the convolution layer1.1.conv2,
where float32 is 3e-4 off.

    logits                      [1 C]
    gradcam.LAYER               [h w], relu(sum of mean gradient x activation)
    gradcam++.LAYER             [h w]
    saliency, guided            [H W], the largest |gradient| over the channels
    saliency.LAYER, guided.LAYER [h w], the same at a layer
    occlusion                   [H W], by a loop over single images (ResNet-20)
"""

import contextlib
import copy
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..", "..")
sys.path[:0] = [os.path.join(ROOT, "internal", "golden"), os.path.join(ROOT, "peers", "torch")]
import golden  # noqa: E402
from resnet_cifar import CifarResNet  # noqa: E402

PATCH, STRIDE = 6, 4


def filled(model):
    state = {}
    for key, v in model.state_dict().items():
        kind = golden.kind_of(key, v.dim())
        if kind:
            state[key] = torch.from_numpy(golden.fill(key, tuple(v.shape), kind))
    model.load_state_dict(state, strict=False)
    return model.eval()


def at(model, path):
    return dict(model.named_modules())[path]


def gradient(model, x, path, klass):
    """Activations of a layer's last call, or the image, and the class's gradient with respect to them."""
    x = x.clone().requires_grad_(True)
    kept = [x]
    hook = at(model, path).register_forward_hook(lambda m, i, o: kept.append(o)) if path else None
    score = model(x)[0, klass]
    if hook:
        hook.remove()
    (g,) = torch.autograd.grad(score, [kept[-1]])
    return kept[-1].detach()[0], g[0]


def gradcam(a, g):
    return torch.relu((g.mean((1, 2))[:, None, None] * a).sum(0))


def gradcam_pp(a, g):
    """Chattopadhay et al. 2018, equation 19, and the weights of equation 10."""
    alpha = g**2 / (2 * g**2 + g**3 * a.sum((1, 2))[:, None, None] + 1e-6)
    w = (alpha * torch.relu(g)).sum((1, 2))
    return torch.relu((w[:, None, None] * a).sum(0))


class Guided(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g.clamp(min=0) * (x > 0)


@contextlib.contextmanager
def guided():
    """Guided backpropagation for all ReLUs, as functions and as modules, which call the function."""
    plain = F.relu
    F.relu = lambda x, inplace=False: Guided.apply(x)
    try:
        yield
    finally:
        F.relu = plain


def occlusion(model, x, klass):
    h, w = x.shape[2:]
    starts = lambda n: [*range(0, n - PATCH, STRIDE), n - PATCH]  # noqa: E731
    p = lambda x: torch.softmax(model(x)[0], 0)[klass].item()  # noqa: E731
    whole, drop, cover = p(x), np.zeros((h, w)), np.zeros((h, w))
    for i in starts(h):
        for j in starts(w):
            y = x.clone()
            y[:, :, i:i + PATCH, j:j + PATCH] = 0
            drop[i:i + PATCH, j:j + PATCH] += whole - p(y)
            cover[i:i + PATCH, j:j + PATCH] += 1
    return drop / cover


def maps(model, x, layers, klass):
    out = {"logits": model(x).detach().numpy()}
    for path in ["", *layers]:
        a, g = gradient(model, x, path, klass)
        with guided():
            _, gg = gradient(model, x, path, klass)
        dot = "." + path if path else ""
        out["saliency" + dot] = g.abs().amax(0).numpy()
        out["guided" + dot] = gg.abs().amax(0).numpy()
        if path:
            out["gradcam" + dot] = gradcam(a, g).numpy()
            if path != "layer1.1.conv2":
                out["gradcam++" + dot] = gradcam_pp(a, g).numpy()
    if x.shape[2] == 32:
        with torch.no_grad():
            out["occlusion"] = occlusion(model, x, klass)
    return out


def main():
    torch.set_num_threads(1)
    cases = {
        "resnet20-cifar": (CifarResNet(20), 32, ["layer3", "layer2", "layer1.1.conv2", "layer3.2.bn1"]),
        "basic": (ResNet(BasicBlock, [1, 1, 1, 1], 10), 64, ["layer4", "layer3.0", "layer2.0.downsample", "conv1"]),
        "bottleneck": (ResNet(Bottleneck, [1, 1, 1, 1], 10), 64, ["layer4", "layer3"]),
    }
    for name, (model, size, layers) in cases.items():
        model = filled(model)
        x = torch.from_numpy(golden.fill("input", (1, 3, size, size), "input"))
        klass = next(k for k in range(10)  # the first whose maps are all more than zeros
                     if all(gradcam(*gradient(model, x, path, k)).max() > 0 for path in layers))
        single = maps(model, x, layers, klass)
        out = maps(model.double(), x.double(), layers, klass)
        error = {k: float(np.abs(single[k] - v).max() / np.abs(v).max()) for k, v in out.items()}
        if "--peer" in sys.argv:
            peer(name, model, x, layers, klass, out)
        out = {k: v.astype(np.float32) for k, v in out.items()}
        attrs = {"class": klass, "size": size, "layers": layers, "patch": PATCH, "stride": STRIDE,
                 "torch": torch.__version__, "torchvision": torchvision.__version__}
        golden.write(os.path.join(HERE, "..", name + ".safetensors"), out,
                     {"op": "explain", "attrs": attrs, "float32_error": error})


def peer(name, model, x, layers, klass, out):
    """The same by the package grad-cam, whose maps lie between 0 and 1."""
    from pytorch_grad_cam import GradCAM, GradCAMPlusPlus, GuidedBackpropReLUModel
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    model, x = copy.deepcopy(model).float(), x.float()
    for path in layers:
        for cam, kind in ((GradCAM, "gradcam"), (GradCAMPlusPlus, "gradcam++")):
            with cam(model=model, target_layers=[at(model, path)]) as c:
                c(input_tensor=x, targets=[ClassifierOutputTarget(klass)])
                a, g = c.activations_and_grads.activations[-1].numpy(), c.activations_and_grads.gradients[0].numpy()
                got = np.maximum(c.get_cam_image(x, at(model, path), [ClassifierOutputTarget(klass)], a, g, False)[0], 0)
            if f"{kind}.{path}" not in out:
                continue
            want = out[f"{kind}.{path}"]
            error = np.abs(got - want).max() / max(np.abs(want).max(), 1e-30)
            print(f"{name} {kind} {path}: differs by {error:.1e} of the largest value")
            assert error < 1e-4
    if not hasattr(model, "relu"):
        return  # it finds modules only
    got = np.abs(GuidedBackpropReLUModel(copy.deepcopy(model), "cpu")(x, target_category=klass)).max(2)
    error = np.abs(got - out["guided"]).max() / out["guided"].max()
    print(f"{name} guided: differs by {error:.1e}")
    assert error < 1e-4


if __name__ == "__main__":
    main()
