"""ES3Net: choose one of an image's proposals for a sentence, learnt from image-sentence pairs alone."""
