#!/bin/bash
#SBATCH --job-name=score
#SBATCH --array=0-15
#SBATCH --cpus-per-task=8
#SBATCH --requeue
# Scores the pictures of LIST in 16 parts, each of which goes on where it was when it is
# requeued: sbatch --export=ALL,MODEL=model.safetensors,LIST=list.txt,OUT=scores slurm.sh
set -euo pipefail
exec resnet predict --model "$MODEL" --threads "${SLURM_CPUS_PER_TASK:-8}" \
    --jsonl "$LIST" --shard auto --resume "$OUT-$SLURM_ARRAY_TASK_ID.jsonl"
