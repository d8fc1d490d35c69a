"""Pet on Kubernetes: the command line, and the controller when it is there."""
