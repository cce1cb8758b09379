"""What is measured of a sound without a model: loudness, pitch, brightness, noisiness, onsets and rhythm."""
