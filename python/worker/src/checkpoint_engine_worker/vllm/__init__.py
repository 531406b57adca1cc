"""The parts of vLLM that an update needs: models, loaders, the layerwise reload and sleep mode."""
