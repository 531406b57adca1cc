#!/usr/bin/env bash
# Renders the manifests of this folder from the chart, for users of kubectl without Helm.
#
#   deploy/kubernetes/render.sh [FOLDER]
set -euo pipefail
cd "$(dirname "$0")"
out=${1:-.}
render() { ${HELM:-helm} template vllm ../helm/checkpoint-engine --kube-version 1.31.0 --set engine.model=/models/model "${@:2}" > "$out/$1"; }
render one-pod.yaml
render two-pods.yaml --set replicas=2 --set token.existingSecret=checkpoint-engine-token --set serviceMonitor.enabled=true
