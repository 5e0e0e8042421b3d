#!/bin/bash
# sbatch bench/cluster/slurm.sh, in the checkout, which lies where every node sees it. Read README.md first.
# Change: the first block, and the arguments of bench.run.
#SBATCH --job-name=lnl-bench
#SBATCH --nodes=2
#SBATCH --gpus-per-node=4
#SBATCH --time=08:00:00

#SBATCH --exclusive              # at its end Ray stops every Ray on the node
#SBATCH --ntasks-per-node=1      # one Ray a node, which hands out the node's CPUs and GPUs
#SBATCH --signal=B:USR1@120      # two minutes before the time is up
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log

set -euo pipefail
cd "$SLURM_SUBMIT_DIR"
source .venv/bin/activate

# A token for this job, which only you can read. The nodes get it through the file system, never on a command line.
export RAY_AUTH_MODE=token
export RAY_AUTH_TOKEN_PATH="$HOME/.lnl-bench-token-$SLURM_JOB_ID"
trap 'rm -f "$RAY_AUTH_TOKEN_PATH"' EXIT
(umask 077 && python -c 'import secrets; print(secrets.token_hex(32), end="")' > "$RAY_AUTH_TOKEN_PATH")

# Time is nearly up: the job goes back into the queue, and the same command goes on from the records.
trap 'scontrol requeue "$SLURM_JOB_ID"; wait' USR1

# Without --include-dashboard=false: symmetric-run gives its options to every node, and ray start takes that one on the head alone.
export RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT=300
nodes=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
head_node=${nodes%%$'\n'*}
srun --cpus-per-task="$SLURM_CPUS_ON_NODE" \
    ray symmetric-run --address "$head_node:6379" --min-nodes "$SLURM_JOB_NUM_NODES" --num-cpus="$SLURM_CPUS_ON_NODE" -- \
    python -m bench.run --address auto --device cuda --gpus-per-trial 0.25 \
    --methods rmd,softmix --noise 0.2,0.5,0.8 --out results/first &
wait "$!"
