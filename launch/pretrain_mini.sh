#!/usr/bin/env bash
# Pre-trains the mini models on the text of the embedded world, where the studies look for them. What is done is
# left alone, and what was stopped goes on.
#
#   bash launch/pretrain_mini.sh [small] [base] [large] [palm] [opt] [u_palm]
#
# Without names all six, about an hour and a half on two CPU cores. A core for each half of them is faster:
#
#   export XLA_FLAGS=--xla_cpu_multi_thread_eigen=false
#   taskset -c 0 bash launch/pretrain_mini.sh small base opt & taskset -c 1 bash launch/pretrain_mini.sh large palm u_palm
#
# CHECKPOINTS names another folder; PYTHON another interpreter to make .venv with.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

python_with ''
checkpoints="${CHECKPOINTS:-$HOME/.cache/flan_tune/mini}"

pretrain() { # name, further flags
  "$python" -m flan_tune.cli train --gin.MODEL_DIR="$checkpoints/$1" "${@:2}"
}

names=("$@")
((${#names[@]})) || names=(small base large palm opt u_palm)
for name in "${names[@]}"; do
  case "$name" in
    small | base | large)
      pretrain "$name" --gin_file=runs/pretrain_mini.gin --gin_file="models/mini/$name.gin" ;;
    palm)
      pretrain "$name" --gin_file=runs/pretrain_mini_decoder.gin --gin_file=models/mini/palm.gin ;;
    opt)
      pretrain "$name" --gin_file=runs/pretrain_mini_opt.gin --gin_file=models/mini/opt.gin ;;
    u_palm)
      pretrain "$name" --gin_file=runs/pretrain_mini_ul2r.gin --gin_file=models/mini/palm.gin \
        --gin.PREFIX_LM=True --gin.INITIAL_CHECKPOINT_PATH="$checkpoints/palm" ;;
    *)
      echo "$name: none of small, base, large, palm, opt, u_palm" >&2
      exit 2 ;;
  esac
done
