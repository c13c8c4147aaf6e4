"""Throughput and latency of resnet serve beside other servers, on one machine, alternating.

    python measure.py --resnet ./resnet --photo photo.jpg --models resnet50=resnet50.pth,embedded

--models has the names of torchvision's networks with files of weights (random ones will do), and
embedded for the model inside the program. --python has FastAPI, uvicorn, LitServe, onnxruntime and
Pillow; --triton-python has nvidia-pytriton, --mlserver-python MLServer. All servers have --threads threads and stay up while
they take turns, so a change of the machine's speed meets all of them. Those whose turn it is not
are stopped (SIGSTOP): some keep processors busy also without requests. Every answer is compared with
the first of its server, and the classes of servers with each other. 1 client shows the latency, many
clients the throughput. --seconds, --rounds and the numbers of models, servers and clients make the time,
which is printed first: with the defaults, two models take about ten minutes. --dry prints it and ends.

resnet-single has no batches, resnet-anybits lets batches have algorithms of their own.

Before and after the servers of a model, resnet bench measures the network alone. The share of its
pictures per second that the server answers is printed, for one client of those at batch 1, for more
at the largest batch (resnet-single: at batch 1). Decoding the photo is not in bench's time.

The last table is where the time of our requests goes: by the server's statistics.
"""

import argparse
import json
import os
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--resnet", required=True, help="the program")
parser.add_argument("--photo", required=True, help="a JPEG")
parser.add_argument("--models", default="embedded", help="NAME=FILE.pth, or embedded; separated by commas")
parser.add_argument("--servers", default="resnet,resnet-single,fastapi,litserve,pytriton,mlserver")
parser.add_argument("--clients", default="1,8,32")
parser.add_argument("--seconds", type=float, default=5, help="of each turn")
parser.add_argument("--rounds", type=int, default=2)
parser.add_argument("--dry", action="store_true", help="print how long it takes, and end")
parser.add_argument("--threads", default="2")
parser.add_argument("--batch", default="8", help="largest batch of servers that have batches")
parser.add_argument("--port", type=int, default=8400)
parser.add_argument("--python", default=sys.executable)
parser.add_argument("--triton-python", help="the default is --python")
parser.add_argument("--mlserver-python", help="the default is --python")
parser.add_argument("--load", help="the load generator; built from load if not given")
parser.add_argument("--json", help="file for the numbers of all turns")
args = parser.parse_args()
work = tempfile.TemporaryDirectory()


