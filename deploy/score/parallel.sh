#!/bin/bash
# Scores the pictures of LIST by JOBS processes of GNU parallel, one thread each; a run
# that was ended goes on: MODEL=model.safetensors LIST=list.txt OUT=scores JOBS=4 parallel.sh
set -euo pipefail
export MODEL LIST OUT JOBS
# shellcheck disable=SC2016 # the variables are for the processes
seq 0 $((JOBS - 1)) | parallel --jobs "$JOBS" --retries 3 --halt soon,fail=1 \
    'resnet predict --quiet --model "$MODEL" --threads 1 --jsonl "$LIST" --shard {}/"$JOBS" --resume "$OUT-{}.jsonl"'
