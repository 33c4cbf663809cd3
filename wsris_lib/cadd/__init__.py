"""CADD, ES3Net's student (3.4): LAVT, its losses under an affine warp, its training, and a student as one file."""
