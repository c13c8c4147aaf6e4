#!/bin/bash
#SBATCH --job-name=train
#SBATCH --nodes=8
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=32
#SBATCH --requeue
#SBATCH --signal=TERM@120
# Trains on 8 machines by MPI. Two minutes before the time limit the run saves itself and
# ends; a job that is requeued or submitted again continues it. When a rank dies, srun ends
# the others, which would wait for it (--kill-on-bad-exit). OUT is on a file system that
# all machines share; MPI is the plugin that the MPI library knows (srun --mpi=list):
# sbatch --export=ALL,DATA=tar:/data/shards,OUT=/data/runs/r50,MPI=pmix slurm.sh
set -euo pipefail
if [ -e "$OUT/last.safetensors" ]; then
    run=(--resume)
else
    run=(--data "$DATA" --recipe imagenet-v1 --batch 1024 --shards 32 --set checkpoint.every_seconds=600)
fi
exec srun --kill-on-bad-exit=1 --mpi="${MPI:-pmi2}" resnet-mpi train --out "$OUT" --threads "${SLURM_CPUS_PER_TASK:-8}" "${run[@]}"
