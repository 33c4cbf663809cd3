"""What both trained segmenters share: the data set of pseudo labels, the mean teacher and the prediction."""
