"""`stark shrink`: a smaller form of a classifier that is trained already."""
