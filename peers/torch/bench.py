#!/usr/bin/python3
"""Images per second of PyTorch on this machine's CPU; ../protocol.py tells how to drive it.

Training: a step of forward, cross entropy (or a detector's losses), backward and SGD
with momentum on a fixed batch. Inference: a forward pass. Each can be done in several ways
(--variant): eager in channels last; torch.compile of the same (needs a C++
compiler); for inference also TorchScript by optimize_for_inference. Without
--variant each is tried in a process of its own, so that it does not count in
the memory of the one measured, and the fastest is taken and named in "variant".
"""

import json
import os
import subprocess
import sys
import warnings

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
import protocol  # noqa: E402

VARIANTS = {"infer": ("eager", "script", "compile"), "train": ("eager", "compile")}
TITLES = {"eager": "eager channels_last", "script": "torchscript optimize_for_inference", "compile": "compile channels_last"}


def choose(args):
    """The fastest variant on this machine."""
    speed, failed = {}, []
    for v in VARIANTS[args.mode]:
        cmd = [sys.executable, os.path.abspath(__file__), "--variant", v, "--seconds", "1.5",
               "--model", args.model, "--batch", str(args.batch), "--threads", str(args.threads),
               "--mode", args.mode, "--size", str(args.size)] + ["--bf16"] * args.bf16
        r = subprocess.run(cmd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if r.returncode:
            failed.append(f"{v}: {r.stderr.strip()[-300:]}")
            continue
        speed[v] = json.loads(r.stdout.splitlines()[-1])["images_per_s"]
    for f in failed:
        print(f, file=sys.stderr)
    if not speed:
        raise SystemExit("no variant runs: " + "; ".join(failed).replace("\n", " "))
    return max(speed, key=speed.get), speed


def training(model, x, variant):
    """The loss of a step as a function; what programs compare, unless it is the first
    loss; the rate. What is drawn at random in training is different in each program,
    so networks with dropout and detectors are compared by their logits."""
    import torch
    import torch.nn.functional as F
    compiled = torch.compile if variant == "compile" else lambda f: f
    model.eval()
    if hasattr(model, "objects"):
        model.freeze_norms()
        with torch.no_grad():
            first = model.outputs(x)
        net, targets = model.net, model.objects(x)
        net.backbone = compiled(net.backbone)  # what comes after it depends on the objects found
        return lambda: sum(net(list(x), targets).values()), first, 1e-8  # see internal/cli/bench/detector_train.go
    with torch.no_grad():
        logits = model(x)
    labels = torch.Size((len(x), *logits.shape[2:]))  # of pictures, or of their pixels
    y = (torch.arange(labels.numel()) * 7 % logits.shape[1]).reshape(labels)
    first = logits if any(isinstance(m, torch.nn.Dropout) and m.p > 0 for m in model.modules()) else None
    if hasattr(model, "loss"):
        loss = compiled(model.loss)
        return lambda: loss(x, y), first, 1e-3
    net = compiled(model)
    return lambda: F.cross_entropy(net(x), y), first, 1e-3


def main():
    p = protocol.flags(("infer", "train"))
    p.add_argument("--variant", choices=sorted(TITLES), default=os.environ.get("PEER_TORCH_VARIANT") or None,
                   help="default: the fastest, or PEER_TORCH_VARIANT")
    args = p.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(args.threads)  # before torch reads it
    variant, tried = (args.variant, {}) if args.variant else choose(args)
    import torch
    from peer_models import build

    warnings.filterwarnings("ignore")
    torch.set_num_threads(args.threads)
    model, size = build(args.model)
    size = args.size or size
    if args.weights:
        model.load_state_dict({k: torch.from_numpy(v) for k, v in protocol.safetensors(args.weights).items()})
    model = model.to(memory_format=torch.channels_last)
    x = torch.from_numpy(protocol.batch(args, (args.batch, 3, size, size)))
    info = {"peer": "torch", "version": torch.__version__.split("+")[0], "variant": TITLES[variant], "tried": tried}
    info["variant"] += " autocast bf16" * args.bf16
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=args.bf16)
    if variant != "script":
        x = x.to(memory_format=torch.channels_last)
    if args.mode == "train":
        loss_of, first, rate = training(model, x, variant)
        model.train()
        opt = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9, weight_decay=5e-4)

        def step():
            opt.zero_grad(set_to_none=True)
            with autocast:
                loss = loss_of()
            loss.backward()
            opt.step()
            return loss
        protocol.write_output(args, (step() if first is None else first).detach().float().numpy())
        protocol.serve(args, info, step)
        return

    model.eval()
    outputs = getattr(model, "outputs", None)
    with torch.inference_mode(variant != "script"), torch.no_grad(), autocast:
        if variant == "compile":
            import torch._inductor.config as inductor
            inductor.freezing = True
            if hasattr(model, "objects"):
                model.net.backbone = torch.compile(model.net.backbone)
            else:
                model = torch.compile(model)
        elif variant == "script":
            model = torch.jit.optimize_for_inference(torch.jit.trace(model, x))
        for _ in range(3):  # TorchScript and compile optimize in their first calls
            out = model(x)
        protocol.write_output(args, outputs(x).float().numpy() if outputs else out.float().numpy())
        protocol.serve(args, info, lambda: model(x))


if __name__ == "__main__":
    main()
