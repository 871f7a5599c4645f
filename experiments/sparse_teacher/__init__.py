"""The experiment of the paper on real data: does a sparse teacher give better students?"""
