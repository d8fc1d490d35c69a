"""One decision of the operator in each module."""
