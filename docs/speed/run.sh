#!/usr/bin/env bash
# Measures what docs/speed.md shows and writes its tables anew:
#   TORCH=venv/bin/python ORT=venv/bin/python OPENVINO=venv/bin/python docs/speed/run.sh [PART...]
# with a Python that has each peer (see peers/README.md). Without a PART, all:
#   infer    float32 inference in turns with onnxruntime and OpenVINO
#   int8     8-bit inference, the same file in each program
#   bf16     inference and training with bfloat16 products, in turns with OpenVINO and PyTorch;
#            only on processors that have them, and only if it is named
#   train    training steps in turns with PyTorch
#   avx2     inference with AVX-512 switched off in all programs
#   start    from process start to the first prediction
#   tune     what measured choice of algorithms gains
#   profile  the steps of plans and their times
#   list     torchvision's classification networks in turns with onnxruntime, the same file in
#            both; only if it is named. Exported into LIST, if that is set, or anew
# About eight minutes on two cores. PREFIX is a command that each measurement
# runs under, such as "taskset -c 0,1"; no measurement takes a minute. Results
# are in docs/speed/results, or its folder MACHINE (zen4), from which the last step
# makes the tables.
set -euo pipefail
cd "$(dirname "$0")/../.."
: "${TORCH:=python3}" "${ORT:=python3}" "${OPENVINO:=python3}"
results=docs/speed/results${MACHINE:+/$MACHINE}
resnet=${RESNET:-}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
if [ -z "$resnet" ]; then
    resnet=$tmp/resnet
    CGO_ENABLED=0 go build -o "$resnet" ./cmd/resnet
fi
export RESNET_TUNING=off # but where tuning is what is measured

# measure NAME ARGUMENT...: the command's JSON becomes the result NAME, an object a line.
measure() {
    echo "$(date +%T) $1" >&2
    ${PREFIX:-} "$resnet" "${@:2}" --json --quiet >"$tmp/result.json"
    { tr -d '\n' <"$tmp/result.json" | sed 's/  */ /g; s/}, {/},\n{/g; s/\[ {/[\n{/g'; echo; } >"$results/$1.json"
}

# weights NAME: a state dict of random numbers, made once.
weights() {
    [ -e "$tmp/$1.pth" ] || "$TORCH" -c "
import sys, torch, torchvision
torch.manual_seed(1)
torch.save(getattr(torchvision.models, sys.argv[1])(weights=None).state_dict(), sys.argv[2])" "$1" "$tmp/$1.pth"
}

infer() {
    for m in resnet18 resnet50; do
        for b in 1 8; do
            measure "infer-$m-b$b" bench $m --batch $b --threads 1,2 --rounds 4 --seconds 0.6 --peer "ort=$ORT,openvino=$OPENVINO"
        done
    done
}

int8() {
    for class in train/0 train/1 val/0 val/1; do
        mkdir -p "$tmp/pictures/$class"
        cp docs/explain-cat.png "$tmp/pictures/$class"
    done
    for m in resnet18 resnet50; do
        weights $m
        # Random weights, two pictures: speed does not depend on either.
        "$resnet" quantize "$m@$tmp/$m.pth" --preprocess imagenet --calib "folder:$tmp/pictures" -o "$tmp/$m-int8.onnx" --quiet >/dev/null
        measure "int8-$m" bench "$tmp/$m-int8.onnx" --batch 1,8 --threads 1,2 --rounds 4 --seconds 0.6 --peer "ort=$ORT,openvino=$OPENVINO"
        sed -i "s|$tmp/||" "$results/int8-$m.json"
    done
}

bf16() {
    for m in resnet18 resnet50; do
        measure "bf16-$m" bench $m --bf16=native --batch 1,8 --threads 1,2 --rounds 3 --seconds 0.6 --peer "openvino=$OPENVINO"
    done
    PEER_TORCH_VARIANT=eager measure bf16-train bench resnet18 resnet50 --bf16=native --mode train --batch 16 --threads 2 --rounds 2 --seconds 3 --peer "torch=$TORCH"
}

