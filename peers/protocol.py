"""What the peers' benches have in common: their flags, their protocol, their answers.

A bench process is one configuration: model, batch, threads, mode. When it is
warm it prints a line {"ready": true, ...}. Then, for each line {"steps": k} or
{"seconds": s} on stdin, it runs that many timed steps (at least one) now and
answers with one line; an empty stdin ends it. So a driver can alternate the
runs of several programs. With --seconds it runs once, without stdin.

So that all programs compute the same, a driver may give files: --weights (the
state dict as safetensors), --onnx (the network), --input (float32, N H W C).
With --output the process writes what its first step gave there, as float32:
logits, in training the loss.
"""

import argparse
import json
import os
import resource
import statistics
import sys
import time


def flags(modes):
    p = argparse.ArgumentParser()
    p.add_argument("--model", required=True, help="resnet20-cifar, resnet18, resnet50, ...")
    p.add_argument("--batch", type=int, default=1)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--mode", choices=modes, default="infer")
    p.add_argument("--size", type=int, default=0, help="image height and width; by default the model's own")
    p.add_argument("--bf16", action="store_true", help="multiply bfloat16 numbers, as the program does it for a float32 network")
    p.add_argument("--seconds", type=float, default=0, help="run once for so long, without stdin")
    p.add_argument("--weights", help="state dict (safetensors) to use instead of random weights")
    p.add_argument("--onnx", help="ONNX file to run, for peers that run such files")
    p.add_argument("--input", help="file of the input: float32, N H W C")
    p.add_argument("--shape", help="shape of the input, N,C,H,W, for what the ONNX file leaves open")
    p.add_argument("--output", help="where to write the outputs of the first step")
    return p


def closed(args, shape):
    """The shape of an ONNX file's input, a list with an int for each extent that
    is fixed, with its open extents taken from --shape, the first also from --batch."""
    want = [int(d) for d in args.shape.split(",")] if args.shape else [args.batch] + [None] * (len(shape) - 1)
    if len(want) != len(shape):
        raise SystemExit(f"{args.onnx}: its input has the shape {shape}, not {want}")
    out = [d if isinstance(d, int) else w for d, w in zip(shape, want)]
    if None in out or any(w is not None and d != w for d, w in zip(out, want)):
        raise SystemExit(f"{args.onnx}: its input has the shape {shape}, which is not {args.shape or f'of batch {args.batch}'}")
    return out


def batch(args, shape):
    """The input as a numpy array N C H W: from --input, or random."""
    import numpy as np
    if not args.input:
        return np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    n, c, h, w = shape
    x = np.fromfile(args.input, np.float32)
    if x.size != n * c * h * w:
        raise SystemExit(f"{args.input}: {x.size} numbers, the network takes {list(shape)}")
    return np.ascontiguousarray(x.reshape(n, h, w, c).transpose(0, 3, 1, 2))


def safetensors(path):
    """The tensors of a file by name, as numpy arrays (float32 and int64)."""
    import numpy as np
    with open(path, "rb") as f:
        header = json.loads(f.read(int.from_bytes(f.read(8), "little")))
        data = f.read()
    kinds = {"F32": np.float32, "I64": np.int64}
    header.pop("__metadata__", None)
    return {name: np.frombuffer(data[slice(*e["data_offsets"])], kinds[e["dtype"]]).reshape(e["shape"]).copy()
            for name, e in header.items()}


def write_output(args, y):
    if args.output:
        import numpy as np
        np.asarray(y, np.float32).tofile(args.output)


def say(obj):
    print(json.dumps(obj), flush=True)


def peak_memory_mb():
    """The most memory that this process has had resident since its program was
    started. ru_maxrss is no measure of it: it begins with that of the process
    that started this one, which shares its memory until then."""
    try:
        with open("/proc/self/status") as f:
            for line in f:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) / 1024
    except OSError:
        pass
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # a system without /proc
    return rss / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def timed(step, request):
    """Run the steps a request asks for; return their milliseconds."""
    steps, seconds = request.get("steps"), request.get("seconds")
    if (steps is None) == (seconds is None):
        raise ValueError('a request has either "steps" or "seconds"')
    ms, start = [], time.perf_counter()
    while not ms or (len(ms) < steps if steps is not None else time.perf_counter() - start < seconds):
        t0 = time.perf_counter()
        step()
        ms.append((time.perf_counter() - t0) * 1e3)
    return ms


def serve(args, info, step):
    """Warm up, report readiness, then answer requests. info describes the peer."""
    info = dict(info, model=args.model, batch=args.batch, threads=args.threads, mode=args.mode)

    def answer(request):
        ms = timed(step, request)
        return dict(info, steps=len(ms), images_per_s=round(1e3 * args.batch / statistics.median(ms), 3),
                    ms=[round(m, 4) for m in ms],
                    peak_rss_mb=round(peak_memory_mb(), 1))

    timed(step, {"steps": 2})
    if args.seconds:
        say(answer({"seconds": args.seconds}))
        return
    say(dict(info, ready=True, pid=os.getpid()))
    for line in sys.stdin:
        if not line.strip():
            continue
        try:
            say(answer(json.loads(line)))
        except (ValueError, TypeError, AttributeError) as e:
            say({"error": f"{line.strip()}: {e}"})
