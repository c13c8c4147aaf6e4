#!/usr/bin/python3
"""Train resnet11-speedrun with PyTorch as our recipe speedrun does: time and accuracy that ours are compared with.

The first weights, the whitened filters included, come from a file of ours: a run of one step at a rate of nothing,

    resnet train --recipe speedrun --data folder:cifar10-jpeg.zip --no-check --out init --set epochs=0 --set iterations=1 --set lr.warmup=0 --set lr.peak=1e-30 --set eval_mirror=false
    train_speedrun.py --init init/last.safetensors --data cifar10-jpeg.zip --out torch-speedrun

Recipe: batches of 256, the last partial one dropped, shuffled each epoch; 2 pixels mirrored at each side and a random
crop of 32; half of the pictures mirrored in the first epoch, the others in the second, and so on; SGD, momentum 0.9,
Nesterov, weight decay 1e-3 on weights, 16 times the rate for biases of norms, the stem's filters frozen; rate linear from
a fifth to the peak 0.3 in 3 of 10 epochs, then linear to a twentieth; label smoothing 0.2; Lookahead every 5 steps with
decay 0.77*(step/steps)^3 after the warm-up, running statistics included; evaluation of pictures and mirror images.

--plain leaves out augmentation. With as many pictures as a batch has, the losses of the first steps are then those of ours
(--set augment={}), because their order does not count.

Writes OUT/log.jsonl, one line an epoch, and OUT/last.pt; started again with the same OUT it goes on after the last epoch.
"""

import argparse
import json
import os
import time

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from speedrun_net import SpeedrunNet
from train_cifar import load, prepare


def augment(padded, ids, flipped, pad, g):
    """Random 32x32 crops of the padded images, mirrored where told."""
    n = len(ids)
    span = torch.arange(32)
    rows = torch.randint(0, 2 * pad + 1, (n, 1), generator=g) + span
    cols = torch.randint(0, 2 * pad + 1, (n, 1), generator=g) + torch.where(flipped[ids, None], 31 - span, span)
    return padded[ids[:, None, None], rows[:, :, None], cols[:, None, :]]


def lr_at(step, steps, warm, peak, start=0.2, final=0.05):
    if step < warm:
        return peak * (start + (1 - start) * (step + 1) / warm)
    return peak * (final + (1 - final) * (1 - (step - warm) / (steps - warm)))


def floats(model):
    return {k: v for k, v in model.state_dict().items() if v.dtype.is_floating_point}


