"""The ten words, digests and errors; standard library only, no I/O."""
