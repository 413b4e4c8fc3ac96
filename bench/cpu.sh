#!/usr/bin/env bash
# Measures mixes of models and single models against ONNX Runtime on this CPU; results and their table go to
# bench/results/cpu/. A cell that has a result is left out, so an interrupted run goes on where it stopped.
#
#   bench/cpu.sh [--mix A,B] [--batch 1,8] [--single resnet50,ocr_rec] [--no-singles] [--no-mixes] [--force]
#                [--summary]       --summary: only write the table again
#
# GACER=path/to/gacer (default build/release/gacer)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec .venv/bin/python -B bench/cpu.py "$@"