@torch.no_grad()
def test(model, x, y):
    model.eval()
    loss = right = 0
    for i in range(0, len(x), 250):
        p = prepare(x[i:i + 250])
        out = (model(p) + model(p.flip(3))) / 2
        loss += F.cross_entropy(out, y[i:i + 250], reduction="sum").item()
        right += (out.argmax(1) == y[i:i + 250]).sum().item()
    return loss / len(x), 100 * right / len(x)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--data", required=True)
    p.add_argument("--init", required=True, help="first weights, a safetensors file of ours")
    p.add_argument("--out", required=True)
    p.add_argument("--cache", default="/tmp/cifar10-jpeg.npz")
    p.add_argument("--epochs", type=int, default=10)
    p.add_argument("--batch", type=int, default=256)
    p.add_argument("--lr", type=float, default=0.3)
    p.add_argument("--warmup", type=float, default=3, help="epochs")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--plain", action="store_true", help="no augmentation")
    p.add_argument("--eval-every", type=int, default=2)
    a = p.parse_args()

    torch.set_num_threads(a.threads)
    os.makedirs(a.out, exist_ok=True)
    tx, ty, vx, vy = load(a.data, a.cache)
    pad = 2
    edge = torch.arange(-pad, 32 + pad).abs()
    edge = torch.where(edge > 31, 62 - edge, edge)
    padded = tx[:, edge][:, :, edge]
    model = SpeedrunNet().to(memory_format=torch.channels_last)
    first = {k: v for k, v in load_file(a.init).items() if "." in k and not k.startswith(("optim.", "ema.")) and "running" not in k and "num_batches" not in k}
    missing, extra = model.load_state_dict(first, strict=False)
    assert not extra and all("running" in k or "num_batches" in k for k in missing), (missing, extra)
    model.conv1.weight.requires_grad_(False)
    learns = [(k, q) for k, q in model.named_parameters() if q.requires_grad]
    opt = torch.optim.SGD([
        {"params": [q for k, q in learns if q.ndim > 1], "weight_decay": 1e-3, "scale": 1},
        {"params": [q for k, q in learns if q.ndim == 1 and not ("bn" in k and k.endswith("bias"))], "scale": 1},
        {"params": [q for k, q in learns if "bn" in k and k.endswith("bias")], "scale": 16},
    ], lr=a.lr, momentum=0.9, nesterov=True)
    slow = {k: v.clone() for k, v in floats(model).items() if k != "conv1.weight"}
    per_epoch = len(tx) // a.batch
    steps, warm = a.epochs * per_epoch, round(a.warmup * per_epoch)

    last, begin, spent = os.path.join(a.out, "last.pt"), 0, 0.0
    if os.path.exists(last):
        c = torch.load(last)
        model.load_state_dict(c["model"])
        opt.load_state_dict(c["opt"])
        slow, begin, spent = c["slow"], c["epoch"] + 1, c["seconds"]
    flip_first = torch.rand(len(tx), generator=torch.Generator().manual_seed(a.seed)) < 0.5

    for epoch in range(begin, a.epochs):
        g = torch.Generator().manual_seed(a.seed * 1_000_003 + epoch)
        order = torch.randperm(len(tx), generator=g)
        flipped = flip_first ^ (epoch % 2 == 1)
        model.train()
        began = time.monotonic()
        loss_sum = right = 0.0
        for i in range(per_epoch):
            step = epoch * per_epoch + i
            for group in opt.param_groups:
                group["lr"] = lr_at(step, steps, warm, a.lr) * group["scale"]
            ids = order[i * a.batch:(i + 1) * a.batch]
            x, y = prepare(tx[ids] if a.plain else augment(padded, ids, flipped, pad, g)), ty[ids]
            out = model(x)
            loss = F.cross_entropy(out, y, label_smoothing=0.2)
            opt.zero_grad(set_to_none=True)
            loss.backward()
            opt.step()
            if step < warm or (step + 1) % 5 == 0:
                decay = 0.0 if step < warm else 0.77 * ((step + 1) / steps) ** 3
                with torch.no_grad():
                    now = floats(model)
                    for k, v in slow.items():
                        v.lerp_(now[k], 1 - decay)
                        now[k].copy_(v)
            loss_sum += loss.item()
            right += (out.argmax(1) == y).sum().item()
            if i % 20 == 0:
                print(f"epoch {epoch + 1} step {i}/{per_epoch} loss {loss.item():.6f} "
                      f"{(i + 1) * a.batch / (time.monotonic() - began):.0f} images/s", flush=True)
        spent += time.monotonic() - began
        row = {"epoch": epoch + 1, "train_loss": loss_sum / per_epoch, "train_top1": 100 * right / (per_epoch * a.batch),
               "seconds": spent, "torch": torch.__version__, "threads": a.threads, "seed": a.seed}
        if (epoch + 1) % a.eval_every == 0 or epoch + 1 == a.epochs:
            row["test_loss"], row["test_top1"] = test(model, vx, vy)
        print(json.dumps(row), flush=True)
        with open(os.path.join(a.out, "log.jsonl"), "a") as f:
            f.write(json.dumps(row) + "\n")
        torch.save({"model": model.state_dict(), "opt": opt.state_dict(), "slow": slow, "epoch": epoch, "seconds": spent}, last + ".tmp")
        os.replace(last + ".tmp", last)


if __name__ == "__main__":
    main()
