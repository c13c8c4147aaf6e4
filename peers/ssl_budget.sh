#!/bin/sh
# SimSiam on 10,000 pictures of CIFAR-10 by resnet and by PyTorch with the same recipe:
# loss and nearest neighbors of each epoch, and a linear probe. Run again, it goes on.
#
#   peers/ssl_budget.sh RESNET PYTHON cifar10-jpeg.zip OUT [EPOCHS [METHOD]]
#
# OUT/ours.jsonl and OUT/torch.jsonl have a line for each epoch.
set -eu
resnet=$1 python=$2 zip=$3 out=$4 epochs=${5:-10} method=${6:-simsiam}
here=$(dirname "$0")
mkdir -p "$out"
if [ ! -e "$out/data.done" ]; then
	"$python" - "$zip" "$out/data" <<'EOF'
import os, sys, zipfile
z, taken = zipfile.ZipFile(sys.argv[1]), {}
for name in sorted(z.namelist()):
    part = name.split("/")[-3:]
    if len(part) < 3 or not name.lower().endswith((".jpg", ".jpeg")) or part[0] not in ("train", "test"):
        continue
    key = tuple(part[:2])
    taken[key] = taken.get(key, 0) + 1
    if taken[key] <= {"train": 1000, "test": 300}[part[0]]:
        os.makedirs(os.path.join(sys.argv[2], *part[:2]), exist_ok=True)
        with open(os.path.join(sys.argv[2], *part), "wb") as f:
            f.write(z.read(name))
EOF
	touch "$out/data.done"
fi
if [ -e "$out/ours/last.safetensors" ]; then
	"$resnet" train --threads 1 --json --resume --out "$out/ours" >>"$out/ours.jsonl"
else
	rm -rf "$out/ours"
	"$resnet" train --threads 1 --json --task ssl --method "$method" --data "folder:$out/data" --epochs "$epochs" \
		--set batch_size=128 --set lr.warmup=1 --set eval_every=1 --out "$out/ours" >>"$out/ours.jsonl"
fi
OMP_NUM_THREADS=1 "$python" "$here/torch/train_ssl.py" --data "$out/data" --method "$method" --epochs "$epochs" --batch 128 \
	--warmup 1 --threads 1 --checkpoint "$out/torch.pt" >>"$out/torch.jsonl"
