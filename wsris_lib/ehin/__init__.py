"""EHIN: a response map for a sentence, learnt from image-sentence pairs alone; and the network of its stage 2."""