# Compiling takes PyTorch minutes for each network, and is tried by
# PEER_TORCH_VARIANT=compile.
train() {
    export PEER_TORCH_VARIANT=${PEER_TORCH_VARIANT:-eager}
    measure train-resnet20-cifar bench resnet20-cifar --mode train --batch 128 --threads 2 --rounds 4 --seconds 1 --peer "torch=$TORCH"
    measure train-resnet18 bench resnet18 --mode train --batch 16 --threads 2 --rounds 3 --seconds 2 --peer "torch=$TORCH"
    measure train-resnet50 bench resnet50 --mode train --batch 16 --threads 2 --rounds 2 --seconds 3 --peer "torch=$TORCH"
}

list() {
    local files=${LIST:-$tmp/list} f name
    "$TORCH" peers/export_torchvision.py "$files" >&2
    for f in "$files"/*.onnx; do
        name=$(basename "$f" .onnx)
        measure "list-$name" bench "$f" --batch 1 --threads 1,2 --rounds 4 --seconds 0.4 --peer "ort=$ORT"
        sed -i "s|$files/||" "$results/list-$name.json"
    done
}

# onnxruntime has no switch for AVX-512.
avx2() (
    export GODEBUG=cpu.avx512f=off ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 MKL_ENABLE_INSTRUCTIONS=AVX2
    export PEER_TORCH_VARIANT=script
    for m in resnet18 resnet50; do
        for b in 1 8; do
            measure "avx2-$m-b$b" bench $m --batch $b --threads 1,2 --rounds 3 --seconds 0.6 --peer "openvino=$OPENVINO,torch=$TORCH"
        done
    done
)

# one round of starts of NAME, in the programs' turns; files are in the system's cache.
start() {
    for m in resnet18 resnet50; do
        weights $m
        "$resnet" convert "$tmp/$m.pth" "$tmp/$m.safetensors" --model $m --preprocess imagenet --force --quiet >/dev/null
        "$resnet" convert "$tmp/$m.safetensors" "$tmp/$m.onnx" --force --quiet >/dev/null
        echo "$(date +%T) start-$m" >&2
        ${PREFIX:-} bash -c '
            resnet=$1 TORCH=$2 ORT=$3 at=$4 m=$5 photo=docs/explain-cat.png
            ms() { local s; s=$(date +%s%N); "$@" >/dev/null 2>&1 || echo "failed: $*" >&2; echo $((($(date +%s%N) - s) / 1000000)); }
            for _ in 0 1 2 3 4 5; do
                a="$a $(ms "$resnet" predict -m "$at/$m.safetensors" "$photo")"
                b="$b $(ms "$ORT" peers/ort/predict.py "$at/$m.onnx" "$photo")"
                c="$c $(ms "$TORCH" peers/torch/predict.py $m "$at/$m.pth" "$photo")"
            done
            list() { echo "[$(echo $* | cut -d" " -f2- | tr " " ",")]"; } # without the first
            echo "{\"model\": \"$m\", \"ms\": {\"resnet\": $(list $a), \"onnxruntime\": $(list $b), \"PyTorch\": $(list $c)}}"
        ' _ "$resnet" "$TORCH" "$ORT" "$tmp" $m >"$tmp/result.json"
        mv "$tmp/result.json" "$results/start-$m.json"
    done
}

tune() (
    export RESNET_TUNING=$tmp/tuning.json
    for m in resnet18 resnet50; do
        measure "tune-$m" tune $m --batch 1,8 --threads 1,2 --seconds 3
        GODEBUG=cpu.avx512f=off measure "tune-$m-avx2" tune $m --batch 1 --threads 1,2 --seconds 3
    done
)

profile() {
    for m in resnet18 resnet50; do
        measure "profile-$m" bench $m --batch 1 --threads 1,2 --profile --seconds 2
        measure "profile-train-$m" bench $m --mode train --batch 16 --threads 2 --profile --seconds 8
    done
    measure profile-train-resnet20-cifar bench resnet20-cifar --mode train --batch 128 --threads 2 --profile --seconds 4
    GODEBUG=cpu.avx512f=off measure profile-resnet50-avx2 bench resnet50 --batch 1 --threads 1 --profile --seconds 2
}

mkdir -p "$results"
for part in "${@:-infer int8 train avx2 start tune profile}"; do
    for p in $part; do
        case $p in
        infer | int8 | bf16 | train | avx2 | start | tune | profile | list) $p ;;
        *) echo "unknown part $p" >&2; exit 2 ;;
        esac
    done
done
go test ./internal/cli/bench -run '^TestSpeedDocument$' -count=1 -update
