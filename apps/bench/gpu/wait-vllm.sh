#!/usr/bin/env bash
# Waits until the servers on these ports serve, for at most LIMIT seconds (240). Prints the errors of servers that do
# not.
#
#   wait-vllm.sh PORT...
set -u
status=0
for port; do
  until curl -sf "http://127.0.0.1:$port/health" >/dev/null; do
    if ! kill -0 "$(cat "/tmp/vllm-$port.pid")" 2>/dev/null || [ "$SECONDS" -gt "${LIMIT:-240}" ]; then
      echo "vLLM on port $port does not serve after $SECONDS s:"
      grep -E 'Error|error' "/tmp/vllm-$port.log" | tail -n 8 | cut -c1-400
      status=1
      break
    fi
    sleep 1
  done
  [ "$status" = 1 ] || echo "vLLM on port $port serves after $SECONDS s"
done
exit $status