def run(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def get(url):
    with urllib.request.urlopen(url, timeout=5) as answer:
        return json.load(answer)


class Server:
    """A server that runs; post is the address for pictures."""

    def __init__(self, kind, port, model):
        self.kind, self.port, self.log = kind, port, os.path.join(work.name, f"{kind}-{port}.log")
        base = f"http://127.0.0.1:{port}"
        env = dict(os.environ)
        if kind.startswith("resnet"):
            command = [args.resnet, "serve", "--http", f"127.0.0.1:{port}", "--threads", args.threads, "--batch", "1" if kind == "resnet-single" else args.batch, "--log", "none", "--model", model["ours"]] + model["flags"] + (["--same-bits=false"] if kind == "resnet-anybits" else [])
            self.post, self.ready = base + "/v1/classify?topk=1", base + "/v2/health/ready"
        else:
            python = {"pytriton": args.triton_python, "mlserver": args.mlserver_python}.get(kind) or args.python
            command = [python, os.path.join(HERE, kind + "_server.py"), model["onnx"], str(port), args.threads] + ([] if kind == "fastapi" else [args.batch])
            env |= {"PREPROCESS": json.dumps(model["preprocess"]), "OMP_NUM_THREADS": args.threads}
            self.post = base + ("/v2/models/m/infer" if kind in ("pytriton", "mlserver") else "/classify")
            self.ready = base + {"fastapi": "/openapi.json", "litserve": "/health", "pytriton": "/v2/models/m", "mlserver": "/v2/models/m/ready"}[kind]
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=env, start_new_session=True)

    def wait(self, seconds=90):
        end = time.time() + seconds
        while time.time() < end and self.process.poll() is None:
            try:
                with urllib.request.urlopen(self.ready, timeout=2):
                    return
            except OSError:
                time.sleep(0.1)
        with open(self.log) as log:
            raise SystemExit(f"{self.kind} does not start:\n{log.read()[-3000:]}")

    def load(self, clients, seconds, warm):
        out = subprocess.run([load, "-url", self.post, "-clients", str(clients), "-seconds", str(seconds), "-warm", str(warm)] + ({"pytriton": ["-raw"], "litserve": ["-json"], "mlserver": ["-v2"]}.get(self.kind, [])) + [args.photo], check=True, stdout=subprocess.PIPE)
        return json.loads(out.stdout)

    def stages(self):
        m = get(f"http://127.0.0.1:{self.port}/v2/models/stats")["model_stats"][0]["inference_stats"]
        return {k: m[k]["ns"] for k in ("queue", "compute_input", "compute_infer", "compute_output")} | {"requests": m["success"]["count"], "total": m["success"]["ns"]}

    def pause(self):
        os.killpg(self.process.pid, signal.SIGSTOP)

    def resume(self):
        os.killpg(self.process.pid, signal.SIGCONT)
        time.sleep(0.2)

    def stop(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGCONT)
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)


def prepare(spec):
    """Returns what servers need of a model: ours, ONNX, and how pictures are prepared."""
    name, _, file = spec.partition("=")
    onnx = os.path.join(work.name, name + ".onnx")
    if name != "embedded":
        run(args.resnet, "convert", f"{name}@{file}", "--preprocess", "imagenet", onnx)
        return {"name": name, "ours": f"{name}@{file}", "flags": ["--preprocess", "imagenet"], "onnx": onnx, "preprocess": {}}
    own = os.path.join(HERE, "..", "..", "embedded", "cifar10.safetensors")
    run(args.resnet, "convert", own, onnx)
    with open(own, "rb") as f:
        meta = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))["__metadata__"]
    raw = next(v for k, v in meta.items() if "preprocess" in k)
    return {"name": name, "ours": own, "flags": [], "onnx": onnx, "preprocess": json.loads(raw)}


