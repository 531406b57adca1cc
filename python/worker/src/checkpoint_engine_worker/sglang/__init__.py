"""The parts of SGLang that an update needs: models and the release of memory."""
