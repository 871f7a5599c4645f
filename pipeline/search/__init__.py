"""The candidates for the sparse teacher, and the search for the best one."""