def bench(model):
    """Pictures per second of the network alone, by batch: of the embedded model's file, or random weights."""
    network = model["ours"] if model["name"] == "embedded" else model["name"]
    out = subprocess.run([args.resnet, "bench", network, "--batch", ",".join(sorted({"1", args.batch})), "--threads", args.threads, "--rounds", "3", "--seconds", "0.7", "--json"], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return {m["batch"]: m["ours"]["images_per_s"] for m in json.loads(out.stdout)}


def table(title, head, rows):
    print(f"\n{title}\n")
    widths = [max(len(str(r[i])) for r in [head, *rows]) for i in range(len(head))]
    for r in [head, *rows]:
        print("  ".join(str(v).ljust(w) if i == 0 else str(v).rjust(w) for i, (v, w) in enumerate(zip(r, widths))))
    sys.stdout.flush()


counts = [len(getattr(args, name).split(",")) for name in ("models", "servers", "clients")]
expected = counts[0] * (counts[1] * counts[2] * (args.rounds * (args.seconds + 1.5) + 0.7) + 15 + 5 * counts[1])
print(f"this takes about {expected / 60:.0f} minutes", flush=True)
if args.dry:
    sys.exit(0)
load = args.load or os.path.join(work.name, "load")
if not args.load:
    run("go", "build", "-C", os.path.join(HERE, "load"), "-o", load, ".")
failed, everything = False, []
for spec in args.models.split(","):
    model = prepare(spec)
    servers, results, shares = [], {}, []
    alone = [bench(model)]
    try:
        for i, kind in enumerate(args.servers.split(",")):
            servers.append(Server(kind, args.port + 10 * i, model))
        for s in servers:
            s.wait()
            s.pause()
        for clients in map(int, args.clients.split(",")):
            for turn in range(args.rounds):
                for s in servers if turn % 2 == 0 else reversed(servers):
                    s.resume()
                    before = s.stages() if s.kind.startswith("resnet") else None
                    r = s.load(clients, args.seconds, 1.0 if turn == 0 else 0.3)
                    results.setdefault((s.kind, clients), []).append(r)
                    everything.append({"model": model["name"], "server": s.kind, "turn": turn} | r)
                    after = s.stages() if before else None
                    s.pause()
                    if before:
                        n = after["requests"] - before["requests"]
                        shares.append((s.kind, clients, {k: (after[k] - before[k]) / n / 1e6 for k in before if k != "requests"}, r))
    finally:
        for s in servers:
            s.stop()
    alone.append(bench(model))
    classes = {kind: r[0]["class"] for (kind, _), r in results.items()}
    rows = []
    for (kind, clients), turns in results.items():
        median = lambda key: statistics.median(t[key] for t in turns)
        wrong = sum(t["wrong"] for t in turns) + sum(n for t in turns for status, n in t["statuses"].items() if status != "200")
        failed = failed or wrong > 0
        rows.append([kind, clients, f"{median('answered_per_s'):.1f}", f"{max(t['answered_per_s'] for t in turns):.1f}", f"{median('p50_ms'):.1f}", f"{median('p99_ms'):.1f}", f"{min(t['p99_ms'] for t in turns):.1f}", wrong])
    table(f"{model['name']}: {args.threads} threads, batches of up to {args.batch}, {args.rounds} turns of {args.seconds:g} s", ["server", "clients", "per s", "best", "p50 ms", "p99 ms", "best", "wrong"], rows)
    ours, peers = {k for k in classes if k.startswith("resnet")}, {k for k in classes if not k.startswith("resnet")}
    for clients in map(int, args.clients.split(",")):
        best = {k: max(t["answered_per_s"] for t in results[k, clients]) for k in classes}
        if ours and peers:
            a, b = max(ours, key=best.get), max(peers, key=best.get)
            print(f"{clients} clients: {a} {best[a] / best[b]:.2f} times the throughput of {b}")
    rows = []
    for (kind, clients), turns in results.items():
        if kind.startswith("resnet"):
            batch = 1 if clients == 1 or kind == "resnet-single" else int(args.batch)
            network = max(a[batch] for a in alone)
            rows.append([kind, clients, batch, f"{network:.1f}", " and ".join(f"{a[batch]:.1f}" for a in alone), f"{max(t['answered_per_s'] for t in turns) / network:.2f}"])
    table(f"{model['name']}: answers beside the pictures of resnet bench, best of all turns", ["server", "clients", "batch", "bench per s", "before and after", "share"], rows)
    # Labels are names in ours and indices in the others, unless the file has no names.
    if len({classes[k] for k in ours}) > 1 or len({classes[k] for k in peers}) > 1:
        print("the servers give the photo different classes:", classes)
        failed = True
    rows = []
    for kind, clients, part, r in shares:
        if clients != 1:
            continue
        wall = 1000 / r["answered_per_s"]
        rows.append([kind, f"{wall:.2f}", f"{part['compute_infer']:.2f}", f"{part['compute_input']:.2f}", f"{part['queue']:.2f}", f"{part['compute_output']:.2f}", f"{wall - part['total']:.2f}", f"{100 * (wall / part['compute_infer'] - 1):.1f} %"])
    table(f"{model['name']}: milliseconds of a request of one client", ["server", "wall", "network", "picture", "queue", "answer", "HTTP", "all but network"], rows)
if args.json:
    with open(args.json, "w") as f:
        json.dump(everything, f, indent=1)
sys.exit(1 if failed else 0)
