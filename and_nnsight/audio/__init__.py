"""Whatever holds a clip becomes a mono float32 waveform; how much of it is read is decided first."""
