#!/usr/bin/env bash
# What is owed on a machine with a GPU, all of it, in one command from the project's folder:
#
#     bash benchmarks/owed_on_gpu.sh [--data data/refer] [--smoke] [--dry-run]
#
# 1. the table of full size and what each choice is worth (benchmarks/full_size_gpu.md); 2. every stage of `paper`, four
# images of each split, end to end; 3. with two GPUs: two processes end in the files of one, bit for bit. Weights are
# random (3.8 GB into ./full), photographs those of DATA. Killed, it goes on where it was. --smoke: the same commands
# with miniatures, on a CPU too. --dry-run: only what it would run.
set -euo pipefail

data=data/refer
smoke=
dry=
while [ $# -gt 0 ]; do
    case $1 in
        --data) data=$2; shift ;;
        --smoke) smoke=1 ;;
        --dry-run) dry=1 ;;
        *) echo "unknown option $1: --data DIR, --smoke, --dry-run" >&2; exit 2 ;;
    esac
    shift
done

python=$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python)
python=${PYTHON:-$python}
homes=${HOMES:-runs/owed}
export HF_HUB_OFFLINE=${HF_HUB_OFFLINE:-1}

[ -n "$dry" ] || mkdir -p "$homes"

run() {
    echo "+ $*"
    [ -n "$dry" ] || "$@"
}

gpus=$(nvidia-smi --list-gpus 2>/dev/null | wc -l || true)
device=cuda
if [ -n "$smoke" ]; then
    [ "$gpus" -gt 0 ] || device=cpu
    run "$python" benchmarks/full_size.py --profile smoke --device $device --rows dino alignment --ways few \
        --out "$homes/full_size.md"
else
    run "$python" benchmarks/random_checkpoints.py full
    run "$python" benchmarks/full_size.py --profile paper --checkpoints full --data "$data" --device cuda --ways all \
        --out benchmarks/full_size_gpu.md
    run env WSRIS_HOME="$homes/trial" "$python" -m wsris_lib reproduce --profile paper --checkpoints full --data "$data" \
        --trial 4 --device cuda
fi

# Two processes and one, on the smallest size at which every step has something to do.
if [ $device = cuda ] && [ "$gpus" -lt 2 ] && [ -z "$dry" ]; then
    echo "two processes on CUDA: left out, as there are $gpus GPU(s); each process takes one of its own"
else
    same=(-m wsris_lib reproduce --profile smoke --split testA --device $device)
    run env WSRIS_HOME="$homes/two" OMP_NUM_THREADS=1 "$python" -m torch.distributed.run --standalone \
        --nproc_per_node 2 "${same[@]}"
    run env WSRIS_HOME="$homes/one" OMP_NUM_THREADS=1 "$python" "${same[@]}"
    run "$python" benchmarks/same_files.py "$homes/one/cache" "$homes/two/cache"
fi
