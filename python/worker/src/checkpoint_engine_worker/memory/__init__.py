"""Memory of other processes, mapped into this one: host memory and CUDA memory."""
