"""Files that are whole or not there, trainings that resume, several processes."""
