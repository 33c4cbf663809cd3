"""EHIN, stage 1: a response map for a sentence, learnt from image-sentence pairs alone."""
