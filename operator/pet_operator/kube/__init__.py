"""The way to the API server, for the operator and for the command line."""
