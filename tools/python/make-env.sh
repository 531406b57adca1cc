#!/usr/bin/env bash
# Creates tools/python/.venv with the Python packages that tests need. Without it, these tests are skipped with a notice.
set -euo pipefail
cd "$(dirname "$0")"
[ -x .venv/bin/python ] && cmp --silent requirements.txt .venv/installed && exit 0
rm -rf .venv
"${PYTHON:-python3}" -m venv .venv
.venv/bin/pip install --quiet --disable-pip-version-check --no-input --timeout 20 --retries 1 --requirement requirements.txt
cp requirements.txt .venv/installed
