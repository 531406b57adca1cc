#!/usr/bin/env bash
# Ends the servers at these ports, and waits until their processes have ended.
#
#   stop-vllm.sh PORT...
for port; do
  pid=$(cat "/tmp/vllm-$port.pid" 2>/dev/null) || continue
  kill -TERM -- "-$pid" 2>/dev/null
  for _ in 1 2 3 4 5 6; do kill -0 -- "-$pid" 2>/dev/null || break; sleep 0.5; done
  kill -KILL -- "-$pid" 2>/dev/null
done
true
