#!/usr/bin/env python3
"""The time of torchvision's classification networks by resnet and by onnxruntime, from the same ONNX file.

    python3 peers/torchvision_list.py --resnet ./resnet --onnx FOLDER [--threads 1,2] [NAME...]

Files that FOLDER does not have are exported with random weights first (needs torch
and torchvision); --export-only ends then. Each network runs in alternation by
`resnet bench`, which also compares the outputs. Prints a Markdown table of medians
in milliseconds and their ratios, and writes FOLDER/NAME.json for each network, so
that networks which are there already are not measured again (--again does).
"""

import argparse
import json
import os
import subprocess
import sys

# One or two of each family, small enough for two cores.
NAMES = """alexnet vgg11 vgg16_bn squeezenet1_1 resnet18 resnet50 resnext50_32x4d wide_resnet50_2 densenet121 googlenet inception_v3
mobilenet_v2 mobilenet_v3_small mobilenet_v3_large mnasnet1_0 shufflenet_v2_x1_0 efficientnet_b0 efficientnet_v2_s
regnet_x_400mf regnet_y_400mf convnext_tiny vit_b_16 vit_b_32 swin_t swin_v2_t maxvit_t""".split()


def export(name, path):
    import torch
    import torchvision
    torch.manual_seed(0)
    net = getattr(torchvision.models, name)(weights=None).eval()
    size = 299 if name == "inception_v3" else 224
    torch.onnx.export(net, torch.randn(1, 3, size, size), path + ".tmp", dynamo=False, input_names=["input"], opset_version=17)
    os.replace(path + ".tmp", path)


def measure(args, name, path):
    out = os.path.join(args.onnx, name + ".json")
    if os.path.exists(out) and not args.again:
        with open(out) as f:
            return json.load(f)
    here = os.path.dirname(os.path.abspath(__file__))
    r = subprocess.run([args.resnet, "bench", path, "--peer", f"ort={sys.executable}", "--peers-dir", here, "--threads", args.threads,
                        "--batch", "1", "--rounds", str(args.rounds), "--seconds", str(args.seconds), "--no-tuning", "--json"],
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if r.returncode:
        print(f"{name}: {r.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return None
    with open(out, "w") as f:
        f.write(r.stdout)
    return json.loads(r.stdout)


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--resnet", default="resnet", help="our program")
    p.add_argument("--onnx", required=True, help="folder of the ONNX files and of the results")
    p.add_argument("--threads", default="1,2")
    p.add_argument("--rounds", type=int, default=4)
    p.add_argument("--seconds", type=float, default=0.6, help="of each program in each round")
    p.add_argument("--again", action="store_true", help="also what is measured already")
    p.add_argument("--export-only", action="store_true")
    p.add_argument("names", nargs="*", default=NAMES, help="networks of torchvision")
    args = p.parse_args()
    os.makedirs(args.onnx, exist_ok=True)
    columns = args.threads.split(",")
    print("| network | " + " | ".join(f"ours / onnxruntime, ms, {t} threads | ratio" for t in columns) + " |")
    print("| --- |" + " --- | ---: |" * len(columns), flush=True)
    for name in args.names:
        path = os.path.join(args.onnx, name + ".onnx")
        if not os.path.exists(path):
            export(name, path)
        if args.export_only:
            continue
        found = measure(args, name, path)
        if not found:
            continue
        row = {str(c["threads"]): (c["ours"]["median_ms"], c["peers"][0]["median_ms"]) for c in found if c["peers"]}
        cells = [f"{row[t][0]:.1f} / {row[t][1]:.1f} | {row[t][0] / row[t][1]:.2f}" if t in row else "failed | " for t in columns]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
