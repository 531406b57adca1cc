"""The messages of worker protocol 2, and the connection that carries them. No torch."""
