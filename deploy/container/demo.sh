#!/usr/bin/env bash
# Runs the demo in the container image, as an unprivileged user with a read-only root file system and without a network.
#
#   deploy/container/demo.sh [IMAGE]
#
# CONTAINER_RUN replaces `docker run` or `podman run`, for example with options that a sandbox needs.
set -euo pipefail
image=${1:-checkpoint-engine:latest}
if [ -n "${CONTAINER_RUN:-}" ]; then read -r -a run <<<"$CONTAINER_RUN"
elif docker info >/dev/null 2>&1; then run=(docker run)
elif command -v podman >/dev/null; then run=(podman run)
else echo 'Install docker or podman' >&2; exit 1; fi
# Shared memory carries the buckets: Docker's default of 64 MiB is too small for real models.
exec "${run[@]}" --rm --read-only --tmpfs /tmp --user 10001:10001 --cap-drop all --security-opt no-new-privileges \
  --network none --shm-size 1g "$image" demo
