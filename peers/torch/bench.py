#!/usr/bin/python3
"""Images per second of PyTorch on this machine's CPU; ../protocol.py tells how to drive it.

Training: a step of forward, cross entropy, backward and SGD with momentum on a
fixed batch; --variant chooses eager in PyTorch's own layout, eager in channels
last (the default) or torch.compile in channels last. Inference: eager in channels last, and TorchScript
by optimize_for_inference (oneDNN's own layout, fused); the faster of the two is
chosen by trying both at the start and named in "variant".
"""

import os
import statistics
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
import protocol  # noqa: E402


def main():
    flags = protocol.flags(("infer", "train"))
    flags.add_argument("--variant", choices=("eager", "channels_last", "compile"), default="channels_last",
                       help="how to train; inference tries what there is and takes the fastest")
    args = flags.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(args.threads)  # before torch reads it
    import torch
    import torch.nn.functional as F
    from peer_models import build

    torch.set_num_threads(args.threads)
    model, size = build(args.model)
    size = args.size or size
    train = args.mode == "train"
    layout = torch.contiguous_format if train and args.variant == "eager" else torch.channels_last
    model = model.to(memory_format=layout)
    x = torch.randn(args.batch, 3, size, size).to(memory_format=layout)
    info = {"peer": "torch", "version": torch.__version__, "variant": "eager channels_last"}
    if train:
        info["variant"] = {"eager": "eager", "channels_last": "eager channels_last", "compile": "compile channels_last"}[args.variant]
        with torch.no_grad():
            classes = model.eval()(x[:1]).shape[1]
        model.train()
        y = torch.randint(0, classes, (args.batch,))
        forward = torch.compile(model) if args.variant == "compile" else model
        opt = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-4)

        def step():
            opt.zero_grad(set_to_none=True)
            F.cross_entropy(forward(x), y).backward()
            opt.step()
        protocol.serve(args, info, step)
        return

    model.eval()
    with torch.inference_mode():
        def eager():
            model(x)
        with torch.no_grad():
            frozen = torch.jit.optimize_for_inference(torch.jit.trace(model, x))
        plain = x.contiguous()

        def script():
            frozen(plain)
        variants = {"eager channels_last": eager, "torchscript optimize_for_inference": script}
        speed = {}
        for name, step in variants.items():
            protocol.timed(step, {"steps": 3})  # TorchScript optimises in its first calls
            speed[name] = statistics.median(protocol.timed(step, {"steps": 5}))
        info["variant"] = min(speed, key=speed.get)
        protocol.serve(args, info, variants[info["variant"]])


if __name__ == "__main__":
    main()
