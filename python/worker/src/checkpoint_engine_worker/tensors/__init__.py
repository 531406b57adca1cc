"""Types, bytes and memory of torch tensors. Torch is imported when it is first needed."""
