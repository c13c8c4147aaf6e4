"""Time from the start of resnet serve to its first answer, its memory when idle, and the program's size.

    python start.py --resnet ./resnet --photo photo.jpg [--times 10] [flags of resnet serve]
"""

import argparse
import os
import statistics
import subprocess
import time
import urllib.request

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--resnet", required=True)
parser.add_argument("--photo", required=True)
parser.add_argument("--times", type=int, default=10)
parser.add_argument("--port", type=int, default=8390)
args, flags = parser.parse_known_args()
with open(args.photo, "rb") as f:
    photo = f.read()
took, idle = [], []
for _ in range(args.times):
    began = time.time()
    server = subprocess.Popen([args.resnet, "serve", "--http", f"127.0.0.1:{args.port}", "--log", "none", *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            if server.poll() is not None:
                raise SystemExit("the server does not start")
            try:
                urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{args.port}/v1/classify", data=photo)).read()
                break
            except OSError:
                time.sleep(0.002)
        took.append(time.time() - began)
        time.sleep(1)
        with open(f"/proc/{server.pid}/status") as f:
            idle.append(next(int(line.split()[1]) for line in f if line.startswith("VmRSS")) / 1024)
    finally:
        server.terminate()
        server.wait()
print(f"first answer after {1000 * statistics.median(took):.0f} ms (median of {args.times}, best {1000 * min(took):.0f}); resident after a second {statistics.median(idle):.0f} MiB; program {os.path.getsize(args.resnet) / 1e6:.1f} MB")
