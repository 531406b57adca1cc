#!/usr/bin/env bash
# Makes tools/python/.venv with what tests run in Python. Without it those tests are skipped, and say so.
set -euo pipefail
cd "$(dirname "$0")"
[ -x .venv/bin/python ] && cmp --silent requirements.txt .venv/installed && exit 0
rm -rf .venv
"${PYTHON:-python3}" -m venv .venv
.venv/bin/pip install --quiet --disable-pip-version-check --no-input --timeout 20 --retries 1 --requirement requirements.txt
cp requirements.txt .venv/installed
