"""`pet run --local`: a job's launchers, one per node, as processes of this machine, in a folder of their own."""
