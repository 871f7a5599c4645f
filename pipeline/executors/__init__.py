"""Where fits and trials run that do not run in this process: other processes of this machine, or a cluster."""
